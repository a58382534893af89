"""How synergy and interference move with size: ln r of an arm at each rung, and a line through it over ln of the parameters.

Each rung is measured against references of its own size and content, so the slope is what sharing one model gains or loses as it
grows, not that larger models are better. A rung is one point, a mean over its seeds: its seeds share what is particular to the
size. The interval of the slope has rungs − 2 degrees of freedom; with two rungs there is a slope and no interval.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from polyglot_lm.study.records import Run, same_size, sizes
from polyglot_lm.study.statistics import CONFIDENCE
from polyglot_lm.study.student import quantile, two_sided_p
from polyglot_lm.study.yardstick import counting, frozen, ln_r


@dataclass(frozen=True, kw_only=True, slots=True)
class Rung:
    """An arm at a size: ln r of every language, a mean over `seeds`."""

    size: str
    parameters: int
    seeds: int
    ln_r: Mapping[str, float]

    @property
    def mean(self) -> float:
        return float(np.mean(list(self.ln_r.values())))

    @property
    def worst(self) -> float:
        return max(self.ln_r.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A least-squares line over ln parameters; `slope` is for e times as many, `half_width` that of its 95 % interval."""

    level: float
    slope: float
    half_width: float
    p: float

    def __call__(self, parameters: float) -> float:
        return self.level + self.slope * math.log(parameters)

    @property
    def per_tenfold(self) -> tuple[float, float]:
        """The slope and its half-width for ten times the parameters."""
        return self.slope * math.log(10), self.half_width * math.log(10)


def rungs(runs: Sequence[Run], arm: str, codes: Sequence[str], part: str = "test") -> list[Rung]:
    """Return an arm at every size that has it and references of all languages, smallest first."""
    found = []
    for size in sizes(runs):
        own = [run for run in counting(same_size(runs, size, "arms", "ladder")) if run.arm == arm]
        if not own or not any(run.arm == "uniform" for run in same_size(runs, size, "arms", "ladder")):
            continue
        references = frozen(runs, size, codes)
        if len(references) < len(codes):
            continue
        values = [ln_r(run, references, part) for run in own]
        mean = {code: float(np.mean([one[code] for one in values])) for code in codes}
        found.append(Rung(size=size, parameters=own[0].parameters, seeds=len(own), ln_r=mean))
    return found


def line(points: Sequence[tuple[float, float]]) -> Line:
    """Fit a line to two or more (parameters, value)."""
    x, y = np.log([size for size, _ in points]), np.array([value for _, value in points])
    centred = x - x.mean()
    slope = float(centred @ y / (centred @ centred))
    left = y - y.mean() - slope * centred
    freedom = len(points) - 2
    half_width, p = math.inf, 1.0
    if freedom > 0:
        error = math.sqrt(float(left @ left) / freedom / float(centred @ centred))
        half_width = quantile(CONFIDENCE, freedom) * error
        p = two_sided_p(slope / error, freedom) if error else float(slope == 0)
    return Line(level=float(y.mean() - slope * x.mean()), slope=slope, half_width=half_width, p=p)
