"""Calibrate the quality rules of a language against datatrove's filters, and write `corpus/thresholds/<code>.toml`.

    python benchmarks/corpus/calibrate.py [--megabytes 9] [--check] [CODE ...]

datatrove judges the documents of the sample by words, we by units and symbols. On one half of the documents (a keyed hash chooses)
    1. weights are fitted by which words, tokens and tokens with a letter are estimated from what we count (least squares, none negative);
    2. each rule's bound is set where it removes as many documents as datatrove's rule does. Where datatrove's rule removes fewer than
       FEW of them there is no quantile to hit: its bound is then multiplied by how far our highest values lie from its highest.
On the other half we ask how often a rule, and the rules together, decide as datatrove does. Both bounds, what each removes and the
agreement go into the file. `--check` writes nothing.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from datatrove_oracle import SAMPLE_BYTES, SETTINGS, sample, verdicts

from polyglot_lm.corpus import quality
from polyglot_lm.corpus.kernels.batch import TextBatch
from polyglot_lm.corpus.kernels.statistics import statistics
from polyglot_lm.corpus.quality import ESTIMATED, ESTIMATES, FEATURES, MEASURES, THRESHOLDS, Bound, Columns, Floats, Thresholds
from polyglot_lm.languages import language

SMALL = 20  # tokens: below, errors are not relative to a document's size
ROUNDS = 12  # of reweighting; later ones change no decision
FEW = 10  # documents: fewer removed say nothing about a quantile
TAIL = 0.95  # "highest values" are those above this quantile
ORACLE = {**{name: name for name in MEASURES}, "words": "num_words"}  # our measure -> datatrove's
COMMON = {  # ours alone: no rule of datatrove's filters answers to them
    "num_visible": Bound(least=1),
    "num_chars": Bound(most=2_000_000),
    "letter_share": Bound(least=0.5),
    "script_share": Bound(least=0.5),
    "signature_share": Bound(least=0.05),
    "language_confidence": Bound(least=0.5),
}
EXPLAIN = {
    "num_chars": "longer documents are tables and dumps, and a statistic of their first 32,768 units says little",
    "signature_share": "where the language has letters that tell it from its neighbours",
}
Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Documents of one language with both sides' figures; `fit` marks the half that bounds are chosen on."""

    code: str
    columns: Columns
    values: Mapping[str, Floats]  # datatrove's
    removed: Mask  # by any of datatrove's filters
    fit: Mask


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One side of one rule: bounds, shares removed and agreement on the half not fitted."""

    measure: str
    side: str
    bound: float
    datatrove: float
    removes: float
    datatrove_removes: float
    agreement: float
    scaled: bool  # the bound is datatrove's scaled, for want of documents


def read(code: str, num_bytes: int) -> Sample:
    documents = sample(code, num_bytes)
    found = verdicts(code, documents)
    columns = statistics(TextBatch.from_texts([document["text"] for document in documents]), SETTINGS[code]["stop_words"])
    return Sample(
        code=code,
        columns=columns,
        values={name: np.array([row["values"][name] for row in found], np.float64) for name in found[0]["values"]},
        removed=np.array([any(row["reasons"]) for row in found]),
        fit=np.array([xxhash.xxh3_64_intdigest(f"half:{document['id']}".encode()) % 2 == 0 for document in documents]),
    )


def fit_weights(drawn: Sample) -> dict[str, dict[str, float]]:
    """Fit each estimate's weights; a document counts by its error relative to its size."""
    counted = np.stack([feature(drawn.columns) for feature in FEATURES.values()], axis=1)
    values = drawn.values
    chosen = drawn.fit & (values["num_tokens"] > 0)
    relative = 1 / np.maximum(SMALL, values["num_tokens"])
    wanted = {
        "tokens": values["num_tokens"],
        "alphabetic": values["alphabetic_words"] * values["num_tokens"],
        "words": values["num_words"],
    }
    scaled = counted[chosen] * relative[chosen, None]
    found = {name: robust_fit(scaled, (wanted[name] * relative)[chosen]) for name in ESTIMATES}
    return {
        name: {feature: round(float(weight), 3) for feature, weight in zip(FEATURES, weights, strict=True) if weight >= 0.0005}
        for name, weights in found.items()
    }


def robust_fit(known: Floats, wanted: Floats) -> Floats:
    """Minimise the sum of absolute errors with no weight below 0: least squares, reweighted by the errors of the round before.

    Documents in another language, or all code, are then no levers.
    """
    trust = np.ones(len(wanted))
    for _ in range(ROUNDS):
        weights = nonnegative_least_squares(known * trust[:, None], wanted * trust)
        errors = np.abs(known @ weights - wanted)
        trust = 1 / np.sqrt(np.maximum(errors, 0.1 * np.median(errors)))
    return weights


def nonnegative_least_squares(known: Floats, wanted: Floats) -> Floats:
    """Minimise |known @ x - wanted| with no x below 0: the active-set method of Lawson and Hanson (1974), chapter 23."""
    solution = np.zeros(known.shape[1])
    free = np.zeros(known.shape[1], dtype=bool)
    while True:
        pull = np.where(free, 0.0, known.T @ (wanted - known @ solution))
        if pull.max() <= 1e-9 * np.abs(known.T @ wanted).max():
            return solution
        free[pull.argmax()] = True
        while True:
            trial = np.zeros_like(solution)
            trial[free] = np.linalg.lstsq(known[:, free], wanted, rcond=None)[0]
            bad = free & (trial <= 0)
            if not bad.any():
                break
            step = np.min(solution[bad] / (solution[bad] - trial[bad]))
            solution += step * (trial - solution)
            free &= solution > 1e-12
        solution = trial


def datatrove_bounds(code: str) -> dict[str, Bound]:
    """Return FineWeb2's bounds by our measures' names."""
    given = SETTINGS[code]
    return {
        "words": Bound(least=50, most=100_000),
        "word_length": Bound(least=given["word_length"][0], most=given["word_length"][1]),
        "hashes": Bound(most=0.1),
        "ellipses": Bound(most=0.1),
        "bullet_lines": Bound(most=0.9),
        "ellipsis_lines": Bound(most=0.3),
        "alphabetic_words": Bound(least=given["alphabetic_words"]),
        "stop_words": Bound(least=2),
        "line_punctuation": Bound(least=given["line_punctuation"]),
        "newlines": Bound(most=given["newlines"]),
        "duplicate_line_characters": Bound(most=0.1),
        "duplicate_lines": Bound(most=given["duplicate_lines"]),
        **{f"top_{n}gram": Bound(most=bound) for n, bound in zip(quality.TOP_SIZES, given["top_ngrams"], strict=True)},
        **{
            f"duplicate_{n}gram": Bound(most=bound)
            for n, bound in zip(quality.DUPLICATE_SIZES, given["duplicate_ngrams"], strict=True)
        },
    }


def fails(values: Floats, bound: float, side: str) -> Mask:
    return values < bound if side == "least" else values > bound


def choose(ours: Floats, theirs: Floats, bound: float, side: str) -> tuple[float, bool]:
    """Return our bound for datatrove's, and whether it is scaled rather than set by the quantile."""
    num_removed = int(fails(theirs, bound, side).sum())
    if num_removed < FEW:
        return bound * tail(ours, side) / max(1e-9, tail(theirs, side)), True
    ordered = np.sort(ours) if side == "least" else np.sort(ours)[::-1]
    last, first = ordered[num_removed - 1], ordered[min(num_removed, len(ordered) - 1)]
    return float((last + first) / 2), False


def tail(values: Floats, side: str) -> float:
    return float(np.quantile(values, 1 - TAIL if side == "least" else TAIL)) or float(values.mean())


def calibrate(drawn: Sample) -> tuple[Thresholds, list[Outcome], dict[str, float]]:
    """Return thresholds with datatrove's rules alone, what became of each, and agreement of the whole decision."""
    entry = language(drawn.code)
    start = Thresholds(
        code=entry.code, scripts=entry.scripts, signature=entry.signature, bounds={}, weights=fit_weights(drawn),
        stop_words=tuple(SETTINGS[drawn.code]["stop_words"]),
    )
    outcomes = []
    for measure, theirs in datatrove_bounds(drawn.code).items():
        ours = MEASURES[measure](drawn.columns, start)
        outcomes += [
            judge(drawn, measure, side, ours, getattr(theirs, side)) for side in ("least", "most") if getattr(theirs, side) is not None
        ]
    bounds = {
        name: Bound(**{each.side: each.bound for each in outcomes if each.measure == name}) for name in datatrove_bounds(drawn.code)
    }
    fitted = Thresholds(
        code=entry.code, scripts=entry.scripts, signature=entry.signature, bounds=bounds, weights=start.weights, stop_words=start.stop_words
    )
    return fitted, outcomes, together(drawn, fitted)


def judge(drawn: Sample, measure: str, side: str, ours: Floats, theirs: float) -> Outcome:
    values, fit = drawn.values[ORACLE[measure]], drawn.fit
    bound, scaled = choose(ours[fit], values[fit], theirs, side)
    bound = float(f"{bound:.4g}")
    mine, other = fails(ours, bound, side)[~fit], fails(values, theirs, side)[~fit]
    return Outcome(
        measure=measure, side=side, bound=bound, datatrove=theirs, scaled=scaled,
        removes=float(mine.mean()), datatrove_removes=float(other.mean()), agreement=float((mine == other).mean()),
    )


def together(drawn: Sample, thresholds: Thresholds) -> dict[str, float]:
    ours = quality.decide(drawn.columns, thresholds) != quality.KEPT
    test = ~drawn.fit
    return {
        "documents": int(test.sum()),
        "removes": float(ours[test].mean()),
        "datatrove_removes": float(drawn.removed[test].mean()),
        "agreement": float((ours == drawn.removed)[test].mean()),
    }


if __name__ == "__main__":
    import sys
    for code in sys.argv[1:]:
        d=read(code,SAMPLE_BYTES); f,out,tog=calibrate(d)
        print(code,tog); print(f.weights)
        for x in out: print("  ",x.measure,x.side,"ours",x.bound,"dt",x.datatrove,"scaled" if x.scaled else "",f"removes {x.removes:.3f}/{x.datatrove_removes:.3f} agree {x.agreement:.4f}")
        ours=quality.decide(d.columns,f); t=~d.fit
        import collections
        fp=collections.Counter(quality.REASONS[c] for c in ours[t&~d.removed] if c)
        print("   we remove, they keep",fp.most_common(8))
