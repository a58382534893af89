"""The routes: models, completions, what a curator let go, health, readiness, figures."""

import asyncio
import time
from typing import Any

from fastapi import APIRouter, Request, Security
from fastapi.responses import JSONResponse, Response
from fastapi.security import HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST

from polyglot_lm.serving.api.answer import CompletionResponse
from polyglot_lm.serving.api.schema import Completion, CompletionBody, ErrorBody, Json, Model, Models, Released, Status
from polyglot_lm.serving.completion import Service
from polyglot_lm.serving.errors import RequestError

ABOUT = {
    400: "A value or parameter that cannot be honoured, or a prompt that the guard refuses",
    401: "No key, or a wrong one",
    403: "A host name that this server does not answer to",
    404: "No such model or item",
    408: "The body did not come in time",
    413: "The body is too large",
    429: "Too much from this client; Retry-After says when to come back",
    503: "Loading, shutting down, or too much from all clients",
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ErrorBody, "description": ABOUT[status]} for status in (*statuses, 403)}


def routes(service: Service, *, keyed: bool) -> APIRouter:
    """Return the routes of a service; `keyed` says in the schema that /v1 and /metrics need a key."""
    router, started = APIRouter(), int(time.time())
    key: list[Any] = [Security(HTTPBearer(auto_error=False, description="A key of `polyglot keys add`"))] if keyed else []

    def model(name: str) -> Model:
        return Model(id=name, created=started, owned_by="polyglot", context=service.models[name].context)

    @router.get("/v1/models", dependencies=key, responses=refusals(401), tags=["models"])
    async def list_models() -> Models:
        """List the models."""
        return Models(data=[model(name) for name in service.models])

    @router.get("/v1/models/{name}", dependencies=key, responses=refusals(401, 404), tags=["models"])
    async def show_model(name: str) -> Model:
        """Show one model."""
        if name not in service.models:
            raise RequestError(f"there is no model {name[:100]!r} here", status=404, code="model_not_found", param="model")
        return model(name)

    @router.post(
        "/v1/completions",
        dependencies=key,
        response_model=Completion,
        responses={200: {"content": {"text/event-stream": {}}}, **refusals(400, 401, 404, 408, 413, 429, 503)},
        tags=["completions"],
    )
    async def create_completion(body: CompletionBody, request: Request) -> Response:
        """Continue a prompt."""
        return CompletionResponse(service, body, request.state.client)

    @router.get("/v1/reviews/{item}", dependencies=key, responses=refusals(401, 404), tags=["completions"])
    async def show_review(item: str) -> Released:
        """Show a completion that was held back and that a curator has let go since."""
        text = await asyncio.to_thread(service.reviews.released, item) if service.reviews else None
        if text is None:
            raise RequestError("this item is not known or not let go (yet)", status=404, code="not_released")
        return Released(id=item, text=text)

    add_operation(router, service, key)
    return router


def add_operation(router: APIRouter, service: Service, key: list[Any]) -> None:
    """Add what those who run a server ask: does it answer, does it take requests, how is it."""

    @router.get("/health", responses=refusals(), tags=["operation"])
    async def health() -> Status:
        """Say that the process answers."""
        return Status(status="ok")

    @router.get("/ready", response_model=Status, responses={503: {"model": Status, "description": ABOUT[503]}}, tags=["operation"])
    async def ready() -> Response:
        """Say whether all models are loaded and new requests are taken."""
        status = "ok" if service.ready else "draining" if service.draining else "loading"
        content: Json = {"status": status}
        return JSONResponse(content, 200 if service.ready else 503)

    @router.get(
        "/metrics",
        dependencies=key,
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **refusals(401)},
        tags=["operation"],
    )
    async def metrics() -> Response:
        """Show the figures that Prometheus collects."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)
