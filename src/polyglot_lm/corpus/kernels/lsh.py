"""Locality-sensitive hashing: documents that share a band key are compared, and those alike become one cluster.

In go the rows (band key, document number) of a partition, out come edges between documents; `Components` joins the edges of
all partitions. Rows are scattered by leading bits into parts that fit the cache and grouped there by a small table: a row is
written twice, and nothing is sorted that nobody else shares a key with. Memory is about 40 bytes a row, input included.

A bucket of k documents has k²/2 pairs; instead each document is compared with the bucket's *leaders* (the first ones that were
like none before, at most 64), so k documents cost at most 64 k comparisons. One unlike 64 leaders is left alone in that
bucket; it has 19 others. Documents are taken in the order of their numbers, so that edges depend on the rows as a set only.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from polyglot_lm.corpus.kernels import NUM_VALUES
from polyglot_lm.corpus.kernels.batch import read_only
from polyglot_lm.corpus.kernels.compiled import kernel
from polyglot_lm.corpus.kernels.minhash import Keys, Signatures
from polyglot_lm.corpus.kernels.units import mixed

Numbers = np.ndarray[Any, np.dtype[np.integer[Any]]]  # uint32 or int64
MAX_LEADERS = 64
ROWS_PER_PART = 4096  # with its table 150 KB: it fits the second cache
MAX_PART_BITS = 13
MIN_SLOTS = 64
KEY_BITS = np.uint64(64)


class Buckets(NamedTuple):
    """Documents that share a key: bucket i is documents[bounds[i]:bounds[i + 1]], at least two, in ascending order."""

    documents: Numbers
    bounds: np.ndarray[Any, np.dtype[np.int64]]


class Edges(NamedTuple):
    """Pairs of like documents, first the smaller number."""

    first: Numbers
    second: Numbers


def group(keys: Keys, documents: Numbers) -> Buckets:
    """Return the buckets of at least two documents. keys: uint64; documents: uint32 or int64, as many."""
    if len(keys) != len(documents):
        raise ValueError(f"there are {len(keys)} keys and {len(documents)} documents; give one document a key")
    bits = min(MAX_PART_BITS, max(1, math.ceil(math.log2(max(1, len(keys)) / ROWS_PER_PART + 1))))
    part_keys, part_documents = np.empty_like(keys), np.empty_like(documents)
    starts = scatter(read_only(keys), read_only(documents), bits, part_keys, part_documents)
    slots = np.empty(2 << math.ceil(math.log2(max(MIN_SLOTS, np.diff(starts).max()))), np.int32)
    grouped = np.empty_like(documents)
    bounds = np.empty(len(keys) // 2 + 1, np.int64)
    num_rows, num_buckets = group_parts(part_keys, part_documents, starts, slots, grouped, bounds)
    return Buckets(grouped[:num_rows].copy(), bounds[: num_buckets + 1].copy())


def star_edges(buckets: Buckets) -> Edges:
    """Join every document of a bucket to its smallest, unseen."""
    sizes = np.diff(buckets.bounds)
    later = np.ones(len(buckets.documents), np.bool_)
    later[buckets.bounds[:-1]] = False
    return Edges(np.repeat(buckets.documents[buckets.bounds[:-1]], sizes - 1), buckets.documents[later])


def verified_edges(buckets: Buckets, signed: Signatures, min_agreement: float) -> Edges:
    """Join each document to the first leader of its bucket whose signature agrees in that share of its values or more.

    signed: uint16 [documents, 120], by document number; it may be a memory map."""
    if not 0 < min_agreement <= 1:
        raise ValueError(f"min_agreement is {min_agreement}; it must lie between 0 and 1")
    num_edges = len(buckets.documents) - (len(buckets.bounds) - 1)
    first, second = np.empty(num_edges, buckets.documents.dtype), np.empty(num_edges, buckets.documents.dtype)
    min_equal = math.ceil(min_agreement * NUM_VALUES - 1e-9)
    found = verify(buckets.documents, buckets.bounds, read_only(signed), min_equal, first, second)
    return Edges(first[:found].copy(), second[:found].copy())


class Components:
    """Clusters of documents 0 to n - 1 as edges come in; a cluster is known by its smallest document, whatever their order."""

    def __init__(self, num_documents: int) -> None:
        self.parents: Numbers = np.arange(num_documents, dtype=np.uint32 if num_documents < 1 << 32 else np.int64)

    def join(self, edges: Edges) -> None:
        if len(edges.first) and max(int(edges.first.max()), int(edges.second.max())) >= len(self.parents):
            raise ValueError(f"an edge names a document of {len(self.parents)} or above; count all documents before joining")
        join_all(self.parents, read_only(edges.first), read_only(edges.second))

    def labels(self) -> Numbers:
        """Return each document's cluster: the smallest number in it."""
        flatten(self.parents)
        return self.parents.copy()


@kernel
def scatter(keys, documents, bits, part_keys, part_documents):
    """Copy rows part by part, in order within each; return the starts of the parts and the end."""
    shift = KEY_BITS - np.uint64(bits)
    starts = np.zeros((1 << bits) + 1, np.int64)
    for row in range(len(keys)):
        starts[np.int64(mixed(keys[row]) >> shift) + 1] += 1
    for part in range(1 << bits):
        starts[part + 1] += starts[part]
    places = starts[:-1].copy()
    for row in range(len(keys)):
        part = np.int64(mixed(keys[row]) >> shift)
        place = places[part]
        part_keys[place] = keys[row]
        part_documents[place] = documents[row]
        places[part] = place + 1
    return starts


@kernel
def group_parts(keys, documents, starts, slots, grouped, bounds):
    """Write the documents of repeated keys, bucket by bucket, and the buckets' bounds; return how many of both."""
    longest = 0
    for part in range(len(starts) - 1):
        longest = max(longest, starts[part + 1] - starts[part])
    firsts, counts = np.empty(longest, np.int32), np.empty(longest, np.int64)
    num_rows, num_buckets = 0, 0
    bounds[0] = 0
    for part in range(len(starts) - 1):
        begin, end = starts[part], starts[part + 1]
        count_keys(keys, begin, end, slots, firsts, counts)
        opened = num_buckets
        for row in range(end - begin):
            if firsts[row] == row and counts[row] > 1:
                size = counts[row]
                counts[row] = num_rows  # from here on the place of the bucket's next document
                num_rows += size
                num_buckets += 1
                bounds[num_buckets] = num_rows
            elif firsts[row] == row:
                counts[row] = -1
        fill(documents, begin, end, firsts, counts, grouped)
        for bucket in range(opened, num_buckets):
            ascend(grouped[bounds[bucket] : bounds[bucket + 1]])
    return num_rows, num_buckets


@kernel
def count_keys(keys, begin, end, slots, firsts, counts):
    """For each row of a part find the first row with its key, and there how many there are."""
    size = MIN_SLOTS
    while size < 2 * (end - begin):
        size *= 2
    slots[:size] = -1
    for row in range(end - begin):
        slot = np.int64(keys[begin + row] & np.uint64(0x7FFFFFFF)) & (size - 1)
        while True:
            first = slots[slot]
            if first < 0:
                slots[slot] = row
                firsts[row] = row
                counts[row] = 1
                break
            if keys[begin + first] == keys[begin + row]:
                firsts[row] = first
                counts[first] += 1
                break
            slot = (slot + 1) & (size - 1)


@kernel
def fill(documents, begin, end, firsts, places, grouped):
    for row in range(end - begin):
        first = firsts[row]
        if places[first] >= 0:
            grouped[places[first]] = documents[begin + row]
            places[first] += 1


@kernel
def ascend(documents):
    """Sort a bucket where its rows did not come in order, as they mostly do."""
    for place in range(1, len(documents)):
        if documents[place] < documents[place - 1]:
            documents.sort()
            break


@kernel
def agreement(signed, one, other):
    equal = 0
    for value in range(NUM_VALUES):
        equal += signed[one, value] == signed[other, value]
    return equal


@kernel
def verify(documents, bounds, signed, min_equal, first, second):
    leaders = np.empty(MAX_LEADERS, np.int64)
    found = 0
    for bucket in range(len(bounds) - 1):
        num_leaders = 0
        for place in range(bounds[bucket], bounds[bucket + 1]):
            document = np.int64(documents[place])
            alone = True
            for leader in range(num_leaders):
                if agreement(signed, leaders[leader], document) >= min_equal:
                    first[found] = leaders[leader]
                    second[found] = document
                    found += 1
                    alone = False
                    break
            if alone and num_leaders < MAX_LEADERS:
                leaders[num_leaders] = document
                num_leaders += 1
    return found


@kernel
def root_of(parents, document):
    while np.int64(parents[document]) != document:
        parents[document] = parents[parents[document]]  # path halving
        document = np.int64(parents[document])
    return document


@kernel
def join_all(parents, first, second):
    for edge in range(len(first)):
        one, other = root_of(parents, np.int64(first[edge])), root_of(parents, np.int64(second[edge]))
        if one < other:
            parents[other] = one
        elif other < one:
            parents[one] = other


@kernel
def flatten(parents):
    """Point every document at its root: parents are smaller, so one pass upwards does it."""
    for document in range(len(parents)):
        parents[document] = parents[parents[document]]
