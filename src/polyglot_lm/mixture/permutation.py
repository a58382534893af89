"""A keyed permutation of [0, size) that is computed, not stored: a shuffle of a billion documents in no memory.

A balanced Feistel network over the next even power of two, four rounds of a 64-bit mixing function, walks in cycles until the value
falls below `size` (at most four steps expected). Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002.
It shuffles; it hides nothing.
"""

from dataclasses import dataclass

MASK_64 = 2**64 - 1
ROUNDS = 4


def mix(value: int) -> int:
    """Scramble 64 bits (the finaliser of SplitMix64, Steele et al. 2014)."""
    value = (value + 0x9E3779B97F4A7C15) & MASK_64
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK_64
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK_64
    return value ^ (value >> 31)


@dataclass(frozen=True, slots=True)
class Permutation:
    """One order of `size` things; the same key gives the same order on every machine."""

    size: int
    key: int

    def __call__(self, index: int) -> int:
        if not 0 <= index < self.size:
            raise IndexError(f"index is {index}; it must lie in [0, {self.size})")
        half = max(1, ((self.size - 1).bit_length() + 1) // 2)
        low = (1 << half) - 1
        while True:
            left, right = index >> half, index & low
            for number in range(ROUNDS):
                left, right = right, left ^ (mix(right ^ mix(self.key + number)) & low)
            index = left << half | right
            if index < self.size:
                return index
