"""Windows read ahead in the background, so that a training step never waits for a page of the disk.

One thread owns the sampler, and every batch comes with the sampler's state behind it: the state to save is that of what was
delivered, never of what was read ahead. A change of the order takes back what is ahead, goes to the delivered place, changes
it there and reads on, so it holds from the very next batch, as without a prefetcher.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

from polyglot_lm.mixture.batch import Batch, Windows
from polyglot_lm.mixture.policies import Shares
from polyglot_lm.mixture.sampler import Sampler
from polyglot_lm.pipeline import UserError


class Prefetcher:
    """Reads the batches of one rank, `count` windows for all ranks together, and keeps `depth` of them ready.

    `allocate` makes the array of a batch's tokens, for example in pinned memory. An error is raised by the call that would have
    returned its batch, and by all after it. The sampler is the prefetcher's from now on.
    """

    def __init__(
        self,
        sampler: Sampler,
        count: int,
        part: tuple[int, int] = (0, 1),
        *,
        depth: int = 2,
        allocate: Callable[[tuple[int, int]], Windows] | None = None,
    ) -> None:
        if depth < 1:
            raise UserError(f"depth is {depth}; it must be at least 1")
        self.sampler, self.count, self.part, self.depth, self.allocate = sampler, count, part, depth, allocate
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
        self.ahead = deque[Future[tuple[Batch, dict[str, Any]]]]()
        self.delivered = sampler.state()
        self.read_ahead()

    def read_ahead(self) -> None:
        while len(self.ahead) < self.depth:
            self.ahead.append(self.thread.submit(self.read))

    def read(self) -> tuple[Batch, dict[str, Any]]:
        batch = self.sampler.next_batch(self.count, part=self.part, allocate=self.allocate)
        return batch, self.sampler.state()

    def next(self) -> Windows:
        """Return the tokens of `next_batch`."""
        return self.next_batch().tokens

    def next_batch(self) -> Batch:
        """Return the next batch; what it holds is never written to again."""
        batch, self.delivered = self.ahead[0].result()
        self.ahead.popleft()
        self.read_ahead()
        return batch

    def state(self) -> dict[str, Any]:
        """Return the sampler's state behind the last batch that was delivered."""
        return self.delivered

    def change_shares(self, shares: Shares, *, at: int | None = None) -> None:
        """As the sampler's, from the next batch to be delivered."""
        with self.taken_back():
            self.sampler.change_shares(shares, at=at)

    def skip(self, start: int, end: int) -> None:
        """As the sampler's."""
        with self.taken_back():
            self.sampler.skip(start, end)

    def seek(self, index: int) -> None:
        """As the sampler's."""
        with self.taken_back():
            self.sampler.seek(index)

    @contextmanager
    def taken_back(self) -> Iterator[None]:
        """Give the sampler back at the place that was delivered; read ahead from where it is left."""
        self.drop()
        self.sampler.seek(self.delivered["num_windows"])
        try:
            yield
        finally:
            self.delivered = self.sampler.state()
            self.read_ahead()

    def drop(self) -> None:
        for future in self.ahead:
            future.cancel()
        wait(self.ahead)
        self.ahead.clear()

    def close(self) -> None:
        """End the thread; the sampler stands somewhere ahead."""
        self.drop()
        self.thread.shutdown()
