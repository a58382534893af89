"""The arms of a study against frozen references: mean and worst ln r, paired differences, the endpoints, and what they hang on.

Seeds are paired by number: the same initial weights and the same order of documents in every arm. Mean and worst are taken over
languages inside a seed (and inside a replicate of the documents), then averaged. A difference of two arms in one language does not
depend on references; which language is worst does, so the endpoints are computed again with every reference 5 % lower and higher.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from polyglot_lm.study.documents import Drawn, draw
from polyglot_lm.study.records import Run, same_size
from polyglot_lm.study.statistics import Estimate, estimate, holm
from polyglot_lm.study.yardstick import References, all_frozen, counting, ln_r

Floats = npt.NDArray[np.float64]
Statistic = Callable[[Floats], Floats]  # ln r [..., languages] to [...]
REFERENCE_ERROR = 0.05
ARMS: Mapping[str, str] = {
    "bloom": "BLOOM-like",
    "xglm": "XGLM shares",
    "alpha-0.3": "alpha 0.3",
    "uniform": "uniform",
    "raw-bytes": "uniform in raw bytes",
    "controller-from-raw": "controller, from raw bytes",
    "controller-from-uniform": "controller, from uniform",
    "placebo": "placebo, skew permuted",
    "skewed-tokenizer": "skewed tokenizer",
    "bloom-floor-0": "BLOOM-like, floor 0",
    "bloom-floor-2": "BLOOM-like, floor 2 %",
}


PLACEBO = "placebo"
UNSTEERED = ("bloom", "xglm", "alpha-0.3", "raw-bytes", PLACEBO)  # and in the tokenizer of uniform


def mean_of(values: Floats) -> Floats:
    return np.asarray(values.mean(axis=-1))


def worst_of(values: Floats) -> Floats:
    return np.asarray(values.max(axis=-1))


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """A hypothesis that was written down before the runs: a statistic of `ours` less that of `theirs`."""

    name: str
    statistic: Statistic
    ours: str
    theirs: str


ENDPOINTS = (
    Endpoint(name="P1", statistic=worst_of, ours="bloom", theirs="uniform"),
    Endpoint(name="P2", statistic=mean_of, ours="bloom", theirs="uniform"),
    Endpoint(name="P3", statistic=worst_of, ours="raw-bytes", theirs="controller-from-raw"),
)


class Arms:
    """All arms of a size on one test set: ln r [languages] by arm and seed, with documents drawn again where runs kept them."""

    def __init__(self, runs: Sequence[Run], size: str, codes: Sequence[str], part: str = "test") -> None:
        self.size, self.codes, self.part = size, tuple(codes), part
        self.references: References = all_frozen(runs, size, codes)
        own = [run for run in counting(same_size(runs, size, "arms")) if set(codes) <= set(run.bits_per_byte.get(part, {}))]
        self.runs: dict[str, dict[int, Run]] = {arm: {} for arm in ARMS if any(run.arm == arm for run in own)}
        for run in own:
            self.runs.setdefault(run.arm, {})[run.seed] = run
        self.values = {run: np.array(list(ln_r(run, self.references, part).values())) for run in own}
        self.drawn: Drawn | None = draw(own, self.references) if part == "test" else None  # of FLORES sums alone are kept

    def seeds_of(self, *arms: str) -> list[int]:
        """Return the seeds that all of these arms have."""
        return sorted(set.intersection(*(set(self.runs.get(arm, {})) for arm in arms)))

    def level(self, arm: str, statistic: Statistic) -> Estimate:
        """Estimate a statistic of one arm."""
        own = list(self.runs[arm].values())
        error = self.drawn.spread(statistic, own)[0] if self.drawn else 0.0
        return estimate([float(statistic(self.values[run])) for run in own], error)

    def difference(self, statistic: Statistic, ours: str, theirs: str, shift: Floats | float = 0.0) -> Estimate | None:
        """Estimate a paired difference, None where no seed is in both; `shift` is added to every ln r."""
        seeds = self.seeds_of(ours, theirs)
        if not seeds:
            return None
        pairs = [(self.runs[ours][seed], self.runs[theirs][seed]) for seed in seeds]
        error = self.drawn.spread(statistic, *map(list, zip(*pairs, strict=True)))[0] if self.drawn else 0.0
        values = [float(statistic(self.values[one] + shift) - statistic(self.values[other] + shift)) for one, other in pairs]
        return estimate(values, error)

    def content(self, arm: str, code: str) -> float:
        """Return what an arm read of a language, the mean over seeds, over what uniform read of it."""
        read = [[run.english_bytes_seen.get(code, 0.0) for run in self.runs[one].values()] for one in (arm, "uniform")]
        return float(np.mean(read[0]) / np.mean(read[1]))

    def against_uniform(self) -> list[tuple[str, str, float, float]]:
        """Return (arm, language, content over uniform's, ln r less uniform's) of the arms that kept the shares they began with."""
        return [
            (arm, code, self.content(arm, code), self.level(arm, own).mean - self.level("uniform", own).mean)
            for arm in UNSTEERED
            if arm in self.runs
            for code, own in ((code, self.language(code)) for code in self.codes)
            if self.content(arm, code) > 0
        ]

    def language(self, code: str) -> Statistic:
        """Return the statistic that is one language's ln r."""
        place = self.codes.index(code)
        return lambda values: np.asarray(values[..., place])

    def worst_languages(self, arm: str) -> dict[str, int]:
        """Return in how many seeds which language was worst, most often first."""
        return dict(Counter(self.codes[int(self.values[run].argmax())] for run in self.runs[arm].values()).most_common())

    def bias_of_worst(self, arm: str) -> float:
        """Return by how much noise of documents lifts the worst ln r, NaN where documents were not kept."""
        return self.drawn.spread(worst_of, list(self.runs[arm].values()))[1] if self.drawn else math.nan

    def endpoints(self) -> dict[Endpoint, tuple[Estimate, float]]:
        """Return the primary endpoints whose arms were run, each with its p after Holm's correction over them."""
        found = {each: self.difference(each.statistic, each.ours, each.theirs) for each in ENDPOINTS}
        known = {each: one for each, one in found.items() if one is not None}
        adjusted = holm({each.name: one.p for each, one in known.items()})
        return {each: (one, adjusted[each.name]) for each, one in known.items()}

    def sensitivity(self, endpoint: Endpoint) -> list[Estimate]:
        """Return an endpoint with each reference in turn 5 % lower and higher."""
        shifts = [-math.log(1 + sign * REFERENCE_ERROR) * row for row in np.eye(len(self.codes)) for sign in (-1, 1)]
        found = [self.difference(endpoint.statistic, endpoint.ours, endpoint.theirs, shift) for shift in shifts]
        return [one for one in found if one is not None]
