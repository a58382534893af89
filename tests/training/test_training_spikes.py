"""What counts as a spike, next to a slow twin; that such a step changes nothing; and what the host makes of it."""

import math
import random
import statistics
from collections import deque
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_training import MODEL, optim

from polyglot_lm.model.transformer import GPTNeoX, initialize
from polyglot_lm.training.optim import build_optimizers, take_steps
from polyglot_lm.training.spikes import NOT_FINITE, REASONS, SIGMAS, WINDOW, Ledger, SpikeGuard

CPU = torch.device("cpu")
LOSS, NORM = REASONS.index("loss"), REASONS.index("gradient norm")


class SlowGuard:
    """The rule in plain Python."""

    def __init__(self) -> None:
        self.kept = [deque[float](maxlen=WINDOW), deque[float](maxlen=WINDOW)]

    def judge(self, *found: float) -> int:
        if not all(math.isfinite(value) for value in found):
            return NOT_FINITE
        reason = 0
        for position in (1, 0):
            kept, value = self.kept[position], found[position]
            if len(kept) == WINDOW:
                limit = statistics.fmean(kept) + SIGMAS * statistics.stdev(kept)
                if value > limit:
                    reason, value = position + 2, limit
            kept.append(value)
        return reason


def judged(guard: SpikeGuard, loss: float, norm: float) -> int:
    return int(guard.judge(torch.tensor(loss), torch.tensor(norm)))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**9))
def test_the_verdicts_are_those_of_the_rule(seed: int) -> None:
    guard, twin, rng = SpikeGuard(CPU), SlowGuard(), random.Random(seed)
    for step in range(WINDOW + 40):
        loss, norm = rng.gauss(3, 0.1) - step / 200, rng.lognormvariate(0, 0.3)
        if rng.random() < 0.05:
            loss, norm = rng.choice([(math.nan, norm), (loss, math.inf), (loss + 5, norm), (loss, norm + 30), (9.0, 99.0)])
        assert judged(guard, loss, norm) == twin.judge(loss, norm)


def full_guard() -> SpikeGuard:
    guard, rng = SpikeGuard(CPU), random.Random(1)
    for _ in range(WINDOW):
        assert judged(guard, rng.gauss(3, 0.1), rng.gauss(1, 0.1)) == 0
    return guard


@pytest.mark.parametrize(
    ("loss", "norm", "reason"),
    [(3.0, 1.0, 0), (2.0, 0.1, 0), (4.0, 1.0, LOSS), (3.0, 2.0, NORM), (4.0, 2.0, LOSS), (math.nan, 1.0, 1), (3.0, math.inf, 1)],
)
def test_only_what_is_too_large_or_no_number_is_left_out(loss: float, norm: float, reason: int) -> None:
    assert judged(full_guard(), loss, norm) == reason


def test_nothing_is_a_spike_before_there_is_a_history_but_what_is_no_number() -> None:
    guard = SpikeGuard(CPU)
    assert [judged(guard, value, 1.0) for value in (1.0, 1e9, math.nan, 1.0)] == [0, 0, NOT_FINITE, 0]
    assert int(guard.count) == 3


def test_a_lasting_rise_is_believed_after_some_steps() -> None:
    guard, rng = full_guard(), random.Random(2)
    verdicts = [judged(guard, rng.gauss(6, 0.1), rng.gauss(1, 0.1)) for _ in range(60)]
    assert verdicts[0] == LOSS and verdicts[-1] == 0
    assert 5 < sum(verdict == LOSS for verdict in verdicts) < 40


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("poison", [math.nan, math.inf, 1e30])
def test_a_step_left_out_changes_neither_weights_nor_optimizers(optimizer: Any, poison: float) -> None:
    model = GPTNeoX(MODEL)
    initialize(model, torch.Generator().manual_seed(0))
    optimizers = build_optimizers(model, optim(optimizer))

    def step(scale: float, reason: int) -> None:
        (model(torch.arange(32).view(1, 32)).square().mean() * scale).backward()
        take_steps(optimizers, norm=torch.tensor(scale), clip_norm=1.0, leave_out=torch.tensor(reason))

    step(1.0, 0)
    before = {name: tensor.clone() for name, tensor in everything(model, optimizers).items()}
    step(poison, 2)
    after = everything(model, optimizers)
    assert all(torch.equal(before[name], tensor) for name, tensor in after.items()) and before.keys() == after.keys()
    step(1.0, 0)
    assert not torch.equal(before["embed_out.weight"], model.embed_out.weight)


def everything(model: GPTNeoX, optimizers: list[torch.optim.Optimizer]) -> dict[str, torch.Tensor]:
    states = [
        (n, key, value) for n, each in enumerate(optimizers) for n, s in enumerate(each.state.values()) for key, value in s.items()
    ]
    return {name: p.detach() for name, p in model.named_parameters()} | {f"{i}.{n}.{k}": v for i, (n, k, v) in enumerate(states)}


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_clipping_inside_the_optimizer_equals_clipping_before_it(optimizer: Any) -> None:
    models = [GPTNeoX(MODEL) for _ in range(2)]
    for model in models:
        initialize(model, torch.Generator().manual_seed(0))
    optimizers = [build_optimizers(model, optim(optimizer)) for model in models]
    for model in models:
        (model(torch.arange(32).view(1, 32)).square().mean() * 100).backward()
    norm = torch.nn.utils.get_total_norm([p.grad for p in models[0].parameters() if p.grad is not None])
    assert norm > 0.1
    take_steps(optimizers[0], norm=norm, clip_norm=0.1, leave_out=torch.tensor(0))
    torch.nn.utils.clip_grad_norm_(models[1].parameters(), 0.1)
    take_steps(optimizers[1], norm=torch.tensor(0.0), clip_norm=1.0, leave_out=torch.tensor(0))
    for name, parameter in models[0].named_parameters():
        torch.testing.assert_close(parameter, models[1].get_parameter(name), rtol=1e-4, atol=1e-6, msg=name)


def test_the_ledger_tells_what_was_computed_and_which_steps_were_left_out_in_a_row() -> None:
    ledger = Ledger()
    for step, (loss, norm, reason) in enumerate([(3.0, 1.0, 0), (math.nan, 1.0, 1), (9.0, math.inf, 2), (9.5, 1.0, 2)], 1):
        ledger.enter(step, 10 * step, [torch.tensor(loss), torch.tensor(norm), torch.tensor(reason)])
    assert [(e.step, e.begins, e.loss, e.norm, e.reason) for e in ledger.settle()] == [
        (1, 10, 3.0, 1.0, 0),
        (2, 20, None, 1.0, 1),
        (3, 30, 9.0, None, 2),
        (4, 40, 9.5, 1.0, 2),
    ]
    assert [entry.step for entry in ledger.row] == [2, 3, 4] and ledger.last.step == 4
    assert ledger.settle() == []
    ledger.enter(5, 50, [torch.tensor(3.0), torch.tensor(1.0), torch.tensor(0)])
    ledger.settle()
    assert ledger.row == []
