"""Windows of equal content next to their definition, and bits next to a twin that scores one window at a time."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SENTENCES
from hypothesis import given
from hypothesis import strategies as st

from polyglot_lm.evaluation.content import Encoded, HubScorer, OurScorer, content_windows, second_half, text_bits
from polyglot_lm.evaluation.models import load_model
from polyglot_lm.model.config import neox
from polyglot_lm.model.hf import load_hf, save_hf
from polyglot_lm.model.transformer import GPTNeoX, initialize
from polyglot_lm.tokenizer import CONFIG_FILE, TOKENIZER_FILE, Tokenizer, train_tokenizer

CONTEXT = 16
LENGTHS = st.lists(st.integers(0, 12), min_size=1, max_size=60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_corpora: dict[str, Path]) -> Path:
    """An exported model: weights and tokenizer in one folder."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("exported")
    train_tokenizer(
        out,
        corpora={code: tiny_corpora[code] for code in ("ko", "th", "en")},
        byte_premiums={"ko": 1.3, "th": 2.8, "en": 1.0},
        vocab_size=384,
        max_english_bytes=20_000,
    )
    assert (out / TOKENIZER_FILE).exists() and (out / CONFIG_FILE).exists()
    network = GPTNeoX(neox(vocab_size=384, context=CONTEXT, num_layers=2, width=32, num_heads=4, rotary_dims=4))
    initialize(network, torch.Generator().manual_seed(3))
    with torch.no_grad():
        network.embed_out.weight.mul_(5)
    save_hf(network, out, end_id=2)
    return out


@given(LENGTHS, st.floats(1, 60), st.integers(1, 40))
def test_windows_cover_every_token_once_within_their_bounds(lengths: list[int], window_bytes: float, context: int) -> None:
    windows = list(content_windows(np.array(lengths), window_bytes, context))
    assert [place for window in windows for place in range(window.first, window.stop)] == list(range(len(lengths)))
    for window in windows:
        assert 0 <= window.start <= window.first < window.stop
        assert window.stop - window.start <= context
        held = sum(lengths[window.start : window.stop])
        assert held <= window_bytes or window.stop - window.first == 1


@given(LENGTHS, st.floats(12, 60))
def test_a_later_token_sees_half_a_window_where_the_context_allows(lengths: list[int], window_bytes: float) -> None:
    for window in content_windows(np.array(lengths), window_bytes, context=1000):
        assert not window.cut
        if window.start > 0:
            one_more = sum(lengths[window.start - 1 : window.stop])
            assert one_more > window_bytes  # no earlier token would have fitted
        if window.stop < len(lengths) and window.first > 0 and lengths[window.stop] <= window_bytes / 2:
            assert sum(lengths[window.first : window.stop + 1]) > window_bytes / 2


def test_the_same_text_in_more_tokens_is_cut_into_the_same_windows() -> None:
    few, many = (list(content_windows(np.full(80 // size, size), 16.0, 1000)) for size in (4, 1))
    assert [(4 * w.start, 4 * w.first, 4 * w.stop) for w in few] == [(w.start, w.first, w.stop) for w in many]


def test_windows_that_the_context_cuts_are_told() -> None:
    assert [window.cut for window in content_windows(np.full(40, 10), 100.0, 8)] == [True] * 9
    assert not any(window.cut for window in content_windows(np.full(40, 10), 80.0, 8))


def test_bits_are_those_of_each_window_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polyglot_lm.evaluation.content.MAX_BATCH", 3)
    scorer = OurScorer(load_hf(folder), Tokenizer(folder))
    encoded = scorer.encode([*SENTENCES.values(), ""])
    found, cut = text_bits(scorer, encoded, window_bytes=20.0)
    assert cut > 0  # in scripts of a token a byte
    for text, bits in zip(encoded, found, strict=True):
        tokens = torch.tensor([scorer.start_id, *text.ids, scorer.end_id])
        for window in content_windows(np.append(text.lengths, 0), 20.0, CONTEXT):
            logits = scorer.network(tokens[None, window.start : window.stop])[0].double()
            nats = torch.nn.functional.cross_entropy(logits, tokens[window.start + 1 : window.stop + 1], reduction="none")
            expected = nats[window.first - window.start :].detach().numpy() / math.log(2)
            assert bits[window.first : window.stop] == pytest.approx(expected, abs=1e-4)


def test_an_exported_model_has_the_same_bits_through_transformers(folder: Path) -> None:
    ours, theirs = OurScorer(load_hf(folder), Tokenizer(folder)), HubScorer(load_model(str(folder), device="cpu"))
    texts = list(SENTENCES.values())
    mine, yours = ours.encode(texts), theirs.encode(texts)
    assert [each.ids for each in mine] == [each.ids for each in yours]
    assert all((a.lengths == b.lengths).all() for a, b in zip(mine, yours, strict=True))
    assert (ours.start_id, ours.end_id, ours.context) == (theirs.start_id, theirs.end_id, theirs.context)
    for a, b in zip(text_bits(ours, mine, 40.0)[0], text_bits(theirs, yours, 40.0)[0], strict=True):
        assert a == pytest.approx(b, abs=1e-4)


@pytest.mark.parametrize(("lengths", "first"), [([2, 2, 2, 2], 2), ([5, 1, 1], 1), ([1, 1, 5], 3), ([], 0)])
def test_the_second_half_begins_at_half_of_the_bytes(lengths: list[int], first: int) -> None:
    assert second_half(Encoded(ids=[7] * len(lengths), lengths=np.array(lengths, dtype=np.int64))) == first
