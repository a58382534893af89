"""What few paired seeds and one test set can say: differences, their intervals, and what is too small to be seen.

Two sources of doubt, kept apart and then joined. Another seed would have trained another model: Student's t over paired
differences. Another test set would have scored them otherwise: the spread of the difference when documents are drawn again. Their
variances add, with the degrees of freedom of Welch and Satterthwaite, where only the seeds' part is uncertain. With two or three
seeds these can grow so much that the joint interval is shorter than the seeds' own; then the seeds' own stands.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from polyglot_lm.study.student import quantile, two_sided_p

CONFIDENCE = 0.95
Verdict = Literal["lower", "higher", "no difference", "not resolved"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A mean over seeds with what limits it; errors are standard errors, `documents_error` 0 where documents were not drawn."""

    mean: float
    seeds: int
    seeds_error: float
    documents_error: float = 0.0

    @property
    def error(self) -> float:
        return math.hypot(self.seeds_error, self.documents_error)

    @property
    def freedom(self) -> float:
        """Degrees of freedom of Welch and Satterthwaite; thousands of documents count as infinitely many."""
        if not self.seeds_error:
            return math.inf
        return (self.seeds - 1) * (self.error / self.seeds_error) ** 4

    @property
    def half_width(self) -> float:
        """Half of the 95 % interval: the least difference that these seeds and documents resolve; infinite for one seed."""
        if self.seeds < 2:
            return math.inf
        alone = quantile(CONFIDENCE, self.seeds - 1) * self.seeds_error
        return max(alone, quantile(CONFIDENCE, self.freedom) * self.error)

    @property
    def low(self) -> float:
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        return self.mean + self.half_width

    @property
    def p(self) -> float:
        """Probability of a mean as far from 0, were the truth 0."""
        if self.seeds < 2:
            return 1.0
        parts = [(self.error, self.freedom), (self.seeds_error, float(self.seeds - 1))]
        return max(two_sided_p(self.mean / error, freedom) if error else float(self.mean == 0) for error, freedom in parts)

    def verdict(self, margin: float) -> Verdict:
        """Say what the interval allows: a side of 0, within `margin` of it, or neither."""
        if self.high < 0:
            return "lower"
        if self.low > 0:
            return "higher"
        return "no difference" if max(-self.low, self.high) <= margin else "not resolved"


def estimate(values: Sequence[float], documents_error: float = 0.0) -> Estimate:
    """Sum up one number a seed."""
    array = np.asarray(values, dtype=float)
    error = float(array.std(ddof=1)) / math.sqrt(len(array)) if len(array) > 1 else math.inf
    return Estimate(mean=float(array.mean()), seeds=len(array), seeds_error=error, documents_error=documents_error)


def holm(probabilities: Mapping[str, float]) -> dict[str, float]:
    """Return the adjusted p of every hypothesis of a family (Holm 1979): at most the chance of any false rejection."""
    adjusted, least = {}, 0.0
    for rank, (name, p) in enumerate(sorted(probabilities.items(), key=lambda pair: pair[1])):
        least = adjusted[name] = max(least, min(1.0, (len(probabilities) - rank) * p))
    return {name: adjusted[name] for name in probabilities}
