"""Shapes: the released sizes to the parameter, and errors that name value, bound and fix."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from polyglot_lm.model.config import POLYGLOT_KO, ModelConfig, neox, padded_vocab_size, polyglot_ko
from polyglot_lm.model.transformer import GPTNeoX
from polyglot_lm.pipeline import UserError

RELEASED = {"1.3b": 1_331_810_304, "3.8b": 3_809_974_272, "5.8b": 5_885_059_072, "12.8b": 12_893_603_840}
TINY = neox(vocab_size=384, context=32, num_layers=2, width=32, num_heads=4, rotary_dims=4)


def built_parameters(config: ModelConfig) -> int:
    with torch.device("meta"):
        model = GPTNeoX(config)
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("size", RELEASED)
def test_released_sizes_have_their_number_of_parameters(size: str) -> None:
    config = polyglot_ko(size)
    assert config.num_parameters == RELEASED[size]
    assert built_parameters(config) == RELEASED[size]


def test_every_released_size_rotates_64_dimensions_and_has_30080_rows() -> None:
    assert list(POLYGLOT_KO) == list(RELEASED)
    assert {config.rotary_dims for config in POLYGLOT_KO.values()} == {64}
    assert {config.vocab_size for config in POLYGLOT_KO.values()} == {30_080}
    assert {name: config.head_width for name, config in POLYGLOT_KO.items()} == {
        "1.3b": 128,
        "3.8b": 128,
        "5.8b": 256,
        "12.8b": 128,
    }


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 8), st.integers(1, 100), st.booleans())
def test_counted_parameters_are_those_built(vocab: int, layers: int, heads: int, pairs: int, mlp: int, tied: bool) -> None:
    base = neox(
        vocab_size=vocab * 128, context=8, num_layers=layers, width=heads * pairs * 4, num_heads=heads, rotary_dims=pairs * 2
    )
    config = replace(base, mlp_width=mlp, tied_head=tied)
    assert config.num_parameters == built_parameters(config)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("vocab_size", 30_003, "vocab_size is 30003; pad it to 30080"),
        ("vocab_size", 0, "vocab_size is 0; it must be at least 1"),
        ("context", 0, "context is 0; it must be at least 1"),
        ("num_layers", -1, "num_layers is -1; it must be at least 1"),
        ("width", 0, "width is 0; it must be at least 1"),
        ("num_heads", 0, "num_heads is 0; it must be at least 1"),
        ("mlp_width", 0, "mlp_width is 0; it must be at least 1"),
        ("num_heads", 5, "width is 32 and num_heads 5; heads must divide the width evenly"),
        ("rotary_fraction", 0.0, "rotary_fraction is 0.0; it must rotate an even number of the 8 dimensions"),
        ("rotary_fraction", 1.5, "rotary_fraction is 1.5; it must rotate an even number of the 8 dimensions"),
        ("rotary_fraction", 0.375, "rotary_fraction is 0.375; it must rotate an even number of the 8 dimensions"),
    ],
)
def test_a_shape_that_cannot_be_is_refused_with_the_fix(field: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        replace(TINY, **{field: value})


def test_an_unknown_size_lists_the_known() -> None:
    with pytest.raises(UserError, match=r"no model size '7b'; there are 1\.3b, 3\.8b, 5\.8b, 12\.8b"):
        polyglot_ko("7b")


@given(st.integers(1, 10**6))
def test_a_padded_vocabulary_is_the_next_multiple_of_128(vocab_size: int) -> None:
    padded = padded_vocab_size(vocab_size)
    assert padded % 128 == 0 and 0 <= padded - vocab_size < 128


def test_flops_are_six_a_parameter_but_the_embedding_and_twelve_for_attention() -> None:
    # per layer 12·32² + 13·32 = 12,704; final norm 64; head 384·32 = 12,288; 2 layers of 32 wide over 32 tokens
    assert TINY.flops_per_token == 6 * (2 * 12_704 + 64 + 12_288) + 12 * 2 * 32 * 32
    assert replace(TINY, tied_head=True).flops_per_token == TINY.flops_per_token
