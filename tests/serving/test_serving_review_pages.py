"""The curators' pages over HTTP: who gets in, what a form may do, what the pages show, and what they never run."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx import Response

from polyglot_lm.serving.guard.verdict import Action, Reason, Verdict
from polyglot_lm.serving.review import Accounts, Reviews
from polyglot_lm.serving.review.pages import COOKIE, curator_pages
from polyglot_lm.serving.review.showing import MASKS, span, stretches

PASSWORD = "correct horse battery"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
HELD = Verdict(Action.HOLD, "", (Reason("insult", "classifier", "ko", Action.HOLD, 0.97, 0.9),))
ATTACK = '<script>alert(1)</script><img src=x onerror="alert(1)">{{ 7 * 7 }}</textarea>'


@pytest.fixture
def reviews(tmp_path: Path) -> Reviews:
    return Reviews(f"sqlite:///{tmp_path}/reviews.db")


@pytest.fixture
def visitor(reviews: Reviews) -> Iterator[TestClient]:
    """A browser that is not signed in."""
    accounts = Accounts(reviews.address, hasher=CHEAP)
    accounts.add("mina", PASSWORD, "admin")
    accounts.add("jun", PASSWORD, "curator")
    app = FastAPI()
    app.mount("/curator", curator_pages(reviews, accounts))
    with TestClient(app, base_url="http://localhost/curator/") as client:
        yield client


@pytest.fixture
def admin(visitor: TestClient) -> TestClient:
    return signed_in(visitor, "mina")


def signed_in(client: TestClient, name: str) -> TestClient:
    assert client.post("login", data={"name": name, "password": PASSWORD}).url.path == "/curator/"
    return client


def added(reviews: Reviews, completion: str = "a bad word") -> str:
    return reviews.add(model="m", prompt="say it", completion=completion, verdict=HELD)


def token(page: Response) -> str:
    return re.findall(r'name="form_token" value="([^"]+)"', page.text)[0]


def decide(client: TestClient, item_id: str, decision: str, **more: object) -> Response:
    page = client.get(f"items/{item_id}")
    version = re.findall(r'name="version" value="(\d+)"', page.text)[-1]
    form = {"form_token": token(page), "version": version, "decision": decision}
    return client.post(f"items/{item_id}", data=form | more, follow_redirects=False)


@pytest.mark.parametrize("path", ["", "items/x", "history"])
def test_who_is_not_signed_in_is_led_to_the_door(visitor: TestClient, path: str) -> None:
    answer = visitor.get(path, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/curator/login")


@pytest.mark.parametrize("path", ["items/{}", "next", "export", "logout"])
def test_a_form_without_session_or_token_does_nothing(reviews: Reviews, visitor: TestClient, path: str) -> None:
    item_id = added(reviews)
    form = {"decision": "approve", "version": "1"}
    assert visitor.post(path.format(item_id), data=form, follow_redirects=False).headers["location"] == "/curator/login"
    signed_in(visitor, "mina")
    for wrong in ({}, {"form_token": "wrong"}, {"form_token": "é"}):
        answer = visitor.post(path.format(item_id), data=form | wrong, follow_redirects=False)
        assert (answer.status_code, "another session" in answer.text) == (403, True)
    assert (reviews.counts()["approved"], visitor.get("").status_code) == (0, 200)


def test_the_cookie_is_out_of_reach(visitor: TestClient) -> None:
    cookie = visitor.post("login", data={"name": "mina", "password": PASSWORD}, follow_redirects=False).headers["set-cookie"]
    assert re.fullmatch(rf"{COOKIE}=[\w-]{{43}}; HttpOnly; Path=/curator; SameSite=strict", cookie)
    https = TestClient(visitor.app, base_url="https://localhost/curator/")
    cookie = https.post("login", data={"name": "mina", "password": PASSWORD}, follow_redirects=False).headers["set-cookie"]
    assert "; Secure" in cookie


def test_signing_in_and_out(visitor: TestClient) -> None:
    wrong = visitor.post("login", data={"name": "mina", "password": "<b>wrong"})
    assert (wrong.status_code, "Wrong name or password." in wrong.text, "<b>wrong" in wrong.text) == (401, True, False)
    for _ in range(4):
        visitor.post("login", data={"name": "mina", "password": "wrong"})
    slowed = visitor.post("login", data={"name": "jun", "password": "wrong"})
    assert (slowed.status_code, slowed.headers["retry-after"]) == (429, "1")
    assert visitor.get("login").status_code == 200


def test_the_door_of_a_queue_without_accounts_says_how_to_make_one(reviews: Reviews) -> None:
    door = TestClient(curator_pages(reviews, Accounts(reviews.address, hasher=CHEAP))).get("/login").text
    assert "polyglot curators add NAME --role admin" in door


def test_signing_out_ends_the_session(admin: TestClient) -> None:
    page = admin.get("")
    assert admin.post("logout", data={"form_token": token(page)}).url.path == "/curator/login"
    assert admin.get("").url.path == "/curator/login"


def test_every_page_is_bound_by_the_same_headers(reviews: Reviews, admin: TestClient) -> None:
    item_id = added(reviews, ATTACK)
    for path in ("", f"items/{item_id}", "history", "login", "nowhere", "items/unknown"):
        answer = admin.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
        assert (answer.headers["cache-control"], answer.headers["x-content-type-options"]) == ("no-store", "nosniff")
        inline = re.findall(r"<script(?![^>]* src=)[^>]*>|<style|\sstyle=|\son\w+=", answer.text.replace("onerror=&#34;", ""))
        assert inline == []


def test_what_a_model_wrote_stays_text(reviews: Reviews, admin: TestClient) -> None:
    item_id = added(reviews, ATTACK)
    for path in ("", f"items/{item_id}"):
        page = admin.get(path).text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert "{{ 7 * 7 }}" in page
        assert "<script>" not in page and "<img" not in page
    assert admin.get(f"items/{item_id}").text.count("</textarea>") == 1


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_form_of_another_site_is_refused_before_it_is_read(admin: TestClient, site: str) -> None:
    answer = admin.post("login", data={"name": "mina"}, headers={"sec-fetch-site": site})
    assert (answer.status_code, answer.text) == (403, "forms of other sites are refused")


def test_a_form_without_length_or_with_too_much_of_it_is_refused(admin: TestClient) -> None:
    assert admin.post("login", content=iter([b"name=mina"])).status_code == 411
    assert admin.post("login", content=b"x" * 1_000_001).status_code == 413


def test_deciding_leads_to_the_next_item_and_offers_undo(reviews: Reviews, admin: TestClient) -> None:
    first, second = sorted((added(reviews), added(reviews)), key=lambda item_id: reviews.item(item_id).created_seconds)
    answer = decide(admin, first, "reject", labels=["hate", "insult"], note="twice")
    assert answer.headers["location"] == f"/curator/items/{second}?done={first}"
    assert (reviews.item(first).labels, reviews.item(first).note) == (["insult", "hate"], "twice")
    notice = admin.get(f"items/{second}?done={first}").text
    assert re.search(rf'class="done" method="post" action="/curator/items/{first}"', notice)
    assert decide(admin, second, "edit", edited="fine\r\nnow").headers["location"] == f"/curator/?done={second}"
    assert reviews.released(second) == "fine\nnow"
    assert decide(admin, first, "reopen").headers["location"] == f"/curator/items/{first}"
    assert reviews.item(first).status == "waiting"


def test_filters_stay_while_deciding(reviews: Reviews, admin: TestClient) -> None:
    item_id = added(reviews)
    form = {"form_token": token(admin.get("")), "version": "1", "decision": "approve"}
    answer = admin.post(f"items/{item_id}?language=ko&category=insult", data=form, follow_redirects=False)
    assert answer.headers["location"] == f"/curator/?language=ko&category=insult&done={item_id}"
    assert "Nothing is waiting." in admin.get(answer.headers["location"].removeprefix("/curator/")).text


def test_the_second_of_two_curators_loses_nothing_but_the_race(reviews: Reviews, admin: TestClient) -> None:
    item_id = added(reviews)
    form = {"form_token": token(admin.get("")), "version": "1", "decision": "edit", "edited": "my long work"}
    reviews.decide(item_id, "jun", "label", labels=["hate"])
    answer = admin.post(f"items/{item_id}", data=form)
    assert answer.status_code == 409
    assert re.search(r"Nothing of yours was saved: jun labelled this at \d\d:\d\d UTC while you were reading\.", answer.text)
    assert "my long work</textarea>" in answer.text
    assert reviews.item(item_id).status == "waiting"
    reviews.decide(item_id, "jun", "reject", labels=["hate"])
    answer = admin.post(f"items/{item_id}", data=form)
    assert "my long work</div>" in answer.text
    assert re.findall(r'value="([\w -]+)" checked', answer.text) == ["hate"]


def test_who_else_reads_an_item_is_shown(reviews: Reviews, admin: TestClient) -> None:
    item_id = added(reviews)
    reviews.claim(item_id, "jun")
    assert "jun is reading" in admin.get("").text
    assert "jun is reading this too" in admin.get(f"items/{item_id}").text


@pytest.mark.parametrize(
    ("form", "status", "sentence"),
    [
        ({"decision": "edit", "edited": " "}, 400, "The edited text is empty"),
        ({"decision": "reject", "labels": "<i>"}, 400, "Unknown label &#39;&lt;i&gt;&#39;"),
        ({"decision": "burn"}, 400, "This form is not one of ours"),
        ({"decision": "approve", "version": "x"}, 400, "This form is not one of ours"),
        ({"decision": "approve", "version": "7"}, 409, "Nothing of yours was saved"),
    ],
)
def test_a_form_that_makes_no_sense_is_told_so(reviews: Reviews, admin: TestClient, form: dict, status: int, sentence: str) -> None:  # type: ignore[type-arg]
    item_id = added(reviews)
    reviews.decide(item_id, "jun", "label")
    answer = admin.post(f"items/{item_id}", data={"form_token": token(admin.get("")), "version": "2"} | form)
    assert (answer.status_code, sentence in answer.text) == (status, True), answer.text


def test_pages_that_are_not_there_say_so(admin: TestClient) -> None:
    for path, status in (("nowhere", 404), ("items/unknown", 404), ("static/../pages.py", 404), ("?status=lost", 400)):
        answer = admin.get(path)
        assert (answer.status_code, "Back to the queue" in answer.text) == (status, True), path


def test_a_curator_neither_exports_nor_reads_the_history(reviews: Reviews, visitor: TestClient) -> None:
    page = signed_in(visitor, "jun").get("")
    assert "Export" not in page.text and "History" not in page.text
    for answer in (visitor.get("history"), visitor.post("export", data={"form_token": token(page)})):
        assert (answer.status_code, "for admins" in answer.text) == (403, True)


def test_an_admin_exports_labels_and_reads_the_history(reviews: Reviews, admin: TestClient) -> None:
    item_id = added(reviews)
    assert decide(admin, item_id, "reject").status_code == 303
    answer = admin.post("export", data={"form_token": token(admin.get(""))})
    assert re.fullmatch(r'attachment; filename="labels-\d{4}-\d\d-\d\d\.jsonl"', answer.headers["content-disposition"])
    assert json.loads(answer.text)["labels"] == ["insult"]
    history = admin.get(f"history?item={item_id}").text
    assert "reject" in history and "signed in" not in history
    assert "1 row " in admin.get("history").text


def test_a_long_queue_and_history_are_turned_page_by_page(reviews: Reviews, admin: TestClient) -> None:
    for number in range(101):
        reviews.decide(added(reviews, f"text {number}."), "jun", "label")
    first = admin.get("").text
    assert "text 49." in first and "text 50." not in first
    assert "text 50." in admin.get(re.findall(r'href="(\?[^"]+)">More', first)[0].replace("&amp;", "&")).text
    older = re.findall(r'href="(\?[^"]+)">Older', admin.get("history").text)[0].replace("&amp;", "&")
    assert "account added" in admin.get(f"history{older}").text


def test_kinds_of_identifiers_are_written_out(reviews: Reviews, admin: TestClient) -> None:
    phone = Reason("tell", "personal information", "", Action.MASK)
    item_id = reviews.add(model="m", prompt="p", completion="c", verdict=Verdict(Action.MASK, "c", (phone,)))
    assert "<b>telephone</b><span>personal information, masked</span>" in admin.get(f"items/{item_id}").text
    assert re.search(r'<option value="tell" >telephone</option>', admin.get("").text)
    assert admin.get("?category=tell").text.count(f"/items/{item_id}") == 1


def test_masks_and_unseen_signs_are_shown_and_all_else_is_kept() -> None:
    pieces = list(stretches("call <|tell|> now\u202e!\n<b>"))
    assert [(piece.kind, piece.text) for piece in pieces] == [
        ("text", "call "),
        ("masked", "telephone"),
        ("text", " now"),
        ("unseen", "U+202E"),
        ("text", "!\n<b>"),
    ]
    assert set(MASKS.values()).isdisjoint({"acc", "rrn", "tell"})
    assert [span(seconds) for seconds in (3, 61, 7300, 90_000, 200_000)] == ["a moment", "1 min", "2 h", "1 day", "2 days"]
