"""A training step for ours and for peers alike: the same text, optimizer, clipping and clock."""

import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polyglot_lm.model.config import ModelConfig
from polyglot_lm.model.transformer import GPTNeoX, initialize
from polyglot_lm.training.compute import Compute, loss_sum, prepare
from polyglot_lm.training.optim import OptimConfig, build_optimizers, rate_factor, set_rate

CUDA = torch.device("cuda")
CONTEXT = 2048
OPTIM = OptimConfig(
    optimizer="adamw",
    learning_rate=2e-4,
    matrix_learning_rate=1.0,
    schedule="wsd",
    warmup_steps=20,
    decay_fraction=0.3,
    final_rate=0.0,
    weight_decay=0.1,
    beta1=0.9,
    beta2=0.95,
    clip_norm=1.0,
)


def windows(path: Path, seed: int) -> Tensor:
    """Return the text as shuffled windows [n, context + 1] on the GPU."""
    tokens = np.load(path)
    count = (len(tokens) - 1) // CONTEXT
    starts = np.random.default_rng(seed).permutation(count) * CONTEXT
    rows = np.stack([tokens[start : start + CONTEXT + 1] for start in starts]).astype(np.int32)
    return torch.from_numpy(rows).to(CUDA)


def matmul_ceiling() -> float:
    """Return the operations a second of an 8192³ bf16 product on random numbers."""
    left, right = (torch.randn(8192, 8192, device=CUDA, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(5):
        left @ right
    return 2 * 8192**3 * 20 / timed(lambda: [left @ right for _ in range(20)])


def timed(work: Callable[[], Any]) -> float:
    """Return seconds of GPU work."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    work()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / 1e3


def forget() -> None:
    gc.collect()
    torch._dynamo.reset()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()


class Trainee:
    """A network, how its summed loss is computed, and an optimizer; the same loop for ours and for peers."""

    def __init__(self, network: torch.nn.Module, summed_loss: Callable[[Tensor, Tensor], Tensor], micro_batch: int) -> None:
        self.network, self.summed_loss, self.micro_batch = network, summed_loss, micro_batch
        self.optimizers = build_optimizers(network, OPTIM)

    def step(self, rows: Tensor, number: int, num_steps: int) -> tuple[Tensor, Tensor]:
        set_rate(self.optimizers, rate_factor(OPTIM, number, num_steps))
        total, num_tokens = torch.zeros((), device=CUDA), rows.shape[0] * CONTEXT
        for part in rows.split(self.micro_batch):
            part = part.long()
            loss = self.summed_loss(part[:, :-1], part[:, 1:]) / num_tokens
            loss.backward()
            total += loss.detach()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), OPTIM.clip_norm, foreach=True)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return total, norm

    def train(self, rows: Tensor, batch: int, num_steps: int, warm: int = 2) -> dict[str, Any]:
        """Take steps of `batch` windows; the first `warm` are not timed."""
        batches: Iterator[Tensor] = iter(rows[: batch * num_steps].split(batch))
        began = time.time()
        losses = [self.step(next(batches), number, num_steps)[0] for number in range(warm)]
        torch.cuda.synchronize()
        first = time.time() - began
        if not all(loss.isfinite() for loss in losses):
            raise ValueError(f"the first losses are {[float(loss) for loss in losses]}")
        seconds = timed(lambda: losses.extend(self.step(next(batches), n, num_steps)[0] for n in range(warm, num_steps)))
        values = [round(float(loss), 4) for loss in losses]
        last = max(1, num_steps // 10)
        return {
            "tokens_s": round(batch * CONTEXT * (num_steps - warm) / seconds),
            "warm_up_s": round(first, 1),
            "memory_gib": round(torch.cuda.max_memory_allocated() / 2**30, 1),
            "tokens": batch * CONTEXT * num_steps,
            "losses": values if num_steps <= 20 else values[:: num_steps // 20],
            "final_loss": round(sum(values[-last:]) / last, 4),
        }


def our_trainee(model: ModelConfig, compute: Compute, micro_batch: int, seed: int, *, by_hand: bool = True) -> Trainee:
    with torch.device(CUDA):
        network = GPTNeoX(model)
    initialize(network, torch.Generator(CUDA).manual_seed(seed))
    prepare(network, compute, CUDA, by_hand=by_hand)
    return Trainee(network, lambda inputs, targets: loss_sum(network, inputs, targets, compute), micro_batch)
