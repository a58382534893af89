"""Classes of code points: which script a letter is of, what is a digit, a space, an end of sentence, and its lower case.

`kinds()` gives one byte for each code point: the kind in the low four bits and the mark of sentence-ending punctuation.
Scripts are numeric ranges, the rest is Python's `unicodedata`, read once in about 0.1 s. The kinds in the mask `UNSPACED`
are read code point by code point: Han, Kana, Thai, and Lao, Khmer and Myanmar among the others.
"""

import functools
import unicodedata
from collections.abc import Mapping
from typing import Any

import numpy as np

Ranges = tuple[tuple[int, int], ...]
SCRIPT_RANGES: Mapping[str, Ranges] = {
    "Latn": ((0x41, 0x5A), (0x61, 0x7A), (0xC0, 0xD6), (0xD8, 0xF6), (0xF8, 0x24F), (0x1E00, 0x1EFF)),
    "Hang": ((0x1100, 0x11FF), (0x3130, 0x318F), (0xA960, 0xA97F), (0xAC00, 0xD7FF)),
    "Hira": ((0x3041, 0x309F),),
    "Kana": ((0x30A0, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F)),
    "Hani": ((0x3005, 0x3007), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF)),
    "Thai": ((0xE01, 0xE3A), (0xE40, 0xE4E)),
    "Cyrl": ((0x400, 0x52F),),
    "Arab": ((0x620, 0x6D3), (0x750, 0x77F), (0x8A0, 0x8FF), (0xFB50, 0xFDFF), (0xFE70, 0xFEFC)),
    "Deva": ((0x900, 0x963), (0x966, 0x97F)),
}
OTHER_UNSPACED: Ranges = ((0xE80, 0xEFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0xA9E0, 0xA9FF), (0xAA60, 0xAA7F))

SPACE, NEWLINE, SYMBOL, DIGIT, MARK, FIRST_SCRIPT = range(6)
SCRIPTS = (*SCRIPT_RANGES, "other")
OTHER = FIRST_SCRIPT + len(SCRIPT_RANGES)
OTHER_BY_CODE_POINT = OTHER + 1
NUM_KINDS = OTHER_BY_CODE_POINT + 1
KIND_MASK, ENDS_SENTENCE = 0x1F, 0x20
UNSPACED = sum(1 << (FIRST_SCRIPT + SCRIPTS.index(name)) for name in ("Hira", "Kana", "Hani", "Thai")) | 1 << OTHER_BY_CODE_POINT

LAST_CODE_POINT = 0x323AF  # above it are variation selectors, private use and nothing
VARIATION_SELECTORS = (0xE0100, 0xE01EF)
NUM_CODES = 0x200000  # what 21 bits can say: a damaged text indexes nothing outside
NUM_FOLDED = 0x10000  # the bicameral scripts above (Deseret and its like) keep their case
ENDING_NAMES = ("FULL STOP", "QUESTION MARK", "EXCLAMATION MARK", "DANDA", "INTERROBANG", "KHMER SIGN KHAN", "MYANMAR SIGN")
NOT_ENDING = ("INVERTED", "ARMENIAN", "INITIAL", "VERTICAL")


@functools.cache
def kinds() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the kind of every code point, uint8 [NUM_CODES]."""
    table = np.full(NUM_CODES, SYMBOL, np.uint8)
    kind_of_category = {"L": OTHER, "M": MARK, "N": DIGIT}
    for code in range(LAST_CODE_POINT + 1):
        category = unicodedata.category(chr(code))
        table[code] = kind_of_category.get(category[0], SYMBOL)
        if category == "Po" and ends_sentence(chr(code)):
            table[code] |= ENDS_SENTENCE
    table[VARIATION_SELECTORS[0] : VARIATION_SELECTORS[1] + 1] = MARK
    for code in range(0x3001):
        if chr(code).isspace():
            table[code] = SPACE
    table[ord("\n")] = NEWLINE
    for script, ranges in enumerate(SCRIPT_RANGES.values(), FIRST_SCRIPT):
        give(table, ranges, script)
    give(table, OTHER_UNSPACED, OTHER_BY_CODE_POINT)
    table[0x3007] = FIRST_SCRIPT + SCRIPTS.index("Hani")  # the Han zero is a number to Unicode and a character in dates
    table.flags.writeable = False
    return table


def give(table: np.ndarray[Any, np.dtype[np.uint8]], ranges: Ranges, kind: int) -> None:
    """Make letters and marks in the ranges that kind; the punctuation there stays what it is."""
    for low, high in ranges:
        inside = table[low : high + 1]
        inside[(inside == OTHER) | (inside == MARK)] = kind


def ends_sentence(character: str) -> bool:
    name = unicodedata.name(character, "")
    return any(ending in name for ending in ENDING_NAMES) and not any(word in name for word in NOT_ENDING)


@functools.cache
def folds() -> np.ndarray[Any, np.dtype[np.uint16]]:
    """Return the lower case of every code point below NUM_FOLDED, uint16; itself where it has none or several letters."""
    table = np.arange(NUM_FOLDED, dtype=np.uint16)
    for code in range(NUM_FOLDED):
        lower = chr(code).lower()
        if len(lower) == 1 and ord(lower) != code and ord(lower) < NUM_FOLDED:
            table[code] = ord(lower)
    table.flags.writeable = False
    return table
