"""A law of mixtures from small runs, and the mixtures it promises to be better than uniform: RegMix (Liu et al., arXiv 2407.01492)
with the objective of balance.

For every target language t, ln bits = a_t − γ_t·ln p_t − Σ c_st·p_s: its own share by a power, as He et al. (arXiv 2410.12883)
find, and every other language's share s by what it gives. Linear in its parameters, so a ridge fits it on some dozens of probes;
with γ > 0 it is convex, so its best mixture is one. The synergy matrix is the same law, with γ and c measured on pairs. What it
promises is a promise about the probes' size: only fresh seeds at the size of the arms tell.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from polyglot_lm.pipeline import UserError
from polyglot_lm.study.records import Run, sizes
from polyglot_lm.study.transfer import matrix
from polyglot_lm.study.yardstick import all_frozen, ln_r

STRENGTHS = 10.0 ** np.arange(-4, 2.5, 0.5)  # of the ridge, on standardised columns
LEAST_SHARE = 0.02  # the law diverges at 0
Floats = npt.NDArray[np.float64]
Shares = dict[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Law:
    """ln bits of every language for shares; `cross[s, t]` is what a share of s gives t. `left_out` holds predictions of each probe
    by the law of all others, [probes, languages], where it was fitted on probes."""

    codes: tuple[str, ...]
    level: Floats
    own: Floats
    cross: Floats
    left_out: Floats | None = None

    def __call__(self, shares_PL: Floats) -> Floats:
        return np.asarray(self.level - self.own * np.log(shares_PL) - shares_PL @ self.cross)

    def change(self, shares_PL: Floats) -> Floats:
        """Return ln bits less those of the uniform mixture."""
        return np.asarray(self(shares_PL) - self(np.full((1, len(self.codes)), 1 / len(self.codes))))


def least_probes(count: int) -> int:
    """Return how many probes a law of so many languages needs: its parameters, and two to be wrong about."""
    return count + 3


def fitted_law(codes: Sequence[str], shares_PL: Floats, logs_PL: Floats) -> Law:
    """Fit a law to probes: shares and ln bits, [probes, languages]; raises UserError for fewer probes than parameters."""
    num_probes, count = shares_PL.shape
    if num_probes < least_probes(count):
        raise UserError(f"{num_probes} probes cannot carry a law of {count} languages; run at least {least_probes(count)}")
    level, own, cross, left_out = np.zeros(count), np.zeros(count), np.zeros((count, count)), np.zeros_like(logs_PL)
    for target in range(count):
        others = [source for source in range(count) if source != target]
        columns = np.column_stack([-np.log(shares_PL[:, target]), -shares_PL[:, others]])
        intercept, slopes, left_out[:, target] = ridge(columns, logs_PL[:, target])
        level[target], own[target], cross[others, target] = intercept, slopes[0], slopes[1:]
    return Law(codes=tuple(codes), level=level, own=own, cross=cross, left_out=left_out)


def ridge(columns: Floats, values: Floats) -> tuple[float, Floats, Floats]:
    """Return intercept, slopes, and the prediction of each value by the fit of all others; the strength with the least error of
    those is taken. Slopes are of the columns as given; the penalty is on them standardised, none on the intercept."""
    mean, scale = columns.mean(axis=0), columns.std(axis=0)
    standard = (columns - mean) / np.where(scale > 0, scale, 1)
    centred = values - values.mean()
    best: tuple[float, Floats, Floats] | None = None
    for strength in STRENGTHS:
        solve = np.linalg.solve(standard.T @ standard + strength * np.eye(standard.shape[1]), standard.T)
        leverage = np.einsum("pf,fp->p", standard, solve) + 1 / len(values)
        errors = (centred - standard @ (solve @ centred)) / (1 - leverage)
        if best is None or (errors**2).sum() < best[0]:
            best = (float((errors**2).sum()), solve @ centred, values - errors)
    assert best is not None
    slopes = best[1] / np.where(scale > 0, scale, 1)
    return float(values.mean() - slopes @ mean), slopes, best[2]


def probes(runs: Sequence[Run]) -> list[Run]:
    return [run for run in runs if run.stage == "search" and not run.confirmation]


def probe_law(runs: Sequence[Run]) -> Law:
    """Fit the law to the probes among the runs, on bits of the selection split: the test split is for what comes of it."""
    found = probes(runs)
    codes = sorted({code for run in found for code in run.share_realised})
    shares = np.array([[run.share_realised.get(code, 0) for code in codes] for run in found]).reshape(len(found), len(codes))
    if not found or shares.min() <= 0:
        raise UserError("the search has no probes in which every language has a share; run them")
    return fitted_law(codes, shares, np.log([[run.bits_per_byte["select"][code] for code in codes] for run in found]))


def synergy_law(runs: Sequence[Run]) -> Law:
    """Build the law from mono- and bilingual runs: γ from a language's content doubled alone, c from what a source's content gives.

    In a uniform mixture of L languages, a share of 1/L is the content of a pair's half; so a unit of share gives L times G.
    """
    found = matrix(runs)
    codes = tuple(found.codes)
    if found.doubled is None:
        raise UserError("the synergy runs have no language alone at double content; run it, or take the regression's mixtures")
    own = found.doubled / math.log(2)
    cross = len(codes) * np.where(np.isnan(found.gains), 0, found.gains)
    return Law(codes=codes, level=np.zeros(len(codes)), own=own, cross=cross)


def minimise(objective: Callable[[Floats], Floats], low: Floats, high: Floats, *, rounds: int = 60, tries: int = 500) -> Floats:
    """Return the shares between the bounds with the least objective [tries, languages] → [tries], by a narrowing random search."""
    random = np.random.default_rng(0)
    best = np.full(len(low), 1 / len(low))
    for spread in np.geomspace(0.5, 0.005, rounds):
        moved = best * np.exp(spread * random.standard_normal((tries, len(low))))
        tried = np.vstack([best, moved / moved.sum(axis=1, keepdims=True)])
        tried = tried[((tried >= low) & (tried <= high)).all(axis=1)]
        best = tried[np.argmin(objective(tried))]
    return np.asarray(best)


def best_mixture(law: Law, start: Floats, low: Floats, high: Floats) -> Shares:
    """Return the mixture that a law promises to win most on the mean and on the worst at once; `start` is ln r of uniform."""

    def lesser_gain(shares: Floats) -> Floats:
        changed = start + law.change(shares)
        return np.asarray(np.maximum(changed.mean(axis=1) - start.mean(), changed.max(axis=1) - start.max()))

    return dict(zip(law.codes, map(float, minimise(lesser_gain, low, high)), strict=True))


def uniform_level(runs: Sequence[Run], codes: Sequence[str]) -> Floats:
    """Return ln r of the uniform arm on the selection split, at the size that most arms have, a mean over seeds."""
    size = main_size(runs)
    references = all_frozen(runs, size, codes)
    uniform = [ln_r(run, references, "select") for run in runs if (run.stage, run.arm, run.size) == ("arms", "uniform", size)]
    return np.array([np.mean([found[code] for found in uniform]) for code in codes])


def main_size(runs: Sequence[Run]) -> str:
    """Return the size that most runs of the arms have: the one that the endpoints are about."""
    arms = [run.size for run in runs if run.stage == "arms"]
    if not arms:
        raise UserError("no arm is among the runs; run the stage 'arms' of the study")
    return max(sizes(runs), key=arms.count)


def proposals(runs: Sequence[Run]) -> Mapping[str, Shares]:
    """Return mixtures worth confirming, by how they were found; shares are of English-equivalent bytes, within what was tried."""
    law = probe_law(runs)
    tried = np.array([[run.share_realised[code] for code in law.codes] for run in probes(runs)])
    low, high = np.maximum(tried.min(axis=0), LEAST_SHARE), tried.max(axis=0)
    start = uniform_level(runs, law.codes)
    found = {"regression": best_mixture(law, start, low, high)}
    if any(run.stage == "synergy" for run in runs):
        by_pairs = synergy_law(runs)
        order = [law.codes.index(code) for code in by_pairs.codes]
        box = np.full(len(order), 0.5 / len(order)), np.full(len(order), 2 / len(order))  # a pair says nothing of a share beyond
        found["synergy"] = best_mixture(by_pairs, start[order], *box)
    return found
