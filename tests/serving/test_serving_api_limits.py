"""Nobody takes all: rates, completions of one client, the line of all, and turns in it."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving.stand_ins import HTTP, Parrot, running, wait_until

from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.completion import Service
from polyglot_lm.serving.errors import RequestError
from polyglot_lm.serving.limits import Limits, Line, Rate

BODY = {"model": "parrot", "prompt": "ab", "max_tokens": 2}


def test_limits_are_above_zero() -> None:
    with pytest.raises(UserError, match="waiting is 0"):
        Limits(waiting=0)


def test_a_rate_is_a_bucket_that_fills(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("polyglot_lm.serving.limits.time.monotonic", lambda: clock[0])
    rate = Rate(per_minute=3)
    for _ in range(3):
        rate.take("a")
    with pytest.raises(RequestError) as refused:
        rate.take("a")
    assert refused.value.status == 429 and refused.value.retry_seconds == pytest.approx(20)
    rate.take("b")
    clock[0] += 20.01
    rate.take("a")
    with pytest.raises(RequestError):
        rate.take("a")


def test_a_rate_forgets_clients_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polyglot_lm.serving.limits.REMEMBERED_CLIENTS", 10)
    rate = Rate(per_minute=3)
    for number in range(50):
        rate.take(str(number))
    assert len(rate.buckets) == 10


def test_turns_go_round_between_clients() -> None:
    served: list[str] = []

    async def one(line: Line, client: str) -> None:
        async with line.place(client):
            served.append(client)
            await asyncio.sleep(0)

    async def main() -> None:
        line = Line(Limits(places=1))
        async with asyncio.TaskGroup() as group, line.place("somebody"):
            for client in [*"aaaaaa", *"bb", "c"]:
                group.create_task(one(line, client))
                await asyncio.sleep(0)
            assert line.waiting == 9
        assert line.free == 1 and not line.turns

    asyncio.run(main())
    assert "".join(served) == "abcabaaaa"


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.booleans()), max_size=20), st.integers(1, 3))
def test_places_are_never_lost_nor_shared(arrivals: list[tuple[str, int, bool]], places: int) -> None:
    """Whoever leaves, before or after getting a place: all places are free in the end, and never more in use than there are."""

    async def main() -> None:
        line, writing = Line(Limits(places=places)), 0

        async def one(client: str, steps: int) -> None:
            nonlocal writing
            async with line.place(client):
                writing += 1
                assert writing <= places
                try:
                    for _ in range(steps):
                        await asyncio.sleep(0)
                finally:
                    writing -= 1

        tasks = []
        for client, steps, leaves in arrivals:
            tasks.append(asyncio.create_task(one(client, steps)))
            await asyncio.sleep(0)
            if leaves:
                tasks[len(tasks) // 2].cancel()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
        assert all(task.cancelled() or task.exception() is None for task in tasks)
        assert line.free == places and not line.turns

    asyncio.run(main())


def test_who_waits_too_long_is_told() -> None:
    async def main() -> None:
        line = Line(Limits(places=1, waiting_seconds=0.05))
        async with line.place("a"):
            with pytest.raises(RequestError, match="no place became free") as refused:
                async with line.place("b"):
                    pass
        assert refused.value.status == 503 and not line.turns and line.free == 1

    asyncio.run(main())


@pytest.fixture
def parrot() -> Parrot:
    return Parrot(pace=0.05)


@pytest.fixture
def address(parrot: Parrot) -> Iterator[str]:
    limits = Limits(places=1, waiting=2, client_completions=3, client_requests_per_minute=20)
    with running(Service({"parrot": parrot}, limits=limits)) as found:
        yield found


def post(address: str, **change: object) -> httpx.Response:
    return HTTP.post(f"{address}/v1/completions", json=BODY | change, timeout=30)


def test_one_client_is_told_to_come_back_later(address: str) -> None:
    refused = post(address, n=4)
    assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1
    assert refused.json()["error"]["type"] == "rate_limit_error" and refused.json()["error"]["code"] == "rate_limit_exceeded"
    while (answer := post(address, max_tokens=1)).status_code == 200:
        pass
    assert answer.status_code == 429 and "20 requests a minute" in answer.json()["error"]["message"]
    assert 1 <= int(answer.headers["retry-after"]) <= 4


def test_a_full_line_is_said_honestly(parrot: Parrot) -> None:
    limits = Limits(places=1, waiting=2, client_completions=16)
    with running(Service({"parrot": parrot}, limits=limits)) as address, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: post(address, max_tokens=10), range(8)))
        refused = [answer for answer in answers if answer.status_code == 503]
        assert refused and all(answer.status_code in (200, 503) for answer in answers)
        assert len(answers) - len(refused) >= 3
        assert refused[0].headers["retry-after"] == "6" and refused[0].json()["error"]["code"] == "overloaded"
        assert post(address).status_code == 200  # and it recovers
        wait_until(lambda: parrot.open == 0)
