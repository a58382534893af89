"""The curators' pages: sign in, the queue, one item at a time, the history, the export.

`curator_pages` returns an application of its own, mounted at /curator. Every page is written on the server and works
without a script; the script adds the keyboard. Nothing comes from elsewhere and nothing inline is allowed (Content-Security-
Policy), templates escape everything, and a form is believed only with its session's token and from our own site: what a
model wrote can neither run here nor press a button.

Filters travel in the address, so that deciding one item of a filtered queue leads to the next of it.
"""

import hashlib
import math
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, FastAPI, Form, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, RedirectResponse, Response
from fastapi.templating import Jinja2Templates
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException as AnyHTTPError

from polyglot_lm.pages.page import STYLE
from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.review import showing
from polyglot_lm.serving.review.accounts import Accounts, SignedIn, SignInError
from polyglot_lm.serving.review.database import Item
from polyglot_lm.serving.review.decisions import Decision, ReviewConflictError, labels_for
from polyglot_lm.serving.review.shield import Shield
from polyglot_lm.serving.review.store import STATUSES, Filters, Reviews, reader

HERE = Path(__file__).parent
COOKIE = "polyglot_curator"
ITEMS_A_PAGE, ENTRIES_A_PAGE = 50, 100
ASSETS = {"curator.css": "text/css; charset=utf-8", "curator.js": "text/javascript; charset=utf-8"}
router = APIRouter()


class NotSignedInError(Exception):
    """A page that needs a session was asked for without one."""


def curator_pages(reviews: Reviews, accounts: Accounts) -> FastAPI:
    """Return the curators' application over a queue and its accounts."""
    app = FastAPI(title="Polyglot review", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.reviews, app.state.accounts = reviews, accounts
    app.include_router(router)
    app.add_middleware(Shield)
    app.add_exception_handler(NotSignedInError, lambda request, _: to(request, "/login"))
    app.add_exception_handler(UserError, lambda request, error: message(request, str(error), 400))
    app.add_exception_handler(RequestValidationError, lambda request, _: message(request, "this form is not one of ours", 400))
    app.add_exception_handler(AnyHTTPError, http_error)
    return app


def queue_of(request: Request) -> Reviews:
    reviews: Reviews = request.app.state.reviews
    return reviews


def accounts_of(request: Request) -> Accounts:
    accounts: Accounts = request.app.state.accounts
    return accounts


def signed_in(request: Request, accounts: Annotated[Accounts, Depends(accounts_of)]) -> SignedIn:
    person = accounts.signed_in(request.cookies.get(COOKIE, ""))
    if person is None:
        raise NotSignedInError
    request.state.person = person
    return person


def admin(person: Annotated[SignedIn, Depends(signed_in)]) -> SignedIn:
    if person.role != "admin":
        raise HTTPException(403, "this page is for admins; ask one for what you need")
    return person


def own_form(person: Annotated[SignedIn, Depends(signed_in)], form_token: Annotated[str, Form()] = "") -> None:
    if not person.owns(form_token):
        raise HTTPException(403, "this form is of another session; go back to the queue and try again")


def filters_of(language: str = "", category: str = "") -> Filters:
    return Filters(language=language, category=category)


Queue = Annotated[Reviews, Depends(queue_of)]
People = Annotated[Accounts, Depends(accounts_of)]
Curator = Annotated[SignedIn, Depends(signed_in)]
Narrowed = Annotated[Filters, Depends(filters_of)]
OwnForm = Depends(own_form)


@router.get("/login")
def login_page(request: Request, accounts: People) -> Response:
    if accounts.signed_in(request.cookies.get(COOKIE, "")):
        return to(request, "/")
    return page(request, "login.html", nobody=not accounts.all())


@router.post("/login")
def login(request: Request, accounts: People, name: Annotated[str, Form()] = "", password: Annotated[str, Form()] = "") -> Response:
    try:
        key = accounts.sign_in(name, password, request.client.host if request.client else "")
    except SignInError as error:
        refused = page(
            request, "login.html", status=429 if error.wait_seconds else 401, name=name, problem=str(error), nobody=False
        )
        if error.wait_seconds:
            refused.headers["retry-after"] = str(math.ceil(error.wait_seconds))
        return refused
    response = to(request, "/")
    https = request.url.scheme == "https"
    response.set_cookie(COOKIE, key, path=root(request) or "/", httponly=True, samesite="strict", secure=https)
    return response


@router.post("/logout", dependencies=[OwnForm])
def logout(request: Request, accounts: People) -> Response:
    accounts.sign_out(request.cookies.get(COOKIE, ""))
    response = to(request, "/login")
    response.delete_cookie(COOKIE, path=root(request) or "/")
    return response


@router.get("/")
def queue_page(
    request: Request, person: Curator, reviews: Queue, filters: Narrowed, status: str = "waiting", skip: int = 0, done: str = ""
) -> Response:
    chosen = Filters(status=status, language=filters.language, category=filters.category)
    skip = max(0, skip)
    found = reviews.items(chosen, limit=ITEMS_A_PAGE + 1, skip=skip)
    return page(
        request,
        "queue.html",
        person=person,
        filters=chosen,
        counts=reviews.counts(filters),
        items=found[:ITEMS_A_PAGE],
        readers={item.id: other_reader(item, reviews, person) for item in found},
        languages=reviews.languages(),
        categories=reviews.categories(),
        older=address("", chosen, status=status, skip=skip + ITEMS_A_PAGE) if len(found) > ITEMS_A_PAGE else "",
        newer=address("", chosen, status=status, skip=skip - ITEMS_A_PAGE) if skip else "",
        done=decided(reviews, done),
        now=reviews.now(),
    )


@router.post("/next", dependencies=[OwnForm])
def next_item(request: Request, person: Curator, reviews: Queue, filters: Narrowed, after: str = "") -> Response:
    item = reviews.next(person.name, filters, after=after)
    return to(request, address(f"/items/{item.id}" if item else "/", filters))


@router.get("/items/{item_id}")
def item_page(request: Request, person: Curator, reviews: Queue, filters: Narrowed, item_id: str, done: str = "") -> Response:
    return one_item(request, person, reviews, filters, item_id, done=decided(reviews, done))


@router.post("/items/{item_id}", dependencies=[OwnForm])
def decide(
    request: Request,
    person: Curator,
    reviews: Queue,
    filters: Narrowed,
    item_id: str,
    decision: Annotated[Decision, Form()],
    version: Annotated[int, Form()],
    edited: Annotated[str | None, Form()] = None,
    labels: Annotated[Sequence[str], Form()] = (),
    note: Annotated[str, Form()] = "",
) -> Response:
    try:
        reviews.decide(item_id, person.name, decision, edited=edited, labels=labels, note=note, version=version)
    except UserError as error:
        draft = {"edited": edited, "labels": labels, "note": note, "open": decision == "edit"}
        status = 409 if isinstance(error, ReviewConflictError) else 400
        return one_item(request, person, reviews, filters, item_id, status=status, problem=str(error), draft=draft)
    if decision in ("label", "reopen"):
        return to(request, address(f"/items/{item_id}", filters))
    following = reviews.next(person.name, filters, after=item_id)
    return to(request, address(f"/items/{following.id}" if following else "/", filters, done=item_id))


@router.get("/history")
def history_page(
    request: Request, person: Annotated[SignedIn, Depends(admin)], reviews: Queue, item: str = "", before: int | None = None
) -> Response:
    entries = reviews.history(item_id=item, limit=ENTRIES_A_PAGE + 1, before=before)
    more = len(entries) > ENTRIES_A_PAGE
    older = urlencode({"item": item, "before": entries[ENTRIES_A_PAGE - 1].number}) if more else ""
    return page(request, "history.html", person=person, entries=entries[:ENTRIES_A_PAGE], item=item, older=older)


@router.post("/export", dependencies=[OwnForm])
def export(person: Annotated[SignedIn, Depends(admin)], reviews: Queue) -> Response:
    with tempfile.NamedTemporaryFile(suffix=".jsonl", delete=False) as file:
        path = Path(file.name)
    reviews.export(path, person.name)
    name = f"labels-{datetime.now(UTC):%Y-%m-%d}.jsonl"
    return FileResponse(path, media_type="application/jsonl", filename=name, background=BackgroundTask(path.unlink))


@router.get("/static/{name}")
def static(name: str) -> Response:
    if name not in ASSETS:
        raise HTTPException(404, "there is no such page")
    return Response(asset(name), media_type=ASSETS[name], headers={"cache-control": "public, max-age=31536000, immutable"})


def one_item(
    request: Request, person: SignedIn, reviews: Reviews, filters: Filters, item_id: str, *, status: int = 200, **more: Any
) -> Response:
    try:
        item = reviews.claim(item_id, person.name)
    except UserError as error:
        return message(request, str(error), 404)
    draft = {"edited": item.edited or item.completion, "labels": item.labels, "note": item.note, "open": False}
    wrote = {name: value for name, value in more.pop("draft", {}).items() if value is not None}
    draft |= wrote if item.status == "waiting" else {}
    return page(
        request,
        "item.html",
        status=status,
        person=person,
        filters=filters,
        item=item,
        reasons=[showing.reason(finding) for finding in item.findings],
        other=other_reader(item, reviews, person),
        labels=labels_for(item, reviews.labels),
        history=reviews.history(item_id=item.id),
        expires=reviews.expires_seconds(item) - reviews.now(),
        now=reviews.now(),
        draft=draft,
        wrote=wrote.get("edited", "") if wrote.get("open") and item.status != "waiting" else "",
        **more,
    )


def other_reader(item: Item, reviews: Reviews, person: SignedIn) -> str | None:
    name = reader(item, reviews.now()) if item.status == "waiting" else None
    return name if name != person.name else None


def decided(reviews: Reviews, item_id: str) -> Item | None:
    """Return the item that was just decided, for the notice that offers to undo it."""
    try:
        item = reviews.item(item_id)
    except UserError:
        return None
    return item if item.status != "waiting" else None


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
    shared = {"person": None, "problem": "", "done": None, "root": root(request), "address": address}
    return templates().TemplateResponse(request, template, {**shared, **values}, status_code=status)


def message(request: Request, text: str, status: int) -> Response:
    return page(request, "message.html", status=status, text=text, person=getattr(request.state, "person", None))


def http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AnyHTTPError)
    return message(request, "there is no such page" if error.status_code == 404 else error.detail, error.status_code)


def root(request: Request) -> str:
    """Return where the application is mounted, such as /curator."""
    return str(request.scope.get("root_path", ""))


def to(request: Request, path: str) -> Response:
    return RedirectResponse(root(request) + path, status_code=303)


def address(path: str, filters: Filters, **more: object) -> str:
    """Return a path with the filters and whatever else is set as its query."""
    query = {"language": filters.language, "category": filters.category, **more}
    return f"{path}?{urlencode({name: value for name, value in query.items() if value})}".removesuffix("?")


@cache
def asset(name: str) -> bytes:
    """Return a file of the pages; the style begins with that of all our reports, so that they look alike."""
    own = (HERE / "static" / name).read_text(encoding="utf-8")
    return f"{STYLE if name.endswith('.css') else ''}{own}".encode()


@cache
def templates() -> Jinja2Templates:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("category_name", "clock", "excerpt", "language_name", "span", "stretches"):
        environment.globals[name] = getattr(showing, name)
    environment.globals["statuses"] = STATUSES
    environment.globals["versions"] = {name: hashlib.sha256(asset(name)).hexdigest()[:12] for name in ASSETS}
    return Jinja2Templates(env=environment)
