"""A guard and a queue of known behaviour, and a server of the page that runs in a thread."""

import contextlib
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import uvicorn
from fastapi import FastAPI

from polyglot_lm.serving.completion import Service
from polyglot_lm.serving.demo.mount import mount_page
from polyglot_lm.serving.guard.guard import Coverage
from polyglot_lm.serving.guard.verdict import Action, Reason, Verdict

WORDS = {"REFUSE": Action.REFUSE, "HOLD": Action.HOLD, "555": Action.MASK}


class WordGuard:
    """Acts on three words; a completion is looked at as a whole, so that a word may come in parts."""

    def __init__(self, mode: Literal["off", "log", "enforce"] = "enforce") -> None:
        self.mode = mode

    def check(self, text: str, direction: str) -> Verdict:
        found = [action for word, action in WORDS.items() if word in text]
        reasons = tuple(Reason("insult", "word list", "en", action) for action in found)
        return Verdict(max(found, default=Action.ALLOW), text.replace("555", "<|tell|>"), reasons)

    def watch(self) -> "WordWatch":
        return WordWatch()

    def coverage(self) -> list[Coverage]:
        return [
            Coverage(
                language="ko",
                personal_information=("telephone",),
                listed_words=12,
                classifier=("offence",),
                sentences=3456,
                offensive=789,
            )
        ]


class WordWatch:
    """Sends a letter on when four more have come after it, and nothing of a text from `STOP` on."""

    def __init__(self) -> None:
        self.held = ""

    def feed(self, text: str) -> Verdict:
        self.held += text
        if "STOP" in self.held:
            return Verdict(Action.HOLD, self.held.split("STOP")[0], (Reason("insult", "classifier", "en", Action.HOLD, 0.97, 0.9),))
        sent, self.held = self.held[:-4], self.held[-4:]
        return Verdict(Action.ALLOW, sent)

    def finish(self) -> Verdict:
        return Verdict(Action.ALLOW, self.held)


class Shelf:
    """Takes what is held, and releases what a test puts into `decided`."""

    def __init__(self) -> None:
        self.items: list[Mapping[str, Any]] = []
        self.decided: dict[str, str] = {}

    def add(self, **item: Any) -> str:
        self.items.append(item)
        return f"item{len(self.items)}"

    def released(self, item: str) -> str | None:
        return self.decided.get(item)


def page_app(service: Service, folders: Mapping[str, Path | None]) -> FastAPI:
    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.close()

    app = FastAPI(lifespan=life)

    @app.post("/v1/completions")
    def completions() -> dict[str, str]:
        return {}

    mount_page(app, service, folders)
    return app


@contextlib.contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serve an application on a free port while the block runs; yield its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.05)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        thread.join(10)
