"""The order in which a model reads: which source next, which document next; a pure function of its state.

Every (source, epoch) has a keyed permutation of its documents; these, one after another, are one endless stream of tokens, cut into
windows of `context` tokens. The next window comes from the source with the largest deficit, that is, whose amount read lags
most behind its share, both counted in the unit of the shares. So at every moment the realised shares are within a window or two
of the planned ones, without a random draw.

The order knows nothing of ranks, workers or micro-batches: a training step takes the next `n` windows, and a rank its part of them.
The state is a cursor and an amount a source (under 1 KB) and goes into the checkpoint.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from polyglot_lm.mixture.permutation import Permutation, mix
from polyglot_lm.mixture.policies import Shares
from polyglot_lm.shards import TokenDataset

Windows = npt.NDArray[np.int64]


@dataclass(kw_only=True, slots=True)
class Cursor:
    """Where the stream of a source stands: epoch, place in its permutation, tokens of that document already read."""

    epoch: int = 0
    place: int = 0
    offset: int = 0


class Sampler:
    """Yields windows of `context + 1` tokens, the last of each being the first of the source's next window.

    `held_by_a_token` is what a token of each source adds in the unit of the shares.
    """

    def __init__(
        self,
        datasets: Mapping[str, TokenDataset],
        shares: Shares,
        held_by_a_token: Mapping[str, float],
        context: int,
        seed: int,
    ) -> None:
        empty = [name for name, dataset in datasets.items() if not len(dataset)]
        if empty or set(datasets) != set(shares.values):
            raise ValueError(f"sources {sorted(datasets)} and shares {sorted(shares.values)} must match; empty: {empty}")
        self.datasets, self.shares, self.context = datasets, shares, context
        self.window_amount = {name: context * held_by_a_token[name] for name in datasets}
        self.keys = {name: mix(seed ^ mix(position)) for position, name in enumerate(sorted(datasets))}
        self.cursors = {name: Cursor() for name in datasets}
        self.amounts = dict.fromkeys(datasets, 0.0)
        self.num_windows = 0

    def next_source(self) -> str:
        """Name the source with the largest deficit; ties fall to the first by name."""
        total = sum(self.amounts.values())
        return max(sorted(self.datasets), key=lambda name: self.shares.values[name] * total - self.amounts[name])

    def next_window(self) -> tuple[str, Windows]:
        """Return the source and the tokens [context + 1] of the next window, and move on."""
        name = self.next_source()
        window = self.read(name, self.context + 1)
        self.amounts[name] += self.window_amount[name]
        self.num_windows += 1
        return name, window

    def next_windows(self, count: int) -> Windows:
        """Return the next `count` windows as [count, context + 1]."""
        return np.stack([self.next_window()[1] for _ in range(count)])

    def read(self, name: str, length: int) -> Windows:
        """Return the next `length` tokens of a source; its cursor moves on by one less."""
        cursor, dataset = self.cursors[name], self.datasets[name]
        pieces: list[npt.NDArray[Any]] = []
        needed = length
        while True:
            document = self.permutation(name, cursor.epoch)(cursor.place)
            piece = dataset.document(document, cursor.offset, cursor.offset + needed)
            pieces.append(piece)
            needed -= len(piece)
            cursor.offset += len(piece)
            if needed == 0:
                cursor.offset -= 1
                return np.concatenate(pieces).astype(np.int64)
            if cursor.offset == dataset.lengths[document]:
                self.turn(cursor, len(dataset))

    def turn(self, cursor: Cursor, num_documents: int) -> None:
        cursor.offset, cursor.place = 0, cursor.place + 1
        if cursor.place == num_documents:
            cursor.place, cursor.epoch = 0, cursor.epoch + 1

    def permutation(self, name: str, epoch: int) -> Permutation:
        return Permutation(size=len(self.datasets[name]), key=mix(self.keys[name] + epoch))

    def state(self) -> dict[str, Any]:
        """Return the place in the order as JSON."""
        return {
            "num_windows": self.num_windows,
            "cursors": {name: asdict(cursor) for name, cursor in self.cursors.items()},
            "amounts": dict(self.amounts),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.num_windows = state["num_windows"]
        self.cursors = {name: Cursor(**cursor) for name, cursor in state["cursors"].items()}
        self.amounts = dict(state["amounts"])
