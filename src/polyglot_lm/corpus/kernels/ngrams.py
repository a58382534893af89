"""N-grams of equal content: how evaluation texts are cut for an index, and how a batch of documents is looked up in it.

Units carry weights: an n-gram is the shortest run of units that ends at a unit and weighs FULL at least, so it has 13 English
words, or 21 Chinese characters, or some of each where scripts mix, and is the same run in the item and in a copy of it,
whatever stands around. Sums and polynomial hashes of all that stands before a unit give those of any run in one step.

Looking up: every unit ends an *anchor*, the shortest run of `least` weight. The anchors of all that is in the index stand in a
Bloom filter, each key in one 64-bit block, so one load decides nearly every unit. Where it says perhaps, the n-gram that ends
there is sought by binary search, and so are the short texts that end with this anchor, which weigh less than an n-gram.

A text's hash is a polynomial mod 2^64 in an odd base over mixed 64-bit hashes of units; two different runs agree with a probability
of 2^-64, or some bits more if one is the other in another order. 10 TB of text (2.5e12 units) against 1.7e6 n-grams:
0.2 false n-grams in all. Scratch memory is bounded (140 KB), however long a document is.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from polyglot_lm.corpus.kernels.batch import TextBatch, read_only
from polyglot_lm.corpus.kernels.compiled import kernel
from polyglot_lm.corpus.kernels.scripts import (
    DIGIT,
    FIRST_SCRIPT,
    KIND_MASK,
    MARK,
    NUM_FOLDED,
    NUM_KINDS,
    OTHER_BY_CODE_POINT,
    SCRIPTS,
    UNSPACED,
    folds,
    kinds,
)
from polyglot_lm.corpus.kernels.units import HASH_FACTOR, HASH_SEED, SHIFT, Reading, code_point, mixed

Hashes = np.ndarray[Any, np.dtype[np.uint64]]
Array = np.ndarray[Any, np.dtype[Any]]
Integers = np.ndarray[Any, np.dtype[np.int64]]
FULL = 1 << 16  # what an n-gram weighs; a unit of which n make one weighs FULL / n, rounded up: exactly n reach it, n <= 256
BLOCK_UNITS = 4096
HITS_AT_ONCE = 1 << 18
MAX_TEXT_HITS = 1 << 14  # a text with as many is a copy of the evaluation set; it is read no further
FILTER_BITS_PER_KEY = 16  # 4 bits set: about 0.5 % of other keys pass
BASE = np.uint64(0x9FB21C651E98DF25)  # odd
BIT, SIX_BITS = np.uint64(1), np.uint64(63)
SIX, TWELVE, EIGHTEEN = np.uint64(6), np.uint64(12), np.uint64(18)
MOST_REPETITION = 4  # an n-gram with less than a quarter of its units distinct ("ha ha ha") says nothing


class Rule(NamedTuple):
    """How units are weighed, by kind of character; the least weight of a text that is indexed whole; BASE to the power of 0, 1, ...
    up to the most units that an n-gram can have."""

    weights: Integers
    least: int
    powers: Hashes


class Index(NamedTuple):
    """Sorted hashes of n-grams and short texts, one for each text that has it; anchors of the short ones; the filter."""

    hashes: Hashes
    short_anchors: Hashes  # sorted, with the number of units of the text that ends so
    short_units: Integers
    filter: Hashes


def rule_of(units: Mapping[str, int], whole_percent: int) -> Rule:
    """Make the rule: units in an n-gram by name of script, `word` for scripts not named, `number` for digits alone."""
    weights = np.zeros(NUM_KINDS, np.int64)
    for script in range(FIRST_SCRIPT, NUM_KINDS):
        name = SCRIPTS[script - FIRST_SCRIPT] if script < OTHER_BY_CODE_POINT else "code_point"
        weights[script] = -(-FULL // units.get(name, units["word"]))
    weights[DIGIT] = -(-FULL // units["number"])
    powers = np.cumprod(np.array([1, *[BASE] * max(units.values())], np.uint64), dtype=np.uint64)
    return Rule(weights, FULL * whole_percent // 100, powers)


class Cuts(NamedTuple):
    """N-grams as they were cut: hash, anchor, number of the text, and how many units the text has if it is one whole (else 0)."""

    hashes: Array
    anchors: Array
    texts: Array
    whole_units: Array

    def select(self, which: Array) -> "Cuts":
        return Cuts(*(column[which] for column in self))


def text_weights(batch: TextBatch, rule: Rule) -> Integers:
    """Return what the units of each text weigh together."""
    weights = np.zeros(len(batch), np.int64)
    weigh(batch.data, batch.offsets, kinds(), folds(), rule, weights)
    return weights


def cut_batch(batch: TextBatch, rule: Rule) -> Cuts:
    """Return the n-grams of the texts in their order, 30 bytes of scratch a byte of text."""
    most = batch.num_bytes  # a unit has at least one byte
    room = Cuts(np.empty(most, np.uint64), np.empty(most, np.uint64), np.empty(most, np.int64), np.empty(most, np.int64))
    capacity = int(np.diff(batch.offsets).max(initial=0))
    written = cut(batch.data, batch.offsets, kinds(), folds(), rule, capacity, *room)
    return Cuts(*(column[:written].copy() for column in room))


def filter_of(anchors: Hashes) -> Hashes:
    """Return the blocks of a Bloom filter that has these keys."""
    blocks = np.zeros(1 + len(anchors) * FILTER_BITS_PER_KEY // 64, np.uint64)
    fill_filter(anchors, blocks)
    return blocks


def find(batch: TextBatch, rule: Rule, index: Index) -> tuple[Integers, Integers]:
    """Return (text, place in the index) of the hits, each pair once, sorted; of a text, its first MAX_TEXT_HITS hits."""
    data, offsets = read_only(batch.data), read_only(batch.offsets)
    text_of, place_of = np.empty(HITS_AT_ONCE, np.int64), np.empty(HITS_AT_ONCE, np.int64)
    found = [np.zeros((2, 0), np.int64)]
    following = 0
    while following < len(batch):
        following, written = scan(data, offsets, following, kinds(), folds(), rule, index, text_of, place_of)
        found.append(np.unique(np.stack([text_of[:written], place_of[:written]]), axis=1))
    texts, places = np.concatenate(found, axis=1)
    return texts, places


@kernel
def read_weighed(data, begin, end, kind_of, fold_of, weights, units, weighed, in_hand):
    """Read as `units.read_folded` does, and write beside each unit its weight: a word's is that of its heaviest character."""
    position, num_units, room = begin, in_hand, len(units)
    word, weight, in_word = HASH_SEED, np.int64(0), False
    while position < end and num_units < room:
        code, width = code_point(data, position, end)
        kind = kind_of[code] & KIND_MASK
        if kind >= DIGIT and (UNSPACED >> kind) & 1 == 0:
            if kind != MARK or in_word:
                folded = np.uint64(fold_of[code]) if code < NUM_FOLDED else np.uint64(code)
                word = (word ^ folded) * HASH_FACTOR
                weight = max(weight, weights[kind])
                in_word = True
        else:
            if in_word:
                units[num_units] = mixed(word)
                weighed[num_units] = weight
                num_units += 1
                word, weight, in_word = HASH_SEED, np.int64(0), False
                if num_units == room:
                    break
            if kind >= DIGIT:
                units[num_units] = mixed((HASH_SEED ^ np.uint64(code)) * HASH_FACTOR)
                weighed[num_units] = weights[kind]
                num_units += 1
        position += width
    if in_word and num_units < room:
        units[num_units] = mixed(word)
        weighed[num_units] = weight
        num_units += 1
    return Reading(num_units, position)


@kernel
def accumulate(units, weighed, first, num_units, hashes, sums):
    """Extend the hash and the weight of everything before a unit over units[first:num_units]."""
    for unit in range(first, num_units):
        hashes[unit + 1] = hashes[unit] * BASE + units[unit]
        sums[unit + 1] = sums[unit] + weighed[unit]


@kernel
def hash_of(hashes, begin, end, powers):
    return mixed(hashes[end] - hashes[begin] * powers[end - begin])


@kernel
def begin_of(sums, end, weight, after):
    """Return where the shortest run up to `end` begins that weighs at least so much, or -1; it begins at `after` or before."""
    begin = after
    while begin >= 0 and sums[end] - sums[begin] < weight:
        begin -= 1
    return begin


@kernel
def weigh(data, offsets, kind_of, fold_of, rule, weights):
    """Write what the units of each text weigh."""
    units, weighed = np.empty(BLOCK_UNITS, np.uint64), np.empty(BLOCK_UNITS, np.int64)
    for text in range(len(offsets) - 1):
        position, end = offsets[text], offsets[text + 1]
        weights[text] = 0
        while position < end:
            found, position = read_weighed(data, position, end, kind_of, fold_of, rule.weights, units, weighed, 0)
            weights[text] += weighed[:found].sum()


@kernel
def cut(data, offsets, kind_of, fold_of, rule, capacity, ngrams, anchors, texts, whole_units):
    """Write hash, anchor and text of every n-gram; of a short text its whole, with its number of units (else 0). Return how many.

    capacity: bytes of the longest text. Short of `least`: nothing."""
    units, weighed = np.empty(capacity, np.uint64), np.empty(capacity, np.int64)
    hashes, sums = np.zeros(capacity + 1, np.uint64), np.zeros(capacity + 1, np.int64)
    written = 0
    for text in range(len(offsets) - 1):
        num_units, _ = read_weighed(data, offsets[text], offsets[text + 1], kind_of, fold_of, rule.weights, units, weighed, 0)
        accumulate(units, weighed, 0, num_units, hashes, sums)
        is_whole = sums[num_units] < FULL
        for end in range(num_units if is_whole else 1, num_units + 1):
            begin = 0 if is_whole else begin_of(sums, end, FULL, end - 1)
            anchor = begin_of(sums, end, rule.least, end - 1)
            if begin < 0 or anchor < 0 or not is_telling(units, begin, end):
                continue
            ngrams[written] = hash_of(hashes, begin, end, rule.powers)
            anchors[written] = hash_of(hashes, anchor, end, rule.powers)
            texts[written] = text
            whole_units[written] = num_units if is_whole else 0
            written += 1
    return written


@kernel
def is_telling(units, begin, end):
    distinct = 0
    for unit in range(begin, end):
        is_new = True
        for earlier in range(begin, unit):
            is_new = is_new and units[earlier] != units[unit]
        distinct += is_new
    return distinct * MOST_REPETITION >= end - begin


@kernel
def filter_mask(key):
    return (
        BIT << (key & SIX_BITS)
        | BIT << (key >> SIX & SIX_BITS)
        | BIT << (key >> TWELVE & SIX_BITS)
        | BIT << (key >> EIGHTEEN & SIX_BITS)
    )


@kernel
def filter_block(key, num_blocks):
    return (key >> SHIFT) * num_blocks >> SHIFT


@kernel
def fill_filter(keys, blocks):
    num_blocks = np.uint64(len(blocks))
    for key in keys:
        blocks[filter_block(key, num_blocks)] |= filter_mask(key)


@kernel
def first_at_least(ordered, key):
    low, high = 0, len(ordered)
    while low < high:
        middle = (low + high) >> 1
        if ordered[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def record(index, key, text, text_of, place_of, num_found):
    """Write the places of a hash in the index, as long as there is room."""
    place = first_at_least(index.hashes, key)
    while place < len(index.hashes) and index.hashes[place] == key and num_found < len(text_of):
        text_of[num_found] = text
        place_of[num_found] = place
        num_found += 1
        place += 1
    return num_found


@kernel
def scan(data, offsets, first, kind_of, fold_of, rule, index, text_of, place_of):
    """Look up the texts from `first`; write text and place in the index of every hit. Return (next text, number of hits).

    It stops early when the next text may not find room for MAX_TEXT_HITS."""
    keep = len(rule.powers) - 1
    units, weighed = np.empty(BLOCK_UNITS + keep, np.uint64), np.empty(BLOCK_UNITS + keep, np.int64)
    hashes, sums = np.zeros(len(units) + 1, np.uint64), np.zeros(len(units) + 1, np.int64)
    num_blocks = np.uint64(len(index.filter))
    num_found = 0
    for text in range(first, len(offsets) - 1):
        if num_found + MAX_TEXT_HITS > len(text_of):
            return text, num_found
        position, stop = offsets[text], offsets[text + 1]
        limit = text_of[: num_found + MAX_TEXT_HITS]
        in_hand, begin = 0, 0
        hashes[0], sums[0] = 0, 0
        while position < stop and num_found < len(limit):
            num_units, position = read_weighed(data, position, stop, kind_of, fold_of, rule.weights, units, weighed, in_hand)
            accumulate(units, weighed, in_hand, num_units, hashes, sums)
            for end in range(in_hand + 1, num_units + 1):
                while sums[end] - sums[begin + 1] >= rule.least:
                    begin += 1
                if sums[end] - sums[begin] < rule.least:
                    continue
                anchor = hash_of(hashes, begin, end, rule.powers)
                mask = filter_mask(anchor)
                if index.filter[filter_block(anchor, num_blocks)] & mask == mask:
                    num_found = look_up(index, anchor, begin, end, hashes, sums, rule, text, limit, place_of, num_found)
            kept = min(num_units, keep)
            hashes[: kept + 1] = hashes[num_units - kept : num_units + 1]
            sums[: kept + 1] = sums[num_units - kept : num_units + 1]
            begin = max(0, begin - (num_units - kept))
            in_hand = kept
    return len(offsets) - 1, num_found


@kernel
def look_up(index, anchor, begin, end, hashes, sums, rule, text, text_of, place_of, num_found):
    """Seek the n-gram that ends where the anchor ends, and the short texts that do."""
    start = begin_of(sums, end, FULL, begin)
    if start >= 0:
        num_found = record(index, hash_of(hashes, start, end, rule.powers), text, text_of, place_of, num_found)
    place = first_at_least(index.short_anchors, anchor)
    while place < len(index.short_anchors) and index.short_anchors[place] == anchor:
        whole = end - index.short_units[place]
        if whole >= 0:
            num_found = record(index, hash_of(hashes, whole, end, rule.powers), text, text_of, place_of, num_found)
        place += 1
    return num_found
