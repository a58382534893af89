"""One pass over a batch that gives every figure the quality rules ask for, a column each; nothing is judged here.

Three readings of a document, while it is in the cache: its code points (characters, scripts, units, stop words), its lines
(`lines`) and its repeated n-grams (`repetition`). Counts are int32, shares float32. A rule is then a comparison of a column
with a threshold, and a changed threshold reads no text again.

Definitions are those of datatrove's Gopher and FineWeb filters over our units, where its *words* are tokens: units and symbols,
a symbol being any visible character outside units. Caps: n-grams look at the first 32,768 units, lines at the first
16,384; all other figures are of the whole document.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from polyglot_lm.corpus.kernels import lines as ln
from polyglot_lm.corpus.kernels.batch import TextBatch
from polyglot_lm.corpus.kernels.compiled import kernel
from polyglot_lm.corpus.kernels.repetition import NUM_LEVELS, measure_repetition, scratch
from polyglot_lm.corpus.kernels.scripts import (
    DIGIT,
    FIRST_SCRIPT,
    KIND_MASK,
    MARK,
    NEWLINE,
    NUM_KINDS,
    OTHER,
    OTHER_BY_CODE_POINT,
    SCRIPTS,
    SPACE,
    SYMBOL,
    UNSPACED,
    kinds,
)
from polyglot_lm.corpus.kernels.tokens import LOOKED_CHARS, LOOKED_TOKENS, NUM_TOKEN_COUNTS, TOKEN_COUNTS, cuts, read_tokens
from polyglot_lm.corpus.kernels.units import code_point

COUNTS = (
    "num_chars",
    "num_visible",
    "num_letters",
    "num_digits",
    "num_units",
    "num_symbols",
    "num_newlines",
    "num_lines",
    "stop_words",
    *TOKEN_COUNTS,
)
SHARES = (
    *("letter_share", "digit_share", *(f"script_{script}" for script in SCRIPTS)),
    *("mean_unit_chars", "hash_ratio", "ellipsis_ratio", "alphabetic_ratio", "newline_ratio"),
    *("bullet_line_ratio", "ellipsis_line_ratio", "ended_line_ratio", "short_line_ratio", "line_char_duplicates"),
    *("dup_line_frac", "dup_line_char_frac", "dup_paragraph_frac", "dup_paragraph_char_frac"),
    *("top_2_gram", "top_3_gram", "top_4_gram", *(f"dup_{gram}_gram" for gram in range(5, 11))),
)
MAX_STOP_WORDS = 64
HASH, STOP, ELLIPSIS = ord("#"), ord("."), ord("…")
UNITS, UNIT_CHARS, ALPHABETIC, HASHES, ELLIPSES, STOP_WORDS, NUM_TALLIES = range(7)
Column = np.ndarray[Any, np.dtype[np.int32]] | np.ndarray[Any, np.dtype[np.float32]]
ONE = np.uint64(1)


class StopWords(NamedTuple):
    """Stop words as bytes, and by the last six bits of its first code point a mask of those that may begin there."""

    data: np.ndarray[Any, np.dtype[np.uint8]]
    offsets: np.ndarray[Any, np.dtype[np.int64]]
    beginning: np.ndarray[Any, np.dtype[np.uint64]]  # [64]


def stop_words(words: Sequence[str]) -> StopWords:
    """Prepare a language's stop words, at most 64; raises ValueError for more or an empty one."""
    if len(words) > MAX_STOP_WORDS or not all(words):
        raise ValueError(f"there are {len(words)} stop words, the shortest of {min(map(len, words))}; give at most 64, none empty")
    batch = TextBatch.from_texts(words)
    beginning = np.zeros(64, np.uint64)
    for index, word in enumerate(words):
        beginning[ord(word[0]) & 63] |= np.uint64(1 << index)
    return StopWords(batch.data, batch.offsets, beginning)


def statistics(batch: TextBatch, words: Sequence[str] = ()) -> Mapping[str, Column]:
    """Return the columns COUNTS (int32) and SHARES (float32), one number a text.

    words: stop words as the language writes them; `stop_words` counts how many different ones occur, as a whole word or, in
    scripts without spaces, anywhere. A share of nothing is 0."""
    counts = np.zeros((len(COUNTS), len(batch)), np.int32)
    shares = np.zeros((len(SHARES), len(batch)), np.float32)
    measure(batch.data, batch.offsets, kinds(), stop_words(words), scratch(), ln.line_slots(), cuts(), counts, shares)
    return {**dict(zip(COUNTS, counts, strict=True)), **dict(zip(SHARES, shares, strict=True))}


@kernel
def measure(data, offsets, kind_of, stops, work, slots, cut_below, counts, shares):
    of_kind = np.zeros(NUM_KINDS, np.int64)
    tallies = np.zeros(NUM_TALLIES, np.int64)
    of_lines = np.zeros(ln.NUM_COUNTS, np.int64)
    repeated = np.zeros(NUM_LEVELS, np.int64)
    of_tokens = np.zeros(NUM_TOKEN_COUNTS, np.int64)
    for text in range(len(offsets) - 1):
        begin, end = offsets[text], offsets[text + 1]
        read_units(data, begin, end, kind_of, stops, of_kind, tallies)
        read_tokens(data, begin, end, kind_of, cut_below, work, of_tokens)
        ln.measure_lines(data, begin, end, kind_of, slots, of_lines)
        measure_repetition(work, of_tokens[LOOKED_TOKENS], repeated)
        write(text, of_kind, tallies, of_tokens, of_lines, repeated, counts, shares)


@kernel
def read_units(data, begin, end, kind_of, stops, of_kind, tallies):
    """Count kinds of characters, units and stop words; hashes and lengths of the first MAX_UNITS units go to `work`."""
    of_kind[:] = 0
    tallies[:] = 0
    position, chars, found, dots = begin, 0, np.uint64(0), 0
    word_begin, word_chars, alphabetic = begin, 0, 0
    while position < end:
        code, width = code_point(data, position, end)
        kind = np.int64(kind_of[code] & KIND_MASK)
        of_kind[kind] += 1
        chars += 1
        if kind >= DIGIT and (UNSPACED >> kind) & 1 == 0:
            if kind != MARK or word_chars:
                if word_chars == 0:
                    word_begin = position
                word_chars += 1
                alphabetic |= kind >= FIRST_SCRIPT
        else:
            if word_chars:
                found |= stop_word_at(data, word_begin, position, end, kind_of, stops, found)
                add_unit(tallies, word_chars, alphabetic)
                word_chars, alphabetic = 0, 0
            if kind >= DIGIT:
                found |= stop_word_at(data, position, position, end, kind_of, stops, found)
                add_unit(tallies, 1, 1)
            elif code == STOP:
                dots += 1
                tallies[ELLIPSES] += dots == 3
                dots = dots % 3
            else:
                tallies[HASHES] += code == HASH
                tallies[ELLIPSES] += code == ELLIPSIS
        if code != STOP:
            dots = 0
        position += width
    if word_chars:
        found |= stop_word_at(data, word_begin, position, end, kind_of, stops, found)
        add_unit(tallies, word_chars, alphabetic)
    while found:
        tallies[STOP_WORDS] += 1
        found &= found - ONE


@kernel
def add_unit(tallies, num_chars, alphabetic):
    tallies[UNITS] += 1
    tallies[UNIT_CHARS] += num_chars
    tallies[ALPHABETIC] += alphabetic


@kernel
def stop_word_at(data, begin, word_end, end, kind_of, stops, found):
    """Return the mask of the stop word that stands at a byte, of those not found yet.

    word_end: the byte after the word that begins there, at which or at a later end of word the stop word must end; `begin` itself
    where there are no spaces: the stop word may end anywhere."""
    code, _ = code_point(data, begin, end)
    candidates = stops.beginning[code & 63] & ~found
    if not candidates:
        return np.uint64(0)
    hits = np.uint64(0)
    for index in range(len(stops.offsets) - 1):
        if (candidates >> np.uint64(index)) & ONE:
            first, last = stops.offsets[index], stops.offsets[index + 1]
            after = begin + last - first
            if after > end or after < word_end:
                continue
            same = True
            for offset in range(last - first):
                same = same and data[begin + offset] == stops.data[first + offset]
            if same and (word_end == begin or after == word_end or ends_word(data, after, end, kind_of)):
                hits |= ONE << np.uint64(index)
    return hits


@kernel
def ends_word(data, position, end, kind_of):
    if position >= end:
        return True
    code, _ = code_point(data, position, end)
    kind = np.int64(kind_of[code] & KIND_MASK)
    return kind < DIGIT or (UNSPACED >> kind) & 1 == 1


@kernel
def write(text, of_kind, tallies, of_tokens, of_lines, repeated, counts, shares):
    """Turn what was counted into the text's row of every column, in the order of COUNTS and SHARES."""
    of_kind[OTHER] += of_kind[OTHER_BY_CODE_POINT]
    chars, letters = of_kind[:OTHER_BY_CODE_POINT].sum(), of_kind[MARK] + of_kind[FIRST_SCRIPT : OTHER + 1].sum()
    visible = chars - of_kind[SPACE] - of_kind[NEWLINE]
    tokens = max(1, tallies[UNITS] + of_kind[SYMBOL])
    row = (chars, visible, letters, of_kind[DIGIT], tallies[UNITS], of_kind[SYMBOL], of_kind[NEWLINE])
    for column, count in enumerate(row):
        counts[column, text] = count
    counts[len(row), text] = of_lines[ln.ALL_LINES]
    counts[len(row) + 1, text] = tallies[STOP_WORDS]
    for column in range(len(TOKEN_COUNTS)):
        counts[len(row) + 2 + column, text] = of_tokens[column]
    shares[0, text] = letters / max(1, visible)
    shares[1, text] = of_kind[DIGIT] / max(1, visible)
    column = 2
    for kind in range(FIRST_SCRIPT, OTHER + 1):
        shares[column, text] = of_kind[kind] / max(1, letters)
        column += 1
    ratios = (
        tallies[UNIT_CHARS] / max(1, tallies[UNITS]),
        tallies[HASHES] / tokens,
        tallies[ELLIPSES] / tokens,
        tallies[ALPHABETIC] / tokens,
        of_kind[NEWLINE] / tokens,
        of_lines[ln.BULLET_LINES] / max(1, of_lines[ln.ALL_LINES]),
        of_lines[ln.ELLIPSIS_LINES] / max(1, of_lines[ln.ALL_LINES]),
        of_lines[ln.ENDED_LINES] / max(1, of_lines[ln.CONTENT_LINES]),
        of_lines[ln.SHORT_LINES] / max(1, of_lines[ln.CONTENT_LINES]),
        of_lines[ln.REPEATED_CONTENT_CHARS] / max(1, of_lines[ln.LINE_CHARS]),
        of_lines[ln.REPEATED_LINES] / max(1, of_lines[ln.LINES]),
        of_lines[ln.REPEATED_LINE_CHARS] / max(1, of_lines[ln.ALL_CHARS]),
        of_lines[ln.REPEATED_PARAGRAPHS] / max(1, of_lines[ln.PARAGRAPHS]),
        of_lines[ln.REPEATED_PARAGRAPH_CHARS] / max(1, of_lines[ln.ALL_CHARS]),
    )
    for ratio in ratios:
        shares[column, text] = ratio
        column += 1
    for level in range(NUM_LEVELS):
        shares[column + level, text] = repeated[level] / max(1, of_tokens[LOOKED_CHARS])
