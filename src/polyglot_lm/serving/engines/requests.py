"""Completions under way inside an engine: the request, its way back to the client, and the queue before the model.

The model computes in threads, clients wait in the event loop. A `Request` is drawn by one thread at a time and sends its pieces
to the loop; closing the client's iterator marks it cancelled, and the thread drops it at the next step. Next is always a request
of the client with the fewest under way, the oldest among equals: who asks for much waits for himself, not others for him.
"""

import asyncio
import itertools
import threading
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence

from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.engines.engine import Piece, Sampling, Unavailable
from polyglot_lm.serving.engines.writing import Writing
from polyglot_lm.tokenizer import Tokenizer

ARRIVALS = itertools.count()


class Request:
    """One completion: `ids` are all tokens so far, `room` how many more there may be."""

    def __init__(self, ids: Sequence[int], sampling: Sampling, writing: Writing, *, context: int, client: str) -> None:
        self.ids, self.sampling, self.writing, self.client = list(ids), sampling, writing, client
        self.num_prompt, self.context = len(ids), context
        self.arrival, self.since = next(ARRIVALS), time.monotonic()
        self.cancelled = self.ended = False
        self.loop = asyncio.get_running_loop()
        self.pieces: asyncio.Queue[Piece | Exception] = asyncio.Queue()

    @property
    def room(self) -> int:
        return min(self.sampling.max_tokens - self.writing.num_drawn, self.context - len(self.ids))

    def draw(self, token: int, logprob: float | None = None, likeliest: Sequence[tuple[int, float]] = ()) -> bool:
        """Take the next token, send what it makes certain, and say whether the completion is over."""
        if self.cancelled:
            self.ended = True
            return True
        piece = self.writing.add(token, logprob, likeliest)
        self.ids.append(token)
        if (piece is None or piece.finish is None) and self.room < 1:
            rest = self.writing.finish("length")
            piece = Piece((piece.text if piece else "") + rest.text, (piece.tokens if piece else ()) + rest.tokens, "length")
        if piece is not None:
            self.send(piece)
            self.ended = piece.finish is not None
        return self.ended

    def send(self, piece: Piece | Exception) -> None:
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.pieces.put_nowait, piece)

    def fail(self, error: Exception) -> None:
        """End the completion with an error, which the client's iterator raises."""
        self.ended = True
        self.send(error)

    def stop(self) -> None:
        """End the completion because the engine closes."""
        self.cancelled = True
        self.fail(Unavailable("the model is stopping; ask again when the server is back"))


class Waiting:
    """Requests that wait for the model, and how many each client has under way. `changed` guards both and wakes the threads."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.requests: list[Request] = []
        self.under_way: Counter[str] = Counter()
        self.closed = False

    def put(self, request: Request) -> None:
        """Add a request, or end it when the engine has closed."""
        with self.changed:
            if self.closed:
                request.stop()
            else:
                self.requests.append(request)
            self.changed.notify_all()

    def take(self, most: int, fits: Callable[[Request, Request], bool] = lambda first, other: True) -> list[Request]:
        """Take up to `most` requests that fit the first of them. The caller holds `changed`."""
        taken: list[Request] = []
        self.drop_cancelled()
        while len(taken) < most:
            fitting = [request for request in self.requests if not taken or fits(taken[0], request)]
            if not fitting:
                break
            chosen = min(fitting, key=lambda request: (self.under_way[request.client], request.arrival))
            self.requests.remove(chosen)
            self.under_way[chosen.client] += 1
            taken.append(chosen)
        return taken

    def drop_cancelled(self) -> None:
        self.requests = [request for request in self.requests if not request.cancelled]

    def release(self, request: Request) -> None:
        """Note that a request that was taken is over."""
        with self.changed:
            self.under_way[request.client] -= 1
            if not self.under_way[request.client]:
                del self.under_way[request.client]
            self.changed.notify_all()

    def close(self) -> None:
        """Take no more requests, fail those that wait and wake the threads."""
        with self.changed:
            self.closed = True
            for request in self.requests:
                request.stop()
            self.requests = []
            self.changed.notify_all()


def admit(prompt: str, sampling: Sampling, tokenizer: Tokenizer, *, context: int, client: str) -> Request:
    """Make a request of a prompt, in which special tokens are plain text; raises UserError when it fills the context."""
    ids = [tokenizer.end_id, *tokenizer.encode(prompt, parse_special=False)]
    if len(ids) >= context:
        raise UserError(f"the prompt has {len(ids) - 1} tokens, the model reads {context - 2} and one more; shorten the prompt")
    writing = Writing(tokenizer.token_bytes, tokenizer.end_id, sampling)
    return Request(ids, sampling, writing, context=context, client=client)


async def pieces_of(request: Request, waiting: Waiting) -> AsyncGenerator[Piece, None]:
    """Hand a request in and yield its pieces; whoever closes this cancels the request."""
    waiting.put(request)
    try:
        while True:
            piece = await request.pieces.get()
            if isinstance(piece, Exception):
                raise piece
            yield piece
            if piece.finish:
                return
    finally:
        request.cancelled = True
        with waiting.changed:
            waiting.changed.notify_all()
