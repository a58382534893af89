"""The page in a real Chromium: prompt, stream, stop, guard, two models, every example, wide and narrow, light and dark.

Every test fails on a script error and on any request that leaves the server. With POLYGLOT_SCREENSHOTS=FOLDER the pages are kept
as pictures, to be looked at.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo_stand_ins import Shelf, WordGuard, page_app, served
from playwright.sync_api import Browser, Page, expect, sync_playwright
from stand_ins import Parrot

from polyglot_lm.languages import languages
from polyglot_lm.serving.completion import Service
from polyglot_lm.serving.demo.openings import openings

CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs the operating system's chromium")]
WINDOWS = {"wide": (1200, 900), "narrow": (390, 844)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def service() -> Service:
    engines = {name: Parrot(name, pace=0.02, context=1024) for name in ("parrot", "macaw")}
    return Service(engines, guard=WordGuard(), reviews=Shelf())


@pytest.fixture(scope="module")
def address(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("model")
    (folder / "README.md").write_text("---\nlanguage:\n- ko\n- en\n---\n# The parrot\n\nIt repeats.\n", encoding="utf-8")
    with served(page_app(service, {"parrot": folder, "macaw": None})) as found:
        yield found


@pytest.fixture
def page(browser: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    width, height = WINDOWS[getattr(request, "param", ("wide",))[0]]
    scheme = getattr(request, "param", ("", "light"))[-1]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    found, wrong = context.new_page(), []
    found.on("request", lambda sent: wrong.append(sent.url) if not sent.url.startswith((address, "data:", "blob:")) else None)
    found.on("pageerror", lambda error: wrong.append(str(error)))
    found.on("response", lambda answer: wrong.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None)
    found.goto(address)
    found.locator(".pieces").first.wait_for()
    yield found
    context.close()
    assert wrong == []


def ask(page: Page, prompt: str, *, tokens: int = 40) -> None:
    page.locator("#prompt textarea").fill(prompt)
    page.locator("#setting-max_tokens input[type=number]").fill(str(tokens))
    page.locator("#setting-max_tokens input[type=number]").press("Tab")
    page.locator("#write").click()


def picture(page: Page, name: str) -> None:
    if folder := os.environ.get("POLYGLOT_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.mark.parametrize("page", [(w, s) for w in WINDOWS for s in ("light", "dark")], indirect=True, ids="-".join)
def test_two_models_stream_in_any_window(page: Page, request: pytest.FixtureRequest) -> None:
    page.locator("#example-ko").click()
    page.locator("#write").click()
    expect(page.locator("#answer-0 .state")).to_have_text("writing")
    picture(page, f"writing-{request.node.callspec.id}")
    for side in ("#answer-0", "#answer-1"):
        expect(page.locator(f"{side} .text")).to_have_text((openings()["ko"] * 3)[: len(openings()["ko"]) + 80], timeout=15_000)
        expect(page.locator(f"{side} footer")).to_contain_text("80 tokens")
    expect(page.locator("#write")).to_be_enabled()
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    picture(page, f"written-{request.node.callspec.id}")


def test_text_comes_before_its_end(page: Page) -> None:
    ask(page, "hello", tokens=200)
    expect(page.locator("#answer-0 .text")).to_contain_text("hellohello", timeout=4_000)
    expect(page.locator("#answer-0 .caret")).to_be_visible()
    page.locator("#stop").click()


def test_stop_ends_the_engines_stream(page: Page, service: Service) -> None:
    ask(page, "hello", tokens=500)
    expect(page.locator("#answer-0 .text")).to_contain_text("hellohello")
    page.locator("#stop").click()
    for side in ("#answer-0", "#answer-1"):
        expect(page.locator(f"{side} footer")).to_contain_text("stopped by you")
    expect(page.locator("#write")).to_be_enabled()
    assert [engine.open for engine in service.models.values()] == [0, 0]


def test_leaving_ends_the_engines_stream(page: Page, service: Service, address: str) -> None:
    ask(page, "hello", tokens=500)
    expect(page.locator("#answer-0 .text")).to_contain_text("hellohello")
    assert [engine.open for engine in service.models.values()] == [1, 1]
    page.goto("about:blank")
    page.wait_for_timeout(1500)
    assert [engine.open for engine in service.models.values()] == [0, 0]
    page.goto(address)


def test_every_language_has_its_example(page: Page) -> None:
    expect(page.locator(".chips button")).to_have_text([languages()["en"].name, languages()["ko"].name])
    for code in ("ko", "en"):
        page.locator(f"#example-{code}").click()
        expect(page.locator("#prompt textarea")).to_have_value(openings()[code])
        expect(page.locator("#tokens .figures").first).to_contain_text(f"{len(openings()[code])}")
    expect(page.locator("#tokens .note").first).to_contain_text("Measured")


def test_one_model_alone(page: Page) -> None:
    page.locator("#beside input").click()
    page.get_by_role("option", name="none").click()
    expect(page.locator("#answer-1")).to_be_hidden()
    ask(page, "hello", tokens=5)
    expect(page.locator("#answer-0 .text")).to_have_text("hellohello")


def test_the_guard_says_what_it_did(page: Page, service: Service) -> None:
    ask(page, "call 555 now", tokens=12)
    expect(page.locator("#answer-0 .notice.mask")).to_contain_text("insult (en): word list, masked")
    expect(page.locator("#answer-0 .text .prompt")).to_have_text("call <|tell|> now")
    ask(page, "REFUSE this")
    expect(page.locator("#answer-0 .notice.refuse")).to_contain_text("the prompt is refused: insult (en)")
    ask(page, "please STOP it", tokens=40)
    expect(page.locator("#answer-0 .notice.hold")).to_contain_text("classifier 0.97, held from 0.90")
    picture(page, "held")
    review = page.locator("#answer-0 .notice.hold code").inner_text()
    page.locator("#review").get_by_role("button", name=re.compile("review")).click()
    page.locator("#review-number input, #review-number textarea").fill(review)
    page.locator("#review-look").click()
    expect(page.locator("#review .notice")).to_contain_text("Not released")
    assert isinstance(service.reviews, Shelf)
    service.reviews.decided[review] = "please <b>stop</b>"
    page.locator("#review-look").click()
    expect(page.locator("#review .notice .released")).to_have_text("please <b>stop</b>")
    picture(page, "released")


def test_hostile_text_stays_text(page: Page) -> None:
    hostile = "<img src=x onerror=alert(1)>${alert(2)}{{value}}{{#if}}<script>alert(3)</script>`"
    ask(page, hostile, tokens=len(hostile))
    for place in ("#answer-0 .text .prompt", "#tokens .pieces >> nth=0"):
        expect(page.locator(place)).to_have_text(hostile)
    expect(page.locator("#answer-0 .text")).to_have_text(hostile * 2, timeout=10_000)


def test_a_wrong_setting_is_refused_in_a_sentence(page: Page) -> None:
    page.locator("#setting-seed textarea, #setting-seed input").fill("seven")
    page.locator("#write").click()
    expect(page.locator("#answer-0 .notice.refuse")).to_contain_text("the seed is 'seven'; write a whole number")


def test_the_card_opens(page: Page, address: str) -> None:
    assert page.locator(".head nav a").all_inner_texts() == ["Model card of parrot"]
    page.goto(f"{address}card/parrot")
    expect(page.locator("h1")).to_have_text("The parrot")
