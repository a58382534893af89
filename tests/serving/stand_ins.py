"""A server for tests, on a real port, and an engine without a model, whose text is known: it repeats the prompt."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from polyglot_lm.serving.completion import Service
from polyglot_lm.serving.engines.engine import Piece, Sampling, Token
from polyglot_lm.serving.server import Server, create_app
from polyglot_lm.serving.settings import Settings

HTTP = httpx.Client(verify=False, timeout=60)
"""One for all tests: every new one reads the system's certificates for a tenth of a second."""


class Parrot:
    """Repeats its prompt; a token is a letter. `pace` is the time of a token; `open` counts streams that run."""

    def __init__(
        self, name: str = "parrot", *, pace: float = 0.0, honours: frozenset[str] | None = None, context: int = 257
    ) -> None:
        self.name, self.pace, self.context = name, pace, context
        self.honours = frozenset(Sampling.__slots__) if honours is None else honours
        self.ready, self.loading = False, asyncio.Event()
        self.loading.set()
        self.open, self.cancelled = 0, 0

    async def start(self) -> None:
        await self.loading.wait()
        self.ready = True

    async def close(self) -> None:
        self.ready = False

    def tokens(self, text: str) -> list[str] | None:
        return list(text)

    async def stream(self, prompt: str, sampling: Sampling, client: str = "") -> AsyncGenerator[Piece, None]:
        self.open += 1
        try:
            text = (prompt or "parrot") * sampling.max_tokens
            ends = [place for stop in sampling.stop if (place := text.find(stop)) >= 0]
            end = min([*ends, sampling.max_tokens])
            for number in range(end):
                await asyncio.sleep(self.pace)
                letter = text[number]
                likeliest = tuple((letter, -0.5) for _ in range(min(1, sampling.logprobs or 0)))
                yield Piece(letter, (Token(letter, -0.5, likeliest),))
            yield Piece("", (), "stop" if ends and end == min(ends) else "length")
        except (GeneratorExit, asyncio.CancelledError):
            self.cancelled += 1
            raise
        finally:
            self.open -= 1


@contextmanager
def running(service: Service, **settings: Any) -> Iterator[str]:
    """Run a real server on a free port in a thread and yield its address."""
    chosen = Settings(port=0, limits=service.limits, **settings)
    server = Server(create_app(service, chosen), service, chosen)
    thread = threading.Thread(target=lambda: asyncio.run(server.run_models()))
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield server.address
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)


def sent_events(text: str) -> list[Any]:
    """Return what server-sent events say: each a line `data: JSON` and an empty line."""
    events = text.split("\n\n")
    assert events.pop() == "" and all(event.startswith("data: ") and "\n" not in event for event in events)
    return [event[6:] if event == "data: [DONE]" else json.loads(event[6:]) for event in events]
