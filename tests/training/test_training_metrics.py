"""Throughput: the published rates give the published shares, and only training's own time is counted."""

import time

import pytest
import torch

from polyglot_lm.model.config import POLYGLOT_KO
from polyglot_lm.pipeline import UserError
from polyglot_lm.training.gpus import gpu_called, gpu_named, gpus
from polyglot_lm.training.metrics import Speedometer, causal_flops_per_token, matmul_flops, utilization

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("size", "tokens_s", "mfu", "mfu_causal"),
    [  # measured on one H100: a bare prototype and transformers, eager (1.3B)
        ("1.3b", 63_866, 0.570, 0.531),
        ("1.3b", 44_026, 0.393, 0.366),
        ("12.8b", 5_915, 0.487, None),  # on two H200, a card
        ("5.8b", 13_280, 0.502, None),
        ("3.8b", 22_037, 0.551, None),
    ],
)
def test_shares_are_those_of_the_house(size: str, tokens_s: float, mfu: float, mfu_causal: float | None) -> None:
    model = POLYGLOT_KO[size]
    assert utilization(tokens_s, model.flops_per_token, gpu_named("h100").peak_flops) == pytest.approx(mfu, abs=0.0006)
    if mfu_causal is not None:
        assert utilization(tokens_s, causal_flops_per_token(model), 989.5e12) == pytest.approx(mfu_causal, abs=0.0006)


def test_the_causal_count_leaves_half_of_attention_out() -> None:
    model = POLYGLOT_KO["1.3b"]
    assert causal_flops_per_token(model) == 6 * (model.num_parameters - model.vocab_size * 2048) + 6 * 24 * 2048 * 2048
    assert model.flops_per_token / 1e9 == pytest.approx(7.62 + 1.21, abs=0.01)


class Clock:
    """Stands in for the clock of the `time` module."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_only_the_time_of_steps_is_counted(clock: Clock) -> None:
    speed = Speedometer(POLYGLOT_KO["1.3b"], ranks=2, device=CPU, ceiling_flops=1e12)
    with speed.waiting():
        clock.now += 1
    clock.now += 3
    speed.advance(tokens=6000, english_bytes=24_000)
    speed.advance(tokens=2000, english_bytes=8_000)
    with speed.aside():  # a look at control text, or a save
        clock.now += 96
    found = speed.read()
    assert (found.tokens_s, found.english_bytes_s, found.data_wait) == (2000, 8000, 0.25)
    assert found.of_ceiling == pytest.approx(1000 * causal_flops_per_token(POLYGLOT_KO["1.3b"]) / 1e12)
    assert (found.mfu, found.mfu_causal) == (None, None)  # no peak is known of this machine
    assert found.memory_gib > 0
    clock.now += 2
    speed.advance(tokens=100, english_bytes=0)
    assert speed.read().tokens_s == 50  # each reading begins anew


def test_a_measured_product_is_of_the_right_order() -> None:
    since = time.process_time()
    found = matmul_flops(CPU, 256)
    spent = time.process_time() - since
    assert 2 * 256**3 / spent < found < 1e14  # the best of several is faster than all of them together, and no CPU is a GPU


def test_cards_are_known_by_what_the_driver_calls_them() -> None:
    names = {
        "NVIDIA H100 80GB HBM3": "h100",
        "NVIDIA H200": "h200",
        "NVIDIA A100-SXM4-80GB": "a100",
        "NVIDIA A100-SXM4-40GB": "a100-40gb",
        "NVIDIA B200": "b200",
    }
    for called, name in names.items():
        assert gpu_called(called) == gpus()[name]
    assert gpu_called("Tesla T4") is None
    with pytest.raises(UserError, match="no GPU 'h1000' in the table; there are h100, h200"):
        gpu_named("h1000")
