"""What stands before every curators' page: headers that bind the browser, and forms refused before they are read.

A response carries a Content-Security-Policy without inline script or style, is kept in no cache (but for our two assets,
which say so themselves) and in no frame. A form must come from our own site, as the browser tells by Sec-Fetch-Site, and say
how long it is; with SameSite=Strict and the session's token that makes three locks on one door, each enough alone.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_FORM_BYTES = 1_000_000  # the longest edited text, nine bytes a letter when a form carries it
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class Shield:
    """ASGI middleware around the curators' application."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = refused(Headers(scope=scope)) if scope["method"] not in ("GET", "HEAD", "OPTIONS") else None
        await (refusal or self.app)(scope, receive, sending)


def refused(headers: Headers) -> PlainTextResponse | None:
    """Return the answer to a form that is not to be read, or None."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return PlainTextResponse("forms of other sites are refused", 403)
    length = headers.get("content-length", "")
    if not length.isdecimal():
        return PlainTextResponse("a form must say how long it is (Content-Length)", 411)
    if int(length) > MAX_FORM_BYTES:
        return PlainTextResponse(f"a form may have at most {MAX_FORM_BYTES:,} bytes", 413)
    return None
