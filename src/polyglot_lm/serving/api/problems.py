"""What is wrong with a request, in one sentence: FastAPI's and pydantic's findings in OpenAI's shape, always 4xx."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.api.schema import CompletionBody
from polyglot_lm.serving.errors import RequestError, as_request_error
from polyglot_lm.serving.layers import refusal

SHOWN_LETTERS = 60
SENTENCES = {
    400: "the body cannot be read; send JSON in UTF-8",
    404: "there is nothing at this address; the API is under /v1, its description at /docs",
    405: "this address does not take this method; see /docs",
}


def add_handlers(app: FastAPI) -> None:
    """Answer every refusal in OpenAI's shape."""

    async def refused(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, UserError)
        return refusal(as_request_error(error))

    async def invalid(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return refusal(explained(error.errors()[0]))

    async def failed(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, StarletteHTTPException)
        sentence = SENTENCES.get(error.status_code, str(error.detail))
        answer = refusal(RequestError(sentence, status=error.status_code))
        answer.headers.update(error.headers or {})
        return answer

    app.add_exception_handler(UserError, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(StarletteHTTPException, failed)


def explained(found: dict[str, Any]) -> RequestError:
    """Return pydantic's first finding as a sentence that names the parameter, its value and what it may be."""
    kind, where = found["type"], [str(part) for part in found["loc"] if part != "body"]
    if kind == "json_invalid":
        return RequestError(f"the body is no JSON: {found['ctx']['error']}", code="invalid_json")
    if not where:
        return RequestError(
            "the body must be a JSON object, sent with the header `Content-Type: application/json`", code="invalid_json"
        )
    param = where[0]
    if kind == "extra_forbidden":
        name = ".".join(where)
        return RequestError(f"{name} is no parameter of this server; leave it out", code="unknown_parameter", param=name)
    if kind == "missing":
        return RequestError(f"{'.'.join(where)} is missing; send it", code="missing_parameter", param=param)
    field = CompletionBody.model_fields.get(param)
    if field is not None and (field.description or "").startswith("Not offered"):
        return RequestError(f"{param} is not offered here; leave it out", code="unsupported_parameter", param=param)
    if param == "prompt":
        return RequestError(
            "prompt must be a text or a list of 1 to 16 texts; token ids are not taken", code="invalid_value", param=param
        )
    value = repr(found.get("input"))
    shown = value if len(value) <= SHOWN_LETTERS else f"{value[:SHOWN_LETTERS]}…"
    said = found["msg"]
    return RequestError(f"{param} is {shown}: {said[:1].lower()}{said[1:]}", code="invalid_value", param=param)
