"""A loss or a gradient out of all proportion never reaches the weights, and no step waits to find out.

    loss, gradient norm ─► finite? below mean + 6 σ of the last 128? ─► 0: take the step, else the reason to leave it out

All of it stays on the device: the verdict goes into the fused optimizer as `found_inf`, so the host learns of it when it logs.
(The idea is OLMo-core's SkipStep optimizers.) A spike enters the memory as the limit it broke, so that a lasting rise, of a new
mixture say, is left out a few times and then believed; a value that is no number does not enter at all.
"""

import torch
from torch import Tensor

WINDOW, SIGMAS = 128, 6.0
REASONS = ("", "not finite", "loss", "gradient norm")
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
