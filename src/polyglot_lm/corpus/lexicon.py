"""Words of a list in texts: which share of each text's visible characters stands in them. Linear in the text, whatever the list.

Words and phrases are folded (case, NFC, runs of white space to one space), as are texts. Where a word may stand is said by marks
set into both at the borders of words, so that one Aho-Corasick automaton finds whole words and nothing is checked a match:

    between spaces            whole words: `ass` is not in `class`; digits belong to the word they touch
    Hangul                    from the beginning of an eojeol, since particles are glued on; one syllable alone must be all of it
    Han, Kana, Thai, Lao, ... anywhere, but never before a combining mark, which makes another syllable
    Latin next to Hangul, Han a border, so `av女優` and `sex를` hold the words that they seem to

Characters under several entries count once. Of a text the first million characters are looked at. Matches are at most as many a
character as the list has entries that end alike.
"""

import functools
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ahocorasick_rs
import numpy as np

from polyglot_lm.corpus.lists import entries, identity_of
from polyglot_lm.corpus.places import File
from polyglot_lm.pipeline import UserError

Array = np.ndarray[Any, Any]
Floats = np.ndarray[Any, np.dtype[np.float32]]
MAX_CHARS = 1_000_000  # of a text, and about as many of texts at a time: 100 MB of scratch
BORDER, SPACE, END = 1, 32, 10  # code points: a control character that normal form has not, and what folding leaves
FREE, LETTER, HANGUL, DIGIT, MARK = range(5)  # FREE: symbols, spaces and scripts without spaces


@dataclass(frozen=True, kw_only=True, slots=True)
class Lexicon:
    """A list of words and phrases, one a line; the score is the share of visible characters that stand in one, NaN of no text."""

    name: str
    file: File

    def identity(self) -> Any:
        return identity_of("Lexicon", self.name, self.file)

    def scores(self, texts: Sequence[str], urls: Sequence[str | None]) -> Floats:
        """Return a share for each text; raises UserError when the list cannot be read or is empty."""
        words = words_of(self.file)
        found = [covered_shares(group, words) for group in groups([folded(text[:MAX_CHARS]) for text in texts])]
        return np.concatenate([np.empty(0, np.float32), *found])


@dataclass(frozen=True, slots=True)
class Words:
    automaton: Any
    lengths: Array  # of each entry with its borders, int64


@functools.lru_cache(maxsize=32)
def words_of(file: File) -> Words:
    listed = {bordered_entry(folded(entry)): entry for entry in entries(file)}
    if "" in listed:
        raise UserError(f"{file.address} has the entry {listed['']!r}, which begins with a combining mark; give whole letters")
    if not listed:
        raise UserError(f"{file.address} has no entries; give one word or phrase a line")
    return Words(ahocorasick_rs.AhoCorasick(list(listed), store_patterns=False), np.array([len(word) for word in listed], np.int64))


def folded(text: str) -> str:
    """Fold case, keep NFC, leave one space of each run of white space."""
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    return " ".join(text.split())


def groups(texts: list[str]) -> Iterator[list[str]]:
    """Yield runs of texts of at most MAX_CHARS characters together, or one text."""
    group, chars = list[str](), 0
    for text in texts:
        if group and chars + len(text) > MAX_CHARS:
            yield group
            group, chars = [], 0
        group.append(text)
        chars += len(text)
    if group:
        yield group


def covered_shares(texts: list[str], words: Words) -> Floats:
    codes = code_points("".join(text + "\n" for text in texts))
    marked = with_borders(codes)
    found = words.automaton.find_matches_as_indexes(
        marked.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass"), overlapping=True
    )
    matches = np.array(found, np.int64).reshape(-1, 3)
    after = matches[:, 2]
    matches = matches[~is_mark()[marked[after]]]
    edges = np.zeros(len(marked) + 1, np.int64)
    edges += np.bincount(matches[:, 1], minlength=len(edges))
    edges -= np.bincount(matches[:, 2], minlength=len(edges))
    visible = (marked != BORDER) & (marked != SPACE) & (marked != END)
    covered = visible & (np.cumsum(edges)[:-1] > 0)
    starts = np.concatenate([[0], np.flatnonzero(marked == END)[:-1] + 1])
    total = np.add.reduceat(visible.astype(np.int64), starts)
    with np.errstate(invalid="ignore"):
        return (np.add.reduceat(covered.astype(np.int64), starts) / total).astype(np.float32)


def code_points(text: str) -> Array:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def with_borders(codes: Array) -> Array:
    """Set a border wherever a word of a spaced script begins or ends."""
    kind = kinds_in(codes)
    before, after = np.concatenate([[FREE], kind]), np.concatenate([kind, [FREE]])
    glued = (before == after) | (before == DIGIT) | (after == DIGIT)
    border = np.where((before != FREE) & (after != FREE), ~glued, before != after)
    return np.insert(codes, np.flatnonzero(border), BORDER)


def kinds_in(codes: Array) -> Array:
    """Return the kind of each code point; a combining mark is of the kind of what it stands on."""
    kind = kind_table()[codes]
    carrier = np.maximum.accumulate(np.where(kind == MARK, 0, np.arange(len(kind))))
    carried = kind[carrier]
    return np.where(carried == MARK, FREE, carried)


def bordered_entry(entry: str) -> str:
    """Set borders into an entry; leave the last one off where particles may follow. "" for one that begins in mid-letter."""
    codes = code_points(entry)
    if not len(codes) or kind_table()[codes[0]] == MARK:
        return ""
    kind = kinds_in(codes)
    marked = with_borders(codes)
    particles = len(kind) > 1 and kind[-1] == HANGUL and kind[-2] in (HANGUL, DIGIT)
    kept = marked[:-1] if particles else marked
    return kept.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


@functools.cache
def kind_table() -> Array:
    from polyglot_lm.corpus.kernels import scripts as sc

    kernel_kinds = sc.kinds() & sc.KIND_MASK
    table = np.full(len(kernel_kinds), FREE, np.uint8)
    table[kernel_kinds >= sc.FIRST_SCRIPT] = LETTER
    table[((sc.UNSPACED >> kernel_kinds.astype(np.int64)) & 1) == 1] = FREE
    table[kernel_kinds == sc.FIRST_SCRIPT + sc.SCRIPTS.index("Hang")] = HANGUL
    table[kernel_kinds == sc.DIGIT] = DIGIT
    table[kernel_kinds == sc.MARK] = MARK
    return table


@functools.cache
def is_mark() -> Array:
    """Say of each code point whether it is a combining mark, bool [code points]."""
    from polyglot_lm.corpus.kernels.scripts import LAST_CODE_POINT

    table = np.zeros(len(kind_table()), bool)
    table[: LAST_CODE_POINT + 1] = [unicodedata.category(chr(code)).startswith("M") for code in range(LAST_CODE_POINT + 1)]
    return table
