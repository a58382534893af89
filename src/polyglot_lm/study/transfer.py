"""Who helps whom: directed transfer from models of one language and of two, and what it goes with.

G of s and t is ln of the bits that t needs alone over those it needs beside as much of s: above 0 s helps t, at twice the compute.
Against t alone with all of that compute it is the price of sharing. A language that is hard to learn from little text gains from
every companion, so kinship shows in what is left once the mean of each source and each target is taken away. Cells of a matrix are
not independent: correlations with syntactic distance and script are judged by relabelling the languages in every possible way
(Mantel 1967), with eight of them 40,320.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from polyglot_lm.languages import languages, syntactic_distance
from polyglot_lm.pipeline import UserError
from polyglot_lm.study.records import Run, same_size
from polyglot_lm.study.yardstick import best_setting

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Transfer:
    """`gains[s, t]` and their standard errors, NaN where not measured and on the diagonal; `doubled[t]` is what t gains from twice
    its own content. `seed_spread` is the standard deviation of ln bits between seeds that the errors are made of."""

    codes: tuple[str, ...]
    gains: Floats
    errors: Floats
    doubled: Floats | None
    seed_spread: float
    size: str

    def as_json(self) -> dict[str, dict[str, float]]:
        """Return {source: {target: G}}, what `polyglot languages select --synergy` reads."""
        return {
            source: {target: float(self.gains[i, j]) for j, target in enumerate(self.codes) if not math.isnan(self.gains[i, j])}
            for i, source in enumerate(self.codes)
        }


def matrix(runs: Sequence[Run]) -> Transfer:
    """Compute the matrix from the pairs of the stage `synergy`, and from models of one language in it or among the references of
    its size; raises UserError where a language of a pair was not trained alone."""
    pairs = [run for run in runs if run.stage == "synergy" and len(run.languages) == 2]
    if not pairs:
        raise UserError("no pair of languages is among the runs; run the stage 'synergy' of the study")
    size, unit = pairs[0].size, float(np.median([run.content / 2 for run in pairs]))
    codes = tuple(code for code in languages() if any(code in run.languages for run in pairs))
    single = [run for run in same_size(runs, size, "synergy", "references") if len(run.languages) == 1]
    alone = {multiple: logs_alone(single, multiple * unit) for multiple in (1, 2)}
    if missing := [code for code in codes if code not in alone[1]]:
        raise UserError(f"{missing[0]!r} stands in a pair but was not trained alone with the same content; run it")
    beside: dict[tuple[str, str], list[float]] = {}
    for run in pairs:
        for source, target in itertools.permutations(run.languages):
            beside.setdefault((source, target), []).append(log_bits(run, target))
    spread = pooled_spread([*alone[1].values(), *alone[2].values(), *beside.values()])
    gains, errors = np.full((2, len(codes), len(codes)), np.nan)
    for (i, source), (j, target) in itertools.permutations(enumerate(codes), 2):
        if logs := beside.get((source, target)):
            gains[i, j] = np.mean(alone[1][target]) - np.mean(logs)
            errors[i, j] = spread * math.sqrt(1 / len(logs) + 1 / len(alone[1][target]))
    doubled = [np.mean(alone[1][code]) - np.mean(alone[2][code]) for code in codes] if set(codes) <= set(alone[2]) else None
    return Transfer(
        codes=codes,
        gains=gains,
        errors=errors,
        doubled=None if doubled is None else np.array(doubled),
        seed_spread=spread,
        size=size,
    )


def log_bits(run: Run, code: str) -> float:
    return math.log(run.bits_per_byte["test"][code])


def logs_alone(runs: Sequence[Run], content: float) -> dict[str, list[float]]:
    """Return ln bits by language of the models that read it alone, this content to within a factor of √2, at its best setting."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        if abs(math.log2(run.content / content)) < 0.5:
            found.setdefault(run.languages[0], []).append(run)
    return {code: [log_bits(run, code) for run in best_setting(code, own).runs] for code, own in found.items()}


def pooled_spread(groups: Sequence[Sequence[float]]) -> float:
    """Return the standard deviation inside groups of more than one, NaN where there is none."""
    freedom = sum(len(group) - 1 for group in groups)
    squares = sum(float(np.var(group) * len(group)) for group in groups)
    return math.sqrt(squares / freedom) if freedom else math.nan


def centred(gains: Floats) -> Floats:
    """Take from every cell off the diagonal what its source gives and its target receives on average: least squares of a + b."""
    count = len(gains)
    rows, columns = np.where(~np.isnan(gains))
    design = np.zeros((len(rows), 2 * count))
    design[np.arange(len(rows)), rows] = design[np.arange(len(rows)), count + columns] = 1
    values = gains[rows, columns]
    left = np.full_like(gains, np.nan)
    left[rows, columns] = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    return left


def distances(codes: Sequence[str]) -> Floats:
    """Return the syntactic distance of every two languages, NaN where it is not known."""
    known = [[syntactic_distance(one, other) for other in codes] for one in codes]
    return np.array([[math.nan if distance is None else distance for distance in row] for row in known])


def shared_script(codes: Sequence[str]) -> Floats:
    """Return 1 for every two languages that have a script in common, else 0."""
    scripts = {code: set(languages()[code].scripts) for code in codes}
    return np.array([[float(bool(scripts[one] & scripts[other])) for other in codes] for one in codes])


def mantel(gains: Floats, other: Floats) -> tuple[float, float]:
    """Return the correlation of two matrices off their diagonals, and the two-sided p over all relabellings of the languages.

    Relabelling keeps rows with their columns; the identity is one of them, so p is never 0.
    """
    count = len(gains)
    off = ~np.eye(count, dtype=bool) & ~np.isnan(gains)
    if np.isnan(other[~np.eye(count, dtype=bool)]).any():
        raise UserError("a distance between two of the languages is not known; leave one of them out of the comparison")
    ours = standard(gains[off])
    orders = np.array(list(itertools.permutations(range(count))))
    rows, columns = np.where(off)
    theirs = other[orders[:, rows], orders[:, columns]]
    spread = theirs.std(axis=1, keepdims=True)
    theirs = (theirs - theirs.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1)
    found = theirs @ ours / len(ours)  # the first order is the identity
    return float(found[0]), float((np.abs(found) >= abs(found[0]) - 1e-12).mean())


def standard(values: Floats) -> Floats:
    return np.asarray((values - values.mean()) / (values.std() or 1))


def correlates(transfer: Transfer) -> Mapping[str, tuple[float, float]]:
    """Return correlation and p of G, as measured and without the means of source and target, with distance and shared script."""
    codes = transfer.codes
    measured = {"G": transfer.gains, "G without means": centred(transfer.gains)}
    others = {"syntactic distance": distances(codes), "shared script": shared_script(codes)}
    return {f"{ours} with {theirs}": mantel(gains, other) for ours, gains in measured.items() for theirs, other in others.items()}
