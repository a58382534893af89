"""A linear classifier over hashed n-grams, kept in one `.npz` file: toxicity, spam, educational value, whatever it was trained on.

The file holds, and nothing else is a setting:

    weights          float32 [2^k], 1 <= k <= 28
    bias             a number
    char_ngrams      least and most characters of a character n-gram, two integers; 0 0 for none
    word_ngrams      least and most words of a word n-gram, likewise
    max_chars        how many characters of a text are looked at, at most a million

A text is folded (case, NFC), each run of white space becomes one space, and a space is set at both ends; words are what stands
between spaces. Each n-gram c_0 ... c_m (code points; a word n-gram has single spaces inside) has the hash

    h = sum of (c_j + 1) * 0x9E3779B97F4A7C15^j, plus 0xD1B54A32D192ED03 for a word n-gram, modulo 2^64
    h = (h ^ h >> 30) * 0xBF58476D1CE4E5B9; h = (h ^ h >> 27) * 0x94D049BB133111EB; h = h ^ h >> 31   (Steele et al. 2014)

and the weight at the upper k bits of h. The score is 1 / (1 + exp(-(bias + mean of the weights over all n-grams))).

Sums of powers make every n-gram's hash one subtraction and one product, so numpy hashes all n-grams of many texts at once.
"""

import functools
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polyglot_lm.corpus.lexicon import code_points, folded, groups
from polyglot_lm.corpus.lists import identity_of
from polyglot_lm.corpus.places import File, raw_blocks
from polyglot_lm.pipeline import UserError

Array = np.ndarray[Any, Any]
Floats = np.ndarray[Any, np.dtype[np.float32]]
FIELDS = ("weights", "bias", "char_ngrams", "word_ngrams", "max_chars")
FACTOR, WORD_SALT = 0x9E3779B97F4A7C15, 0xD1B54A32D192ED03
MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
MAX_BITS, MAX_CHARS, MAX_NGRAM = 28, 1_000_000, 32
SPACE = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class LinearModel:
    """A classifier in a file of the form above; the score is its probability, NaN of a text without n-grams."""

    name: str
    file: File

    def identity(self) -> Any:
        return identity_of("LinearModel", self.name, self.file)

    def scores(self, texts: Sequence[str], urls: Sequence[str | None]) -> Floats:
        """Return a probability for each text; raises UserError for a file that is not of the form."""
        model = model_of(self.file)
        shortened = [folded(text[: model.shape.max_chars]) for text in texts]
        found = [probabilities(group, model) for group in groups(shortened)]
        return np.concatenate([np.empty(0, np.float32), *found])


@dataclass(frozen=True, slots=True)
class Shape:
    char_ngrams: tuple[int, int]
    word_ngrams: tuple[int, int]
    max_chars: int
    bits: int


@dataclass(frozen=True, slots=True)
class Model:
    weights: Array
    bias: float
    shape: Shape


@functools.lru_cache(maxsize=4)
def model_of(file: File) -> Model:
    try:
        with np.load(io.BytesIO(b"".join(raw_blocks(file))), allow_pickle=False) as stored:
            return model_in({name: stored[name] for name in FIELDS})
    except UserError:
        raise
    except Exception as error:  # zipfile, zlib and numpy have errors of their own for damaged files
        raise UserError(f"{file.address} is no linear model ({error}); it must be .npz with {', '.join(FIELDS)}") from error


def model_in(stored: dict[str, Array]) -> Model:
    """Check what a file says; raises ValueError naming the field."""
    weights = stored["weights"].astype(np.float32)
    bits = len(weights).bit_length() - 1 if weights.ndim == 1 else 0
    if not 1 <= bits <= MAX_BITS or len(weights) != 1 << bits:
        raise ValueError(f"weights have the shape {weights.shape}, not 2^k with k from 1 to {MAX_BITS}")
    bias, max_chars = float(stored["bias"]), int(stored["max_chars"])
    if not (np.isfinite(weights).all() and np.isfinite(bias)):
        raise ValueError("weights or bias are not finite")
    if not 1 <= max_chars <= MAX_CHARS:
        raise ValueError(f"max_chars is {max_chars}, not from 1 to {MAX_CHARS}")
    chars, words = span("char_ngrams", stored["char_ngrams"]), span("word_ngrams", stored["word_ngrams"])
    if chars == words == (0, 0):
        raise ValueError("char_ngrams and word_ngrams are both 0 0")
    return Model(weights, bias, Shape(chars, words, max_chars, bits))


def span(name: str, stored: Array) -> tuple[int, int]:
    least, most = (int(value) for value in stored)
    if (least, most) != (0, 0) and not 1 <= least <= most <= MAX_NGRAM:
        raise ValueError(f"{name} are {least} {most}, neither 0 0 nor rising from 1 to {MAX_NGRAM}")
    return least, most


def probabilities(texts: list[str], model: Model) -> Floats:
    sums, counts = np.zeros(len(texts)), np.zeros(len(texts))
    for buckets, text_of in hashed(texts, model.shape):
        sums += np.bincount(text_of, model.weights[buckets], len(texts))
        counts += np.bincount(text_of, minlength=len(texts))
    with np.errstate(invalid="ignore", over="ignore"):
        return (1 / (1 + np.exp(-(model.bias + sums / counts)))).astype(np.float32)


def hashed(texts: list[str], shape: Shape) -> Iterator[tuple[Array, Array]]:
    """Yield the bucket of each n-gram and the number of its text, one length of n-grams at a time; texts are folded."""
    codes = code_points("".join(f" {text} " for text in texts))
    ends = np.cumsum([len(text) + 2 for text in texts])
    powers, inverses = powers_of(len(codes))
    sums = np.concatenate(
        [np.zeros(1, np.uint64), np.cumsum((codes.astype(np.uint64) + np.uint64(1)) * powers[:-1], dtype=np.uint64)]
    )

    def buckets(begin: Array, end: Array, salt: int) -> Array:
        value = (sums[end] - sums[begin]) * inverses[begin] + np.uint64(salt)
        for shift, factor in MIX:
            value = (value ^ (value >> np.uint64(shift))) * np.uint64(factor)
        value ^= value >> np.uint64(31)
        return np.asarray(value >> np.uint64(64 - shape.bits), np.int64)

    text_of = np.repeat(np.arange(len(texts)), np.diff(ends, prepend=0))
    filled = np.flatnonzero(np.array([len(text) > 0 for text in texts], bool)[text_of])
    for length in lengths(shape.char_ngrams):
        begin = filled[filled + length <= ends[text_of[filled]]]
        yield buckets(begin, begin + length, 0), text_of[begin]
    if shape.word_ngrams != (0, 0):
        inside = np.concatenate([[False], codes != SPACE, [False]])
        begins, stops = np.flatnonzero(inside[1:] & ~inside[:-1]), np.flatnonzero(inside[:-1] & ~inside[1:])
        for length in lengths(shape.word_ngrams):
            begin, end = begins[: len(begins) - length + 1], stops[length - 1 :]
            same = text_of[begin] == text_of[end - 1]
            yield buckets(begin[same], end[same], WORD_SALT), text_of[begin[same]]


def lengths(span: tuple[int, int]) -> range:
    return range(span[0], span[1] + 1) if span[1] else range(0)


def powers_of(count: int) -> tuple[Array, Array]:
    """Return FACTOR^j and its inverses modulo 2^64 for j up to `count`."""
    rows = 1 << max(16, int(count + 1).bit_length())
    powers, inverses = (power_table(factor, rows) for factor in (FACTOR, pow(FACTOR, -1, 1 << 64)))
    return powers[: count + 1], inverses[: count + 1]


@functools.lru_cache(maxsize=8)
def power_table(factor: int, rows: int) -> Array:
    table = np.full(rows, factor, np.uint64)
    table[0] = 1
    return np.cumprod(table, dtype=np.uint64)
