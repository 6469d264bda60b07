"""Errors as `application/problem+json` (RFC 9457)."""

import logging
from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from actors.domain.errors import (
    ForecastingError,
    MalformedMarket,
    NoModel,
    Overloaded,
    StoreUnavailable,
    Unknown,
)
from serve_app.cursor import BadCursor
from serve_app.security import ALWAYS

logger = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
SHOWN_CHARACTERS = 200  # of what a client sent


class ProblemDetails(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong, for people (`detail`) and programs (`status`, `field`)."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"
    instance: str | None = None
    field: str | None = None  # of the request: the field, parameter or header that is wrong
    held: tuple[str, ...] | None = None  # the model versions that could answer


class Problem(Exception):
    """Ends a request with a problem; raised by handlers, never by the domain."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        field: str | None = None,
        held: tuple[str, ...] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail)
        self.status, self.detail, self.field, self.held = status, detail, field, held
        self.headers = dict(headers or {})

    def details(self, instance: str | None = None) -> ProblemDetails:
        return ProblemDetails(
            title=HTTPStatus(self.status).phrase,
            status=self.status,
            detail=self.detail,
            instance=instance,
            field=self.field,
            held=self.held,
        )


def brief(text: str) -> str:
    """Return what a client sent, cut to a length that may be shown.

    >>> brief("x" * 500)[-5:]
    'xxxx…'
    """
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def as_problem(error: Exception) -> Problem:
    """Translate an error into what a client is told about it."""
    match error:
        case Problem():
            return error
        case BadCursor():
            return Problem(400, str(error), field="cursor")
        case Unknown():
            return Problem(404, brief(str(error)))
        case Overloaded():
            return Problem(429, str(error), headers={"Retry-After": _whole_seconds(error.retry_after_s)})
        case NoModel() | StoreUnavailable():
            return Problem(503, str(error), headers={"Retry-After": "1"})
        case MalformedMarket():
            return Problem(422, str(error), field="prices")
        case HTTPException():
            return Problem(error.status_code, error.detail, headers=error.headers)
        case _:
            return Problem(500, "the server failed; the failure is in its log")


def _whole_seconds(seconds: float) -> str:
    return str(max(1, int(-(-seconds // 1))))


def response(problem: Problem, instance: str | None = None) -> Response:
    """Return a problem as a response."""
    body = msgspec.json.encode(problem.details(instance))
    headers = {"Cache-Control": "no-store", **ALWAYS, **problem.headers}  # a 500 passes by the middleware
    return Response(body, problem.status, headers, media_type=MEDIA_TYPE)


def tell(error: Exception, path: str) -> Response:
    """Return the answer to a failed request; a failure of ours is logged."""
    problem = as_problem(error)
    if problem.status == 500:
        logger.error("Request failed", exc_info=error, extra={"path": brief(path)})
    return response(problem, brief(path))


async def answer(request: Request, error: Exception) -> Response:
    """Answer a failed request (an exception handler of Starlette)."""
    return tell(error, request.url.path)


HANDLED: tuple[type[Exception], ...] = (Problem, BadCursor, ForecastingError, HTTPException, Exception)
