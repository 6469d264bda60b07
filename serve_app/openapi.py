"""The description of the API (OpenAPI 3.1), generated from the types that the handlers use."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

from actors.domain.replay_check import ReplayResult
from serve_app.matches import STATUSES
from serve_app.messages import (
    Alive,
    BatchAnswer,
    BatchRequest,
    ComparablesAnswer,
    ExplanationAnswer,
    FeaturesAnswer,
    ForecastBody,
    InputsAnswer,
    MatchItem,
    MatchPage,
    ModelsAnswer,
    PublishedRecord,
    Ready,
    TimelinePage,
    WhatIf,
    WhatIfAnswer,
    WhatIfRecord,
)
from serve_app.problem import MEDIA_TYPE, ProblemDetails
from serve_app.requests import EVENT_STREAM, JSON
from serve_app.streams import MAX_CONFLATE_MS

VERSION = "1.0.0"
_REF = "#/components/schemas/{name}"
_DESCRIPTION = """\
Live football forecasts that can be recomputed bit for bit.

Probabilities are of regular time. `freshness` is added at delivery: FRESH, STALE (the feed is silent for more than 3 s
in play), SUSPENDED (more than 10 s, or our own lag is above 2 s). A price's `edge` is null unless the status is OK, the
number fresh and the market open.

An explanation's parts are changes in log-odds, ln(p / (1 - p)), p kept between 1e-6 and 1 - 1e-6; clock, market, model
and events sum to `change` but for rounding (1e-9).

Comparables are past matches of the same lead, each at the moment when its goals still to come were most like those that
the model expects here; a `distance` of 1 is one standard deviation of such a count. They are from before the day of the
match and before `trained_until` of the model; earlier meetings of the same two at the same ground are
left out. `result` weights the nearer ones more, `intervals` are Wilson's for `effective_count` matches.

Push over WebSocket is at `/v1/ws?matches=&after=&conflate_ms=`: text messages `{"event", "id", "data"}` that carry what
the server-sent events of `/v1/stream` carry. It takes no messages.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One route and method."""

    method: str
    path: str
    name: str
    summary: str
    answers: tuple[type, ...]  # one of them
    tag: str
    parameters: tuple[dict[str, Any], ...] = ()
    body: type | None = None
    problems: tuple[int, ...] = ()
    media_type: str = JSON
    not_modified: bool = False


def _parameter(name: str, where: str, text: str, **schema: object) -> dict[str, Any]:
    return {"name": name, "in": where, "description": text, "required": where == "path", "schema": schema}


_MATCH = _parameter("match_id", "path", "such as wyscout:2499841", type="string", minLength=1, maxLength=160)
_PREDICTION = _parameter(
    "prediction_id", "path", "such as wyscout:2499841@17, or wi-... of a what-if", type="string", minLength=1
)
_CURSOR = _parameter("cursor", "query", "next_cursor of the page before", type="string")
_ETAG = _parameter("If-None-Match", "header", "ETag of an earlier answer", type="string")


def _limit(default: int) -> dict[str, Any]:
    text = "items of a page"
    return _parameter("limit", "query", text, type="integer", minimum=1, maximum=1000, default=default)


_STATUS = _parameter("status", "query", "only these; all if left out", type="string", enum=list(STATUSES))
_WATCHED = _parameter("matches", "query", "match ids with commas between them; all if left out", type="string")
_AFTER = _parameter("after", "query", "position to go on from, as Last-Event-ID", type="string")
_LAST_EVENT = _parameter("Last-Event-ID", "header", "id of the last event that was read", type="string")
_CONFLATE = _parameter(
    "conflate_ms",
    "query",
    "updates at most this often, the newest wins; decisive ones come at once",
    type="integer",
    minimum=0,
    maximum=MAX_CONFLATE_MS,
    default=0,
)

OPERATIONS = (
    Operation(
        method="get", path="/v1/matches", name="list_matches", summary="Matches by kick-off", tag="matches",
        answers=(MatchPage,), parameters=(_STATUS, _CURSOR, _limit(100)), problems=(400, 422),
    ),
    Operation(
        method="get", path="/v1/matches/{match_id}", name="get_match", summary="State of one match", tag="matches",
        answers=(MatchItem,), parameters=(_MATCH,), problems=(404,),
    ),
    Operation(
        method="get", path="/v1/matches/{match_id}/forecast", name="get_forecast", summary="Latest forecast",
        tag="matches", answers=(ForecastBody,), parameters=(_MATCH, _ETAG), problems=(404,), not_modified=True,
    ),
    Operation(
        method="post", path="/v1/matches/{match_id}/forecast", name="what_if", tag="what-if",
        summary="Forecast of a changed state or other prices", answers=(WhatIfAnswer,), parameters=(_MATCH,),
        body=WhatIf, problems=(400, 404, 408, 413, 415, 422, 429),
    ),
    Operation(
        method="get", path="/v1/matches/{match_id}/forecasts", name="get_timeline", tag="matches",
        summary="Forecasts since the first one, oldest first", answers=(TimelinePage,),
        parameters=(_MATCH, _CURSOR, _limit(500)), problems=(400, 404, 422),
    ),
    Operation(
        method="get", path="/v1/matches/{match_id}/inputs", name="get_inputs", tag="matches",
        summary="Inputs of the latest forecast with their age", answers=(InputsAnswer,), parameters=(_MATCH,),
        problems=(404,),
    ),
    Operation(
        method="get", path="/v1/matches/{match_id}/explanation", name="explain", tag="matches",
        summary="What moved the latest forecast since the one before and since kick-off, in parts that sum to it",
        answers=(ExplanationAnswer,), parameters=(_MATCH,), problems=(404, 429),
    ),
    Operation(
        method="get", path="/v1/matches/{match_id}/comparables", name="compare", tag="matches",
        summary="Past states like that of the latest forecast, the nearest by name, and what happened next",
        answers=(ComparablesAnswer,), parameters=(_MATCH,), problems=(404,),
    ),
    Operation(
        method="post", path="/v1/forecasts:batch", name="batch", tag="what-if",
        summary="Latest forecasts and what-ifs of up to 1,000 matches", answers=(BatchAnswer,), body=BatchRequest,
        problems=(400, 408, 413, 415, 422, 429),
    ),
    Operation(
        method="get", path="/v1/stream", name="stream", tag="push", answers=(str,), media_type=EVENT_STREAM,
        summary="Server-sent events: image, then deltas; heartbeat each second; resumes by Last-Event-ID",
        parameters=(_WATCHED, _AFTER, _CONFLATE, _LAST_EVENT), problems=(400, 404, 422, 429),
    ),
    Operation(
        method="get", path="/v1/predictions/{prediction_id}", name="get_prediction", tag="audit",
        summary="Audit record of a published forecast or a what-if", answers=(PublishedRecord, WhatIfRecord),
        parameters=(_PREDICTION,), problems=(404,),
    ),
    Operation(
        method="post", path="/v1/predictions/{prediction_id}/replay", name="replay", tag="audit",
        summary="Compute a prediction again and compare bit for bit", answers=(ReplayResult,),
        parameters=(_PREDICTION,), problems=(404, 409, 429),
    ),
    Operation(
        method="get", path="/v1/models", name="list_models", tag="model", answers=(ModelsAnswer,),
        summary="Model versions that are held, with their metrics and health, and which is live",
    ),
    Operation(
        method="get", path="/v1/features", name="list_features", tag="model", answers=(FeaturesAnswer,),
        summary="The catalogue of model inputs",
    ),
    Operation(
        method="get", path="/healthz", name="health", tag="operation", answers=(Alive,),
        summary="The process can go on; 503 asks for its replacement",
    ),
    Operation(
        method="get", path="/readyz", name="readiness", tag="operation", answers=(Ready,),
        summary="Model committed and view filled",
    ),
)  # fmt: skip


@cache
def encoded() -> bytes:
    """Return the description as JSON; the same for every app of a process."""
    return msgspec.json.encode(document())


def document() -> dict[str, Any]:
    """Return the description of every route of version 1."""
    types = [ProblemDetails, *(t for op in OPERATIONS for t in (*op.answers, op.body) if t is not None)]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    by_type = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation, by_type)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Touchline",
            "version": VERSION,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(operation: Operation, schemas: dict[type, dict[str, Any]]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": list(operation.parameters),
        "responses": _responses(operation, schemas),
    }
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": {JSON: {"schema": schemas[operation.body]}}}
    return described


def _responses(operation: Operation, schemas: dict[type, dict[str, Any]]) -> dict[str, Any]:
    answers = [schemas[each] for each in operation.answers]
    schema = answers[0] if len(answers) == 1 else {"oneOf": answers}
    responses: dict[str, Any] = {
        "200": {"description": operation.summary, "content": {operation.media_type: {"schema": schema}}}
    }
    if operation.not_modified:
        responses["200"]["headers"] = {"ETag": {"description": "strong validator", "schema": {"type": "string"}}}
        responses["304"] = {"description": "The client has it already"}
    problem = {"content": {MEDIA_TYPE: {"schema": schemas[ProblemDetails]}}}
    for status in sorted({*operation.problems, 406, 503}):
        responses[str(status)] = {"description": _PROBLEMS[status], **problem}
    return responses


_PROBLEMS = {
    400: "A cursor is not one of ours, or the body ended early",
    404: "No such match or prediction, or no data to answer from",
    406: "The client accepts no type that we have",
    408: "The body did not end in time",
    409: "Cannot be computed here: model version not held, or the record is damaged",
    413: "The body is too large",
    415: "The body is of another type, or encoded",
    422: "A field or parameter is wrong; `field` names it",
    429: "Overloaded; see Retry-After",
    503: "No model, no view, or a store that does not answer",
}
