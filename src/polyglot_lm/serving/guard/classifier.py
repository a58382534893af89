"""Linear classifiers over hashed character n-grams, one a language, and the reviewed word lists: all of it one `.npz` file.

In: segments of text. Out: for each the language whose classifier looks at it, and a score from 0 to 1. N-grams of a segment (its
plain view) are hashed as `corpus.linear` does; the score is

    1 / (1 + exp(-(bias + step * (sum of the int8 weights at the distinct buckets) / sqrt(how many buckets))))

with a bias that puts the calibrated point at 0.5. Which classifier looks is a matter of script, from the table of languages: one
whose scripts hold half of the letters; of languages that share scripts, the one whose signature letters (kana) are there, or the
one that has none. Hashed weights hold no text; the word lists are packed, so that no file shows them.
"""

import functools
import io
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polyglot_lm.corpus.kernels.scripts import SCRIPT_RANGES
from polyglot_lm.corpus.linear import Shape, hashed
from polyglot_lm.languages import Language, languages
from polyglot_lm.pipeline import UserError, atomic_path
from polyglot_lm.serving.guard.lexicon import Entry
from polyglot_lm.serving.guard.normal import plain

WEIGHTS = Path(__file__).with_name("weights.npz")
SHAPE = Shape(char_ngrams=(1, 4), word_ngrams=(0, 0), max_chars=1024, bits=18)
LEAST_SHARE = 0.5
LEAST_LETTERS = 2
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Classifier:
    """Weights of one language, int8 [2^SHAPE.bits]; `facts` is what training wrote about it."""

    language: str
    weights: Array
    step: float
    bias: float
    facts: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """What one file holds: classifiers by language, reviewed words, and where all of it comes from."""

    classifiers: Mapping[str, Classifier]
    entries: tuple[Entry, ...]
    sources: tuple[Mapping[str, str], ...]

    def scores(self, segments: Sequence[str]) -> list[tuple[str, float] | None]:
        """Return (language, score) of each segment, None where no classifier looks."""
        found: list[tuple[str, float] | None] = [None] * len(segments)
        chosen: dict[str, list[int]] = {}
        for number, segment in enumerate(segments):
            for code in looking(segment, tuple(self.classifiers)):
                chosen.setdefault(code, []).append(number)
        for code, numbers in chosen.items():
            scores = probabilities(self.classifiers[code], [segments[number] for number in numbers])
            for number, score in zip(numbers, scores.tolist(), strict=True):
                before = found[number]
                if before is None or score > before[1]:
                    found[number] = code, score
        return found


def probabilities(classifier: Classifier, texts: Sequence[str]) -> Array:
    buckets, text_of = buckets_of(texts)
    sums = np.bincount(text_of, classifier.weights[buckets].astype(np.float64), len(texts))
    counts = np.bincount(text_of, minlength=len(texts))
    logits = classifier.bias + classifier.step * sums / np.sqrt(np.maximum(counts, 1))
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))))


def buckets_of(texts: Sequence[str]) -> tuple[Array, Array]:
    """Return the distinct buckets of n-grams, and the text that each is of."""
    found = list(hashed([plain(text).text.strip()[: SHAPE.max_chars] for text in texts], SHAPE))
    pairs = np.concatenate([np.empty(0, np.int64), *(text_of << SHAPE.bits | buckets for buckets, text_of in found)])
    pairs.sort()
    distinct = pairs[np.concatenate([[True], pairs[1:] != pairs[:-1]])] if len(pairs) else pairs
    return distinct & (1 << SHAPE.bits) - 1, distinct >> SHAPE.bits


def looking(segment: str, codes: tuple[str, ...]) -> list[str]:
    """Return which of these languages' classifiers look at a segment."""
    letters = {script: len(pattern.findall(segment)) for script, pattern in letters_of().items()}
    total = sum(letters.values())
    if total < LEAST_LETTERS:
        return []
    table = languages()
    signed = [entry for entry in table.values() if any(letters[script] for script in entry.signature)]
    return [code for code in codes if looks(table[code], letters, total, signed)]


def looks(language: Language, letters: Mapping[str, int], total: int, signed: Sequence[Language]) -> bool:
    if sum(letters[script] for script in language.scripts) < LEAST_SHARE * total:
        return False
    if language.signature:
        return language in signed
    return not any(set(language.scripts) & set(other.scripts) for other in signed)


@functools.cache
def letters_of() -> Mapping[str, re.Pattern[str]]:
    return {
        script: re.compile("[" + "".join(f"{chr(low)}-{chr(high)}" for low, high in ranges) + "]")
        for script, ranges in SCRIPT_RANGES.items()
    }


def write_trained(path: Path, trained: Trained) -> None:
    """Write the file, whole or not at all."""
    about = {
        "classifiers": {
            code: {"step": found.step, "bias": found.bias, "facts": dict(found.facts)}
            for code, found in trained.classifiers.items()
        },
        "sources": [dict(source) for source in trained.sources],
    }
    words = "\n".join(f"{entry.language}\t{entry.category}\t{entry.word}" for entry in trained.entries)
    arrays = {f"weights_{code}": found.weights for code, found in trained.classifiers.items()}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, about=packed(json.dumps(about, ensure_ascii=False)), words=packed(words), **arrays)  # type: ignore[arg-type]


def read_trained(path: Path) -> Trained:
    """Read such a file; raises UserError that says how to train one."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            about = json.loads(unpacked(stored["about"]))
            lines = unpacked(stored["words"]).splitlines()
            classifiers = {
                code: Classifier(language=code, weights=stored[f"weights_{code}"], **fields)
                for code, fields in about["classifiers"].items()
            }
    except Exception as error:  # zipfile, zlib, json and numpy have errors of their own for damaged files
        raise UserError(
            f"{path} is no file of the guard's ({error}); train one: `polyglot guard train --data DATA --text TEXT --out {path}`"
        ) from error
    entries = (line.split("\t") for line in lines)
    return Trained(
        classifiers=classifiers,
        entries=tuple(Entry(word=word, category=category, language=code) for code, category, word in entries),
        sources=tuple(about["sources"]),
    )


def packed(text: str) -> Array:
    return np.frombuffer(zlib.compress(text.encode(), 9), np.uint8)


def unpacked(stored: Array) -> str:
    return zlib.decompress(stored.tobytes()).decode()
