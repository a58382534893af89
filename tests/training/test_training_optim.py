"""Who decays, how the rate moves, and which settings are refused."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_training import MODEL, optim

from polyglot_lm.model.transformer import GPTNeoX, initialize
from polyglot_lm.training.optim import build_optimizers, rate_factor, set_rate


def network(tied_head: bool = False) -> GPTNeoX:
    model = GPTNeoX(replace(MODEL, tied_head=tied_head))
    initialize(model, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)  # no bias is 0, so decay would show
    return model


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_biases_and_norms_do_not_decay_and_everything_else_does(optimizer: Any) -> None:
    model = network()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizers = build_optimizers(model, optim(optimizer))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for each in optimizers:
        each.step()
    for name, parameter in model.named_parameters():
        rate = 0.02 if optimizer == "muon" and name.startswith("layers.") else 0.01
        kept = 1 - rate * 0.1 if parameter.ndim == 2 else 1.0
        torch.testing.assert_close(parameter.detach(), before[name] * kept, msg=name)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("tied_head", [False, True])
def test_every_parameter_belongs_to_exactly_one_group(optimizer: Any, tied_head: bool) -> None:
    model = network(tied_head)
    optimizers = build_optimizers(model, optim(optimizer))
    grouped = [id(p) for each in optimizers for group in each.param_groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())


def test_muon_moves_the_matrices_of_the_blocks_alone() -> None:
    model = network()
    muon, adamw = build_optimizers(model, optim("muon"))
    moved = {id(p) for group in muon.param_groups for p in group["params"]}
    assert moved == {id(p) for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name}
    assert {id(p) for group in adamw.param_groups for p in group["params"]}.isdisjoint(moved)


@pytest.mark.parametrize(
    ("step", "factor"),
    # 3 steps of warm-up: 1/4, 2/4, 3/4, then the peak; 20 steps, the last 8 of them falling by an eighth each
    [(0, 0.25), (1, 0.5), (2, 0.75), (3, 1.0), (11, 1.0), (12, 1.0), (13, 7 / 8), (16, 0.5), (19, 1 / 8), (20, 0.0)],
)
def test_the_rate_warms_up_stays_and_decays(step: int, factor: float) -> None:
    config = replace(optim(), warmup_steps=3, decay_fraction=0.4)
    assert rate_factor(config, step, 20) == pytest.approx(factor)


def test_without_warm_up_and_decay_the_rate_is_constant() -> None:
    config = replace(optim(), warmup_steps=0, decay_fraction=0.0)
    assert {rate_factor(config, step, 20) for step in range(20)} == {1.0}


@given(st.integers(0, 50), st.floats(0, 1), st.integers(1, 200))
def test_the_rate_stays_between_zero_and_its_peak_and_never_rises_again(warmup: int, decay: float, num_steps: int) -> None:
    config = replace(optim(), warmup_steps=warmup, decay_fraction=decay)
    factors = [rate_factor(config, step, num_steps) for step in range(num_steps)]
    assert all(0 < factor <= 1 for factor in factors)
    top = factors.index(max(factors))
    assert factors[: top + 1] == sorted(factors[: top + 1]) and factors[top:] == sorted(factors[top:], reverse=True)


def test_every_group_keeps_its_own_peak() -> None:
    optimizers = build_optimizers(network(), optim("muon"))
    for factor in (0.5, 0.1):
        set_rate(optimizers, factor)
        assert [group["lr"] for each in optimizers for group in each.param_groups] == pytest.approx(
            [0.02 * factor, 0.01 * factor, 0.01 * factor]
        )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("optimizer", "sgd"),
        ("learning_rate", 0.0),
        ("learning_rate", math.nan),
        ("matrix_learning_rate", -1.0),
        ("clip_norm", 0.0),
        ("decay_fraction", 1.1),
        ("decay_fraction", -0.1),
        ("warmup_steps", -1),
        ("weight_decay", -0.1),
        ("beta1", 1.0),
        ("beta2", -0.1),
    ],
)
def test_a_setting_out_of_bounds_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"{field}.* {value!r}"):
        replace(optim(), **{field: value})
