"""What the rules of Gopher and FineWeb ask of a document's lines and paragraphs: repeated, ended, short, bullets, ellipses.

A line is what stands between line feeds (ingest leaves no other separator but U+2028, which is no separator here); a
paragraph is lines in a row of which none is empty. Two are equal if 64-bit hashes of their bytes are. Only a document's first
MAX_LINES lines are looked at, about a megabyte of text: every figure here is about those.
"""

from typing import Any

import numpy as np

from polyglot_lm.corpus.kernels.compiled import kernel
from polyglot_lm.corpus.kernels.scripts import ENDS_SENTENCE, KIND_MASK, SPACE
from polyglot_lm.corpus.kernels.units import HASH_FACTOR, HASH_SEED, code_point, mixed

MAX_LINES = 16_384
MIN_SLOTS = 64
SHORT_LINE_CHARS = 30
BULLET, HYPHEN, STOP, ELLIPSIS = ord("•"), ord("-"), ord("."), ord("…")
LINE_FEED = ord("\n")
(
    ALL_LINES,  # as Python's splitlines: empty ones too, but none after a last line feed
    LINES,  # not empty
    REPEATED_LINES,
    REPEATED_LINE_CHARS,
    CONTENT_LINES,  # with something else than white space
    REPEATED_CONTENT_CHARS,
    ENDED_LINES,  # the very last character ends a sentence
    SHORT_LINES,
    BULLET_LINES,
    ELLIPSIS_LINES,
    PARAGRAPHS,
    REPEATED_PARAGRAPHS,
    REPEATED_PARAGRAPH_CHARS,
    LINE_CHARS,  # line feeds not counted
    ALL_CHARS,  # line feeds counted
    NUM_COUNTS,
) = range(16)

Slots = np.ndarray[Any, np.dtype[np.uint64]]
TAKEN = np.uint64(1)


def line_slots() -> Slots:
    """Return the table of hashes of one thread: lines and paragraphs, at most half full."""
    return np.empty(4 * MAX_LINES, np.uint64)


@kernel
def clear(slots, data, begin, end):
    num_feeds = 0
    for position in range(begin, end):
        num_feeds += data[position] == LINE_FEED
    size = MIN_SLOTS
    while size < 4 * min(num_feeds + 1, MAX_LINES):
        size *= 2
    slots[:size] = 0
    return size - 1


@kernel
def seen_before(slots, mask, value):
    """Return 1 if the hash is in the table, else put it there and return 0."""
    value = mixed(value) | TAKEN
    slot = np.int64(value >> np.uint64(40)) & mask
    while slots[slot] != 0:
        if slots[slot] == value:
            return 1
        slot = (slot + 1) & mask
    slots[slot] = value
    return 0


@kernel
def first_visible(data, begin, end, kinds):
    """Return the line's first code point that is no white space, -1 if there is none."""
    position = begin
    while position < end:
        code, width = code_point(data, position, end)
        if kinds[code] & KIND_MASK != SPACE:
            return code
        position += width
    return -1


@kernel
def last_start(data, begin, end):
    position = end - 1
    while position > begin and data[position] & 0xC0 == 0x80:
        position -= 1
    return position


@kernel
def ends_in_ellipsis(data, begin, end, kinds):
    """Say whether the line ends in an ellipsis or three full stops, white space after them aside."""
    while end > begin:
        start = last_start(data, begin, end)
        code, _ = code_point(data, start, end)
        if kinds[code] & KIND_MASK != SPACE:
            stops = end - begin >= 3 and data[end - 1] == STOP and data[end - 2] == STOP and data[end - 3] == STOP
            return code == ELLIPSIS or stops
        end = start
    return False


@kernel
def measure_line(data, begin, end, kinds, slots, mask, counts):
    """Count one line that is not empty; return its hash and its characters."""
    value, chars = HASH_SEED, 0
    for position in range(begin, end):
        value = (value ^ np.uint64(data[position])) * HASH_FACTOR
        chars += data[position] & 0xC0 != 0x80
    repeated = seen_before(slots, mask, value)
    counts[LINES] += 1
    counts[LINE_CHARS] += chars
    counts[REPEATED_LINES] += repeated
    counts[REPEATED_LINE_CHARS] += repeated * chars
    first = first_visible(data, begin, end, kinds)
    if first >= 0:
        last, _ = code_point(data, last_start(data, begin, end), end)
        counts[CONTENT_LINES] += 1
        counts[REPEATED_CONTENT_CHARS] += repeated * chars
        counts[ENDED_LINES] += kinds[last] & ENDS_SENTENCE != 0
        counts[SHORT_LINES] += chars <= SHORT_LINE_CHARS
        counts[BULLET_LINES] += first in (BULLET, HYPHEN)
        counts[ELLIPSIS_LINES] += ends_in_ellipsis(data, begin, end, kinds)
    return value, chars


@kernel
def end_paragraph(value, chars, slots, mask, counts):
    if chars:
        repeated = seen_before(slots, mask, value)
        counts[PARAGRAPHS] += 1
        counts[REPEATED_PARAGRAPHS] += repeated
        counts[REPEATED_PARAGRAPH_CHARS] += repeated * (chars - 1)  # the line feed after it is not of it


@kernel
def measure_lines(data, begin, end, kinds, slots, counts):
    """Fill counts (int64 [NUM_COUNTS], by the names above) for the text data[begin:end]."""
    counts[:] = 0
    mask = clear(slots, data, begin, end)
    start, paragraph, paragraph_chars = begin, ~HASH_SEED, 0
    while start < end and counts[ALL_LINES] < MAX_LINES:
        stop = start
        while stop < end and data[stop] != LINE_FEED:
            stop += 1
        counts[ALL_LINES] += 1
        if stop > start:
            value, chars = measure_line(data, start, stop, kinds, slots, mask, counts)
            paragraph = (paragraph ^ mixed(value)) * HASH_FACTOR
            paragraph_chars += chars + 1
        else:
            end_paragraph(paragraph, paragraph_chars, slots, mask, counts)
            paragraph, paragraph_chars = ~HASH_SEED, 0
        counts[ALL_CHARS] += stop < end
        start = stop + 1
    end_paragraph(paragraph, paragraph_chars, slots, mask, counts)
    counts[ALL_CHARS] += counts[LINE_CHARS]
