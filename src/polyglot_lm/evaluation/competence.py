"""Relative competence: a model's bits for a language over those of a monolingual model for the same text, and what sums it up.

r = 1: as good as a monolingual model that read the same of that language; below 1 the other languages helped, above 1 they
cost. The pair that stands on top is (mean ln r, worst ln r): dispersion alone would praise a model that is bad in all languages
alike. The worst is taken inside each replicate of the bootstrap, because the largest of several noisy numbers is biased
upwards.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from polyglot_lm.evaluation.bootstrap import bounds, drawn_ratios

Floats = npt.NDArray[np.float64]
TILT = 3.0  # of the tilted mean: between the mean (0) and the worst (infinite)
MUCH_WORSE = 1.05
DECAYS = np.linspace(0.05, 1.0, 96)  # exponents tried for a curve of loss over data


def gini(values: Floats) -> float:
    """Return Σ|a − b| / (2 n² mean) over all pairs: 0 when all are equal."""
    return float(np.abs(values[:, None] - values[None, :]).sum() / (2 * len(values) ** 2 * values.mean()))


def aggregates(ratios: Mapping[str, float]) -> dict[str, Any]:
    """Sum up positive numbers by language of which lower is better: r, or token costs."""
    values = np.array(list(ratios.values()))
    logs = np.log(values)
    spread = float(values.std())
    standard = (values - values.mean()) / spread if spread else np.zeros_like(values)
    worst = max(ratios, key=ratios.__getitem__)
    return {
        "mean": float(values.mean()),
        "mean_ln": float(logs.mean()),
        "worst": float(values.max()),
        "worst_ln": float(logs.max()),
        "worst_language": worst,
        "worst_over_geometric_mean": float(values.max() / math.exp(logs.mean())),
        "max_over_min": float(values.max() / values.min()),
        "variation": spread / float(values.mean()),
        "gini": gini(values),
        "tilted": float(np.log(np.mean(np.exp(TILT * standard))) / TILT),
        "much_worse": int((values > MUCH_WORSE).sum()),
    }


def competence(documents: Mapping[str, tuple[list[str], Floats, Floats]]) -> dict[str, Any]:
    """Return r by language with intervals, and the aggregates with theirs.

    `documents`: by language the ids, the model's bits and the reference's, of the same documents in the same order.
    """
    ratios = {code: float(ours.sum() / theirs.sum()) for code, (_, ours, theirs) in documents.items()}
    drawn = drawn_ratios(documents)
    logs_RL = np.log(np.stack(list(drawn.values()), axis=1))
    mean_low, mean_high = bounds(logs_RL.mean(axis=1))
    worst_low, worst_high = bounds(logs_RL.max(axis=1))
    which = np.argmax(logs_RL, axis=1)
    return {
        "languages": {
            code: {"r": r, "low": bounds(drawn[code])[0], "high": bounds(drawn[code])[1], "documents": len(documents[code][0])}
            for code, r in ratios.items()
        },
        **aggregates(ratios),
        "mean_ln_low": mean_low,
        "mean_ln_high": mean_high,
        "worst_ln_low": worst_low,
        "worst_ln_high": worst_high,
        "worst_how_often": {code: float((which == place).mean()) for place, code in enumerate(drawn)},
    }


def equivalent_data(bits: float, curve: Sequence[tuple[float, float]]) -> float | None:
    """Return how much monolingual text gives a model of the same size these bits per byte, by three or more (amount, bits).

    Fits E + B·amount^−β, β on a grid, E and B by least squares. None where the curve has fewer points, does not fall, or never
    comes that low; beyond the points it is an extrapolation.
    """
    if len(curve) < 3:
        return None
    amounts, losses = (np.array(column, dtype=np.float64) for column in zip(*curve, strict=True))
    best: tuple[float, float, float, float] | None = None
    for decay in DECAYS:
        shrinking = amounts**-decay
        slope, floor = np.polyfit(shrinking, losses, 1)
        error = float(((floor + slope * shrinking - losses) ** 2).sum())
        if slope > 0 and floor >= 0 and (best is None or error < best[0]):
            best = (error, float(decay), float(slope), float(floor))
    if best is None or bits <= best[3]:
        return None
    _, decay, slope, floor = best
    return float((slope / (bits - floor)) ** (1 / decay))
