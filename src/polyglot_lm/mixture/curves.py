"""How a language's loss falls with what was read of it: b(n) = E + B·n^-β, fitted to the points of one training.

The three are found by a grid over β; for each, E and B are a line through (n^-β, b), weighted so that an outlier counts by its
size and not by its square (Huber on relative residuals, as ADO does, arXiv 2410.11820). β stays within [0.15, 0.6], where language
models have been found (Hoffmann et al. 2022: 0.28), since a short stretch of a curve says little about it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BETAS = np.linspace(0.15, 0.6, 46)
HUBER = 1e-3  # relative; a megabyte of control text measures a loss to about that
ROUNDS = 5
MIN_POINTS = 5
FIRST_PART = 0.1  # of what was read: the losses of the warm-up follow no power law
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """Loss after `n` English-equivalent bytes: floor + scale · n^-decay."""

    floor: float
    scale: float
    decay: float

    def loss(self, content: float) -> float:
        return float(self.floor + self.scale * content**-self.decay)

    def content(self, loss: float) -> float:
        """Return what must be read to reach a loss, infinity where it lies at or below the floor."""
        return float((self.scale / (loss - self.floor)) ** (1 / self.decay)) if loss > self.floor else float("inf")

    def slope(self, content: float) -> float:
        """Return how much the loss falls with the next byte."""
        return float(self.decay * self.scale * content ** (-self.decay - 1))


def fit_curve(contents: Sequence[float], losses: Sequence[float]) -> Curve | None:
    """Fit the points behind the first tenth; None where they are too few, too near to each other, or do not fall."""
    n, b = np.asarray(contents, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    kept = n >= FIRST_PART * n.max(initial=0.0)
    n, b = n[kept & (n > 0)], b[kept & (n > 0)]
    if len(n) < MIN_POINTS or n.max() < 1.2 * n.min():
        return None
    unit = n.max()
    x = (n / unit)[None, :] ** -BETAS[:, None]  # [betas, points]
    weights = np.ones_like(x)
    for _ in range(ROUNDS):
        floors, scales = lines(x, b, weights)
        residuals = np.abs(floors[:, None] + scales[:, None] * x - b) / b
        weights = 1 / np.maximum(residuals, HUBER)
    costs = np.where(residuals <= HUBER, residuals**2 / (2 * HUBER), residuals - HUBER / 2).sum(axis=1)
    best = int(np.argmin(np.where(scales > 0, costs, np.inf)))
    if not scales[best] > 0:
        return None
    decay = float(BETAS[best])
    return Curve(floor=float(floors[best]), scale=float(scales[best] * unit**decay), decay=decay)


def lines(x: Floats, b: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return floor and scale of the weighted least squares line for each row of x; a floor below 0 becomes 0."""
    total = weights.sum(axis=1)
    mean_x, mean_b = (weights * x).sum(axis=1) / total, (weights * b).sum(axis=1) / total
    spread = x - mean_x[:, None]
    scales = (weights * spread * b).sum(axis=1) / (weights * spread**2).sum(axis=1)
    floors = mean_b - scales * mean_x
    through_zero = (weights * x * b).sum(axis=1) / (weights * x**2).sum(axis=1)
    return np.maximum(floors, 0.0), np.where(floors < 0, through_zero, scales)
