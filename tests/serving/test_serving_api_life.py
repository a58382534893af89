"""From the first second to the last: loading, leaving clients, slow readers, shutdown."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable

import httpx
import pytest
from serving.stand_ins import HTTP, Parrot, running, sent_events, wait_until

from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.completion import Service
from polyglot_lm.serving.limits import Limits
from polyglot_lm.serving.server import Server, create_app
from polyglot_lm.serving.settings import Settings

BODY = {"model": "parrot", "prompt": "ab", "max_tokens": 200}


def test_it_answers_while_a_model_loads() -> None:
    parrot = Parrot()
    parrot.loading.clear()
    with running(Service({"parrot": parrot})) as address:
        assert HTTP.get(f"{address}/health").json() == {"status": "ok"}
        waiting = HTTP.get(f"{address}/ready")
        assert waiting.status_code == 503 and waiting.json() == {"status": "loading"}
        early = HTTP.post(f"{address}/v1/completions", json=BODY)
        assert early.status_code == 503 and early.json()["error"]["code"] == "model_loading" and "retry-after" in early.headers
        parrot.loading.set()
        wait_until(lambda: HTTP.get(f"{address}/ready").status_code == 200)
        assert HTTP.post(f"{address}/v1/completions", json=BODY).status_code == 200


def test_a_model_that_cannot_be_loaded_ends_the_server() -> None:
    class Missing(Parrot):
        async def start(self) -> None:
            raise UserError("there is no model there")

    service, settings = Service({"parrot": Missing()}), Settings(port=0)
    with pytest.raises(UserError, match="there is no model there"):
        asyncio.run(asyncio.wait_for(Server(create_app(service, settings), service, settings).run_models(), 30))


def test_a_taken_port_is_said_in_a_sentence() -> None:
    with running(Service({})) as address, pytest.raises(UserError, match="choose another --port"):
        settings = Settings(port=int(address.rsplit(":", 1)[1]))
        Server(create_app(Service({}), settings), Service({}), settings)


@pytest.mark.parametrize("stream", [True, False])
def test_who_leaves_ends_the_work(stream: bool) -> None:
    parrot = Parrot(pace=0.1)  # 20 s for all of it
    service = Service({"parrot": parrot})
    with running(service) as address, httpx.Client(timeout=15 if stream else 0.5) as client:
        if stream:
            with client.stream("POST", f"{address}/v1/completions", json=BODY | {"stream": True}) as answer:
                lines = answer.iter_lines()  # kept: dropping the iterator would leave already
                next(lines)
                assert parrot.open == 1
        else:
            with pytest.raises(httpx.ReadTimeout):
                client.post(f"{address}/v1/completions", json=BODY)
        wait_until(lambda: parrot.open == 0 and service.line.open == 0, seconds=10)
        assert parrot.cancelled == 1 and service.line.free == service.limits.places and service.line.open == 0


def test_who_leaves_the_line_is_never_written_for() -> None:
    parrot = Parrot(pace=0.02)
    service = Service({"parrot": parrot}, limits=Limits(places=1))
    with running(service) as address:
        first = in_thread(lambda: HTTP.post(f"{address}/v1/completions", json=BODY | {"max_tokens": 50}, timeout=30))
        wait_until(lambda: parrot.open == 1)
        with pytest.raises(httpx.ReadTimeout):
            HTTP.post(f"{address}/v1/completions", json=BODY, timeout=0.2)
        wait_until(lambda: service.line.waiting == 0 and service.line.open == 1, seconds=2)
        first.join()
        assert parrot.cancelled == 0 and service.line.free == 1


def test_a_reader_that_takes_nothing_frees_its_place_and_is_dropped() -> None:
    """100,000 tokens are 20 MB of events, more than all buffers between: the engine is done long before the reader is given up."""
    parrot = Parrot(context=200_000)
    service = Service({"parrot": parrot}, limits=Limits(send_seconds=1.0))
    with running(service) as address, socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1]))) as reader:
        content = b'{"model": "parrot", "prompt": "ab", "max_tokens": 100000, "stream": true}'
        head = (
            f"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(content)}"
        )
        reader.sendall(f"{head}\r\n\r\n".encode() + content)
        wait_until(lambda: service.line.open == 1)
        wait_until(lambda: parrot.open == 0)
        wait_until(lambda: service.line.open == 0)
        assert service.line.free == service.limits.places


def test_a_body_that_does_not_come_is_given_up() -> None:
    service = Service({"parrot": Parrot()}, limits=Limits(body_seconds=0.3))
    with running(service) as address, socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1]))) as client:
        client.sendall(
            b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{"
        )
        client.settimeout(10)
        answer = client.recv(4096)
        assert answer.startswith(b"HTTP/1.1 408 ") and b"the body did not come" in answer + client.recv(4096)


def test_streams_that_run_are_drained_and_new_ones_refused() -> None:
    parrot = Parrot(pace=0.02)
    service, settings = Service({"parrot": parrot}), Settings(port=0)
    server = Server(create_app(service, settings), service, settings)
    serving = in_thread(lambda: asyncio.run(server.run_models()))
    wait_until(lambda: server.started and service.ready)
    with httpx.Client() as kept:  # an open connection may still ask
        assert kept.get(f"{server.address}/ready").status_code == 200
        answers: list[httpx.Response] = []
        asking = in_thread(
            lambda: answers.append(
                HTTP.post(f"{server.address}/v1/completions", json=BODY | {"stream": True, "max_tokens": 60}, timeout=30)
            )
        )
        wait_until(lambda: parrot.open == 1)
        server.should_exit = True
        wait_until(lambda: service.draining)
        late = kept.post(f"{server.address}/v1/completions", json=BODY)
        assert late.status_code == 503 and late.json()["error"]["code"] == "shutting_down"
        assert kept.get(f"{server.address}/ready").json() == {"status": "draining"}
        with pytest.raises(httpx.ConnectError):
            HTTP.get(f"{server.address}/ready")
    asking.join()
    serving.join(20)
    assert not serving.is_alive()
    *chunks, done = sent_events(answers[0].text)
    assert done == "[DONE]" and "".join(chunk["choices"][0]["text"] for chunk in chunks) == "ab" * 30
    assert parrot.cancelled == 0 and not parrot.ready


def test_what_does_not_end_is_cut_off_after_its_time() -> None:
    parrot = Parrot(pace=0.05, context=10_000)
    service = Service({"parrot": parrot}, limits=Limits(drain_seconds=0.3))
    begun = 0.0
    with running(service) as address:
        asking = in_thread(lambda: HTTP.post(f"{address}/v1/completions", json=BODY | {"max_tokens": 5000}, timeout=60))
        wait_until(lambda: parrot.open == 1)
        begun = time.monotonic()
    asking.join()
    assert time.monotonic() - begun < 20 and parrot.cancelled == 1


def in_thread(work: Callable[[], object]) -> threading.Thread:
    def quietly() -> None:
        with contextlib.suppress(httpx.HTTPError):
            work()

    thread = threading.Thread(target=quietly)
    thread.start()
    return thread
