"""A server behind another server: its stream comes through, its refusals are told, and it learns when a client leaves."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.engines.engine import Sampling, Token, Unavailable
from polyglot_lm.serving.engines.opening import open_engine


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


WORDS = ["안녕", " 世界", "!"]


class Other:
    """A small server as vLLM would answer; it keeps what it was asked and notices who leaves."""

    def __init__(self) -> None:
        self.app, self.asked, self.keys, self.left = FastAPI(), list[dict[str, Any]](), list[str | None](), asyncio.Event()
        self.app.get("/v1/models")(self.models)
        self.app.post("/v1/completions")(self.completions)

    async def models(self, request: Request) -> Any:
        self.keys.append(request.headers.get("authorization"))
        return {"data": [{"id": "big", "max_model_len": 77}, {"id": "small"}]}

    async def completions(self, request: Request) -> Any:
        body = await request.json()
        self.asked.append(body)
        if body["prompt"] == "refused":
            return JSONResponse({"error": {"message": "no such thing"}}, 400)
        if body["prompt"] == "busy":
            return JSONResponse({"error": {"message": "too many"}}, 429)
        return StreamingResponse(self.stream(body["prompt"]), media_type="text/event-stream")

    async def stream(self, prompt: str) -> AsyncIterator[str]:
        try:
            for number, word in enumerate(WORDS * (1000 if prompt == "endless" else 1)):
                last = number == len(WORDS) - 1 and prompt != "endless"
                logprobs = {"tokens": [word], "token_logprobs": [-0.5], "top_logprobs": [{word: -0.5, "x": -2.0}]}
                choice = {"index": 0, "text": word, "finish_reason": "length" if last else None, "logprobs": logprobs}
                if prompt == "broken" and number == 1:
                    return
                yield f"data: {json.dumps({'choices': [choice]})}\n\n"
                await asyncio.sleep(0.005)
            yield 'data: {"choices": [], "usage": {}}\n\ndata: [DONE]\n\n'
        finally:
            self.left.set()


@asynccontextmanager
async def other_server() -> AsyncIterator[tuple[Other, str]]:
    other = Other()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(other.app, log_level="error"))
        running = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield other, f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await running


@asynccontextmanager
async def upstream(address: str, **options: Any) -> AsyncIterator[Any]:
    engine: Any = open_engine(address, **options)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


@pytest.mark.anyio
async def test_a_stream_comes_through_with_all_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYGLOT_UPSTREAM_KEY", "the-key")
    async with other_server() as (other, address), upstream(address + "/v1") as engine:
        assert (engine.name, engine.context, engine.ready) == ("big", 77, True) and other.keys == ["Bearer the-key"]
        asked = Sampling(max_tokens=3, top_k=5, seed=7, stop=("?",), repetition_penalty=1.2, logprobs=2, temperature=0.5, top_p=0.9)
        pieces = [piece async for piece in engine.stream("hello", asked, "me")]
        plain = [piece async for piece in engine.stream("hello", Sampling())]
    assert [piece.text for piece in pieces] == WORDS and pieces[-1].finish == "length"
    assert pieces[0].tokens == (Token("안녕", -0.5, (("안녕", -0.5), ("x", -2.0))),)
    assert [token for piece in plain for token in piece.tokens] == [Token(word) for word in WORDS]
    assert other.asked[0] == {
        "model": "big",
        "prompt": "hello",
        "stream": True,
        "user": "me",
        "max_tokens": 3,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 5,
        "repetition_penalty": 1.2,
        "seed": 7,
        "stop": ["?"],
        "logprobs": 2,
    }
    assert not {"top_k", "seed", "stop", "repetition_penalty", "user"} & other.asked[1].keys()


@pytest.mark.anyio
async def test_refusals_and_failures_are_told_apart() -> None:
    async with other_server() as (_, address):
        async with upstream(address, name="small") as engine:
            for prompt, kind, said in (
                ("refused", UserError, "answered 400: no such thing"),
                ("busy", Unavailable, "answered 429: too many"),
                ("broken", Unavailable, "ended the stream"),
            ):
                with pytest.raises(kind, match=said) as raised:
                    [piece async for piece in engine.stream(prompt, Sampling())]
                assert type(raised.value) is kind
        with pytest.raises(UserError, match="has no model 'huge'; it has big, small"):
            await open_engine(address, name="huge").start()
    with pytest.raises(UserError, match="no OpenAI-compatible server within reach"):
        await open_engine(address).start()


@pytest.mark.anyio
async def test_the_other_server_learns_that_a_client_has_left() -> None:
    async with other_server() as (other, address), upstream(address) as engine:
        async with aclosing(engine.stream("endless", Sampling())) as pieces:
            await anext(pieces)
            assert not other.left.is_set()
        await asyncio.wait_for(other.left.wait(), 10)
