"""From what the command line names to a server that runs: models, guard, queue, pages, in one application.

Everything that can be wrong with names and files is said before the port is opened; loading comes after, behind `/ready`.
"""

import asyncio
import logging
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from fastapi import FastAPI

from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.completion import Service
from polyglot_lm.serving.engines.engine import Engine
from polyglot_lm.serving.engines.opening import open_engine
from polyglot_lm.serving.guard.guard import MODES, Mode, load_guard
from polyglot_lm.serving.server import Server, create_app
from polyglot_lm.serving.settings import Settings

NAMED = re.compile(r"(?P<name>[\w.@-]+)=(?P<model>.+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """What is served: `models` are folders or addresses, perhaps as NAME=MODEL; `reviews` is the queue's database, "" for none."""

    models: tuple[str, ...]
    engine: str = "ctranslate2"
    guard: str = "enforce"
    policy: Path | None = None
    reviews: str = ""
    page: bool = True


def open_models(models: Sequence[str], kind: str) -> dict[str, Engine]:
    """Return the engines by name, not started; raises UserError for what cannot be served and for two of one name."""
    found: dict[str, Engine] = {}
    for given in models:
        name, model = name_and_model(given)
        if is_address(model):
            engine = open_engine(model, name=name or None)  # what the other server calls it
        else:
            engine = open_engine(model, kind)
            engine.name = name or engine.name
        if engine.name in found:
            raise UserError(f"two models are named {engine.name!r}; write one as NAME={given}")
        found[engine.name] = engine
    return found


def open_service(offer: Offer, settings: Settings) -> Service:
    """Return the service of an offer; raises UserError for what is wrong with its files."""
    if offer.guard not in MODES:
        raise UserError(f"guard is {offer.guard!r}; choose {', '.join(MODES)}")
    guard = load_guard(offer.policy, cast(Mode, offer.guard))
    models = open_models(offer.models, offer.engine)
    if not offer.reviews:
        return Service(models, guard=guard, limits=settings.limits)
    from polyglot_lm.serving.review import Reviews

    return Service(models, guard=guard, reviews=Reviews(offer.reviews), limits=settings.limits)


def open_app(offer: Offer, service: Service, settings: Settings) -> FastAPI:
    """Return the application: the API, the curators' pages where there is a queue, the demo page where it is wanted."""
    curators = None
    if service.reviews is not None:
        from polyglot_lm.serving.review import Accounts, Reviews
        from polyglot_lm.serving.review.pages import curator_pages

        assert isinstance(service.reviews, Reviews)
        curators = curator_pages(service.reviews, Accounts(offer.reviews))
    app = create_app(service, settings, curators=curators)
    if offer.page:
        from polyglot_lm.serving.demo.mount import mount_page

        places = [name_and_model(given)[1] for given in offer.models]
        folders = [None if is_address(place) else Path(place) for place in places]
        mount_page(app, service, dict(zip(service.models, folders, strict=True)))
    return app


def name_and_model(given: str) -> tuple[str, str]:
    named = NAMED.fullmatch(given)
    return (named["name"], named["model"]) if named else ("", given)


def is_address(model: str) -> bool:
    return model.startswith(("http://", "https://"))


def serve(offer: Offer, settings: Settings) -> None:
    """Serve until a signal; the address goes to standard output, warnings and the log to standard error."""
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    logging.getLogger("polyglot_lm").setLevel(logging.INFO)
    service = open_service(offer, settings)
    server = Server(open_app(offer, service, settings), service, settings)
    for warning in settings.warnings():
        logging.getLogger("polyglot_lm.serving").warning("%s", warning)
    sys.stdout.write(f"{server.address}\n")
    sys.stdout.flush()
    asyncio.run(server.run_models())
