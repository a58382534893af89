"""A model behind another OpenAI-compatible server, such as vLLM on GPUs: its address in, its stream out.

The other server batches, samples and stops; here its events become pieces. It is always asked for the log-probabilities of its
tokens, since they bring the tokens themselves, from which usage is counted. Closing the iterator closes the connection, which is
how such servers learn that a client has left. Its key stands in the environment, never in an address.
"""

import json
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, Literal

import httpx

from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.engines.engine import Piece, Sampling, Token, Unavailable

KEY_VARIABLE = "POLYGLOT_UPSTREAM_KEY"
TIMEOUT = httpx.Timeout(10, read=120)  # seconds; a first token may wait in the other server's queue
EXPLAINED = 300  # characters of what another server says


class UpstreamEngine:
    """The model `name` of the server at `address` (with or without `/v1`); its first model when none is named."""

    honours = frozenset({"max_tokens", "temperature", "top_p", "top_k", "repetition_penalty", "seed", "stop", "logprobs"})

    def __init__(self, address: str, *, name: str | None = None) -> None:
        try:
            url = httpx.URL(address)
        except httpx.InvalidURL as error:
            raise UserError(f"{address!r} is no address: {error}; write http://HOST:PORT") from error
        if not url.host or url.userinfo:
            raise UserError(f"the address of a server is http://HOST:PORT, with its key in {KEY_VARIABLE}, not in the address")
        self.address = str(url).rstrip("/").removesuffix("/v1")
        self.asked_for = name
        self.name = name or url.host
        self.context = sys.maxsize  # unless the server says; it refuses what is too long
        self.ready = False

    async def start(self) -> None:
        key = os.environ.get(KEY_VARIABLE)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.client = httpx.AsyncClient(base_url=f"{self.address}/v1/", headers=headers, timeout=TIMEOUT)
        try:
            response = await self.client.get("models")
            await require_success(response, self.address)
            found = {entry["id"]: entry for entry in response.json()["data"]}
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            await self.client.aclose()
            raise UserError(f"{self.address} is no OpenAI-compatible server within reach: {say(error)}; start it first") from error
        self.name = self.asked_for or next(iter(found), "")
        if self.name not in found:
            await self.client.aclose()
            raise UserError(f"{self.address} has no model {self.name!r}; it has {', '.join(found) or 'none'}")
        self.context = found[self.name].get("max_model_len") or sys.maxsize
        self.ready = True

    async def close(self) -> None:
        if self.ready:
            self.ready = False
            await self.client.aclose()

    def tokens(self, text: str) -> list[str] | None:
        return None

    async def stream(self, prompt: str, sampling: Sampling, client: str = "") -> AsyncGenerator[Piece, None]:
        body = asked(sampling) | {"model": self.name, "prompt": prompt, "stream": True}
        if client:
            body["user"] = client
        try:
            async with self.client.stream("POST", "completions", json=body) as response:
                await require_success(response, self.address)
                async for event in events(response.aiter_lines()):
                    piece = piece_of(event, wanted=sampling.logprobs is not None)
                    yield piece
                    if piece.finish:
                        return
        except (httpx.HTTPError, ValueError, KeyError) as error:
            raise Unavailable(f"{self.address} failed: {say(error)}; ask again later") from error
        raise Unavailable(f"{self.address} ended the stream before the completion; ask again later")


def asked(sampling: Sampling) -> dict[str, Any]:
    """Return the parameters under the names of the OpenAI API and vLLM; those at their defaults are left out."""
    found: dict[str, Any] = {
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "logprobs": sampling.logprobs or 0,
    }
    if sampling.top_k:
        found["top_k"] = sampling.top_k
    if sampling.repetition_penalty != 1:
        found["repetition_penalty"] = sampling.repetition_penalty
    if sampling.seed is not None:
        found["seed"] = sampling.seed
    if sampling.stop:
        found["stop"] = list(sampling.stop)
    return found


async def require_success(response: httpx.Response, address: str) -> None:
    """Raise UserError with what a server says of a request that it refuses, Unavailable where the fault is not the request's."""
    if response.is_success:
        return
    text = (await response.aread()).decode("utf-8", "replace")
    try:
        said = str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        said = text or response.reason_phrase
    kind = UserError if response.status_code in (400, 404, 413, 422) else Unavailable
    raise kind(f"{address} answered {response.status_code}: {said[:EXPLAINED]}")


async def events(lines: AsyncIterator[str]) -> AsyncIterator[Mapping[str, Any]]:
    """Yield the JSON of server-sent events up to `[DONE]`; raises Unavailable for an error that is sent as one."""
    async for line in lines:
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            return
        event = json.loads(data)
        if "error" in event:
            raise Unavailable(f"the other server broke off: {str(event['error'])[:EXPLAINED]}")
        if event.get("choices"):
            yield event


def piece_of(event: Mapping[str, Any], *, wanted: bool) -> Piece:
    choice = event["choices"][0]
    found = choice.get("logprobs") or {}
    texts, values = found.get("tokens") or [], found.get("token_logprobs") or []
    others = found.get("top_logprobs") or [None] * len(texts)
    tokens = tuple(
        Token(text, value, tuple((other or {}).items())) if wanted else Token(text)
        for text, value, other in zip(texts, values, others, strict=True)
    )
    reason = choice.get("finish_reason")
    finish: Literal["stop", "length"] | None = None if reason is None else "length" if reason == "length" else "stop"
    return Piece(choice.get("text") or "", tokens, finish)


def say(error: Exception) -> str:
    return str(error) or type(error).__name__
