"""A request for text, from the door to the last piece: the one function that page and API share.

`Service.complete` yields events: text that may be shown, notices of what the guard did and why, and for each choice its
end with counts of tokens. Whatever is wrong with a request is raised before the first event, as a RequestError. Closing the
iterator cancels the engine's streams. The engine runs ahead of a slow reader by at most `max_tokens` (an unread completion is
kilobytes), so that a slow reader holds memory but never a place beside the engine.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Literal

from prometheus_client import Histogram

from polyglot_lm.serving.engines.engine import Engine, Piece, Sampling, Token
from polyglot_lm.serving.errors import RequestError
from polyglot_lm.serving.guard.verdict import Action, Verdict
from polyglot_lm.serving.limits import Limits, Line, Rate
from polyglot_lm.serving.metrics import Metrics
from polyglot_lm.serving.moderation import Finish, Guard, Reviews, judged, read_along

HOUSE_SECONDS = 3600
START_TOKENS = 1  # engines read a prompt after <|endoftext|>, as in training


@dataclass(frozen=True, kw_only=True, slots=True)
class CompletionRequest:
    """`n` completions of each prompt; choice `i` continues prompt `i // n`. `echo` sends the prompt before its completion.

    `user` is whom the client asks for: limits are the client's, but engines are fair between its users too.
    """

    model: str
    prompts: tuple[str, ...]
    sampling: Sampling
    n: int = 1
    echo: bool = False
    user: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """Text that may be shown, and its tokens where log-probabilities were asked for."""

    choice: int
    text: str
    tokens: tuple[Token, ...] = ()


@dataclass(frozen=True, slots=True)
class Notice:
    """What the guard did to a prompt or completion, or would have done where it only logs (`enforced` is False).

    `review` is the item in the curators' queue where a completion was held.
    """

    choice: int
    direction: Literal["prompt", "completion"]
    verdict: Verdict
    review: str | None = None
    enforced: bool = True


@dataclass(frozen=True, slots=True)
class End:
    """The end of a choice; tokens are None where the engine's tokenizer is not at hand."""

    choice: int
    finish: Finish
    prompt_tokens: int | None
    completion_tokens: int


Event = Text | Notice | End


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt that was let in: its text as the model may see it, its length, and what the guard says of it."""

    text: str
    num_tokens: int | None
    verdict: Verdict | None = None
    held: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """One completion to be written: its number, the model as it was asked for, the prompt, and how it is drawn."""

    number: int
    model: str
    prompt: Prompt
    sampling: Sampling


@dataclass(slots=True)
class Written:
    """What one choice has come to: all that the engine wrote, and the strictest verdict that holds it back."""

    finish: Finish = "stop"
    flagged: Verdict | None = None
    pieces: list[str] = field(default_factory=list)
    num_tokens: int = 0
    begun: float = field(default_factory=time.monotonic)

    def add(self, piece: Piece, first_seconds: Histogram) -> None:
        if not self.num_tokens:
            first_seconds.observe(time.monotonic() - self.begun)
        self.pieces.append(piece.text)
        self.num_tokens += len(piece.tokens)


class Service:
    """The models, the guard, the curators' queue, and the line of requests before them."""

    def __init__(
        self,
        models: Mapping[str, Engine],
        *,
        guard: Guard | None = None,
        reviews: Reviews | None = None,
        limits: Limits = Limits(),
    ) -> None:
        self.models, self.guard, self.reviews, self.limits = dict(models), guard, reviews, limits
        self.line, self.rate, self.metrics = Line(limits), Rate(limits.client_requests_per_minute), Metrics()
        self.draining = False
        self.metrics.watch("polyglot_waiting", "Completions waiting for a place", lambda: self.line.waiting)
        self.metrics.watch("polyglot_writing", "Completions being written", lambda: self.line.writing)

    async def start(self) -> None:
        """Load the models, one after the other: two at once need the memory of both conversions."""
        for engine in self.models.values():
            await engine.start()

    async def keep_house(self) -> None:
        """Delete what curators may no longer keep, once an hour, for as long as the server runs."""
        while self.reviews is not None:
            await asyncio.to_thread(self.reviews.expire)
            await asyncio.sleep(HOUSE_SECONDS)

    async def close(self) -> None:
        for engine in self.models.values():
            await engine.close()

    @property
    def ready(self) -> bool:
        return not self.draining and all(engine.ready for engine in self.models.values())

    async def complete(self, request: CompletionRequest, client: str) -> AsyncGenerator[Event, None]:
        """Carry a request out for a client (a key's name or an address).

        Raises RequestError before the first event: unknown model, values out of bounds, too long, too much, refused by the guard.
        """
        self.rate.take(client)
        engine = self.engine(request.model)
        completions = len(request.prompts) * request.n
        if completions > self.limits.choices:
            raise RequestError(
                f"this asks for {completions} completions at once, more than {self.limits.choices}; send fewer prompts or less n",
                code="invalid_value",
                param="n",
            )
        with self.line.admit(client, completions):
            prompts = await asyncio.to_thread(self.accept, request, engine)
            async with aclosing(self.write_all(request, prompts, engine, client)) as events:
                async for event in events:
                    yield event

    @property
    def enforcing(self) -> bool:
        return self.guard is not None and self.guard.mode == "enforce"

    def engine(self, model: str) -> Engine:
        engine = self.models.get(model)
        if engine is None:
            known = ", ".join(self.models)
            raise RequestError(
                f"there is no model {model[:100]!r} here, only {known}", status=404, code="model_not_found", param="model"
            )
        if self.draining:
            raise RequestError("the server is shutting down", status=503, code="shutting_down", retry_seconds=10)
        if not engine.ready:
            raise RequestError(f"{model} is being loaded; try again", status=503, code="model_loading", retry_seconds=5)
        return engine

    def accept(self, request: CompletionRequest, engine: Engine) -> list[Prompt]:
        """Check everything about a request that its engine and the guard can say before the first token."""
        require_honoured(request.sampling, engine)
        if request.echo and request.sampling.logprobs is not None:
            raise RequestError(
                "logprobs cannot be given for an echoed prompt; leave out echo or logprobs",
                code="unsupported_parameter",
                param="echo",
            )
        return [self.accept_prompt(text, request.sampling, engine) for text in request.prompts]

    def accept_prompt(self, text: str, sampling: Sampling, engine: Engine) -> Prompt:
        num_bytes = len(text.encode())
        if num_bytes > self.limits.prompt_bytes:
            raise RequestError(
                f"the prompt has {num_bytes:,} bytes, more than the {self.limits.prompt_bytes:,} taken here; shorten it",
                code="prompt_too_long",
                param="prompt",
            )
        tokens = engine.tokens(text)
        num_tokens = None if tokens is None else len(tokens)
        room = engine.context - START_TOKENS
        if num_tokens is not None and num_tokens + sampling.max_tokens > room:
            raise RequestError(
                f"the prompt has {num_tokens:,} tokens and max_tokens is {sampling.max_tokens:,}, together more than the context "
                f"has room for ({room:,}); shorten one of them",
                code="context_length_exceeded",
                param="prompt" if num_tokens >= room else "max_tokens",
            )
        if self.guard is None or self.guard.mode == "off":
            return Prompt(text, num_tokens)
        verdict = self.noted("prompt", judged(self.guard.check(text, "prompt")))
        if not self.enforcing:
            return Prompt(text, num_tokens, verdict)
        if verdict.action is Action.REFUSE:
            reasons = "; ".join(reason.sentence() for reason in verdict.reasons)
            raise RequestError(f"the prompt is refused: {reasons}", code="content_filter", param="prompt")
        return Prompt(verdict.text, num_tokens, verdict, held=verdict.action is Action.HOLD)

    def noted(self, direction: Literal["prompt", "completion"], verdict: Verdict) -> Verdict:
        self.metrics.guarded.labels(direction, verdict.action.name.lower()).inc()
        self.metrics.guard_seconds.observe(verdict.seconds)
        return verdict

    async def write_all(
        self, request: CompletionRequest, prompts: list[Prompt], engine: Engine, client: str
    ) -> AsyncGenerator[Event, None]:
        """Write all choices at once and yield their events as they come; closing cancels those that still write."""
        events: asyncio.Queue[Event | Exception] = asyncio.Queue()
        choices = [
            Choice(index * request.n + number, request.model, prompt, seeded(request.sampling, number))
            for index, prompt in enumerate(prompts)
            for number in range(request.n)
        ]
        writers = [asyncio.create_task(self.write(choice, request, engine, client, events.put_nowait)) for choice in choices]
        try:
            ends = 0
            while ends < len(writers):
                event = await events.get()
                if isinstance(event, Exception):
                    raise event
                ends += isinstance(event, End)
                yield event
        finally:
            for writer in writers:
                writer.cancel()
            await asyncio.gather(*writers, return_exceptions=True)

    async def write(
        self, choice: Choice, request: CompletionRequest, engine: Engine, client: str, put: Callable[[Event | Exception], None]
    ) -> None:
        """Write one choice and put its events; what goes wrong is put too."""
        number, prompt = choice.number, choice.prompt
        try:
            if request.echo:
                put(Text(number, prompt.text))
            if prompt.verdict and prompt.verdict.reasons and not prompt.held:
                put(Notice(number, "prompt", prompt.verdict, enforced=self.enforcing))
            written = Written(finish="content_filter", flagged=prompt.verdict) if prompt.held else Written()
            if not prompt.held:
                async with self.line.place(client):
                    await self.follow(choice, engine, f"{client}/{request.user}", written, put)
            if written.flagged:
                review = await asyncio.to_thread(self.review, choice, written, client)
                put(Notice(number, "prompt" if prompt.held else "completion", written.flagged, review, self.enforcing))
            self.metrics.completions.labels(choice.model, written.finish).inc()
            self.metrics.tokens.labels(choice.model, "drawn").inc(written.num_tokens)
            self.metrics.tokens.labels(choice.model, "read").inc(prompt.num_tokens or 0)
            put(End(number, written.finish, prompt.num_tokens, written.num_tokens))
        except Exception as error:  # noqa: BLE001  (it is raised again where the events are read)
            put(error)

    async def follow(self, choice: Choice, engine: Engine, client: str, written: Written, put: Callable[[Event], None]) -> None:
        """Read the engine's stream along with the guard until its end or the guard's."""
        async with (
            aclosing(engine.stream(choice.prompt.text, choice.sampling, client)) as pieces,
            aclosing(read_along(pieces, self.guard)) as passages,
        ):
            async for passage in passages:
                if passage.piece:
                    written.add(passage.piece, self.metrics.first_seconds.labels(choice.model))
                for verdict in passage.verdicts:
                    self.noted("completion", verdict)
                    if verdict.action < Action.HOLD:
                        put(Notice(choice.number, "completion", verdict, enforced=self.enforcing))
                    elif written.flagged is None or verdict.action > written.flagged.action:
                        written.flagged = verdict
                if passage.text or passage.tokens:
                    put(Text(choice.number, passage.text, passage.tokens if choice.sampling.logprobs is not None else ()))
                written.finish = passage.finish or written.finish

    def review(self, choice: Choice, written: Written, client: str) -> str | None:
        """Put what was flagged before the curators; the id is given out only when the item is safely stored."""
        if self.reviews is None or written.flagged is None:
            return None
        sampling = {name: value for name, value in asdict(choice.sampling).items() if name != "stop"}
        return self.reviews.add(
            model=choice.model,
            prompt=choice.prompt.text,
            completion="".join(written.pieces),
            verdict=written.flagged,
            client=client,
            sampling=sampling,
        )


def seeded(sampling: Sampling, number: int) -> Sampling:
    """Return the sampling of a prompt's completion `number`: with a seed each has its own, and the first has the one asked for."""
    return sampling if sampling.seed is None else replace(sampling, seed=sampling.seed + number)


def require_honoured(sampling: Sampling, engine: Engine) -> None:
    """Raise RequestError where a parameter that is set is none of the engine's."""
    for parameter in fields(Sampling):
        value = getattr(sampling, parameter.name)
        if value != parameter.default and parameter.name not in engine.honours:
            raise RequestError(
                f"{engine.name} cannot honour {parameter.name} (it is {value!r}); leave it out",
                code="unsupported_parameter",
                param=parameter.name,
            )
