"""What every request passes before it is parsed, and every answer on its way out: layers of plain ASGI, outermost first.

`Journal` counts and logs (route, status, time, client; no text, no query, no key) and turns a defect of ours into a 500 without
details. `Headers` tells browsers to be careful. `Door` knows who comes in. `Patience` ends bodies that are too large or never
come, and answers that nobody takes.
"""

import asyncio
import logging
import re
import time
import traceback
from collections.abc import Mapping

from fastapi import HTTPException
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers as HeaderView
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from polyglot_lm.serving.access import Keys
from polyglot_lm.serving.errors import RequestError
from polyglot_lm.serving.limits import Limits
from polyglot_lm.serving.metrics import Metrics

log = logging.getLogger("polyglot_lm.serving")
NEEDS_KEY = ("/v1/", "/metrics")
PORT = re.compile(r":\d+$")
CAREFUL = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
NO_CONTENT = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""For answers of ours, none of which runs a script."""


def log_failure(error: BaseException) -> None:
    """Log where a defect happened and its type, but not its message, which may hold somebody's text."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    log.error("%s\n%s", type(error).__name__, frames)


def refusal(error: RequestError) -> JSONResponse:
    return JSONResponse(error.body(), error.status, error.headers)


class Journal:
    """Count and log every answer; the status of a request whose client left before its answer is `left`."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, status = time.monotonic(), "left"

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        scope["state"] = dict(scope.get("state", {}))
        try:
            await self.app(scope, receive, noting)
        except Exception as error:  # noqa: BLE001  (the last to see it)
            log_failure(error)
            if status == "left":
                broken = RequestError("the server made a mistake; it is in its log", status=500, code="internal_error")
                await refusal(broken)(scope, receive, noting)
        finally:
            route = scope.get("root_path", "") + getattr(scope.get("route"), "path", "other")
            self.metrics.answers.labels(route, status).inc()
            client = scope["state"].get("client", "-")
            log.info("%s %s %s %.3f s %s", scope["method"], route, status, time.monotonic() - begun, client)


class Headers:
    """Set the security headers that an answer does not bring itself; `page_policy` is for the demo page, which runs scripts."""

    def __init__(self, app: ASGIApp, ours: tuple[str, ...], page_policy: str) -> None:
        self.app, self.ours, self.page_policy = app, ours, page_policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ours = scope["type"] == "http" and scope["path"].startswith(self.ours)
        policy: Mapping[str, str] = (
            {"content-security-policy": NO_CONTENT, "cache-control": "no-store"}
            if ours
            else {"content-security-policy": self.page_policy}
        )

        async def careful(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in {**CAREFUL, **policy}.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, careful)


class Door:
    """Name the client (its key, else its address) and refuse those without a key where one is needed."""

    def __init__(self, app: ASGIApp, keys: Keys | None, hosts: frozenset[str] | None) -> None:
        self.app, self.keys, self.hosts = app, keys, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            try:
                scope.setdefault("state", {})["client"] = self.client(scope)
            except RequestError as error:
                await refusal(error)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def client(self, scope: Scope) -> str:
        headers = HeaderView(scope=scope)
        name = PORT.sub("", headers.get("host", ""))
        if self.hosts is not None and name not in self.hosts:
            raise RequestError(
                f"this server does not answer to the name {name[:100]!r}; start it with --name {name[:100]}", status=403
            )
        if self.keys is not None and scope["path"].startswith(NEEDS_KEY):
            return self.keys.client(headers.get("authorization"))
        return str(scope["client"][0]) if scope.get("client") else "unknown"


class Patience:
    """Take a body of so many bytes in so many seconds, and give up an answer that is not taken."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app, self.limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limits, deadline = self.limits, time.monotonic() + self.limits.body_seconds
        num_bytes, whole = 0, False

        async def measured() -> Message:
            nonlocal num_bytes, whole
            if whole:
                return await receive()
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, f"the body did not come in {limits.body_seconds:g} s; send it at once") from None
            num_bytes += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if num_bytes > limits.body_bytes:
                raise HTTPException(413, f"the body has more than {limits.body_bytes:,} bytes; send less at once")
            return message

        async def timed(message: Message) -> None:
            async with asyncio.timeout(limits.send_seconds):
                await send(message)

        await self.app(scope, measured, timed)
