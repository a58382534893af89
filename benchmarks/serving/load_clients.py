"""Sixteen clients of every kind: most want text, some leave, some are slow, some send what nobody should.

Each behaviour is one request; it notes the status it got and says which it may get. What a kill of the server cuts off is noted as
`cut` and is only a fault while the server is up.
"""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

HELD_WORD = "kettledrum"  # the policy of the run holds it
OPENINGS = (
    "오늘 아침에 강가에서", "今天早上我们在河边", "今朝、川のそばで", "Pagi ini di tepi sungai", "Pagi tadi di tebing sungai",
    "Sáng nay bên bờ sông", "เช้านี้ริมแม่น้ำ", "This morning by a river",
)  # fmt: skip
WRONG_BODIES = (b"{", b"", b"[]", b'{"model": 7}', b'{"model": "bench", "prompt": "\xff\xfe\xc0"}', b"[" * 50_000)
WRONG_VALUES = (
    {"temperature": 9}, {"top_p": 0}, {"n": 99}, {"stop": ["x"] * 9}, {"logit_bias": {"1": 1}}, {"prompt": [1, 2]}, {"what": 1},
    {"max_tokens": 10**9},
)  # fmt: skip
FINE = {200, 429, 503}


@dataclass
class Notes:
    """What all clients have seen: statuses by behaviour, what was not as it should be, times to the first text, told items."""

    statuses: Counter[tuple[str, int | str]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    first_seconds: list[float] = field(default_factory=list)
    reviews: list[str] = field(default_factory=list)
    up: bool = True

    def note(self, behaviour: str, status: int | str, allowed: set[int]) -> None:
        self.statuses[behaviour, status] += 1
        if isinstance(status, int) and status not in allowed:
            self.wrong.append(f"{behaviour}: {status}")


class Client:
    """One client with a key of its own."""

    def __init__(self, address: str, key: str, notes: Notes, seed: int) -> None:
        self.address, self.key, self.notes, self.random = address, key, notes, random.Random(seed)
        self.host, port = address.removeprefix("http://").split(":")
        self.port = int(port)
        self.http = httpx.AsyncClient(base_url=address, headers={"authorization": f"Bearer {key}"}, timeout=120)

    def body(self, **change: object) -> dict[str, Any]:
        prompt = self.random.choice(OPENINGS) + " " * self.random.randint(0, 1) + str(self.random.randint(0, 999))
        return {"model": "bench", "prompt": prompt, "max_tokens": self.random.choice((8, 16, 32, 64)), "temperature": 0.9, **change}

    async def whole(self) -> None:
        answer = await self.http.post("/v1/completions", json=self.body(n=self.random.choice((1, 1, 1, 3)), logprobs=2))
        self.keep(answer.json())
        self.notes.note("whole", answer.status_code, FINE)

    async def stream(self) -> None:
        await self.read_stream("stream", None)

    async def leave(self) -> None:
        await self.read_stream("leave", self.random.randint(0, 5))

    async def read_stream(self, behaviour: str, num_events: int | None) -> None:
        begun, last, seen = time.monotonic(), "", 0
        async with self.http.stream("POST", "/v1/completions", json=self.body(stream=True)) as answer:
            self.notes.note(behaviour, answer.status_code, FINE)
            async for line in answer.aiter_lines():
                if not line.startswith("data: "):
                    continue
                if not seen and answer.status_code == 200:
                    self.notes.first_seconds.append(time.monotonic() - begun)
                if line != "data: [DONE]":
                    self.keep(json.loads(line[6:]))
                seen, last = seen + 1, line
                if num_events is not None and seen > num_events:
                    return
        if answer.status_code == 200 and last != "data: [DONE]":
            self.notes.wrong.append(f"{behaviour}: the stream ended with {last[:200]}")

    async def leave_while_waiting(self) -> None:
        try:
            answer = await self.http.post("/v1/completions", json=self.body(), timeout=self.random.choice((0.05, 0.3)))
            self.notes.note("leave while waiting", answer.status_code, FINE)
        except httpx.TimeoutException:
            self.notes.note("leave while waiting", "left", FINE)

    async def held(self) -> None:
        answer = await self.http.post(
            "/v1/completions", json=self.body(prompt=f"A {HELD_WORD} number {self.random.randint(0, 999)}")
        )
        found = answer.json()
        self.keep(found)
        if answer.status_code == 200 and not found["choices"][0].get("guard", [{}])[0].get("review"):
            self.notes.wrong.append("held: no review was told")
        self.notes.note("held", answer.status_code, FINE)

    async def oversize(self) -> None:
        letters = self.random.choice((70_000, 900_000, 3_000_000))
        answer = await self.http.post("/v1/completions", json=self.body(prompt="강" * (letters // 3)))
        self.notes.note("oversize", answer.status_code, {400, 413, 429, 503})

    async def wrong_body(self) -> None:
        headers = {"content-type": "application/json"}
        answer = await self.http.post("/v1/completions", content=self.random.choice(WRONG_BODIES), headers=headers)
        self.notes.note("wrong body", answer.status_code, {400})

    async def wrong_value(self) -> None:
        answer = await self.http.post("/v1/completions", json=self.body() | self.random.choice(WRONG_VALUES))
        self.notes.note("wrong value", answer.status_code, {400, 429, 503})

    async def wrong_key(self) -> None:
        answer = await self.http.post("/v1/completions", json=self.body(), headers={"authorization": "Bearer plg-wrong"})
        self.notes.note("wrong key", answer.status_code, {401})

    async def look_round(self) -> None:
        for path, allowed in (
            ("/health", {200}),
            ("/ready", {200, 503}),
            ("/v1/models", {200}),
            ("/metrics", {200}),
            ("/no", {404}),
        ):
            self.notes.note(f"get {path}", (await self.http.get(path)).status_code, allowed)

    async def slow_reader(self) -> None:
        """Read a few bytes now and then, or nothing at all, and leave."""
        reader, writer = await self.ask_raw(json.dumps(self.body(stream=True, max_tokens=64)).encode())
        pause = self.random.choice((0.2, 1.0, 30.0))
        until = time.monotonic() + 15
        while time.monotonic() < until and await reader.read(100):
            await asyncio.sleep(min(pause, until - time.monotonic()))
        writer.transport.abort()
        self.notes.note("slow reader", "left", FINE)

    async def slow_writer(self) -> None:
        """Say that a body comes, send half of it, and leave."""
        _, writer = await self.ask_raw(b'{"model": "bench", "pro', length=500)
        await asyncio.sleep(self.random.choice((0.5, 5.0)))
        writer.transport.abort()
        self.notes.note("slow writer", "left", FINE)

    async def ask_raw(self, content: bytes, length: int | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(self.host, self.port, limit=1024)
        head = (
            f"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {self.key}\r\n"
            f"content-type: application/json\r\ncontent-length: {length or len(content)}\r\n\r\n"
        )
        writer.write(head.encode() + content)
        await writer.drain()
        return reader, writer

    def keep(self, answer: dict[str, Any]) -> None:
        """Remember the items of the queue that an answer names: none of them may ever be lost."""
        for choice in answer.get("choices", ()):
            self.notes.reviews += [notice["review"] for notice in choice.get("guard") or () if notice["review"]]

    async def run(self, until: Callable[[], bool]) -> None:
        """Behave in one way after the other until told to stop."""
        ways: dict[Callable[[], Awaitable[None]], int] = {
            self.stream: 30, self.whole: 14, self.leave: 12, self.leave_while_waiting: 6, self.held: 6, self.oversize: 5,
            self.wrong_body: 6, self.wrong_value: 6, self.wrong_key: 5, self.look_round: 4, self.slow_reader: 3,
            self.slow_writer: 3,
        }  # fmt: skip
        while not until():
            way = self.random.choices(list(ways), list(ways.values()))[0]
            was_up = self.notes.up
            try:
                await way()
            except (httpx.HTTPError, OSError) as error:
                name = getattr(way, "__name__", "").replace("_", " ")
                self.notes.note(name, "cut", FINE)
                if was_up and self.notes.up:
                    self.notes.wrong.append(f"{name}: {type(error).__name__} while the server was up")
                await asyncio.sleep(1.0)
            await asyncio.sleep(self.random.uniform(0, 0.3))
        await self.http.aclose()
