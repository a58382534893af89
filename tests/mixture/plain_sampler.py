"""The order of reading in plain Python, slow and without a thought for memory: the twin that the sampler is held against.

It follows the words of `mixture.sampler`, `mixture.order` and `mixture.permutation`, with lists, fractions and big integers.
"""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from math import ceil

import xxhash

Tokens = list[int]


def mixed(value: int) -> int:
    value = (value + 0x9E3779B97F4A7C15) % 2**64
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    value = (value ^ value >> 27) * 0x94D049BB133111EB % 2**64
    return value ^ value >> 31


def shuffled(size: int, key: int) -> list[int]:
    """Return where a Feistel network of four rounds, walked in cycles, sends 0, 1, ... size - 1."""
    bits = max(2, (size - 1).bit_length())
    return [walked(index, size, bits, key) for index in range(size)]


def walked(value: int, size: int, bits: int, key: int) -> int:
    while True:
        low = bits // 2
        left, right = divmod(value, 2**low)
        for number in range(4):
            high = bits - low
            left, right = right, left ^ mixed(right ^ mixed((key + number) % 2**64)) % 2**high
            low = high
        value = left * 2**low + right
        if value < size:
            return value


def turns(shares: Sequence[tuple[int, Mapping[str, Fraction]]]) -> Iterator[str]:
    """Yield whose window is next for ever; `shares` are the first window and the shares of windows from there on."""
    names = sorted(shares[0][1])
    owed = dict.fromkeys(names, Fraction(0))
    index = 0
    while True:
        now = next(values for start, values in reversed(shares) if start <= index)
        for name in names:
            owed[name] += now[name]
        waiting = [name for name in names if now[name] > 0]
        due = [name for name in waiting if owed[name] > 0] or waiting
        name = min(due, key=lambda name: (ceil((1 - owed[name]) / now[name]), name))
        owed[name] -= 1
        yield name
        index += 1


def epoch_of(documents: Sequence[Tokens], times: Sequence[int], seed: int, name: str, epoch: int) -> list[int]:
    """Return the numbers of the documents of one epoch in order, each as often as it occurs."""
    key = mixed((xxhash.xxh3_64_intdigest(f"{seed}:{name}".encode()) + epoch) % 2**64)
    most = max(1, *times)
    order = shuffled(len(documents) * most, key)
    return [place % len(documents) for place in order if place // len(documents) < times[place % len(documents)]]


def stream(documents: Sequence[Tokens], times: Sequence[int], seed: int, name: str, num_tokens: int) -> Tokens:
    """Return the first tokens of a source."""
    read: Tokens = []
    epoch = 0
    while len(read) < num_tokens:
        for number in epoch_of(documents, times, seed, name, epoch):
            read += documents[number]
        epoch += 1
    return read[:num_tokens]
