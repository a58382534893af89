"""Plant near-duplicates of known similarity in real text, and count which of them the signatures find.

Documents of a language (100 to 1,500 units of them) are edited: words or characters replaced, deleted or inserted at many
rates, paragraphs shuffled, a header and footer from another document put around, or all of it. For every (document, edited)
pair the *exact* Jaccard similarity is taken over shingles of five words, in plain Python: runs of letters and digits in lower
case, or, where there are no spaces, over as many characters as give the similarity of five segmented words (REFERENCE_UNITS,
found by shingle_lengths.py). A pair is found if the two share one of 20 bands and their signatures agree in the given share.

recall: found of those with exact similarity >= 0.8; false: found of those below 0.6.
"""

import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from polyglot_lm.corpus.kernels.batch import TextBatch
from polyglot_lm.corpus.kernels.minhash import band_keys, signatures

REFERENCE_UNITS = {"zh": 8, "ja": 9, "th": 19}  # words of other languages stand between spaces
WORDS = 5
NO_SPACES = "\u0e01-\u0e4e\u3005-\u30ff\u3400-\u9fff\uf900-\ufaff"
UNIT = re.compile(rf"[{NO_SPACES}]|[^\W_{NO_SPACES}]+")
PIECE = re.compile(rf"\s+|[{NO_SPACES}]{{1,3}}|[^\s{NO_SPACES}]+")
RATES = (0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.14)
MIN_UNITS, MAX_UNITS = 100, 1_500
SIMILAR, UNLIKE = 0.8, 0.6
Numbers = np.ndarray[Any, np.dtype[np.float64]]


def reference(text: str, length: int) -> set[tuple[str, ...]]:
    units = UNIT.findall(text.lower())
    return {tuple(units[at : at + length]) for at in range(max(1, len(units) - length + 1))}


def replace(pieces: Sequence[str], rate: float, others: Sequence[str], rng: random.Random) -> str:
    return "".join(rng.choice(others) if rng.random() < rate else piece for piece in pieces)


def delete(pieces: Sequence[str], rate: float, _: Sequence[str], rng: random.Random) -> str:
    return "".join(piece for piece in pieces if rng.random() >= rate)


def insert(pieces: Sequence[str], rate: float, others: Sequence[str], rng: random.Random) -> str:
    return "".join(piece + (rng.choice(others) + " " if rng.random() < rate else "") for piece in pieces)


def shuffle(pieces: Sequence[str], rate: float, _: Sequence[str], rng: random.Random) -> str:
    """Exchange paragraphs (or runs of 30 pieces): more of them the higher the rate."""
    text = "".join(pieces)
    parts = text.split("\n") if text.count("\n") > 5 else ["".join(pieces[at : at + 30]) for at in range(0, len(pieces), 30)]
    for _exchange in range(max(1, round(rate * 10 * len(parts)))):
        one, other = rng.randrange(len(parts)), rng.randrange(len(parts))
        parts[one], parts[other] = parts[other], parts[one]
    return "\n".join(parts)


def surround(pieces: Sequence[str], rate: float, others: Sequence[str], rng: random.Random) -> str:
    """Put a header and a footer of foreign pieces around, together up to 4 * rate of the text."""
    count = max(1, round(2 * rate * len(pieces)))
    header, footer = (" ".join(rng.choices(others, k=count)) for _ in range(2))
    return "\n".join([header, "".join(pieces), footer])


def everything(pieces: Sequence[str], rate: float, others: Sequence[str], rng: random.Random) -> str:
    text = replace(pieces, rate / 3, others, rng)
    for edit in (delete, insert, surround):
        text = edit(PIECE.findall(text), rate / 3, others, rng)
    return text


EDITS = (replace, delete, insert, shuffle, surround, everything)


def originals(texts: Sequence[str], count: int, shingle_units: int, rng: random.Random) -> list[str]:
    """Cut documents to lengths between the bounds; leave out those like another."""
    cut = []
    for text in texts:
        ends = [match.end() for match in UNIT.finditer(text)]
        if len(ends) >= MIN_UNITS:
            cut.append(text[: ends[rng.randint(MIN_UNITS, min(MAX_UNITS, len(ends))) - 1]])
    found, kept, shown = signatures(TextBatch.from_texts(cut), shingle_units), [], np.zeros((0, 120), np.uint16)
    for text, signed in zip(cut, found, strict=True):
        if not len(shown) or (shown == signed).mean(axis=1).max() < 0.1:
            kept.append(text)
            shown = np.vstack([shown, signed])
        if len(kept) == count:
            break
    return kept


def plant(lang: str, texts: Sequence[str], count: int, seed: int = 0) -> tuple[list[str], list[str], list[str], Numbers]:
    """Return originals, edited ones, names of the edits, and exact similarities: len(EDITS) * 2 pairs an original."""
    rng = random.Random(f"{lang}{seed}")
    firsts, seconds, names, exact = [], [], [], []
    length = REFERENCE_UNITS.get(lang, WORDS)
    chosen = originals(rng.sample(list(texts), len(texts)), count, length, rng)
    others = [piece for text in chosen[:50] for piece in PIECE.findall(text) if piece.strip()]
    for text in chosen:
        pieces, shingles = PIECE.findall(text), reference(text, length)
        for edit in EDITS:
            for rate in rng.sample(RATES, 2):
                edited = edit(pieces, rate, others, rng)
                other = reference(edited, length)
                firsts.append(text)
                seconds.append(edited)
                names.append(edit.__name__)
                exact.append(len(shingles & other) / len(shingles | other))
    return firsts, seconds, names, np.array(exact)


def compare(firsts: Sequence[str], seconds: Sequence[str], shingle_units: int) -> tuple[Any, Numbers]:
    """Return which pairs share a band, and the agreement of each."""
    one, other = (signatures(TextBatch.from_texts(texts), shingle_units) for texts in (firsts, seconds))
    return (band_keys(one) == band_keys(other)).any(axis=1), (one == other).mean(axis=1)


def quality(exact: Numbers, shared: Any, agreement: Numbers, min_agreement: float) -> Mapping[str, float]:
    found = shared & (agreement >= min_agreement - 1e-9)
    similar, unlike = exact >= SIMILAR, exact < UNLIKE
    return {
        "recall": float(found[similar].mean()),
        "false": float(found[unlike].mean()),
        "similar": int(similar.sum()),
        "unlike": int(unlike.sum()),
        "near": int(((exact < UNLIKE) & (exact >= UNLIKE - 0.2)).sum()),
    }
