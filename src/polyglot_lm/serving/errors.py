"""Refusals as OpenAI's clients know them: a status, a type, a code, the parameter's name, and one sentence that helps.

A refusal is a `UserError` with a status, so that the page prints its sentence and the API sends its shape; a plain
`UserError` from an engine is the requester's (400), and an `Unavailable` nobody's (503).
"""

from typing import Any

from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.engines.engine import Unavailable

KINDS = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


class RequestError(UserError):
    """A request that is not carried out; `retry_seconds` says when it is worth another try."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        code: str | None = None,
        param: str | None = None,
        retry_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.param, self.retry_seconds = status, code, param, retry_seconds

    @property
    def headers(self) -> dict[str, str]:
        """Return `Retry-After` in whole seconds, and for a missing key how to send one."""
        headers = {} if self.retry_seconds is None else {"retry-after": str(max(1, round(self.retry_seconds + 0.5)))}
        return headers | ({"www-authenticate": "Bearer"} if self.status == 401 else {})

    def body(self) -> dict[str, Any]:
        """Return the JSON of the answer: `{"error": {"message", "type", "param", "code"}}`."""
        kind = KINDS.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


def as_request_error(error: UserError) -> RequestError:
    if isinstance(error, RequestError):
        return error
    if isinstance(error, Unavailable):
        return RequestError(str(error), status=503, code="unavailable", retry_seconds=5)
    return RequestError(str(error))
