"""The planner against what was measured, and what must hold whatever the constants are."""

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from polyglot_lm.cli import app
from polyglot_lm.model.config import POLYGLOT_KO
from polyglot_lm.pipeline import UserError
from polyglot_lm.training.gpus import gpu_named, gpus
from polyglot_lm.training.memory import ERROR as MEMORY_ERROR
from polyglot_lm.training.memory import GIB, RECOMPUTE, Placement, memory_gib
from polyglot_lm.training.planner import SPEED_ERROR, Wish, measured_runs, plan_of_measured, plan_training, step_seconds

WISH = Wish(model=POLYGLOT_KO["1.3b"], gpu=gpu_named("h100"), gpus=8, batch_windows=1024, tokens=213_000_000_000, precision="bf16")
PLACEMENT = Placement(shards=1, micro_batch=8, accumulated=2, recompute="none", precision="bf16")
SIZES = st.sampled_from(list(POLYGLOT_KO.values()))


@pytest.mark.parametrize("run", measured_runs(), ids=lambda run: f"{run['size']}-{run['gpus']}x{run['gpu']}-{run['precision']}")
def test_every_measured_run_is_met_within_the_stated_error(run: dict[str, float]) -> None:
    plan = plan_of_measured(run)
    assert plan.memory_gib == pytest.approx(run["memory_gib"], rel=MEMORY_ERROR)
    assert plan.tokens_s / run["gpus"] == pytest.approx(run["tokens_s"], rel=SPEED_ERROR)


def test_the_state_is_sixteen_bytes_a_parameter_spread_over_the_shards() -> None:
    for model in POLYGLOT_KO.values():
        held = memory_gib(model, replace(PLACEMENT, shards=4))
        state = sum(held[name] for name in ("parameters", "gradients", "optimizer"))
        assert state == pytest.approx(16 * model.num_parameters / 4 / GIB)


@given(SIZES, st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 8]), st.sampled_from([1, 4]))
def test_memory_and_time_move_as_they_must(model: object, micro_batch: int, shards: int, accumulated: int) -> None:
    here = replace(PLACEMENT, micro_batch=micro_batch, shards=shards, accumulated=accumulated)
    held = [sum(memory_gib(model, replace(here, recompute=again)).values()) for again in RECOMPUTE]  # type: ignore[arg-type]
    assert held == sorted(held, reverse=True)
    more = replace(here, micro_batch=2 * micro_batch)
    assert sum(memory_gib(model, more).values()) >= held[0]  # type: ignore[arg-type]
    for gpu in gpus().values():
        times = [step_seconds(model, gpu, replace(here, recompute=again), copies=1) for again in RECOMPUTE]  # type: ignore[arg-type]
        assert times == sorted(times)
        assert step_seconds(model, gpu, more, copies=1) > times[0]  # type: ignore[arg-type]
        assert step_seconds(model, gpu, here, copies=4) >= times[0]  # type: ignore[arg-type]


@settings(max_examples=30, deadline=None)
@given(SIZES, st.sampled_from(list(gpus().values())), st.sampled_from([1, 2, 8, 16]), st.sampled_from(["bf16", "fp8"]))
def test_what_is_said_to_fit_fits_and_is_no_faster_than_the_peak(model: object, gpu: object, count: int, precision: str) -> None:
    wish = replace(WISH, model=model, gpu=gpu, gpus=count, precision=precision)  # type: ignore[arg-type]
    plan, change = plan_training(wish)
    if plan.fits:
        assert change is None
    for found in [plan] if plan.fits else [change] if change else []:
        assert found.memory_gib < found.wish.gpu.memory_gib
        assert 0.1 < found.mfu_causal < found.mfu < (1.2 if precision == "fp8" else 0.85)
        assert found.placement.micro_batch * found.placement.accumulated * found.wish.gpus == 1024
        assert found.gpu_hours == pytest.approx(213e9 / found.tokens_s / 3600 * found.wish.gpus)


def test_a_wish_that_does_not_fit_gets_the_smallest_change() -> None:
    plan, change = plan_training(replace(WISH, gpus=1, micro_batch=32, recompute="none"))
    assert not plan.fits and change is not None and plan.changes(change) == [f"micro-batch {change.placement.micro_batch}"]
    plan, change = plan_training(replace(WISH, gpus=1, model=POLYGLOT_KO["5.8b"]))  # its state alone is 87.7 GiB
    assert not plan.fits and change is not None and plan.changes(change) == ["2 GPUs"]
    plan, change = plan_training(replace(WISH, gpus=4, model=POLYGLOT_KO["5.8b"], shards=1))
    assert not plan.fits and change is not None and plan.changes(change) == ["shards 4"]


def test_what_no_number_of_cards_carries_has_no_change() -> None:
    huge = replace(POLYGLOT_KO["12.8b"], context=2**21)
    assert plan_training(replace(WISH, model=huge))[1] is None


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"gpus": 3}, "batch_windows is 1024; 3 GPUs must divide it evenly"),
        ({"micro_batch": 7}, "micro_batch is 7; it must divide the 128 windows of each GPU"),
        ({"shards": 3}, "shards is 3; it must divide the 8 GPUs"),
        ({"tokens": 0}, "tokens is 0; it must be at least 1"),
    ],
)
def test_a_wish_that_cannot_be_is_said(wish: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        replace(WISH, **wish)  # type: ignore[arg-type]


def test_the_command_says_parameters_memory_time_and_money() -> None:
    result = CliRunner().invoke(app, ["training", "plan", "1.3b", "--gpus", "8", "--gpu-hour-price", "2"])
    assert result.exit_code == 0
    assert "1,331,810,304 parameters" in result.output and "213.0 billion tokens, 1,024 windows a step" in result.output
    found = [re.search(pattern, result.output) for pattern in (r"([\d,]+) GPU-hours", r"\$([\d,]+) at")]
    hours, dollars = (float(match[1].replace(",", "")) for match in found if match)
    assert dollars == pytest.approx(2 * hours, abs=2)
    plan, _ = plan_training(WISH)
    assert f"{plan.tokens_s:,.0f} tokens/s" in result.output
    assert "optimizer" in result.output and "78" in result.output
    assert "3 runs on this card" in result.output


def test_the_command_says_the_change_and_that_a_card_was_not_measured() -> None:
    result = CliRunner().invoke(app, ["training", "plan", "12.8b", "--gpu", "a100", "--gpus", "2"])
    assert "Smallest change that fits: 4 GPUs" in result.output
    assert "no run on this card was measured" in result.output
