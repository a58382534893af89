"""A keyed permutation of [0, size) that is computed, not stored: a shuffle of a billion documents in no memory.

A Feistel network over the next power of two, four rounds of a 64-bit mixing function, walks in cycles until the value falls
below `size` (two steps at most expected). Its halves are a bit apart where the power is odd and change places every round.
Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002. It shuffles; it hides nothing.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from polyglot_lm.pipeline.compiled import Kernels

kernel = Kernels([Path(__file__).with_name(name) for name in ("order.py", "permutation.py")])
ROUNDS = 4
MASK_64 = 2**64 - 1


@kernel
def mix(value: np.uint64) -> np.uint64:
    """Scramble 64 bits (the finaliser of SplitMix64, Steele et al. 2014)."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@kernel
def width(size: np.uint64) -> int:
    """Count the bits of the smallest network over [0, size): both halves have one at least."""
    bits = 2
    while size > np.uint64(1) << np.uint64(bits):
        bits += 1
    return bits


@kernel
def permuted(index: np.uint64, size: np.uint64, bits: int, key: np.uint64) -> np.uint64:
    """Return where `index` goes; `bits` is `width(size)`."""
    while True:
        low = np.uint64(bits // 2)
        high = np.uint64(bits) - low
        left, right = index >> low, index & ((np.uint64(1) << low) - np.uint64(1))
        for number in range(ROUNDS):
            scrambled = mix(right ^ mix(key + np.uint64(number)))
            left, right = right, left ^ (scrambled & ((np.uint64(1) << high) - np.uint64(1)))
            low, high = high, low
        index = (left << low) | right
        if index < size:
            return index


@dataclass(frozen=True, slots=True)
class Permutation:
    """One order of `size` things; the same key gives the same order on every machine."""

    size: int
    key: int

    def __call__(self, index: int) -> int:
        if not 0 <= index < self.size:
            raise IndexError(f"index is {index}; it must lie in [0, {self.size})")
        size = np.uint64(self.size)
        return int(permuted(np.uint64(index), size, width(size), np.uint64(self.key & MASK_64)))
