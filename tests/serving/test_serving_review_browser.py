"""A curator's day in the operating system's Chromium: keys and clicks, wide and narrow; screenshots lie in tmp_path."""

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from argon2 import PasswordHasher
from fastapi import FastAPI

from polyglot_lm.serving.guard.verdict import Action, Reason, Verdict
from polyglot_lm.serving.review import Accounts, Reviews
from polyglot_lm.serving.review.pages import COOKIE, curator_pages

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not shutil.which("chromium"), reason="needs the system's Chromium")]
PASSWORD = "correct horse battery"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
SIZES = {"wide": (1280, 860), "narrow": (390, 844)}
ATTACK = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\"> <|tell|>\u202e"


def add(reviews: Reviews, completion: str, language: str = "en") -> str:
    reasons = (
        Reason("insult", "classifier", language, Action.HOLD, 0.97, 0.9),
        Reason("insult", "word list", language, Action.ALLOW),
    )
    time.sleep(0.002)  # so that the order of the queue is that of the calls
    return reviews.add(
        model="polyglot-125m",
        prompt="Write about the meeting",
        completion=completion,
        verdict=Verdict(Action.HOLD, "", reasons),
        sampling={"temperature": 0.8},
    )


@pytest.fixture
def reviews(tmp_path: Path) -> Reviews:
    return Reviews(f"sqlite:///{tmp_path}/reviews.db")


@pytest.fixture
def address(reviews: Reviews) -> Iterator[str]:
    """The address of a running server."""
    accounts = Accounts(reviews.address, hasher=CHEAP)
    accounts.add("mina", PASSWORD, "admin")
    app = FastAPI()
    app.mount("/curator", curator_pages(reviews, accounts))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}/curator/"
    server.should_exit = True
    thread.join()


@pytest.fixture(params=SIZES)
def page(request: pytest.FixtureRequest, address: str) -> Iterator[Any]:
    """A page at the door; any message on its console is a failure."""
    from playwright.sync_api import sync_playwright

    width, height = SIZES[request.param]
    said: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": width, "height": height}).new_page()
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("console", lambda message: said.append(message.text))
        page.on("response", lambda answer: said.append(answer.url) if answer.status >= 500 else None)
        page.goto(address)
        yield page
        browser.close()
    assert said == [] or all("401" in line or "409" in line for line in said)


def sign_in(page: Any, password: str = PASSWORD) -> None:
    page.fill("#name", "mina")
    page.fill("#password", password)
    page.keyboard.press("Enter")


def picture(page: Any, folder: Path, name: str) -> None:
    """Keep a picture of the whole page, which must not be wider than its window."""
    width = page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.screenshot(path=folder / f"{width}-{name}.png", full_page=True)


def waits_for(page: Any, words: str) -> None:
    page.get_by_text(words).first.wait_for(timeout=10_000)


def test_a_curators_day_by_keyboard(page: Any, reviews: Reviews, tmp_path: Path) -> None:
    ids = [add(reviews, f"completion number {number}") for number in range(5)]
    sign_in(page, "wrong password")
    waits_for(page, "Wrong name or password.")
    picture(page, tmp_path, "wrong-password")
    sign_in(page)
    waits_for(page, "completion number 0")
    picture(page, tmp_path, "queue")
    page.keyboard.press("n")
    waits_for(page, "completion number 0")
    picture(page, tmp_path, "item")
    page.keyboard.press("a")
    waits_for(page, "completion number 1")
    page.keyboard.press("2")
    page.keyboard.press("r")
    waits_for(page, "completion number 2")
    page.keyboard.press("e")
    page.keyboard.press("Control+a")
    page.keyboard.type("a kind word, and no key of a shortcut: a r l n u")
    picture(page, tmp_path, "edit")
    page.keyboard.press("Control+Enter")
    waits_for(page, "completion number 3")
    picture(page, tmp_path, "undo")
    page.keyboard.press("3")
    page.keyboard.press("l")
    page.locator("input[value=sexual]:checked").wait_for(state="attached")
    waits_for(page, "So far")
    assert [reviews.item(item_id).status for item_id in ids] == ["approved", "rejected", "edited", "waiting", "waiting"]
    assert [reviews.item(item_id).labels for item_id in ids] == [[], ["hate"], ["insult"], ["sexual"], []]
    assert reviews.released(ids[2]) == "a kind word, and no key of a shortcut: a r l n u"
    page.keyboard.press("n")
    waits_for(page, "completion number 4")
    page.keyboard.press("r")
    waits_for(page, "completion number 3")
    page.keyboard.press("u")
    waits_for(page, "completion number 4")
    page.get_by_text("waiting").first.wait_for()
    assert (reviews.item(ids[4]).status, reviews.item(ids[4]).labels) == ("waiting", [])
    page.keyboard.press("q")
    waits_for(page, "completion number 3")
    assert page.url.endswith("/curator/")


def test_a_curators_day_by_mouse(page: Any, reviews: Reviews, tmp_path: Path) -> None:
    korean, english = add(reviews, "그 사람은 나빠 010-1234-5678", "ko"), add(reviews, "another one")
    sign_in(page)
    page.select_option("select[name=language]", "ko")
    page.wait_for_url("**/?*language=ko*")
    assert page.locator(".items a").count() == 1
    page.locator(".items a").first.click()
    waits_for(page, "telephone")
    picture(page, tmp_path, "korean")
    page.locator("input[value=hate]").check()
    page.fill("input[name=note]", "as the house rules say")
    page.get_by_role("button", name="Approve").click()
    waits_for(page, "Nothing is waiting.")
    assert (reviews.item(korean).labels, reviews.item(korean).note) == (["hate"], "as the house rules say")
    page.get_by_role("button", name="Undo").click()
    waits_for(page, "telephone")
    page.get_by_role("link", name="Edit").click()
    page.locator("textarea").fill("그 사람은 좋아")
    page.get_by_role("button", name="Release the edited text").click()
    waits_for(page, "Nothing is waiting.")
    assert reviews.released(korean) == "그 사람은 좋아"
    page.goto(page.url.split("?")[0])
    page.locator(".items a").first.click()
    waits_for(page, "another one")
    reviews.decide(english, "jun", "reject")
    page.get_by_role("button", name="Approve").click()
    waits_for(page, "Nothing of yours was saved: jun rejected this at")
    picture(page, tmp_path, "conflict")
    page.get_by_role("link", name="History").click()
    waits_for(page, "Who did what")
    picture(page, tmp_path, "history")
    page.get_by_role("link", name="Queue").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export labels").click()
    assert '"offensive":true' in Path(download.value.path()).read_text()
    page.get_by_role("button", name="Sign out").click()
    waits_for(page, "For curators")
    assert COOKIE not in {cookie["name"] for cookie in page.context.cookies()}


def test_what_a_model_wrote_never_runs(page: Any, reviews: Reviews, tmp_path: Path) -> None:
    item_id = add(reviews, ATTACK)
    sign_in(page)
    waits_for(page, "<script>document.title")
    page.locator(".items a").first.click()
    waits_for(page, "U+202E")
    picture(page, tmp_path, "attack")
    assert page.title() == "Waiting item · Polyglot"
    assert page.locator("main script, main img").count() == 0
    page.get_by_role("button", name="Approve").click()
    waits_for(page, "Nothing is waiting.")
    assert reviews.released(item_id) == ATTACK


def test_keys_can_be_switched_off_and_stay_off(page: Any, reviews: Reviews) -> None:
    item_id = add(reviews, "one"), add(reviews, "two")
    sign_in(page)
    page.locator(".items a").first.click()
    waits_for(page, "one")
    page.evaluate("document.getElementById('keys').click()")
    page.reload()
    page.keyboard.press("a")
    page.wait_for_timeout(300)
    assert reviews.item(item_id[0]).status == "waiting"
    page.evaluate("document.getElementById('keys').click()")
    page.keyboard.press("a")
    waits_for(page, "two")
    assert reviews.item(item_id[0]).status == "approved"


def test_the_pages_work_without_a_script(address: str, reviews: Reviews) -> None:
    from playwright.sync_api import sync_playwright

    item_id = add(reviews, "no script here")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_context(java_script_enabled=False).new_page()
        page.goto(address)
        sign_in(page)
        page.get_by_role("button", name="Review next").click()
        page.get_by_text("Release another text instead").click()
        page.locator("textarea").fill("edited without a script")
        page.get_by_role("button", name="Release the edited text").click()
        page.get_by_text("Nothing is waiting.").wait_for()
        browser.close()
    assert reviews.released(item_id) == "edited without a script"
