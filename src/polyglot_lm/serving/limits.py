"""How much one client and all clients together may ask for, and who is next.

A request is admitted whole or refused at once: 429 where its client asks too much (come back later), 503 where the line
of all is full. Admitted completions wait for one of a few places beside the engine; a place that becomes free goes to the
client whose turn it is, round robin, so that a client with a hundred waiting delays another by one completion at most.
"""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.errors import RequestError

REMEMBERED_CLIENTS = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What the server takes; `places` is how many completions are written at once, `waiting` how many may wait for one."""

    places: int = 16
    waiting: int = 64
    client_completions: int = 16
    client_requests_per_minute: int = 600
    choices: int = 16
    prompt_bytes: int = 65_536
    body_bytes: int = 1_048_576
    waiting_seconds: float = 60.0
    body_seconds: float = 20.0
    send_seconds: float = 30.0
    drain_seconds: float = 60.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not getattr(self, name) > 0:
                raise UserError(f"{name} is {getattr(self, name)}; a limit of the server must be above 0")


class Rate:
    """Requests of each client: a bucket of one minute's worth that fills steadily. The longest unseen client is forgotten first."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self.buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> None:
        """Count one request; raise RequestError (429) where the bucket is empty."""
        now = time.monotonic()
        left, since = self.buckets.pop(client, (float(self.per_minute), now))
        left = min(float(self.per_minute), left + (now - since) * self.per_minute / 60)
        self.buckets[client] = (left - 1 if left >= 1 else left, now)
        if len(self.buckets) > REMEMBERED_CLIENTS:
            self.buckets.popitem(last=False)
        if left < 1:
            raise RequestError(
                f"more than {self.per_minute} requests a minute; wait for the seconds that Retry-After names",
                status=429,
                code="rate_limit_exceeded",
                retry_seconds=(1 - left) * 60 / self.per_minute,
            )


class Line:
    """The line before the engine: places, and the clients that wait for one."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.free = limits.places
        self.turns: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self.admitted: dict[str, int] = {}

    @property
    def waiting(self) -> int:
        return sum(map(len, self.turns.values()))

    @property
    def writing(self) -> int:
        return self.limits.places - self.free

    @property
    def open(self) -> int:
        """Return the number of completions that were admitted and whose requester has not been answered to the end."""
        return sum(self.admitted.values())

    @contextmanager
    def admit(self, client: str, completions: int) -> Iterator[None]:
        """Let a request of so many completions in, for as long as it is answered, or raise RequestError (429, 503)."""
        mine = self.admitted.get(client, 0)
        if mine + completions > self.limits.client_completions:
            raise RequestError(
                f"{mine} completions of yours are open and this asks for {completions} more, of {self.limits.client_completions} "
                "that one client may have; wait for one to end",
                status=429,
                code="rate_limit_exceeded",
                retry_seconds=1,
            )
        if self.open + completions > self.limits.places + self.limits.waiting:
            raise RequestError("the server is busy and its line is full; try again", status=503, code="overloaded", retry_seconds=5)
        self.admitted[client] = mine + completions
        try:
            yield
        finally:
            self.admitted[client] -= completions
            if not self.admitted[client]:
                del self.admitted[client]

    @asynccontextmanager
    async def place(self, client: str) -> AsyncIterator[None]:
        """Hold one place while the block runs; raise RequestError (503) after waiting too long."""
        if self.free and not self.turns:
            self.free -= 1
        else:
            await self.turn(client)
        try:
            yield
        finally:
            self.free += 1
            self.pass_on()

    async def turn(self, client: str) -> None:
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.turns.setdefault(client, deque()).append(mine)
        try:
            async with asyncio.timeout(self.limits.waiting_seconds):
                await mine
        except BaseException as error:
            if mine.done() and not mine.cancelled():  # the place came while the client left
                self.free += 1
            else:
                self.leave(client, mine)
            self.pass_on()
            if isinstance(error, TimeoutError):
                seconds = f"{self.limits.waiting_seconds:g}"
                raise RequestError(
                    f"no place became free in {seconds} s; try again", status=503, code="overloaded", retry_seconds=5
                ) from None
            raise

    def leave(self, client: str, mine: asyncio.Future[None]) -> None:
        futures = self.turns.get(client, deque())
        if mine in futures:
            futures.remove(mine)
        if not futures:
            self.turns.pop(client, None)

    def pass_on(self) -> None:
        while self.free and self.turns:
            client, futures = self.turns.popitem(last=False)
            future = futures.popleft()
            if futures:
                self.turns[client] = futures  # at the end: the others come first
            if not future.done():  # else its client left and has not run since
                self.free -= 1
                future.set_result(None)
