"""Calibrate the quality rules of a language against datatrove's filters, and write `corpus/thresholds/<code>.toml`.

    python benchmarks/corpus/calibrate.py [--megabytes 9] [--check] [CODE ...]

datatrove judges the documents of the sample by words, we by units and symbols. On one half of the documents (a keyed hash chooses)
    1. weights are fitted by which words, tokens and tokens with a letter are estimated from what we count;
    2. each rule's bound is set where it removes as many documents as datatrove's rule does. Where that removes fewer than FEW of
       them there is no quantile to hit: its bound is then multiplied by the ratio of our highest values to datatrove's, and
       loosened until it removes no more than FEW.
On the other half we ask how often a rule, and the rules together, decide as datatrove does. Both bounds, what each removes and the
agreement go into the file. `--check` measures the files that are there and writes nothing.
"""

import argparse
import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash
from datatrove_oracle import PINS, SAMPLE_BYTES, SETTINGS, sample, verdicts

from polyglot_lm.corpus import quality
from polyglot_lm.corpus.kernels.batch import TextBatch
from polyglot_lm.corpus.kernels.statistics import statistics
from polyglot_lm.corpus.quality import ESTIMATES, FEATURES, MEASURES, THRESHOLDS, Bound, Columns, Floats, Thresholds
from polyglot_lm.languages import language
from polyglot_lm.pipeline import atomic_text

SMALL = 20  # tokens: below, errors are not relative to a document's size
ROUNDS = 12  # of reweighting; later ones change no decision
FEW = 10  # documents: fewer removed say nothing about a quantile
TAIL = 0.95  # "highest values" are those above this quantile
LONG = 200  # words: in shorter documents one token more or less moves a share by half a point
ORACLE = {"words": "num_words"}  # our measure -> datatrove's, where they differ
COMMON = {  # ours alone: no rule of datatrove's filters answers to them
    "num_visible": Bound(least=1),
    "num_chars": Bound(most=2_000_000),
    "letter_share": Bound(least=0.5),
    "script_share": Bound(least=0.5),
    "signature_share": Bound(least=0.05),
    "language_confidence": Bound(least=0.5),
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
    """Return our bound for datatrove's, and whether it is scaled rather than set by the quantile.

    A scaled bound is loosened until it removes no more than FEW documents too.
    """
    num_removed = int(fails(theirs, bound, side).sum())
    if num_removed >= FEW:
        return quantile(ours, num_removed, side), False
    scaled = bound * tail(ours, side) / max(1e-9, tail(theirs, side))
    loosest = min if side == "least" else max
    return loosest(scaled, quantile(ours, FEW, side)), True


def quantile(values: Floats, num_removed: int, side: str) -> float:
    """Return the bound beyond which that many values lie; fewer where values are equal."""
    ordered = np.sort(values) if side == "least" else np.sort(values)[::-1]
    return float((ordered[num_removed - 1] + ordered[min(num_removed, len(ordered) - 1)]) / 2)


def tail(values: Floats, side: str) -> float:
    return float(np.quantile(values, 1 - TAIL if side == "least" else TAIL)) or float(values.mean())


def calibrate(drawn: Sample) -> tuple[Thresholds, list[Outcome]]:
    """Return thresholds with datatrove's rules alone, and what became of each side of each rule."""
    entry = language(drawn.code)
    start = Thresholds(
        code=entry.code,
        scripts=entry.scripts,
        signature=entry.signature,
        bounds={},
        weights=fit_weights(drawn),
        stop_words=tuple(SETTINGS[drawn.code]["stop_words"]),
    )
    outcomes = [
        judge(drawn, measure, side, MEASURES[measure](drawn.columns, start), getattr(theirs, side))
        for measure, theirs in datatrove_bounds(drawn.code).items()
        for side in ("least", "most")
        if getattr(theirs, side) is not None
    ]
    bounds = {
        name: Bound(**{each.side: each.bound for each in outcomes if each.measure == name}) for name in datatrove_bounds(drawn.code)
    }
    return dataclasses.replace(start, bounds=bounds), outcomes


def judge(drawn: Sample, measure: str, side: str, ours: Floats, theirs: float) -> Outcome:
    values, fit = drawn.values[ORACLE.get(measure, measure)], drawn.fit
    bound, scaled = choose(ours[fit], values[fit], theirs, side)
    bound = float(f"{bound:.4g}")
    mine, other = fails(ours, bound, side)[~fit], fails(values, theirs, side)[~fit]
    return Outcome(
        measure=measure,
        side=side,
        bound=bound,
        datatrove=theirs,
        removes=float(mine.mean()),
        datatrove_removes=float(other.mean()),
        agreement=float((mine == other).mean()),
        scaled=scaled,
    )


def together(drawn: Sample, thresholds: Thresholds) -> dict[str, float]:
    """Compare the whole decision on the half that nothing was fitted to; `agreement_long` is of documents of LONG words or more."""
    ours = quality.decide(drawn.columns, thresholds) != quality.KEPT
    test = ~drawn.fit
    same, long = (ours == drawn.removed)[test], drawn.values["num_words"][test] >= LONG
    return {
        "documents": int(test.sum()),
        "removes": float(ours[test].mean()),
        "datatrove_removes": float(drawn.removed[test].mean()),
        "agreement": float(same.mean()),
        "agreement_long": float(same[long].mean()),
    }


def shipped(code: str) -> Thresholds:
    """Return the language's thresholds as they are shipped, rules that datatrove has alone."""
    whole = quality.thresholds_of(code)
    return dataclasses.replace(whole, bounds={name: bound for name, bound in whole.bounds.items() if name not in COMMON})


def measure(codes: Sequence[str] = tuple(SETTINGS), num_bytes: int = SAMPLE_BYTES) -> dict[str, float]:
    """Compare shipped thresholds with datatrove: `datatrove_agreement_<code>`, and the least of them, `datatrove_agreement_min`."""
    found = {code: together(read(code, num_bytes), shipped(code))["agreement"] for code in codes}
    return {
        "datatrove_agreement_min": min(found.values()),
        **{f"datatrove_agreement_{code}": share for code, share in found.items()},
    }


def as_toml(thresholds: Thresholds, outcomes: Sequence[Outcome], whole: Mapping[str, float], megabytes: float) -> str:
    """Write thresholds as the file `corpus.quality` reads, measurements beside each bound."""
    code = thresholds.code
    lines = [
        f"# Quality thresholds of {language(code).english_name}; written by `python benchmarks/corpus/calibrate.py {code}`.",
        "# least, most     our bounds: a document outside is removed. Take a bound out and the rule is off.",
        "# oracle          datatrove's bound (FineWeb2's) and, on the documents no bound was fitted to, the share that ours and",
        "#                 datatrove's remove and how often they decide alike; scaled: too few removed there to hit a quantile.",
        "# weights         what each count adds to the words, tokens and tokens with a letter that a segmenter would find",
        "",
        f"stop_words = {json.dumps(list(thresholds.stop_words), ensure_ascii=False)}",
        "",
        f"[oracle]  # the whole decision; {megabytes:g} MB of text, half of it fitted to; long: {LONG} words or more",
        f'with = "{PINS[0]}, FineWeb2"',
        *(f"{name} = {round(value, 4):g}" for name, value in whole.items()),
    ]
    for name, weights in thresholds.weights.items():
        lines += ["", f"[weights.{name}]", *(f"{feature} = {weight:g}" for feature, weight in weights.items())]
    for name, bound in COMMON.items():
        lines += ["", f"[rules.{name}]", *(f"{side} = {value:g}" for side, value in sides(bound))]
    for name, bound in thresholds.bounds.items():
        lines += ["", f"[rules.{name}]", *(f"{side} = {value:g}" for side, value in sides(bound))]
        lines += [f"oracle.{each.side} = {beside(each)}" for each in outcomes if each.measure == name]
    return "\n".join(lines) + "\n"


def sides(bound: Bound) -> list[tuple[str, float]]:
    return [(side, getattr(bound, side)) for side in ("least", "most") if getattr(bound, side) is not None]


def beside(outcome: Outcome) -> str:
    shares = f"removes = [{outcome.removes:.4f}, {outcome.datatrove_removes:.4f}], agreement = {outcome.agreement:.4f}"
    return f"{{ bound = {outcome.datatrove:g}, {shares}{', scaled = true' if outcome.scaled else ''} }}"


def print_table(code: str, outcomes: Sequence[Outcome], whole: Mapping[str, float]) -> None:
    print(f"\n{code}  {'rule':28}{'ours':>10}{'datatrove':>11}{'removes':>10}{'datatrove':>11}{'agreement':>11}")
    for each in outcomes:
        bounds = f"{each.bound:10.4g}{each.datatrove:11.4g}"
        shares = f"{each.removes:10.1%}{each.datatrove_removes:11.1%}{each.agreement:11.1%}"
        print(f"    {each.measure + ' ' + each.side:28}{bounds}{shares}{'  scaled' if each.scaled else ''}")
    shares = f"{whole['removes']:10.1%}{whole['datatrove_removes']:11.1%}{whole['agreement']:11.1%}"
    print(f"    {'all rules':28}{'':21}{shares}  (long documents {whole['agreement_long']:.1%})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("codes", nargs="*", default=list(SETTINGS))
    parser.add_argument("--megabytes", type=float, default=SAMPLE_BYTES / 1e6)
    parser.add_argument("--check", action="store_true", help="measure the thresholds as shipped, write nothing")
    options = parser.parse_args()
    num_bytes = int(options.megabytes * 1e6)
    if options.check:
        for name, share in measure(options.codes, num_bytes).items():
            print(f"{name:28}{share:8.1%}")
        return
    for code in options.codes:
        drawn = read(code, num_bytes)
        fitted, outcomes = calibrate(drawn)
        whole = together(drawn, fitted)
        print_table(code, outcomes, whole)
        with atomic_text(THRESHOLDS / f"{code}.toml") as file:
            file.write(as_toml(fitted, outcomes, whole, options.megabytes))


if __name__ == "__main__":
    main()
