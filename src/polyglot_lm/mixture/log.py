"""What may change the order while it is being read: weights from a window on, and ranges of windows that are left out.

The order is a pure function of the seed, the index of a window and this log. An entry is a window and the weights from there on,
as whole windows in a million, source by source in the order of their names: exact sums, and under 80 bytes of JSON for
eight sources. Entries of a future that was rewound away are dropped when another is written over it.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from polyglot_lm.mixture.policies import Shares
from polyglot_lm.mixture.units import normalized
from polyglot_lm.pipeline import UserError

WINDOW = 1_000_000
Weights = tuple[int, ...]


def weights_of(shares: Shares, held_by_a_token: Mapping[str, float]) -> Weights:
    """Count of how many windows in a million each source gets, by name, for its share in the shares' unit.

    Every source gets one at least; what rounding leaves goes to, or is taken from, those that it moved furthest.
    """
    for name, held in held_by_a_token.items():
        if not 0 < held < math.inf:
            raise UserError(
                f"a token of source {name!r} holds {held} {shares.unit}; it must be finite and above 0, so count its shards again"
            )
    per_window = normalized({name: share / held_by_a_token[name] for name, share in sorted(shares.values.items())})
    exact = [WINDOW * share for share in per_window.values()]
    weights = [max(1, int(value)) for value in exact]
    while missing := WINDOW - sum(weights):
        step = 1 if missing > 0 else -1
        movable = (number for number, weight in enumerate(weights) if weight + step >= 1)
        weights[max(movable, key=lambda number: step * (exact[number] - weights[number]))] += step
    return tuple(weights)


@dataclass(slots=True)
class Log:
    """Entries (window, weights) and skips [start, end), each in ascending order; the first entry is of window 0."""

    entries: list[tuple[int, Weights]]
    skips: list[tuple[int, int]] = field(default_factory=list)

    def change(self, index: int, weights: Weights) -> None:
        """Let `weights` hold from window `index` on; whatever was to change there or later no longer does."""
        self.entries = [entry for entry in self.entries if entry[0] < index]
        self.entries.append((index, weights))

    def skip(self, start: int, end: int) -> None:
        """Leave out the windows [start, end); ranges that touch become one."""
        if not 0 <= start < end:
            raise UserError(f"windows {start} to {end} cannot be skipped; give a start from 0 and an end behind it")
        merged: list[tuple[int, int]] = []
        for low, high in sorted([*self.skips, (start, end)]):
            if merged and low <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
            else:
                merged.append((low, high))
        self.skips = merged

    def weights(self, index: int) -> Weights:
        """Return the weights of a window."""
        return next(weights for start, weights in reversed(self.entries) if start <= index)

    def stretches(self, start: int, end: int) -> Iterator[tuple[int, int, Weights]]:
        """Cut the windows [start, end) where the weights change."""
        changes = [index for index, _ in self.entries if start < index < end]
        for low, high in itertools.pairwise([start, *changes, end]):
            yield low, high, self.weights(low)

    def end_of(self, start: int, count: int) -> int:
        """Return the window after the `count`-th one from `start` on that is not left out."""
        end = start + count
        for low, high in self.skips:
            if low < end:
                end += max(0, high - max(low, start))
        return end

    def skipped(self, start: int, end: int) -> Sequence[tuple[int, int]]:
        """Return the ranges left out of the windows [start, end)."""
        return [(max(low, start), min(high, end)) for low, high in self.skips if low < end and high > start]

    def state(self) -> dict[str, Any]:
        """Return the log as JSON: an entry is its window and then the weights."""
        return {"log": [[index, *weights] for index, weights in self.entries], "skips": [list(skip) for skip in self.skips]}

    @classmethod
    def load(cls, state: Mapping[str, Any]) -> "Log":
        entries = [(index, tuple(weights)) for index, *weights in state["log"]]
        return cls(entries, [(low, high) for low, high in state["skips"]])
