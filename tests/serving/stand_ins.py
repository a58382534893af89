"""An engine without a model, whose text is known: it reads the prompt aloud, letter by letter, as often as it takes."""

import asyncio
from collections.abc import AsyncGenerator

from polyglot_lm.serving.engines.engine import Piece, Sampling, Token


class Parrot:
    """Repeats its prompt; a token is a letter. `pace` is the time of a token; `open` counts streams that run."""

    def __init__(
        self, name: str = "parrot", *, pace: float = 0.0, honours: frozenset[str] | None = None, context: int = 256
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

    async def stream(self, prompt: str, sampling: Sampling) -> AsyncGenerator[Piece, None]:
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
