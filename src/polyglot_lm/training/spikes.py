"""A loss or a gradient out of all proportion never reaches the weights, and no step waits to find out.

    loss, gradient norm ─► finite? below mean + 6 σ of the last 128? ─► 0: take the step, else the reason to leave it out

All of it stays on the device: the verdict goes into the fused optimizer as `found_inf`, so the host learns of it when it logs.
(The idea is OLMo-core's SkipStep optimizers.) A spike enters the memory as the limit it broke, so that a lasting rise, of a new
mixture say, is left out a few times and then believed; a value that is no number does not enter at all.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

WINDOW, SIGMAS = 128, 6.0
REASONS = ("", "non-finite loss or gradient", "loss", "gradient norm")
NOT_FINITE = 1


class SpikeGuard:
    """Remembers loss and gradient norm of the last `WINDOW` steps; judges nothing before it has so many."""

    def __init__(self, device: torch.device) -> None:
        self.history = torch.zeros(2, WINDOW, device=device)
        self.count = torch.zeros((), dtype=torch.int64, device=device)

    def judge(self, loss: Tensor, norm: Tensor) -> Tensor:
        """Return the index into `REASONS`, a scalar on the device, and remember."""
        found = torch.stack([loss, norm])
        finite = found.isfinite().all()
        limits = self.history.mean(1) + SIGMAS * self.history.std(1)
        above = (found > limits) & (self.count >= WINDOW)
        place = torch.arange(WINDOW, device=found.device) == self.count % WINDOW
        believed = torch.where(above, limits, found)
        self.history.copy_(torch.where(place & finite, believed[:, None], self.history))
        self.count.add_(finite)
        reason = torch.where(above[0], 2, torch.where(above[1], 3, 0))
        return torch.where(finite, reason, NOT_FINITE)

    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint keeps."""
        return {"spikes.history": self.history, "spikes.count": self.count}


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A step, the window it began at, and what came of it; None for a loss or norm that is no number."""

    step: int
    begins: int
    loss: float | None
    norm: float | None
    reason: int


class Ledger:
    """The host's side: what was computed and is not yet known, and the steps just left out, one after another (`row`)."""

    def __init__(self) -> None:
        self.pending: list[tuple[int, int, Tensor]] = []
        self.row: list[Entry] = []
        self.last = Entry(step=0, begins=0, loss=None, norm=None, reason=0)

    def enter(self, step: int, begins: int, values: Iterable[Tensor]) -> None:
        """Take loss, norm and reason of a step, without looking at them."""
        self.pending.append((step, begins, torch.stack([value.float() for value in values])))

    def settle(self) -> list[Entry]:
        """Wait for the device and return what was pending."""
        if not self.pending:
            return []
        known = torch.stack([values for _, _, values in self.pending]).tolist()
        entries = [
            Entry(step=step, begins=begins, loss=finite(loss), norm=finite(norm), reason=int(reason))
            for (step, begins, _), (loss, norm, reason) in zip(self.pending, known, strict=True)
        ]
        self.pending.clear()
        for entry in entries:
            self.row = [*self.row, entry] if entry.reason else []
        self.last = entries[-1]
        return entries


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
