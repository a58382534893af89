"""MinHash signatures: 120 numbers a document whose agreement with another's is the share of shingles they have in common.

A shingle is `shingle_units` units in a row, case-folded, punctuation skipped (`units`). Its 64-bit polynomial hash is cut to
32 bits and permuted by 120 functions x -> a*x + b (mod 2^32, a odd); of each function's minimum over the document the low
16 bits are kept: the high ones are small numbers in every long document and would agree by chance. A multiply, an add and
a minimum on 32-bit lanes vectorise, so that 120 functions cost about as much as the reading.

Fewer units than a shingle: all of them are the one shingle. No unit: the bytes are (so empty documents agree with each
other and with nothing else). Every shingle of the first 16 blocks of 4,096 units counts; after them one in 16, chosen by its
hash, so that a document of 64 MB costs little more than its reading and its end is still looked at.
Source: Broder, "On the resemblance and containment of documents" (1997).
"""

from typing import Any

import numpy as np

from polyglot_lm.corpus.kernels import NUM_BANDS, NUM_VALUES
from polyglot_lm.corpus.kernels.batch import TextBatch, read_only
from polyglot_lm.corpus.kernels.compiled import kernel
from polyglot_lm.corpus.kernels.scripts import folds, kinds
from polyglot_lm.corpus.kernels.units import HASH_FACTOR, HASH_SEED, MIX_FACTOR, SHIFT, mixed, read_folded

Signatures = np.ndarray[Any, np.dtype[np.uint16]]
Keys = np.ndarray[Any, np.dtype[np.uint64]]

ROWS_PER_BAND = NUM_VALUES // NUM_BANDS
MAX_SHINGLE_UNITS = 64
BLOCK_UNITS = 4096  # 32 KB of hashes: they stay in the first cache
WHOLE_BLOCKS = 16
SAMPLED_MASK = np.uint64(15)  # after WHOLE_BLOCKS one shingle in 16
BASE = np.uint64(0x9FB21C651E98DF25)  # odd: the hash of a shingle is a polynomial in it
LANES = 128  # functions computed: a whole number of vectors of any width; the first 120 are kept


def permutations() -> tuple[np.ndarray[Any, np.dtype[np.uint32]], np.ndarray[Any, np.dtype[np.uint32]]]:
    """Return the factors (odd) and terms of the permutations, uint32 [LANES], the same for ever."""
    state = np.uint64(0)
    drawn = np.zeros(2 * LANES, np.uint64)
    with np.errstate(over="ignore"):
        for index in range(len(drawn)):  # splitmix64
            state += np.uint64(0x9E3779B97F4A7C15)
            value = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            drawn[index] = value ^ (value >> np.uint64(31))
    high = (drawn >> np.uint64(32)).astype(np.uint32)
    return high[:LANES] | np.uint32(1), high[LANES:]


FACTORS, TERMS = permutations()


def signatures(batch: TextBatch, shingle_units: int) -> Signatures:
    """Return uint16 [texts, 120]. Raises ValueError for shingles of no or more than 64 units."""
    if not 1 <= shingle_units <= MAX_SHINGLE_UNITS:
        raise ValueError(f"shingle_units is {shingle_units}; give 1 to {MAX_SHINGLE_UNITS}")
    found = np.empty((len(batch), NUM_VALUES), np.uint16)
    sign(batch.data, batch.offsets, shingle_units, kinds(), folds(), FACTORS, TERMS, found)
    return found


def band_keys(signed: Signatures) -> Keys:
    """Return uint64 [texts, 20], each the hash of 6 values in a row and of the band's number."""
    keys = np.empty((len(signed), NUM_BANDS), np.uint64)
    hash_bands(read_only(signed), keys)
    return keys


@kernel
def sign(data, offsets, shingle_units, kind_of, fold_of, factors, terms, found):
    units = np.empty(BLOCK_UNITS, np.uint64)
    hashes = np.empty(BLOCK_UNITS, np.uint32)
    minima = np.empty(LANES, np.uint32)
    for text in range(len(offsets) - 1):
        minima[:] = np.uint32(0xFFFFFFFF)
        position, end = offsets[text], offsets[text + 1]
        units_seen, in_hand, block = 0, 0, 0
        while position < end:
            num_units, position = read_folded(data, position, end, kind_of, fold_of, units, in_hand)
            units_seen += num_units - in_hand
            num_hashes = hash_shingles(units, num_units, shingle_units, block >= WHOLE_BLOCKS, hashes)
            lower(minima, hashes, num_hashes, factors, terms)
            kept = min(num_units, shingle_units - 1)
            units[:kept] = units[num_units - kept : num_units]
            in_hand = kept
            block += 1
        if units_seen < shingle_units:
            hashes[0] = hash_whole(data, offsets[text], end, units, units_seen)
            lower(minima, hashes, 1, factors, terms)
        for value in range(NUM_VALUES):
            found[text, value] = np.uint16(minima[value] & np.uint32(0xFFFF))


@kernel
def hash_shingles(units, num_units, shingle_units, sampled, hashes):
    """Write the hashes of all shingles in units[:num_units], or of one in 16; return how many."""
    if num_units < shingle_units:
        return 0
    leaving = np.uint64(1)
    for _ in range(shingle_units):
        leaving *= BASE
    rolled = np.uint64(0)
    for unit in range(shingle_units):
        rolled = rolled * BASE + units[unit]
    hashes[0] = narrow(rolled)
    written = 1 if not sampled or (mixed(rolled) & SAMPLED_MASK) == 0 else 0
    for unit in range(shingle_units, num_units):
        rolled = rolled * BASE + units[unit] - leaving * units[unit - shingle_units]
        hashes[written] = narrow(rolled)
        written += 1 if not sampled or (mixed(rolled) & SAMPLED_MASK) == 0 else 0
    return written


@kernel
def narrow(rolled):
    return np.uint32(((rolled ^ (rolled >> SHIFT)) * MIX_FACTOR) >> SHIFT)


@kernel
def hash_whole(data, begin, end, units, num_units):
    rolled = HASH_SEED
    for unit in range(num_units):
        rolled = rolled * BASE + units[unit]
    if num_units == 0:
        for position in range(begin, end):
            rolled = (rolled ^ np.uint64(data[position])) * HASH_FACTOR
    return narrow(rolled)


@kernel
def lower(minima, hashes, num_hashes, factors, terms):
    """Lower each function's minimum by its values at the hashes; eight at a time, so that minima are loaded once for eight."""
    whole = num_hashes & ~7
    for start in range(0, whole, 8):
        x0, x1, x2, x3 = hashes[start], hashes[start + 1], hashes[start + 2], hashes[start + 3]
        x4, x5, x6, x7 = hashes[start + 4], hashes[start + 5], hashes[start + 6], hashes[start + 7]
        for lane in range(LANES):
            factor, term = factors[lane], terms[lane]
            low = min(np.uint32(factor * x0 + term), np.uint32(factor * x1 + term))
            low = min(low, min(np.uint32(factor * x2 + term), np.uint32(factor * x3 + term)))
            low = min(low, min(np.uint32(factor * x4 + term), np.uint32(factor * x5 + term)))
            low = min(low, min(np.uint32(factor * x6 + term), np.uint32(factor * x7 + term)))
            minima[lane] = min(minima[lane], low)
    for start in range(whole, num_hashes):
        for lane in range(LANES):
            minima[lane] = min(minima[lane], np.uint32(factors[lane] * hashes[start] + terms[lane]))


@kernel
def hash_bands(signed, keys):
    for text in range(len(signed)):
        for band in range(NUM_BANDS):
            key = HASH_SEED + np.uint64(band)
            for row in range(ROWS_PER_BAND):
                key = (key ^ np.uint64(signed[text, band * ROWS_PER_BAND + row])) * HASH_FACTOR
                key ^= key >> SHIFT
            keys[text, band] = mixed(key)
