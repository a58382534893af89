"""The page without a browser: what it lets through, cards, answers as HTML, and writing that ends."""

import asyncio
import html
import logging
import re
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest
from demo_stand_ins import Shelf, WordGuard, page_app
from fastapi.testclient import TestClient
from stand_ins import Parrot

from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.completion import End, Notice, Service, Text
from polyglot_lm.serving.demo.card_page import card_page
from polyglot_lm.serving.demo.look import CSS, theme
from polyglot_lm.serving.demo.page import sampling_of
from polyglot_lm.serving.demo.panels import Panel, drawn_panel
from polyglot_lm.serving.demo.writing import Writing
from polyglot_lm.serving.engines.engine import Piece, Sampling
from polyglot_lm.serving.guard.verdict import Action, Reason, Verdict

CARD = """---
language:
- ko
---
# A <b>model</b>

<script>alert(1)</script> ![loss](plots/loss.svg) ![out](../secret.svg) ![far](https://example.org/a.png) [link](https://example.org)

| a | b |
|---|---|
| 1 | 2 |
"""
GIVEN = (80, 0.8, 0.95, 0, 1.0, "", "")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    folder = tmp_path_factory.mktemp("model")
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    return TestClient(page_app(Service({"parrot": Parrot()}), {"parrot": folder}))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/config", 200),
        ("GET", "/card/parrot", 200),
        ("GET", "/card/other", 404),
        ("GET", "/card/../../etc/passwd", 404),
        ("GET", "/v1/unknown", 404),
        ("GET", "/v1/completions", 405),
        ("POST", "/v1/completions", 200),
        ("POST", "/gradio_api/upload", 404),
        ("GET", "/gradio_api/file=/etc/passwd", 404),
        ("GET", "/gradio_api/proxy=https://example.org", 404),
        ("POST", "/gradio_api/run/answer", 404),
        ("POST", "/gradio_api/call/answer", 404),
        ("GET", "/gradio_api/openapi.json", 404),
        ("GET", "/monitoring", 404),
        ("GET", "/gradio_api/runs", 404),
    ],
)
def test_only_what_the_page_needs_is_there(client: TestClient, method: str, path: str, status: int) -> None:
    assert client.request(method, path).status_code == status


def test_nothing_of_the_page_comes_from_elsewhere(client: TestClient) -> None:
    config = client.get("/config").json()
    assert not config["analytics_enabled"]
    assert config["stylesheets"] == []
    for style in (client.get("/theme.css").text, CSS.read_text(encoding="utf-8")):
        assert re.findall(r"""@import|url\((?!\s*["']?data:)""", style) == []
    assert theme()._stylesheets == []


def test_a_card_shows_its_own_pictures_and_runs_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "plots").mkdir(parents=True)
    (folder / "plots" / "loss.svg").write_text("<svg/>")
    (tmp_path / "secret.svg").write_text("<svg/>")
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    page = card_page(folder)
    assert page.count('src="data:image/svg+xml;base64,PHN2Zy8+"') == 1
    assert "<script>" not in page
    assert "<h1>A &lt;b&gt;model" in page
    assert "example.org/a.png" not in page
    assert page.count("src=") == 1
    assert '<a href="https://example.org" rel="noreferrer">' in page
    assert "<td>2</td>" in page
    assert "language:" not in page


def test_an_answer_is_text_whatever_it_says() -> None:
    hostile = "<img src=x onerror=alert(1)>${alert(1)}{{value}}`"
    panel = Panel(model=hostile, prompt=hostile).after(Text(0, hostile), 0.1)
    panel = panel.after(
        Notice(0, "completion", Verdict(Action.HOLD, "", (Reason(hostile, "word list", "en", Action.HOLD),)), hostile), 1
    )
    shown = drawn_panel(panel)
    assert html.unescape(shown).count(hostile) == 5
    assert "<img" not in shown
    assert not set(shown) & set("{}$`")


def test_what_the_guard_did_is_said_with_its_reasons_and_where_to_ask() -> None:
    held = Notice(0, "completion", Verdict(Action.HOLD, "", (Reason("insult", "classifier", "ko", Action.HOLD, 0.97, 0.9),)), "abc")
    shown = drawn_panel(Panel(model="m").after(held, 1).after(End(0, "content_filter", 3, 7), 2))
    assert "insult (ko): classifier 0.97, held from 0.90" in shown
    assert "<code>abc</code>" in shown
    assert "ended by the guard" in shown
    alone = drawn_panel(Panel(model="m").after(replace(held, review=None), 1))
    assert "no curator is asked here" in alone
    noted = drawn_panel(Panel(model="m").after(replace(held, enforced=False), 1))
    assert "changed nothing" in noted
    assert "classifier 0.97" in noted


def test_a_masked_prompt_is_shown_as_the_model_read_it() -> None:
    masked = Notice(
        0, "prompt", Verdict(Action.MASK, "call <|tell|>", (Reason("telephone", "personal information", "", Action.MASK),))
    )
    assert Panel(model="m", prompt="call 555").after(masked, 0).shown_prompt == "call <|tell|>"
    assert Panel(model="m", prompt="call 555").after(replace(masked, enforced=False), 0).shown_prompt == "call 555"


def test_settings_become_sampling() -> None:
    given = (12.0, 0.5, 0.9, 3.0, 1.1, " 7 ", "one\n\ntwo\n")
    assert sampling_of(given, 5) == Sampling(
        max_tokens=12, temperature=0.5, top_p=0.9, top_k=3, repetition_penalty=1.1, seed=7, stop=("one", "two")
    )
    assert sampling_of(GIVEN, 5).seed == 5
    assert sampling_of(GIVEN, None).seed is None
    for seed in ("x", "-1", "1.5", "9" * 19):
        with pytest.raises(UserError, match=f"the seed is '{seed}'"):
            sampling_of((*GIVEN[:5], seed, ""), 5)
    with pytest.raises(UserError, match="stop"):
        sampling_of((*GIVEN[:6], "a\nb\nc\nd\ne"), 5)


async def last_state(writing: Writing, *, stop_after: int = 0) -> list[Panel]:
    number = 0
    async for _ in writing.states():
        number += 1
        if number == stop_after:
            writing.stop()
    return writing.panels


def test_two_models_write_beside_each_other() -> None:
    async def run() -> list[Panel]:
        service = Service({"a": Parrot("a"), "b": Parrot("b")})
        await service.start()
        return await last_state(Writing(service, {"a": Sampling(max_tokens=3), "b": Sampling(max_tokens=5)}, "hello", "me"))

    first, second = asyncio.run(run())
    assert (first.text, second.text) == ("hel", "hello")
    assert first.end and first.end.finish == "length"


@pytest.mark.parametrize("stop_after", [1, 3])
def test_stopping_cancels_the_engine_and_keeps_what_was_written(stop_after: int) -> None:
    async def run() -> tuple[list[Panel], Parrot]:
        parrot = Parrot(pace=0.01)
        service = Service({"parrot": parrot})
        await service.start()
        return await last_state(
            Writing(service, {"parrot": Sampling(max_tokens=200)}, "hello", "me"), stop_after=stop_after
        ), parrot

    (panel,), parrot = asyncio.run(run())
    assert panel.stopped
    assert panel.end is None
    assert len(panel.text) < 100
    assert (parrot.open, "stopped by you" in drawn_panel(panel)) == (0, True)


def test_leaving_the_page_cancels_the_engine() -> None:
    async def run() -> Parrot:
        parrot = Parrot(pace=0.01)
        service = Service({"parrot": parrot})
        await service.start()
        states = Writing(service, {"parrot": Sampling(max_tokens=200)}, "hello", "me").states()
        for _ in range(3):
            await anext(states)
        await states.aclose()
        await asyncio.sleep(0.05)
        return parrot

    parrot = asyncio.run(run())
    assert (parrot.open, parrot.cancelled) == (0, 1)


def test_a_refusal_is_its_sentence() -> None:
    async def run(prompt: str, **settings: int) -> Panel:
        service = Service({"parrot": Parrot()}, guard=WordGuard(), reviews=Shelf())
        await service.start()
        return (await last_state(Writing(service, {"parrot": Sampling(**settings)}, prompt, "me")))[0]

    assert "insult (en): word list, refused" in asyncio.run(run("REFUSE")).refusal
    assert "the context has room for (256)" in asyncio.run(run("long", max_tokens=400)).refusal
    held = asyncio.run(run("HOLD"))
    assert [(notice.direction, notice.review) for notice in held.notices] == [("prompt", "item1")]
    assert held.text == ""


def test_a_defect_is_raised_and_the_panel_says_that_it_ended(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Parrot):
        async def stream(self, prompt: str, sampling: Sampling, client: str = "") -> AsyncGenerator[Piece, None]:
            raise ValueError("secret")
            yield Piece("")

    async def run() -> None:
        service = Service({"broken": Broken("broken")})
        await service.start()
        writing = Writing(service, {"broken": Sampling()}, "hello", "me")
        with pytest.raises(ValueError, match="secret"):
            await last_state(writing)
        assert "its operator" in writing.panels[0].refusal

    with caplog.at_level(logging.CRITICAL):
        asyncio.run(run())
