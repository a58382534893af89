"""Units: what n-grams and shingles are made of. Words where a script writes spaces, code points where it does not.

A word is a run of letters, marks and digits of spaced scripts (Latin, Hangul, Cyrillic, ...); each Han, Kana, Thai (Lao,
Khmer, Myanmar) letter or mark is a unit of its own. A mark of no script's range begins no word. Punctuation, symbols and
spaces part units and are none. No word list and no segmenter: those read 0.06 to 0.35 MB/s (reference data-pipeline.md,
section 3.1), this reads hundreds.

Text must be UTF-8; a damaged byte is read as some symbol and nothing outside the text is touched.
"""

from typing import NamedTuple

import numpy as np

from polyglot_lm.corpus.kernels.compiled import kernel
from polyglot_lm.corpus.kernels.scripts import DIGIT, KIND_MASK, MARK, NUM_FOLDED, UNSPACED

HASH_SEED = np.uint64(0x9E3779B97F4A7C15)
HASH_FACTOR = np.uint64(0xD1342543DE82EF95)
MIX_FACTOR = np.uint64(0xFF51AFD7ED558CCD)
SHIFT = np.uint64(32)
REPLACEMENT = 0xFFFD
BOUNDARY_KINDS = DIGIT  # kinds below it part words


class Reading(NamedTuple):
    """How far a reading of units came: units in hand, and the byte where the next reading goes on."""

    num_units: int
    position: int


@kernel
def code_point(data, position, end):
    """Return the code point at a byte and how many bytes it takes."""
    lead = np.int64(data[position])
    if lead < 0x80:
        return lead, 1
    if lead < 0xE0:
        if position + 1 >= end:
            return REPLACEMENT, 1
        return (lead & 0x1F) << 6 | np.int64(data[position + 1] & 0x3F), 2
    if lead < 0xF0:
        if position + 2 >= end:
            return REPLACEMENT, end - position
        return (lead & 0x0F) << 12 | np.int64(data[position + 1] & 0x3F) << 6 | np.int64(data[position + 2] & 0x3F), 3
    if position + 3 >= end:
        return REPLACEMENT, end - position
    low = np.int64(data[position + 2] & 0x3F) << 6 | np.int64(data[position + 3] & 0x3F)
    return (lead & 0x07) << 18 | np.int64(data[position + 1] & 0x3F) << 12 | low, 4


@kernel
def mixed(value):
    """Spread every bit of a hash over the whole word."""
    value = (value ^ (value >> SHIFT)) * MIX_FACTOR
    return value ^ (value >> SHIFT)


@kernel
def read_folded(data, begin, end, kinds, folds, units, in_hand):
    """Append hashes of case-folded units to units[in_hand:] until it is full or the text ends.

    kinds: uint8 of code point; folds: uint16, lower case; units: uint64. Returns a Reading."""
    position, num_units, room = begin, in_hand, len(units)
    word, in_word = HASH_SEED, False
    while position < end and num_units < room:
        code, width = code_point(data, position, end)
        kind = kinds[code] & KIND_MASK
        if kind >= DIGIT and (UNSPACED >> kind) & 1 == 0:
            if kind != MARK or in_word:
                folded = np.uint64(folds[code]) if code < NUM_FOLDED else np.uint64(code)
                word = (word ^ folded) * HASH_FACTOR
                in_word = True
        else:
            if in_word:
                units[num_units] = mixed(word)
                num_units += 1
                word, in_word = HASH_SEED, False
                if num_units == room:
                    break
            if kind >= DIGIT:
                units[num_units] = mixed((HASH_SEED ^ np.uint64(code)) * HASH_FACTOR)
                num_units += 1
        position += width
    if in_word and num_units < room:
        units[num_units] = mixed(word)
        num_units += 1
    return Reading(num_units, position)
