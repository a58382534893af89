"""The rank of a score among all of its language, without sorting them: 65,536 counters by the score's leading bits.

The upper half of a float32, its sign turned so that the order of the bits is the order of the numbers, keeps seven bits of
mantissa: scores closer than 0.8 % of their size share a rank.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
SLOTS = 1 << 16


def slots(scores: Array) -> Array:
    """Return the counter of each score (float32, no NaN), in the order of the scores."""
    bits = (scores.astype(np.float32) + np.float32(0)).view(np.uint32)  # -0 becomes 0
    ordered = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return (ordered >> 16).astype(np.int64)


@dataclass(slots=True)
class Ranks:
    counts: Array = field(default_factory=lambda: np.zeros(SLOTS, np.int64))

    def add(self, scores: Array) -> None:
        self.counts += np.bincount(slots(scores[~np.isnan(scores)]), minlength=SLOTS)

    def table(self) -> Array:
        """Return the rank of each counter, float32 in [0, 1]: the middle of the scores that share it."""
        before = np.cumsum(self.counts) - self.counts
        return ((before + self.counts / 2) / max(1, int(self.counts.sum()))).astype(np.float32)


def rank(scores: Array, table: Array) -> Array:
    """Look scores up; NaN stays NaN."""
    known = ~np.isnan(scores)
    found = np.full(len(scores), np.nan, np.float32)
    found[known] = table[slots(scores[known])]
    return found
