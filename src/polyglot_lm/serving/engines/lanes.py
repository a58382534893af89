"""Which completions are drawn together, for a library that draws a batch from beginning to end.

A lane is a thread that draws one group at a time; there are more lanes than cores. Newcomers of like settings and length take a
free lane, spread over the cores that idle: at once where nobody draws, else after a fifth of a second, so that those who come
together share their steps, and never more than a core's even share. Where more lanes draw than there are cores, two of them
are joined as soon as the steps saved outweigh reading their texts in again, so single newcomers soon share their steps. When
no lane is free, the two that cost least to join make room, and where no two can be joined, the one that has drawn longest
steps back: many kinds of requests share the lanes in slices of a second. Costs are counted in tokens read, as measured on
CTranslate2 with a 125M: a step costs 16 and 3 a row. Nothing else here knows the library.
"""

import itertools
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from polyglot_lm.serving.engines.requests import Request, Waiting

GROUP_ROWS = 16  # more rows in a group no longer make a row cheaper
ROWS = 32  # under way at once; the rest waits
LOOK_SECONDS = 0.05  # between two looks for lanes to join
GATHER_SECONDS = 0.03  # what arrives within it begins together
GATHER_BUSY_SECONDS = 0.2  # while others draw: rows that began together end, and are asked for again, within it
SLICE_SECONDS = 1.0  # a lane that cannot be joined draws so long before it steps back
SETTLED_SECONDS = 0.3  # a lane draws so long before it is joined with another
STEP_TOKENS, ROW_TOKENS = 16, 3  # a step of a lane costs as much as reading so many tokens, and each row of it
MARGIN = 1.5  # completions may end sooner than they are allowed to, so a join must promise so much more than it costs
MOST_FORCED = 32  # steps for which the longer rows of a join stand still
Fits = Callable[[Request, Request], bool]


@dataclass(slots=True)
class Lane:
    """What a thread draws now, since when, and since when it has drawn tokens (None while it reads)."""

    rows: list[Request] = field(default_factory=list)
    filled: float = 0.0
    begun: float | None = None
    stopping: bool = False

    @property
    def alive(self) -> list[Request]:
        return [row for row in self.rows if not (row.ended or row.cancelled)]


class Lanes:
    """`num_lanes` threads that call `draw(lane)` for group after group.

    Rows of equal `settings` may share a group; `reading` estimates what reading a row again costs, in tokens.
    """

    def __init__(
        self,
        waiting: Waiting,
        draw: Callable[[Lane], None],
        *,
        settings: Callable[[Request], object],
        reading: Callable[[Request], int],
        cores: int,
        num_lanes: int,
    ) -> None:
        self.waiting, self.draw, self.settings, self.reading, self.cores = waiting, draw, settings, reading, cores
        self.lanes = [Lane() for _ in range(num_lanes)]
        self.looked = 0.0  # when somebody last looked for lanes to join
        self.parked: list[tuple[float, list[Request]]] = []  # groups that were stopped, and when
        self.threads = [threading.Thread(target=self.work, args=(lane,), daemon=True) for lane in self.lanes]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def close(self) -> None:
        """End what waits and what is under way, and wait for the threads."""
        self.waiting.close()
        with self.waiting.changed:
            for row in itertools.chain(*(lane.alive for lane in self.lanes), *(rows for _, rows in self.parked)):
                row.stop()
        for thread in self.threads:
            thread.join()

    def work(self, lane: Lane) -> None:
        while self.fill(lane):
            try:
                self.draw(lane)
            except Exception as error:  # noqa: BLE001  (whatever the library raises belongs to the clients)
                for row in lane.alive:
                    row.fail(error)
            self.empty(lane)

    def fill(self, lane: Lane) -> bool:
        """Wait for a group and put it into the lane; False when the engine closes."""
        with self.waiting.changed:
            while not self.waiting.closed:
                lane.rows = self.next_rows()
                if lane.rows:
                    lane.filled = time.monotonic()
                    return True
                self.waiting.changed.wait(GATHER_SECONDS if self.waiting.requests else None)
        return False

    def next_rows(self) -> list[Request]:
        """Return the group that is drawn next: stopped ones that have waited a slice, newcomers, stopped ones."""
        now = time.monotonic()
        late = bool(self.parked) and now - self.parked[0][0] > SLICE_SECONDS
        if not late and (rows := self.newcomers(now)):
            return rows
        if not self.parked or (any(lane.stopping for lane in self.lanes) and not late):
            return []  # of two lanes that are joined, the first to stop waits for the other
        _, rows = self.parked.pop(0)
        for entry in list(self.parked):
            if self.settings(entry[1][0]) == self.settings(rows[0]) and len(rows) + len(entry[1]) <= GROUP_ROWS:
                rows = rows + entry[1]
                self.parked.remove(entry)
        return rows

    def newcomers(self, now: float) -> list[Request]:
        self.waiting.drop_cancelled()
        requests = self.waiting.requests
        busy = sum(bool(lane.rows) for lane in self.lanes)
        if not requests or now - requests[0].since < (GATHER_BUSY_SECONDS if busy else GATHER_SECONDS):
            return []
        share = math.ceil(len(requests) / max(1, self.cores - busy))
        even = math.ceil((len(requests) + self.waiting.under_way.total()) / self.cores)  # rows of a core, if all had as many
        return self.waiting.take(min(share, even, GROUP_ROWS, ROWS - self.waiting.under_way.total()), self.fits)

    def fits(self, first: Request, other: Request) -> bool:
        """Say whether a newcomer's prompt is of like length: the longer ones wait for a step a token."""
        shortest, longest = sorted((len(first.ids), len(other.ids)))
        return self.settings(first) == self.settings(other) and longest - shortest <= shortest // 8

    def empty(self, lane: Lane) -> None:
        """Take the rows out of a lane that has stopped; those that are not over wait for the next."""
        with self.waiting.changed:
            if left := lane.alive:
                self.parked.append((time.monotonic(), left))
            for row in lane.rows:
                if row not in left:
                    self.waiting.release(row)
            lane.rows, lane.begun, lane.stopping = [], None, False
            self.waiting.changed.notify_all()

    def step(self, lane: Lane) -> bool:
        """Note that a lane draws; say whether it must stop to let others in."""
        if lane.begun is None:
            lane.begun = time.monotonic()
        if lane.stopping or time.monotonic() - self.looked < LOOK_SECONDS:
            return lane.stopping
        with self.waiting.changed:
            self.looked = time.monotonic()
            if not any(other.stopping for other in self.lanes):
                for other in self.to_stop():
                    other.stopping = True
            return lane.stopping

    def to_stop(self) -> Sequence[Lane]:
        """Return two lanes that are better joined, or one that steps back for those who wait, or none."""
        now = time.monotonic()
        drawing = [(now - lane.begun, lane, rows) for lane in self.lanes if lane.begun is not None and (rows := lane.alive)]
        if len(drawing) <= self.cores:
            return ()
        settled = [(lane, rows) for seconds, lane, rows in drawing if seconds > SETTLED_SECONDS]
        pairs = [
            (gain(rows, more, self.reading), lane, other)
            for (lane, rows), (other, more) in itertools.combinations(settled, 2)
            if len(rows) + len(more) <= GROUP_ROWS and self.settings(rows[0]) == self.settings(more[0])
        ]
        saved, *best = max(pairs, key=lambda pair: pair[0], default=(0,))
        if saved > 0 or (best and self.is_crowded()):
            return best
        if not self.is_crowded():
            return ()
        seconds, longest, _ = max(drawing, key=lambda entry: entry[0])
        read = (longest.begun or now) - longest.filled
        return (longest,) if seconds > max(SLICE_SECONDS, read) else ()  # a lane draws at least as long as it has read

    def is_crowded(self) -> bool:
        """Say whether somebody waits who could begin if a lane were free."""
        if not all(lane.rows for lane in self.lanes):
            return False
        return bool(self.parked) or (bool(self.waiting.requests) and self.waiting.under_way.total() < ROWS)


def gain(first: list[Request], second: list[Request], reading: Callable[[Request], int]) -> float:
    """Estimate what joining two lanes saves, in tokens read: one of their two steps for half as long as both may last.

    It costs reading all rows in again, and the longer rows stand in the steps that bring the shorter ones up to them.
    """
    short, long = sorted((first, second), key=lambda rows: len(rows[0].ids))
    forced = len(long[0].ids) - len(short[0].ids)
    steps = min(max(row.room for row in rows) for rows in (short, long)) / 2
    cost = sum(map(reading, short + long)) + ROW_TOKENS * len(long) * forced
    return STEP_TOKENS * steps - MARGIN * cost if forced <= MOST_FORCED else -cost
