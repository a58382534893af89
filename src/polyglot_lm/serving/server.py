"""The server: one process, one event loop, one application: the API, its description, the curators' pages and the demo page.

It listens at once and loads meanwhile (`/ready` says when); on SIGTERM or Ctrl-C it takes nothing new, lets what is being
written end, and stops. A second signal stops it there and then.
"""

import asyncio
import logging
import socket
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse
from starlette.middleware import Middleware
from starlette.types import ASGIApp

from polyglot_lm import __version__
from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.access import Keys
from polyglot_lm.serving.api.page import description_page
from polyglot_lm.serving.api.problems import add_handlers
from polyglot_lm.serving.api.routes import routes
from polyglot_lm.serving.completion import Service
from polyglot_lm.serving.layers import Door, Headers, Journal, Patience
from polyglot_lm.serving.settings import Settings

log = logging.getLogger("polyglot_lm.serving")
OURS = ("/v1/", "/health", "/ready", "/metrics", "/docs", "/openapi.json")
PAGE_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)
LEFTOVER_SECONDS = 3
"""What open pages (a browser's idle event stream) are given after the last completion has ended."""


def create_app(service: Service, settings: Settings, *, curators: ASGIApp | None = None) -> FastAPI:
    """Return the application; the demo page is mounted on it afterwards (`gr.mount_gradio_app(app, page, path="/")`)."""
    keys = Keys(settings.keys) if settings.keys else None
    layers = [
        Middleware(Journal, metrics=service.metrics),
        Middleware(Headers, ours=OURS, page_policy=PAGE_POLICY),
        Middleware(Door, keys=keys, hosts=settings.hosts),
        Middleware(Patience, limits=settings.limits),
    ]
    if settings.origins:
        cors = Middleware(CORSMiddleware, allow_origins=settings.origins, allow_methods=["GET", "POST"], allow_headers=["*"])
        layers.insert(2, cors)  # before the door: a browser's question (OPTIONS) carries no key
    app = FastAPI(
        title="Polyglot",
        version=__version__,
        summary="Completions as OpenAI's clients ask for them",
        docs_url=None,
        redoc_url=None,
        middleware=layers,
    )
    app.openapi = lambda: described(app)  # type: ignore[method-assign]
    add_handlers(app)
    app.include_router(routes(service, keyed=keys is not None))

    @app.get("/docs", include_in_schema=False)
    async def describe() -> HTMLResponse:
        return HTMLResponse(description_page(app.openapi()))

    if curators is not None:
        app.mount("/curator", curators)
    return app


def described(app: FastAPI) -> dict[str, Any]:
    """Return the schema without the 422 that FastAPI notes everywhere: a bad value is a 400 here, as OpenAI's clients expect."""
    schema = FastAPI.openapi(app)
    for operations in schema["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
    for name in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(name, None)
    return schema


class Server(uvicorn.Server):
    """An application on an open port, together with the models behind it."""

    def __init__(self, app: FastAPI, service: Service, settings: Settings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                ws="none",
                server_header=False,
                proxy_headers=settings.proxy,
                timeout_graceful_shutdown=LEFTOVER_SECONDS,
            )
        )
        self.service = service
        self.listening = listen(settings)
        host, port = self.listening.getsockname()[:2]
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{port}"

    async def run_models(self) -> None:
        """Serve until a signal or `should_exit`; raises UserError where a model cannot be loaded."""
        tasks = [asyncio.create_task(work) for work in (self.service.start(), self.service.keep_house())]
        for task in tasks:
            task.add_done_callback(self.stop_if_failed)
        try:
            await self.serve([self.listening])
        finally:
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            await self.service.close()
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop at a signal, at once at a second one. (uvicorn raises it again at the end, and a clean stop looks like a crash.)"""
        self.force_exit = self.should_exit
        self.should_exit = True

    def stop_if_failed(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let completions end before connections are closed: a browser's open page would else hold all of it up."""
        self.service.draining = True
        for server in self.servers:
            server.close()
        log.info("draining: %d completions are open", self.service.line.open)
        try:
            async with asyncio.timeout(self.service.limits.drain_seconds):
                while self.service.line.open and not self.force_exit:
                    await asyncio.sleep(0.05)
        except TimeoutError:
            log.warning("%d completions are cut off", self.service.line.open)
        await super().shutdown(sockets)


def listen(settings: Settings) -> socket.socket:
    """Open the port; the kernel drops a connection whose reader takes nothing for `send_seconds`."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listening = socket.create_server((settings.host, settings.port), family=family, backlog=512)
    except OSError as error:
        raise UserError(
            f"cannot listen on {settings.host} port {settings.port} ({error.strerror}); choose another --port"
        ) from None
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(settings.limits.send_seconds * 1000))
    return listening
