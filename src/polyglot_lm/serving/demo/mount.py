"""The page at `/` of a server that has other rooms, and the cards beside it.

Gradio brings dozens of endpoints: uploads, a proxy, files, a second way to call every function. The page needs those of
`NEEDED`; all else is not there, so that the server's own routes keep their answers (404, 405) and a visitor gets nothing that
the page does not use.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import gradio as gr
from fastapi import FastAPI, HTTPException
from fastapi.responses import HTMLResponse
from starlette.routing import Match, Mount
from starlette.types import Scope

from polyglot_lm.serving.completion import Service
from polyglot_lm.serving.demo.about import has_card
from polyglot_lm.serving.demo.card_page import card_page
from polyglot_lm.serving.demo.look import CSS, theme
from polyglot_lm.serving.demo.page import demo_page

NEEDED = re.compile(
    r"/|/(assets|static)/.+|/(theme\.css|favicon\.ico|config|manifest\.json|pwa_icon)"
    r"|/gradio_api/(queue/(join|data)|cancel|reset|heartbeat/\w+|info|app_id|startup-events)/?"
)


class PageMount(Mount):
    """Gradio's app for the paths that the page needs, and for no other."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        return super().matches(scope) if NEEDED.fullmatch(path) else (Match.NONE, {})


def mount_page(app: FastAPI, service: Service, folders: Mapping[str, Path | None]) -> None:
    """Put the page at `/` and the models' cards at `/card/NAME`; call it after all other routes are there."""

    @app.get("/card/{name:path}", include_in_schema=False)
    def card(name: str) -> HTMLResponse:
        folder = folders.get(name)
        if folder is None or not has_card(folder):
            raise HTTPException(404, f"there is no card of {name[:100]!r} here")
        return HTMLResponse(card_page(folder))

    gr.mount_gradio_app(
        app,
        demo_page(service, folders),
        path="/",
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=0,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        theme=theme(),
        css_paths=CSS,
    )
    mounted = app.router.routes.pop()
    assert isinstance(mounted, Mount)
    app.router.routes.append(PageMount(mounted.path, app=mounted.app))
