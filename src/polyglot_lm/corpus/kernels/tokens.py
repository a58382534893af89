"""Tokens: what stands in for a segmenter's words where the quality rules need them; no word list, one pass.

Words of spaced scripts are tokens, and so is each symbol (a run of the same one counts once), since the rules of Gopher and FineWeb
mean tables and markup too. Runs of Han, Kana and Thai are cut between two letters whose hash says so: the same text is always
cut in the same places, and a script's tokens are on average as long as its segmenter's words. They are no words, but a
repeated run of words is a repeated run of them.

How many tokens a real segmenter finds is estimated elsewhere (`corpus.quality`) from the counts here: where symbols stand, and what
*pieces* (visible characters between spaces, scripts without spaces left out) hold. Segmenters leave `3.5` and `--flag` whole, part
`(see` and `end.`, and never agree with one another.
"""

from typing import Any

import numpy as np

from polyglot_lm.corpus.kernels.batch import Bytes
from polyglot_lm.corpus.kernels.compiled import kernel
from polyglot_lm.corpus.kernels.repetition import MAX_UNITS
from polyglot_lm.corpus.kernels.scripts import (
    DIGIT,
    FIRST_SCRIPT,
    KIND_MASK,
    MARK,
    NEWLINE,
    NUM_KINDS,
    SCRIPTS,
    SPACE,
    UNSPACED,
)
from polyglot_lm.corpus.kernels.units import HASH_FACTOR, HASH_SEED, code_point, mixed

TOKEN_COUNTS = (
    *("spaced_words", "spaced_numbers"),  # runs of letters, marks and digits of spaced scripts, with a letter and without
    *("symbols_between", "symbols_after", "symbols_before", "symbols_alone"),  # by neighbours that are letters or digits
    "symbols_repeated",  # the same symbol stands before it, whatever follows
    *("pieces_with_letters", "pieces_with_digits", "pieces_of_symbols"),  # digits: and no letters
)
WORDS, NUMBERS, BETWEEN, AFTER, BEFORE, ALONE, REPEATED, WITH_LETTERS, WITH_DIGITS, OF_SYMBOLS = range(len(TOKEN_COUNTS))
ALL_TOKENS, LOOKED_TOKENS, LOOKED_CHARS = range(len(TOKEN_COUNTS), len(TOKEN_COUNTS) + 3)
NUM_TOKEN_COUNTS = len(TOKEN_COUNTS) + 3
HAS_SYMBOL, HAS_DIGIT, HAS_LETTER = 1, 2, 4
LETTERS_PER_WORD = {"Hani": 1.8, "Hira": 2.0, "Kana": 4.0, "Thai": 4.9}  # of jieba, Sudachi and PyThaiNLP on our text
OTHER_LETTERS_PER_WORD = 4.0
HALF_BITS = np.uint64(32)


def cuts() -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Return by kind the 32-bit hash below which a run is cut before a letter: uint64 [NUM_KINDS]."""
    table = np.full(NUM_KINDS, 2**32 / OTHER_LETTERS_PER_WORD, np.float64)
    for script, letters in LETTERS_PER_WORD.items():
        table[FIRST_SCRIPT + SCRIPTS.index(script)] = 2**32 / letters
    return table.astype(np.uint64)


@kernel
def read_tokens(data: Bytes, begin, end, kind_of, cut_below, work, counts) -> None:  # type: ignore[no-untyped-def]
    """Fill counts (int64 [NUM_TOKEN_COUNTS]) for data[begin:end]; hashes and lengths of the first tokens go to `work`."""
    counts[:] = 0
    position, chars, holds, last_symbol, kind_before, last_code = begin, 0, 0, -1, np.int64(SPACE), np.uint64(0)
    token, token_chars, has_letter = HASH_SEED, 0, False
    pending = -1  # a symbol waits for what follows: 1 if a letter or digit stands before it, else 0
    while position < end:
        code, width = code_point(data, position, end)
        kind = np.int64(kind_of[code] & KIND_MASK)
        if kind == MARK:  # belongs to what stands before it; alone or after a symbol it is nothing
            token = (token ^ np.uint64(code)) * HASH_FACTOR if token_chars else token
            token_chars += 1 if token_chars else 0
            last_code = np.uint64(code)
            chars += 1
            position += width
            continue
        in_word = kind >= DIGIT
        unspaced = (UNSPACED >> kind) & 1 == 1
        if pending >= 0:
            counts[(BETWEEN if pending else BEFORE) if in_word else (AFTER if pending else ALONE)] += 1
            pending = -1
        if token_chars and (not in_word or parted(unspaced, kind, kind_before, np.uint64(code), last_code, cut_below)):
            end_token(work, counts, token, token_chars, chars, kind_before, has_letter)
            token, token_chars, has_letter = HASH_SEED, 0, False
        if in_word:
            token = (token ^ np.uint64(code)) * HASH_FACTOR
            token_chars += 1
            if kind >= FIRST_SCRIPT:
                has_letter = True
            last_symbol = -1
        if in_word and not unspaced:
            holds |= HAS_LETTER if kind >= FIRST_SCRIPT else HAS_DIGIT
        elif in_word or kind in (SPACE, NEWLINE):
            end_piece(holds, counts)
            holds, last_symbol = 0, -1
        else:
            holds |= HAS_SYMBOL
            if code == last_symbol:
                counts[REPEATED] += 1
            else:
                pending = 1 if kind_before >= DIGIT else 0
                keep_token(work, counts, np.uint64(code), 1, chars + 1)
            last_symbol = code
        kind_before = kind if in_word else np.int64(SPACE)
        last_code = np.uint64(code)
        chars += 1
        position += width
    if pending >= 0:
        counts[AFTER if pending else ALONE] += 1
    if token_chars:
        end_token(work, counts, token, token_chars, chars, kind_before, has_letter)
    end_piece(holds, counts)
    if counts[ALL_TOKENS] == counts[LOOKED_TOKENS]:
        counts[LOOKED_CHARS] = chars


@kernel
def parted(unspaced, kind, kind_before, code, code_before, cut_below):
    """Say whether a token ends between two letters or digits that stand together."""
    if unspaced != ((UNSPACED >> kind_before) & 1 == 1):
        return True
    return unspaced and (mixed((code_before << HALF_BITS | code) * HASH_FACTOR) >> HALF_BITS) < cut_below[kind]


@kernel
def end_token(work, counts, token, token_chars, chars, kind, has_letter) -> None:  # type: ignore[no-untyped-def]
    if (UNSPACED >> kind) & 1 == 0:
        counts[WORDS if has_letter else NUMBERS] += 1
    keep_token(work, counts, mixed(token), token_chars, chars)


@kernel
def keep_token(work, counts, value, token_chars, chars_so_far) -> None:  # type: ignore[no-untyped-def]
    counts[ALL_TOKENS] += 1
    index = counts[LOOKED_TOKENS]
    if index < MAX_UNITS:
        work.units[index] = value
        work.starts[index + 1] = work.starts[index] + token_chars
        counts[LOOKED_TOKENS] += 1
        counts[LOOKED_CHARS] = chars_so_far


@kernel
def end_piece(holds, counts) -> None:  # type: ignore[no-untyped-def]
    if holds & HAS_LETTER:
        counts[WITH_LETTERS] += 1
    elif holds & HAS_DIGIT:
        counts[WITH_DIGITS] += 1
    elif holds:
        counts[OF_SYMBOLS] += 1
