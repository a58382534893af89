"""The only file that knows there may be several ranks.

Data parallel: every rank holds the model and takes an equal, contiguous part of each step's windows. Losses are sums divided by the
tokens of the whole step, so gradients are summed, not averaged, and any number of ranks gives the same step. One rank needs
no process group; more are started by torchrun (gloo on CPU, NCCL on GPUs).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn

from polyglot_lm.pipeline import UserError


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """This rank among `size`, and the device it computes on."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        return self.rank == 0

    def part(self, windows: Tensor) -> Tensor:
        """Return this rank's part of a step's windows [n, ...]."""
        return windows.chunk(self.size)[self.rank].to(self.device)

    def sum_gradients(self, model: nn.Module) -> None:
        """Add the gradients of all ranks, in one message."""
        if self.size == 1:
            return
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        totals = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, total in zip(gradients, totals, strict=True):
            gradient.copy_(total.view_as(gradient))

    def sum(self, value: Tensor) -> Tensor:
        if self.size > 1:
            distributed.all_reduce(value)
        return value

    def agreed(self, *, wish: bool) -> bool:
        """Return what the first rank wishes: clocks differ, and all must save at the same step."""
        if self.size == 1:
            return wish
        flag = torch.tensor([wish], dtype=torch.int64, device=self.device)
        distributed.broadcast(flag, src=0)
        return bool(flag)

    def wait(self) -> None:
        if self.size > 1:
            distributed.barrier()


@contextmanager
def joined(device: str) -> Iterator[World]:
    """Join the other ranks, if torchrun started any, for the block. `device` is auto, cpu or cuda."""
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    chosen = choose_device(device)
    if size == 1:
        yield World(rank=0, size=1, device=chosen)
        return
    distributed.init_process_group("cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield World(rank=rank, size=size, device=chosen)
    finally:
        distributed.destroy_process_group()


def choose_device(device: str) -> torch.device:
    """Raises UserError for a device that this machine does not have."""
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"device is {device!r}; it must be auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device is 'cuda', but torch sees no GPU here; use --device cpu")
    if device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(chosen)
    return chosen
