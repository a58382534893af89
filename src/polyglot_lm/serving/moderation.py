"""The guard beside a stream: what an engine writes passes here before anybody sees it.

An enforcing guard decides what is sent: `Watch` keeps a tail back until it is safe, masks, or ends the stream. A logging
guard says what it would have done and changes nothing. Tokens with log-probabilities spell the text a second time: beside
an enforcing guard they come with the end, and only if it left the text as it was.
"""

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from polyglot_lm.serving.engines.engine import Piece, Token
from polyglot_lm.serving.guard.guard import Coverage
from polyglot_lm.serving.guard.verdict import Action, Verdict

Finish = Literal["stop", "length", "content_filter"]


class Watch(Protocol):
    """The guard's eye on one completion."""

    def feed(self, text: str) -> Verdict: ...
    def finish(self) -> Verdict: ...


class Guard(Protocol):
    """What decides of prompts and completions."""

    mode: Literal["off", "log", "enforce"]

    def check(self, text: str, direction: Literal["prompt", "completion"]) -> Verdict: ...
    def watch(self) -> Watch: ...
    def coverage(self) -> Sequence[Coverage]: ...


class Reviews(Protocol):
    """The curators' queue."""

    def add(
        self, *, model: str, prompt: str, completion: str, verdict: Verdict, client: str = "", sampling: Mapping[str, object] = {}
    ) -> str: ...
    def released(self, item: str) -> str | None: ...
    def expire(self) -> object: ...


@dataclass(frozen=True, slots=True)
class Passage:
    """What may be shown next, the piece it comes from (once), what the guard newly says, and on the last one why it ended."""

    text: str = ""
    tokens: tuple[Token, ...] = ()
    piece: Piece | None = None
    verdicts: tuple[Verdict, ...] = ()
    finish: Finish | None = None


def read_along(pieces: AsyncGenerator[Piece, None], guard: Guard | None) -> AsyncGenerator[Passage, None]:
    """Turn an engine's pieces into passages that may be shown; the last one carries `finish`."""
    if guard is None or guard.mode == "off":
        return unread(pieces)
    return News(guard.watch()).enforced(pieces) if guard.mode == "enforce" else News(guard.watch()).logged(pieces)


async def unread(pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[Passage, None]:
    async for piece in pieces:
        yield Passage(piece.text, piece.tokens, piece, finish=piece.finish)


def judged(verdict: Verdict) -> Verdict:
    """Return the verdict with the action that its reasons call for: a logging guard allows everything and says why not."""
    return replace(verdict, action=max((verdict.action, *(reason.action for reason in verdict.reasons))))


class News:
    """A watch that says each reason once: a classifier repeats itself with every word, with another score."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.told: set[tuple[str, ...]] = set()

    def looks(self, piece: Piece) -> Iterator[tuple[Verdict, tuple[Verdict, ...]]]:
        """Yield each verdict on a piece, and beside it the same with what is new in it, if anything is."""
        for last in (False, True)[: 2 if piece.finish else 1]:
            verdict = judged(self.watch.finish() if last else self.watch.feed(piece.text))
            new = {(found.category, found.source, found.language, found.action.name): found for found in verdict.reasons}
            reasons = tuple(found for key, found in new.items() if key not in self.told)
            self.told.update(new)
            yield verdict, (replace(verdict, reasons=reasons),) if reasons else ()

    async def enforced(self, pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[Passage, None]:
        spelled: list[Token] = []
        changed = False
        async for piece in pieces:
            spelled.extend(piece.tokens)
            source: Piece | None = piece
            for verdict, news in self.looks(piece):
                changed = changed or verdict.action >= Action.MASK
                stopped = verdict.action >= Action.HOLD
                yield Passage(verdict.text, (), source, news, "content_filter" if stopped else None)
                if stopped:
                    return
                source = None
            if piece.finish:
                yield Passage(tokens=() if changed else tuple(spelled), finish=piece.finish)

    async def logged(self, pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[Passage, None]:
        async for piece in pieces:
            news = tuple(verdict for _, found in self.looks(piece) for verdict in found)
            yield Passage(piece.text, piece.tokens, piece, news, piece.finish)
