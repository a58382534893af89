"""How fast a training goes, and how much of the machine that is.

    tokens and seconds ─► tokens/s ─► model FLOPs/s ─┬─ ÷ the card's peak             mfu, mfu_causal
                                                     └─ ÷ a product measured here     of_ceiling

Model FLOPs are those of the formula, 6·(N − V·d) + 12·L·d·S for a token; `mfu_causal` counts attention once, 6·L·d·S, since half of
its square is never computed. What is computed again to save memory is never counted. `of_ceiling` is the causal count against a
large bf16 product on this very machine: a data sheet's peak is not to be had, and a slow card should not look like slow code.
Looking at control text and saving are set aside: they have times of their own.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from polyglot_lm.model.config import ModelConfig
from polyglot_lm.pipeline.record import peak_memory_bytes
from polyglot_lm.training.gpus import gpu_called

GIB = 2**30
WARM_UP, REPEATS = 3, 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Throughput:
    """Rates of all ranks together over the steps since the last reading; shares are of one, and None where no peak is known.

    `data_wait` is the share of the time in which the first rank stood still for want of windows, `memory_gib` the most it held.
    """

    tokens_s: float
    english_bytes_s: float
    mfu: float | None
    mfu_causal: float | None
    of_ceiling: float | None
    memory_gib: float
    data_wait: float


class Speedometer:
    """Counts work against the clock; read it where the device has just been waited for, else it measures the queue."""

    def __init__(self, model: ModelConfig, *, ranks: int, device: torch.device, ceiling_flops: float | None) -> None:
        self.model, self.ranks, self.device, self.ceiling_flops = model, ranks, device, ceiling_flops
        gpu = gpu_called(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
        self.peak_flops = gpu.peak_flops if gpu else None
        self.begin()

    def begin(self) -> None:
        self.tokens, self.english_bytes, self.waited, self.elsewhere = 0, 0.0, 0.0, 0.0
        self.started = time.perf_counter()

    def advance(self, *, tokens: int, english_bytes: float) -> None:
        """Count a step's work, that of all ranks."""
        self.tokens += tokens
        self.english_bytes += english_bytes

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the block as waiting for data."""
        since = time.perf_counter()
        yield
        self.waited += time.perf_counter() - since

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Leave the block out of the time: it is no training step."""
        since = time.perf_counter()
        yield
        self.elsewhere += time.perf_counter() - since

    def read(self) -> Throughput:
        """Return the rates since the last reading, and begin anew."""
        seconds = max(time.perf_counter() - self.started - self.elsewhere, 1e-9)
        tokens_s = self.tokens / seconds
        found = Throughput(
            tokens_s=tokens_s,
            english_bytes_s=self.english_bytes / seconds,
            mfu=utilization(tokens_s / self.ranks, self.model.flops_per_token, self.peak_flops),
            mfu_causal=utilization(tokens_s / self.ranks, causal_flops_per_token(self.model), self.peak_flops),
            of_ceiling=utilization(tokens_s / self.ranks, causal_flops_per_token(self.model), self.ceiling_flops),
            memory_gib=peak_memory_gib(self.device),
            data_wait=self.waited / seconds,
        )
        self.begin()
        return found


def causal_flops_per_token(model: ModelConfig) -> int:
    """Return `flops_per_token` with attention's upper triangle, which is masked, left out: 6·L·d·S less."""
    return model.flops_per_token - 6 * model.num_layers * model.width * model.context


def utilization(tokens_s: float, flops_per_token: int, flops_s: float | None) -> float | None:
    return None if flops_s is None else tokens_s * flops_per_token / flops_s


def peak_memory_gib(device: torch.device) -> float:
    """Return the most that this process has held: of the card's memory, or of the machine's where there is no card."""
    return (torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_memory_bytes()) / GIB


def matmul_flops(device: torch.device, size: int | None = None) -> float:
    """Measure a square product, bf16 of 8192 on a GPU and fp32 of 1024 elsewhere: the most that training could reach here."""
    size = size or (8192 if device.type == "cuda" else 1024)
    left = torch.randn(size, size, device=device, dtype=torch.bfloat16 if device.type == "cuda" else torch.float32)
    best = float("inf")
    for attempt in range(WARM_UP + REPEATS):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        since = time.perf_counter()
        left @ left
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if attempt >= WARM_UP:
            best = min(best, time.perf_counter() - since)
    return 2 * size**3 / best
