"""Intervals over documents: draw the documents again with replacement, compute the figure, take the middle 95 % of what came out.

A draw of n documents is how often each was drawn, so all replicates of a sum are one product of matrices. Documents that are
parallel are drawn together in all languages, as they are one sample of content.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

REPLICATES = 10_000
CHUNK = 500  # replicates drawn at once: 10,000 documents take 40 MB
CONFIDENCE = 0.95
Floats = npt.NDArray[np.float64]


def draws(num_documents: int, replicates: int = REPLICATES, seed: int = 0) -> Iterator[Floats]:
    """Yield how often each document is drawn, [replicates of this chunk, documents]."""
    random = np.random.default_rng(seed)
    even = np.full(num_documents, 1 / num_documents)
    for start in range(0, replicates, CHUNK):
        yield random.multinomial(num_documents, even, size=min(CHUNK, replicates - start)).astype(np.float64)


def drawn_sums(columns: Floats, replicates: int = REPLICATES, seed: int = 0) -> Floats:
    """Return the sums of columns [documents, columns] in every replicate, [replicates, columns]."""
    return np.concatenate([counts @ columns for counts in draws(len(columns), replicates, seed)])


def bounds(values: Floats) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def ratio_interval(numerator: Floats, denominator: Floats) -> tuple[float, float]:
    """Return the bounds of Σ numerator / Σ denominator over documents."""
    sums = drawn_sums(np.stack([numerator, denominator], axis=1))
    return bounds(sums[:, 0] / sums[:, 1])


def drawn_ratios(bits: Mapping[str, tuple[list[str], Floats, Floats]]) -> dict[str, Floats]:
    """Return by language, in every replicate, the bits of a model over those of its reference: (ids, bits, reference's bits).

    Languages with the same documents share their draws; others are drawn on their own.
    """
    seeds: dict[tuple[str, ...], int] = {}
    ratios = {}
    for language, (ids, ours, theirs) in bits.items():
        seed = seeds.setdefault(tuple(sorted(ids)), len(seeds))
        order = np.argsort(np.array(ids))
        sums = drawn_sums(np.stack([ours, theirs], axis=1)[order], seed=seed)
        ratios[language] = sums[:, 0] / sums[:, 1]
    return ratios
