"""What the engines of this machine have in common: a folder, its tokenizer, and the line of requests before the model.

Each adds `load`, which sets `tokenizer`, `close`, and threads that take requests out of `waiting`.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.engines.engine import Piece, Sampling
from polyglot_lm.serving.engines.folder import context_of, require_usable
from polyglot_lm.serving.engines.requests import Waiting, admit, pieces_of
from polyglot_lm.serving.engines.writing import token_texts
from polyglot_lm.tokenizer import Tokenizer


class LocalEngine(ABC):
    """The model of a folder under a name, computed in `precision`, one of `precisions`."""

    library: str
    precisions: Sequence[str]
    tokenizer: Tokenizer

    def __init__(self, folder: Path, name: str, precision: str) -> None:
        if precision not in self.precisions:
            raise UserError(f"{self.library} has no precision {precision!r} here; choose {', '.join(self.precisions)}")
        require_usable(folder)
        self.folder, self.name, self.precision = folder, name, precision
        self.context = context_of(folder)
        self.ready = False
        self.waiting = Waiting()

    @abstractmethod
    def load(self) -> None:
        """Load the model, in a thread; raises UserError for a folder that the library cannot read."""

    async def start(self) -> None:
        await asyncio.to_thread(self.load)
        self.ready = True

    def tokens(self, text: str) -> list[str] | None:
        return token_texts(self.tokenizer, text)

    async def stream(self, prompt: str, sampling: Sampling, client: str = "") -> AsyncGenerator[Piece, None]:
        request = admit(prompt, sampling, self.tokenizer, context=self.context, client=client)
        async with aclosing(pieces_of(request, self.waiting)) as pieces:
            async for piece in pieces:
                yield piece
