"""Which completions are drawn together, for a library that draws a batch from beginning to end.

A lane is a thread that draws one group at a time. Groups are of like settings and length (`fits`). Newcomers take a free lane at
once, spread over the cores that idle. When none is free, the two lanes that cost least to join are stopped: one goes to the
newcomers, the other goes on with the rows of both. Where no two lanes can be joined, the one that has drawn longest steps back,
so that many kinds of requests share the lanes in slices of a second. Nothing here knows the library.
"""

import itertools
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from polyglot_lm.serving.engines.requests import Request, Waiting

GROUP_ROWS = 16  # more rows in a group no longer make a row cheaper
ROWS = 32  # under way at once; the rest waits
GATHER_SECONDS = 0.03  # what arrives within it begins together
SLICE_SECONDS = 1.0  # a lane that cannot be joined draws so long before it steps back
SETTLED_SECONDS = 0.3  # a lane draws so long before it is joined with another
STEP_TOKENS = 20  # a step of a lane costs as much as reading so many tokens
Fits = Callable[[Request, Request], bool]


@dataclass(slots=True)
class Lane:
    """What a thread draws now. `begun` is the time of its first token, None while it reads prompts."""

    rows: list[Request] = field(default_factory=list)
    begun: float | None = None
    stopping: bool = False

    @property
    def alive(self) -> list[Request]:
        return [row for row in self.rows if not (row.ended or row.cancelled)]


class Lanes:
    """`num_lanes` threads that call `draw(lane)` for group after group; `settings` says which rows may share one."""

    def __init__(
        self, waiting: Waiting, draw: Callable[[Lane], None], *, settings: Callable[[Request], object], cores: int, num_lanes: int
    ) -> None:
        self.waiting, self.draw, self.settings, self.cores = waiting, draw, settings, cores
        self.lanes = [Lane() for _ in range(num_lanes)]
        self.parked: list[tuple[float, list[Request]]] = []  # groups that were stopped, and when
        self.threads = [threading.Thread(target=self.work, args=(lane,), daemon=True) for lane in self.lanes]

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def close(self) -> None:
        """Cancel what is under way and wait for the threads."""
        self.waiting.close()
        with self.waiting.changed:
            for row in itertools.chain(*(lane.rows for lane in self.lanes), *(rows for _, rows in self.parked)):
                row.cancelled = True
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
                    return True
                self.waiting.changed.wait(GATHER_SECONDS if self.waiting.requests else None)
        return False

    def next_rows(self) -> list[Request]:
        """Return the group that is drawn next: stopped ones that have waited a slice, newcomers, stopped ones."""
        now = time.monotonic()
        late = bool(self.parked) and now - self.parked[0][0] > SLICE_SECONDS
        if not late and (rows := self.newcomers(now)):
            return rows
        if not self.parked:
            return []
        _, rows = self.parked.pop(0)
        for entry in list(self.parked):
            if self.settings(entry[1][0]) == self.settings(rows[0]) and len(rows) + len(entry[1]) <= GROUP_ROWS:
                rows = rows + entry[1]
                self.parked.remove(entry)
        return rows

    def newcomers(self, now: float) -> list[Request]:
        self.waiting.drop_cancelled()
        requests = self.waiting.requests
        if not requests or now - requests[0].since < GATHER_SECONDS:
            return []
        busy = sum(bool(lane.rows) for lane in self.lanes)
        share = math.ceil(len(requests) / max(1, self.cores - busy))
        return self.waiting.take(min(share, GROUP_ROWS, ROWS - self.waiting.under_way.total()), self.fits)

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
        if not (lane.stopping or self.waiting.requests or self.parked):
            return False
        with self.waiting.changed:
            if not lane.stopping and self.is_crowded():
                for other in self.to_stop():
                    other.stopping = True
            return lane.stopping

    def is_crowded(self) -> bool:
        """Say whether somebody waits who could begin if a lane were free."""
        if any(lane.stopping or not lane.rows for lane in self.lanes):
            return False
        return bool(self.parked) or (bool(self.waiting.requests) and self.waiting.under_way.total() < ROWS)

    def to_stop(self) -> list[Lane]:
        now = time.monotonic()
        drawing = [lane for lane in self.lanes if lane.begun is not None and lane.alive]
        settled = [lane for lane in drawing if now - (lane.begun or now) > SETTLED_SECONDS]
        pairs = [pair for pair in itertools.combinations(settled, 2) if self.can_join(*pair)]
        if pairs:
            return list(min(pairs, key=lambda pair: cost(*pair)))
        longest = min(drawing, key=lambda lane: lane.begun or now, default=None)
        return [longest] if longest and now - (longest.begun or now) > SLICE_SECONDS else []

    def can_join(self, first: Lane, second: Lane) -> bool:
        rows = first.alive + second.alive
        return len(rows) <= GROUP_ROWS and len({self.settings(row) for row in rows}) == 1


def cost(first: Lane, second: Lane) -> int:
    """Estimate what joining two lanes costs, in tokens read: all rows are read in again, and the longer ones step by step."""
    lengths = [len(row.ids) for row in first.alive + second.alive]
    return sum(lengths) + (max(lengths, default=0) - min(lengths, default=0)) * STEP_TOKENS
