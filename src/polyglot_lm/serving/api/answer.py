"""How events become OpenAI's answers: one JSON object, or server-sent events that end in `data: [DONE]`.

Nothing is sent before the first event, so that a refusal still has its status. Meanwhile the connection is watched: who
leaves ends the work.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

import orjson
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.api.schema import CompletionBody, Json
from polyglot_lm.serving.completion import End, Event, Notice, Service, Text
from polyglot_lm.serving.engines.engine import Token
from polyglot_lm.serving.errors import RequestError, as_request_error
from polyglot_lm.serving.layers import log_failure

DONE = b"data: [DONE]\n\n"
Result = TypeVar("Result")


async def while_connected(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result | None:
    """Return what the work returns; None, and the work is cancelled, where the client left before."""

    async def left() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    working, leaving = asyncio.create_task(work), asyncio.create_task(left())
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


class Answer:
    """What the objects of one answer share, and the counts of its tokens so far."""

    def __init__(self, body: CompletionBody) -> None:
        self.n = body.n or 1
        self.asked_logprobs = body.logprobs is not None
        self.shared: Json = {
            "id": f"cmpl-{secrets.token_hex(12)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": body.model,
        }
        self.offsets: dict[int, int] = {}
        self.ends: list[End] = []

    def choice(self, event: Event) -> Json:
        """Return the event as a choice of a chunk."""
        choice: Json = {"index": event.choice, "text": "", "logprobs": None, "finish_reason": None}
        match event:
            case Text():
                choice["text"] = event.text
                if event.tokens:
                    choice["logprobs"] = self.logprobs(event.choice, event.tokens)
            case Notice():
                choice["guard"] = [guard_notice(event)]
            case End():
                choice["finish_reason"] = event.finish
                self.ends.append(event)
        return choice

    def logprobs(self, number: int, tokens: tuple[Token, ...]) -> Json:
        offsets = []
        for token in tokens:
            offsets.append(self.offsets.get(number, 0))
            self.offsets[number] = offsets[-1] + len(token.text)
        return {
            "tokens": [token.text for token in tokens],
            "token_logprobs": [token.logprob for token in tokens],
            # tokens that hold part of a character have one text, U+FFFD: the likeliest of them stands for all
            "top_logprobs": [dict(reversed(token.likeliest)) for token in tokens],
            "text_offset": offsets,
        }

    def usage(self) -> Json | None:
        """Return the counts, each prompt once; None where the tokenizer is elsewhere."""
        prompts = [end.prompt_tokens for end in self.ends if end.choice % self.n == 0]
        read = [number for number in prompts if number is not None]
        if len(read) < len(prompts):
            return None
        drawn = sum(end.completion_tokens for end in self.ends)
        return {"prompt_tokens": sum(read), "completion_tokens": drawn, "total_tokens": sum(read) + drawn}

    def whole(self, choices: list[Json]) -> Json:
        """Return the answer that is not streamed."""
        merged: dict[int, Json] = {}
        for part in choices:
            into = merged.setdefault(part["index"], {**part, "text": "", "logprobs": None})
            into["text"] += part["text"]
            into["finish_reason"] = part["finish_reason"] or into["finish_reason"]
            if "guard" in part and part is not into:
                into["guard"] = into.get("guard", []) + part["guard"]
            if part["logprobs"]:
                into["logprobs"] = joined(into["logprobs"], part["logprobs"])
        return {**self.shared, "choices": [merged[index] for index in sorted(merged)], "usage": self.usage()}


def joined(first: Json | None, second: Json) -> Json:
    return second if first is None else {name: first[name] + second[name] for name in second}


def guard_notice(notice: Notice) -> Json:
    return {
        "direction": notice.direction,
        "action": notice.verdict.action.name.lower(),
        "reasons": [reason.sentence() for reason in notice.verdict.reasons],
        "enforced": notice.enforced,
        "review": notice.review,
    }


class CompletionResponse(Response):
    """Carry a request out while its client listens; refusals are raised before anything is sent."""

    def __init__(self, service: Service, body: CompletionBody, client: str) -> None:
        super().__init__()
        self.body_asked, self.answer = body, Answer(body)
        self.events = service.complete(body.request(), client)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await while_connected(receive, self.stream(send) if self.body_asked.stream else self.send_whole(scope, receive, send))

    async def send_whole(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self.events) as events:
            choices = [self.answer.choice(event) async for event in events]
        await Response(orjson.dumps(self.answer.whole(choices)), media_type="application/json")(scope, receive, send)

    async def stream(self, send: Send) -> None:
        async with aclosing(self.events) as events:
            chunks = self.chunks(events)
            first = await anext(chunks)
            headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": first, "more_body": True})
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    async def chunks(self, events: AsyncGenerator[Event, None]) -> AsyncGenerator[bytes, None]:
        options = self.body_asked.stream_options
        counts = options is not None and options.include_usage
        shared = self.answer.shared | ({"usage": None} if counts else {})
        begun = False
        try:
            async for event in events:
                yield data({**shared, "choices": [self.answer.choice(event)]})
                begun = True
        except Exception as error:
            if not begun:
                raise
            yield data(broken(error).body())  # the status is sent: the error is the last event, and [DONE] does not come
            return
        if counts:
            yield data({**self.answer.shared, "choices": [], "usage": self.answer.usage()})
        yield DONE


def data(value: Json) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


def broken(error: Exception) -> RequestError:
    if isinstance(error, UserError):
        return as_request_error(error)
    log_failure(error)
    return RequestError("the completion broke off by a mistake of the server's", status=500, code="internal_error")
