"""Reading requests: bounded bodies, checked parameters, the media types that we speak. Every refusal names a field."""

import asyncio
from collections.abc import Mapping
from typing import TypeVar

import msgspec
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from serve_app.problem import Problem, brief

JSON = "application/json"
EVENT_STREAM = "text/event-stream"
NO_CACHE = {"Cache-Control": "no-cache"}
NOT_READ = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError)  # what bytes of a stranger raise
T = TypeVar("T")
_encoder = msgspec.json.Encoder()


def json_response(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Encode a body; bytes are taken as JSON that is encoded already."""
    content = body if isinstance(body, bytes) else _encoder.encode(body)
    return Response(content, status, {**NO_CACHE, **(headers or {})}, media_type=JSON)


def check_accepts(headers: Headers, media_type: str = JSON) -> None:
    """Raise a 406 if the client says that it cannot read our media type."""
    accept = ",".join(headers.getlist("accept"))
    if accept and not any(_matches(each, media_type) for each in accept.split(",")):
        raise Problem(406, f"this resource is {media_type}; accepted would be {brief(accept)}", field="Accept")


def _matches(offer: str, media_type: str) -> bool:
    name, *parameters = (part.strip().lower() for part in offer.split(";"))
    refused = any(p.startswith("q=") and p[2:].strip("0.") == "" for p in parameters)
    return not refused and name in ("*/*", media_type, media_type.split("/")[0] + "/*")


async def read_json(request: Request, kind: type[T], *, limit: int, timeout_s: float) -> T:
    """Read and validate a JSON body.

    Raises:
        Problem: 415 for another type or an encoded body, 413 beyond `limit` bytes, 408 if it does not end in time,
            422 if it is not what `kind` says; the detail names the field.
    """
    _check_body_type(request.headers)
    body = await _read_body(request, limit, timeout_s)
    return decode_json(body, kind)


def decode_json(body: bytes, kind: type[T]) -> T:
    """Decode and validate JSON; raises Problem (422) naming the field."""
    try:
        return msgspec.json.decode(body, type=kind)
    except NOT_READ as error:
        raise decode_problem(error) from error


def decode_problem(error: Exception) -> Problem:
    """Return what a client is told of a body that msgspec did not take."""
    if isinstance(error, msgspec.ValidationError):
        return Problem(422, brief(str(error)), field=_field_of(str(error)))
    return Problem(422, f"the body is no JSON: {brief(str(error))}", field="body")


def _field_of(message: str) -> str:
    """Return the place that a validation error of msgspec names.

    >>> _field_of("Expected `int`, got `str` - at `$.score[0]`")
    'score[0]'
    >>> _field_of("Object contains unknown field `x`")
    'x'
    """
    place = message.rpartition(" - at `$")[2].rstrip("`").lstrip(".") if " - at `$" in message else ""
    if "unknown field `" in message:
        name = message.partition("unknown field `")[2].partition("`")[0]
        return f"{place}.{name}" if place else name
    return place or "body"


def _check_body_type(headers: Headers) -> None:
    encoding = headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise Problem(
            415, f"an encoded body ({brief(encoding)}) is not read; send it as it is", field="Content-Encoding"
        )
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != JSON:
        raise Problem(415, f"expected {JSON}, was {brief(media_type) or 'not said'}", field="Content-Type")


async def _read_body(request: Request, limit: int, timeout_s: float) -> bytes:
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > limit:
        raise _too_large(limit)
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise _too_large(limit)
    except TimeoutError as error:
        raise body_too_slow(timeout_s) from error
    except ClientDisconnect as error:
        raise Problem(400, "the client went away before the end of the body", field="body") from error
    return bytes(body)


def body_too_slow(timeout_s: float) -> Problem:
    """Return what a client is told whose body does not end."""
    return Problem(408, f"the body did not end within {timeout_s:g} s", headers={"Connection": "close"})


def _too_large(limit: int) -> Problem:
    return Problem(413, f"at most {limit} bytes are read", field="body", headers={"Connection": "close"})


def whole_number(query: Mapping[str, str], name: str, *, default: int, least: int, most: int) -> int:
    """Return an integer parameter; raises Problem (422) if it is none or out of range."""
    raw = query.get(name)
    if raw is None:
        return default
    text = raw.removeprefix("-")
    if not (text.isascii() and text.isdecimal() and len(text) <= 12 and least <= int(raw) <= most):
        raise Problem(422, f"{name} is a whole number from {least} to {most}, was {brief(raw)!r}", field=name)
    return int(raw)


def one_of(query: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str | None:
    """Return a parameter that has a few values; raises Problem (422) for any other."""
    raw = query.get(name)
    if raw is not None and raw not in choices:
        raise Problem(422, f"{name} is one of {', '.join(choices)}, was {brief(raw)!r}", field=name)
    return raw


def match_list(query: Mapping[str, str], name: str, *, most: int) -> frozenset[str] | None:
    """Return the match ids of a comma-separated parameter, None for all; raises Problem (422)."""
    raw = query.get(name)
    if raw is None or raw == "":
        return None
    ids = frozenset(part.strip() for part in raw.split(",") if part.strip())
    if not ids:
        raise Problem(422, f"{name} holds match ids with commas between them, was {brief(raw)!r}", field=name)
    if len(ids) > most:
        raise Problem(422, f"{name} holds at most {most} ids, were {len(ids)}; leave it out for all", field=name)
    return ids
