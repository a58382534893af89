"""From single items to scores: means and macro-F1 with intervals, against chance and against the commonest answer.

Intervals are percentiles over items drawn again with replacement; a score is called at chance when its accuracy's interval
reaches down to guessing or to always giving the commonest answer. Averages go only over families that every language has: where
none is there, no average is given, because a mean over different tasks compares nothing.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

REPLICATES = 2000
CONFIDENCE = 0.95
Floats = npt.NDArray[np.float64]


def macro_f1(gold: npt.NDArray[Any], guessed: npt.NDArray[Any], counts: Floats) -> Floats:
    """Return the mean over labels (of either) of F1, 0 for a label never hit, [R]; as scikit-learn's `f1_score(average="macro")`.

    `gold` and `guessed` [pairs] are the pairs that occur; `counts` [R, pairs] how often each does, in each replicate.
    """
    labels = np.union1d(gold, guessed)
    hit = np.stack([counts @ ((gold == x) & (guessed == x)) for x in labels], axis=1)
    either = np.stack([counts @ ((gold == x).astype(float) + (guessed == x)) for x in labels], axis=1)
    scores = np.divide(2 * hit, either, out=np.zeros_like(hit), where=either > 0)
    return np.asarray(scores.sum(axis=1) / np.maximum(1, (either > 0).sum(axis=1)))


def drawn(counts: npt.NDArray[np.int64], seed: int = 0) -> Floats:
    """Draw all items again with replacement; of items that are alike only how many there are matters."""
    even = counts / counts.sum()
    return np.random.default_rng(seed).multinomial(counts.sum(), even, size=REPLICATES).astype(np.float64)


def with_interval(value: float, values: Floats) -> dict[str, float]:
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return {"value": value, "low": float(low), "high": float(high)}


def score_items(items: Sequence[Mapping[str, Any]], metric: str, chance: float) -> dict[str, Any]:
    """Return n, every metric with its interval, the chance-normalised accuracy and whether it is at chance."""
    metrics: dict[str, Any] = {}
    for name in ("acc", "acc_norm", "exact_match"):
        if name in items[0]:
            metrics[name] = mean_with_interval(np.array([float(item[name]) for item in items]))
    if "f1" in items[0]:
        metrics["f1"] = f1_with_interval(np.array([item["f1"] for item in items]))
    counted = metrics.get("exact_match") or metrics["acc_norm" if metric == "acc_norm" else "acc"]
    commonest = commonest_share([item["gold"] for item in items])
    return {
        "n": len(items),
        "metrics": metrics,
        "chance": chance,
        "commonest_answer": commonest,
        "normalised": (counted["value"] - chance) / (1 - chance),
        "at_chance": counted["low"] <= max(chance, commonest or 0.0),
    }


def mean_with_interval(values: Floats) -> dict[str, float]:
    kinds, counts = np.unique(values, return_counts=True)
    return with_interval(float(values.mean()), drawn(counts) @ kinds / len(values))


def f1_with_interval(pairs: npt.NDArray[Any]) -> dict[str, float]:
    """`pairs`: right and guessed answer of every item, [items, 2]."""
    kinds, counts = np.unique(pairs, axis=0, return_counts=True)
    value = float(macro_f1(kinds[:, 0], kinds[:, 1], counts[None].astype(np.float64))[0])
    return with_interval(value, macro_f1(kinds[:, 0], kinds[:, 1], drawn(counts)))


def commonest_share(gold: Sequence[Any]) -> float | None:
    """Return how often the commonest right answer is right; None where answers have no common names."""
    if any(answer is None for answer in gold):
        return None
    return Counter(gold).most_common(1)[0][1] / len(gold)


def chance_verdict(scores: Sequence[Mapping[str, Any]]) -> str:
    """Say in a sentence how many scores are at chance, and whether the others are more than luck would give."""
    above, total = sum(not score["at_chance"] for score in scores), len(scores)
    if above == 0:
        return f"All {total} scores are at chance: they say nothing of this model's competence."
    if above <= lucky(total):
        return (
            f"{total - above} of {total} scores are at chance, and {above} above it is no more than luck gives so many: "
            "together they say nothing of this model's competence."
        )
    return f"{total - above} of {total} scores are at chance, and say nothing of this model's competence."


def lucky(total: int) -> int:
    """Return how many of so many intervals lie above chance by luck alone, at most, in 95 of 100 benches."""
    rate, seen = (1 - CONFIDENCE) / 2, 0.0
    for above in range(total + 1):
        seen += math.comb(total, above) * rate**above * (1 - rate) ** (total - above)
        if seen >= CONFIDENCE:
            return above
    return total


def averages(scores: Sequence[Mapping[str, Any]], languages: Sequence[str]) -> dict[str, Any]:
    """Average the normalised scores of each language over the families that all `languages` have; says which those are."""
    by_family: dict[str, dict[str, float]] = {}
    for score in scores:
        by_family.setdefault(score["family"], {})[score["language"]] = score["normalised"]
    complete = [family for family, found in by_family.items() if set(languages) <= found.keys()]
    coverage = {family: sorted(found) for family, found in by_family.items()}
    if not complete:
        return {"families": [], "coverage": coverage, "by_language": None, "mean": None}
    by_language = {code: float(np.mean([by_family[family][code] for family in complete])) for code in languages}
    return {
        "families": complete,
        "coverage": coverage,
        "by_language": by_language,
        "mean": float(np.mean(list(by_language.values()))),
    }
