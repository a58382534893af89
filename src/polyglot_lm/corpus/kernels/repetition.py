"""How much a document repeats itself: Gopher's rules for n-grams of 2 to 10 units, in one cascade instead of nine tables.

An n-gram can only occur twice if both (n-1)-grams in it do. So level n looks at the places that level n-1 left alive, and
names each n-gram by the place of its first occurrence; the pair (name at i, name at i + 1) of the level below is its exact
key, with no hash to collide and no text to compare. Ordinary text has few places left after n = 4, which makes all
nine levels cost about as much as three.

What is counted is what datatrove's GopherRepetitionFilter counts, over our units: for 2 to 4 the characters of the most
frequent n-gram (spaces between its units included) times its count; for 5 to 10 the characters of n-grams that repeat an
earlier one, where the search goes on after a repetition and the n-grams inside it are not remembered.
Source: Rae et al., "Scaling Language Models: Methods, Analysis & Insights from Training Gopher" (2021), table A1.
"""

from typing import Any, NamedTuple

import numpy as np

from polyglot_lm.corpus.kernels.compiled import kernel

FIRST_TOP, LAST_TOP, LAST_DUPLICATE = 2, 4, 10
NUM_LEVELS = LAST_DUPLICATE - FIRST_TOP + 1
MAX_UNITS = 32_768  # looked at in a document; all tables together are 1.2 MB then
MIN_SLOTS = 64
SPREAD = np.uint64(0x9E3779B97F4A7C15)
WORD_BITS, HALF_BITS = np.uint64(64), np.uint64(32)
FREE = -1

Places = np.ndarray[Any, np.dtype[np.int32]]


class Scratch(NamedTuple):
    """Working memory of one thread, reused from document to document."""

    units: np.ndarray[Any, np.dtype[np.uint64]]  # [MAX_UNITS] hash of each unit
    starts: Places  # [MAX_UNITS + 1] characters of the units before
    alive: Places  # [MAX_UNITS] places whose n-gram occurs more than once
    names: Places  # [MAX_UNITS] place of the first occurrence, level below
    new_names: Places  # [MAX_UNITS] the same, this level
    counts: Places  # [MAX_UNITS] occurrences, at the first place
    slots: Places  # [2 * MAX_UNITS] open-addressing table of first places


def scratch() -> Scratch:
    alive, names, new_names, counts = (np.empty(MAX_UNITS, np.int32) for _ in range(4))
    units, starts = np.empty(MAX_UNITS, np.uint64), np.zeros(MAX_UNITS + 1, np.int32)
    return Scratch(units, starts, alive, names, new_names, counts, np.empty(2 * MAX_UNITS, np.int32))


@kernel
def cleared_slots(slots, num_entries):
    """Free enough slots for the entries, at most half full; return the mask of a slot and the shift that makes one of a hash."""
    size, bits = MIN_SLOTS, 6
    while size < 2 * num_entries:
        size *= 2
        bits += 1
    slots[:size] = FREE
    return size - 1, WORD_BITS - np.uint64(bits)


@kernel
def name_units(work, num_units):
    """Level 1: name each unit by its first place; return how many places hold a unit that occurs again."""
    units, alive, names, counts, slots = work.units, work.alive, work.names, work.counts, work.slots
    mask, shift = cleared_slots(slots, num_units)
    for place in range(num_units):
        slot = np.int64((units[place] * SPREAD) >> shift)
        while True:
            first = slots[slot]
            if first == FREE:
                slots[slot] = place
                names[place] = place
                counts[place] = 1
                break
            if units[first] == units[place]:
                names[place] = first
                counts[first] += 1
                break
            slot = (slot + 1) & mask
    num_alive = 0
    for place in range(num_units):
        alive[num_alive] = place
        num_alive += 1 if counts[names[place]] > 1 else 0
    return num_alive


@kernel
def name_pairs(alive, num_alive, names, new_names, counts, slots):
    """Next level: name the n-grams at places that are alive together with the place after; return how many there are."""
    mask, shift = cleared_slots(slots, num_alive)
    num_named = 0
    for index in range(num_alive - 1):
        place = alive[index]
        if alive[index + 1] != place + 1:
            continue
        alive[num_named] = place
        num_named += 1
        left, right = names[place], names[place + 1]
        key = np.uint64(left) << HALF_BITS | np.uint64(right)
        slot = np.int64((key * SPREAD) >> shift)
        while True:
            first = slots[slot]
            if first == FREE:
                slots[slot] = place
                new_names[place] = place
                counts[place] = 1
                break
            if names[first] == left and names[first + 1] == right:
                new_names[place] = first
                counts[first] += 1
                break
            slot = (slot + 1) & mask
    return num_named


@kernel
def most_frequent(alive, num_named, names, counts):
    """Return first place and count of the most frequent n-gram, of equals the first; place 0 and 1 if none repeats."""
    best_place, best_count = 0, 1
    for index in range(num_named):
        place = alive[index]
        if names[place] == place and counts[place] > best_count:
            best_place, best_count = np.int64(place), np.int64(counts[place])
    return best_place, best_count


@kernel
def keep_repeated(alive, num_named, names, counts):
    num_alive = 0
    for index in range(num_named):
        place = alive[index]
        alive[num_alive] = place
        num_alive += 1 if counts[names[place]] > 1 else 0
    return num_alive


@kernel
def repeated_chars(alive, num_alive, names, counts, starts, gram):
    """Return the characters of n-grams met before, never looking inside one that was. Marks the met ones in `counts`."""
    chars, next_place = 0, 0
    for index in range(num_alive):
        place = alive[index]
        if place < next_place:
            continue
        name = names[place]
        if counts[name] < 0:
            chars += starts[place + gram] - starts[place]
            next_place = place + gram
        else:
            counts[name] = -1
    return chars


@kernel
def measure_repetition(work, num_units, chars):
    """Write the characters of the nine rules to chars[0:9]: top 2, 3, 4, duplicate 5 to 10."""
    chars[:] = 0
    starts, alive, names, new_names, counts = work.starts, work.alive, work.names, work.new_names, work.counts
    num_alive = name_units(work, num_units)
    for gram in range(FIRST_TOP, LAST_DUPLICATE + 1):
        if num_units < gram:
            break
        num_named = name_pairs(alive, num_alive, names, new_names, counts, work.slots)
        if gram <= LAST_TOP:
            place, count = most_frequent(alive, num_named, new_names, counts)
            chars[gram - FIRST_TOP] = count * (starts[place + gram] - starts[place] + gram - 1)
        num_alive = keep_repeated(alive, num_named, new_names, counts)
        if gram > LAST_TOP:
            chars[gram - FIRST_TOP] = repeated_chars(alive, num_alive, new_names, counts, starts, gram)
        names, new_names = new_names, names
