"""The order in which a model reads: a pure function of the seed, the index of a window and a log of weights.

    log of weights ─► whose turn is it (`order.choose`) ─► window i is the k-th of source s
    seed, source, epoch ─► permuted documents, one after another (`stream`) ─► tokens [k·context, (k + 1)·context]

The two halves know nothing of each other: a change of weights moves no document of any source, and nothing that was read is read
again before its epoch ends. Shares are counted in their unit by turning them, once, into shares of windows, since every window
of a source adds the same amount, context × what a token of it holds. Each source is within one window of its share at every
moment; when weights change, the credits stay, so what a source was owed it is still owed (and for some windows it may be owed
up to 1.7, by random search over changes every 20 windows).

The order knows nothing of ranks, workers or micro-batches: a training step takes the next `count` windows, and every rank replays
all of them but reads the tokens of its part alone. The state is a cursor and a credit a source, under 1 KB, and the log. Any
index is reached by replaying the lengths of documents from the nearest place that the sampler remembers, one every 4,096 windows
since it was made or loaded (65 MB after a trillion tokens of eight sources).
"""

import itertools
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from polyglot_lm.mixture.batch import Batch, Windows
from polyglot_lm.mixture.log import WINDOW, Log, weights_of
from polyglot_lm.mixture.policies import Shares
from polyglot_lm.pipeline import UserError
from polyglot_lm.shards import TokenDataset, require_open_files

MARK_EVERY = 4_096  # windows; from one mark to the next is a millisecond or two
OTHERS = -1  # the row of a window that another rank reads, or nobody


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the order: the index of the next window, and credit and cursor [epoch, place, offset] of every source."""

    index: int
    credits: npt.NDArray[np.int64]
    cursors: npt.NDArray[np.int64]


class Sampler:
    """Gives windows of `context + 1` tokens, `num_windows` being the index of the next.

    `held_by_a_token` is what a token of each source adds in the unit of the shares; `occurrences` how often each document of a
    source occurs in an epoch (uint8), once where nothing is said; `end` the number of windows that the plan has, of those given.
    Raises UserError for sources that do not fit together and CorruptFileError for shards that are not what was written.
    """

    def __init__(
        self,
        datasets: Mapping[str, TokenDataset],
        shares: Shares,
        held_by_a_token: Mapping[str, float],
        context: int,
        seed: int,
        *,
        occurrences: Mapping[str, npt.NDArray[np.uint8]] | None = None,
        end: int | None = None,
    ) -> None:
        from polyglot_lm.mixture.stream import ONCE, Stream  # numba takes a second to load, and `polyglot --help` has none

        require_fitting(datasets, shares)
        self.names = sorted(datasets)
        self.context, self.seed, self.end, self.unit = context, seed, end, shares.unit
        self.held = {name: held_by_a_token[name] for name in self.names}
        given = occurrences or {}
        self.streams = [Stream(name, datasets[name], given.get(name, ONCE), seed) for name in self.names]
        self.log = Log([(0, weights_of(shares, self.held))])
        self.num_windows = 0
        self.credits = np.zeros(len(self.names), np.int64)
        self.marks = [self.place()]

    @property
    def shares(self) -> Shares:
        """What the next window's weights are in the unit of the shares."""
        amounts = {
            name: weight * self.held[name] for name, weight in zip(self.names, self.log.weights(self.num_windows), strict=True)
        }
        total = sum(amounts.values())
        return Shares(unit=self.unit, values={name: amount / total for name, amount in amounts.items()})

    @property
    def counts(self) -> dict[str, int]:
        """Windows of each source up to here, those left out included: its weights up to here less its credit."""
        owed = -self.credits
        for low, high, weights in self.log.stretches(0, self.num_windows):
            owed = owed + (high - low) * np.array(weights)
        return dict(zip(self.names, (owed // WINDOW).tolist(), strict=True))

    @property
    def amounts(self) -> dict[str, float]:
        """What was read of each source, in the unit of the shares."""
        return {name: count * self.context * self.held[name] for name, count in self.counts.items()}

    def next_window(self) -> tuple[str, Windows]:
        """Return the source and the tokens [context + 1] of the next window, and move on."""
        batch = self.next_batch(1)
        return self.names[batch.sources[0]], batch.tokens[0]

    def next_windows(self, count: int, *, part: tuple[int, int] = (0, 1)) -> Windows:
        """Return the tokens of `next_batch`."""
        return self.next_batch(count, part=part).tokens

    def next_batch(
        self, count: int, *, part: tuple[int, int] = (0, 1), allocate: Callable[[tuple[int, int]], Windows] | None = None
    ) -> Batch:
        """Move on by `count` windows and return those of one rank of several, `part` being (rank, ranks): a run of count / ranks.

        `allocate` makes the array that the tokens are written to, for example in pinned memory.
        """
        rank, ranks = part
        if not 0 <= rank < ranks or count % ranks:
            raise UserError(f"{count} windows cannot be split for rank {rank} of {ranks}; give a multiple of the ranks")
        start, end = self.num_windows, self.log.end_of(self.num_windows, count)
        self.require_inside(end)
        size = count // ranks
        given = np.ones(end - start, np.bool_)
        for low, high in self.log.skipped(start, end):
            given[low - start : high - start] = False
        rows = np.full(end - start, OTHERS)
        rows[np.flatnonzero(given)[rank * size : (rank + 1) * size]] = np.arange(size)
        shape = (size, self.context + 1)
        batch = Batch(
            tokens=allocate(shape) if allocate else np.empty(shape, np.int64),
            starts=np.zeros(shape, np.bool_),
            sources=np.empty(size, np.int64),
            documents=np.empty(size, np.int64),
        )
        self.advance(rows, batch)
        return batch

    def advance(self, rows: npt.NDArray[np.int64], batch: Batch) -> None:
        """Move on by a window a row, and read those that are not `OTHERS` into that row of the batch."""
        turns = self.take_turns(len(rows))
        for source, stream in enumerate(self.streams):
            mine = rows[turns == source]
            if not len(mine):
                continue
            wanted = mine != OTHERS
            bounds = [0, *(np.flatnonzero(wanted[1:] != wanted[:-1]) + 1).tolist(), len(mine)]
            for low, high in itertools.pairwise(bounds):
                if wanted[low]:
                    batch.write(mine[low:high], source, stream.read(high - low, self.context))
                else:
                    stream.pass_over((high - low) * self.context)
        self.mark()

    def take_turns(self, count: int) -> npt.NDArray[np.int64]:
        """Return the source of each of the next windows, and move the credits on."""
        from polyglot_lm.mixture.order import choose  # as above

        start, end = self.num_windows, self.num_windows + count
        turns = np.empty(count, np.int64)
        for low, high, weights in self.log.stretches(start, end):
            choose(self.credits, np.array(weights), turns[low - start : high - start])
        self.num_windows = end
        return turns

    def seek(self, index: int) -> None:
        """Make `index` the next window: forwards, or back to the nearest mark and forwards from there."""
        self.require_inside(index)
        nearest = self.marks[bisect_right(self.marks, index, key=lambda mark: mark.index) - 1]
        if not nearest.index <= self.num_windows <= index:
            self.go_to(nearest)
        while self.num_windows < index:
            turns = self.take_turns(min(index - self.num_windows, MARK_EVERY))
            for stream, count in zip(self.streams, np.bincount(turns, minlength=len(self.streams)).tolist(), strict=True):
                stream.pass_over(count * self.context)
            self.mark()

    def change_shares(self, shares: Shares, *, at: int | None = None) -> None:
        """Give the sources other shares from window `at` on, the next if it is not said, and append them to the log.

        Changes that were to come there or later are dropped, so stages are given in their order.
        """
        index = self.num_windows if at is None else at
        if index < self.num_windows:
            raise UserError(f"shares cannot change at window {index}: the next is {self.num_windows}; seek back first")
        if shares.unit != self.unit or set(shares.values) != set(self.names):
            raise UserError(
                f"shares are in {shares.unit} over {sorted(shares.values)}; this sampler counts {self.unit} over {self.names}: "
                "convert them with Shares.converted"
            )
        self.log.change(index, weights_of(shares, self.held))
        self.marks = [mark for mark in self.marks if mark.index <= index]

    def skip(self, start: int, end: int) -> None:
        """Leave out the windows [start, end), for ever: the order goes on behind them as if they had been read."""
        if start < self.num_windows:
            raise UserError(f"windows {start} to {end} cannot be skipped: the next is {self.num_windows}; seek back first")
        self.log.skip(start, end)

    def require_inside(self, index: int) -> None:
        if index < 0 or (self.end is not None and index > self.log.end_of(0, self.end)):
            raise UserError(
                f"window {index} is outside the plan, which has {self.end} windows of {self.context} tokens; plan more tokens"
            )

    def place(self) -> Place:
        return Place(self.num_windows, self.credits.copy(), np.array([stream.cursor for stream in self.streams]))

    def go_to(self, place: Place) -> None:
        self.num_windows = place.index
        self.credits[:] = place.credits
        for stream, cursor in zip(self.streams, place.cursors, strict=True):
            stream.cursor[:] = cursor

    def mark(self) -> None:
        """Remember this place unless one is remembered close before it."""
        at = bisect_right(self.marks, self.num_windows, key=lambda mark: mark.index)
        if self.num_windows >= self.marks[at - 1].index + MARK_EVERY:
            self.marks.insert(at, self.place())

    def state(self) -> dict[str, Any]:
        """Return the place in the order as JSON: of each source the cursor, the credit and what its order depends on."""
        sources = {
            name: [*stream.cursor.tolist(), credit, stream.fingerprint]
            for name, stream, credit in zip(self.names, self.streams, self.credits.tolist(), strict=True)
        }
        return {
            "num_windows": self.num_windows,
            "seed": self.seed,
            "context": self.context,
            "sources": sources,
            **self.log.state(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go to a place in the order; raises UserError when the state is of another order."""
        sources: Mapping[str, Any] = state["sources"]
        here = {"seed": self.seed, "context": self.context, "sources": self.names}
        there = {"seed": state["seed"], "context": state["context"], "sources": sorted(sources)}
        here |= {f"shards of {name}": stream.fingerprint for name, stream in zip(self.names, self.streams, strict=True)}
        there |= {f"shards of {name}": fingerprint for name, (*_, fingerprint) in sources.items()}
        for field, expected in here.items():
            if there[field] != expected:
                raise UserError(
                    f"the state was saved with {field} {there[field]}, but this run has {expected}; resume with the same data"
                )
        self.log = Log.load(state)
        self.marks = self.marks[:1]
        rows = [sources[name] for name in self.names]
        self.go_to(Place(state["num_windows"], np.array([row[3] for row in rows]), np.array([row[:3] for row in rows])))
        self.mark()


def require_fitting(datasets: Mapping[str, TokenDataset], shares: Shares) -> None:
    """Raise UserError unless every source has a share and documents, all of one tokenizer."""
    if set(datasets) != set(shares.values):
        raise UserError(f"sources {sorted(datasets)} and shares {sorted(shares.values)} must match; give each source its share")
    if empty := sorted(name for name, dataset in datasets.items() if not len(dataset)):
        raise UserError(f"sources {empty} have no documents; leave them out or check their filters")
    tokenizers = {dataset.description["tokenizer"]: name for name, dataset in sorted(datasets.items())}
    if len(tokenizers) > 1:
        raise UserError(f"sources were encoded with different tokenizers ({tokenizers}); encode them with one")
    require_open_files(sum(len(dataset.shards) for dataset in datasets.values()))
