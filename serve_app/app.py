"""The HTTP surface: a function of its dependencies that knows nothing of Ray."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

from actors.domain.errors import NoModel, Unknown
from serve_app import docs, openapi
from serve_app.activity import ActivityRecorder, CountActivity, route_names
from serve_app.body import Shown, etag, spliced
from serve_app.comparables import PastMatches, compared
from serve_app.deps import AppDeps
from serve_app.explanations import explained
from serve_app.features import CATALOGUE
from serve_app.files import Files, file_response
from serve_app.freshness import Freshness
from serve_app.health import health_of
from serve_app.match_features import MATCH_CATALOGUE
from serve_app.matches import STATUSES, Matches
from serve_app.messages import (
    Alive,
    BatchItem,
    BatchRequest,
    FeaturesAnswer,
    ModelsAnswer,
    ModelVersion,
    Ready,
    WhatIf,
)
from serve_app.predictions import Predictions
from serve_app.problem import HANDLED, Problem, answer, as_problem
from serve_app.push import Hub
from serve_app.push_listener import PushListener
from serve_app.requests import check_accepts, json_response, one_of, read_json, whole_number
from serve_app.security import SecurityHeaders
from serve_app.streams import Streams
from serve_app.view import FixtureReader, ForecastReader
from serve_app.what_if import Asked, WhatIfs, changed_inputs, told
from serve_app.what_if_recorder import WhatIfRecorder

Endpoint = Callable[[Request], Awaitable[Response]]


def build_app(deps: AppDeps) -> Starlette:
    """Build the HTTP surface. Its threads and streams live from the app's start-up to its shutdown."""
    api = Api(deps)
    routes = api.routes()
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(CountActivity, api.activity.count, route_names(routes)),
            Middleware(SecurityHeaders),
        ],
        exception_handlers=dict.fromkeys(HANDLED, answer),
        lifespan=api.lifespan,
    )
    app.router.redirect_slashes = False
    app.state.api = api  # for those who host it: load and readiness without HTTP
    return app


class Api:
    """The handlers, and the parts that they share."""

    def __init__(self, deps: AppDeps) -> None:
        self._deps = deps
        self.limits = limits = deps.limits
        self.fixtures = FixtureReader(
            deps.log, monotonic=deps.monotonic, now=deps.now, most_retired=limits.retired_matches
        )
        self.reader = ForecastReader(
            deps.log,
            deps.view,
            self.fixtures,
            monotonic=deps.monotonic,
            now=deps.now,
            backlog=limits.backlog_records,
            forget_after_s=limits.forget_after_s,
            most_forgotten=limits.retired_matches,
            counters=deps.counters,
        )
        self.hub = Hub(deps.log, deps.view, self.reader, limits=limits, now=deps.now, counters=deps.counters)
        self.activity = ActivityRecorder(deps.activity, deps.replica, limits, deps.now)
        self._matches = Matches(self.reader, self.fixtures, deps.history, deps.now, deps.match_inputs)
        self.recorder = WhatIfRecorder(deps.what_ifs, deps.replica, limits)
        self.what_ifs = WhatIfs(self.recorder, self.freshness, deps.now)
        self.now = deps.now
        self._past = PastMatches(deps.past_states)
        self._predictions = Predictions(deps.history, self.recorder, deps.predict, deps.models, deps.predict_as)
        self._streams = Streams(deps, self.hub, self.reader, self.fixtures)
        self.push: PushListener | None = None
        if deps.push is not None:
            self.push = PushListener(
                self._streams,
                self.hub,
                deps.push,
                limits=limits,
                counters=deps.counters,
                count=self.activity.count,
            )

    def routes(self) -> list[BaseRoute]:
        """Return every route; one per path, so that a wrong method is told all that are allowed."""
        match = "/v1/matches/{match_id}"
        return [
            Route("/v1/matches", self.list_matches, methods=["GET"]),
            Route(match, self.match, methods=["GET"]),
            Route(f"{match}/forecast", self.forecast, methods=["GET", "POST"]),
            Route(f"{match}/forecasts", self.timeline, methods=["GET"]),
            Route(f"{match}/inputs", self.inputs, methods=["GET"]),
            Route(f"{match}/explanation", self.explanation, methods=["GET"]),
            Route(f"{match}/comparables", self.comparables, methods=["GET"]),
            Route("/v1/forecasts:batch", self.batch, methods=["POST"]),
            Route("/v1/stream", self._streams.sse, methods=["GET"]),
            WebSocketRoute("/v1/ws", self._streams.ws),
            Route("/v1/predictions/{prediction_id}", self.prediction, methods=["GET"]),
            Route("/v1/predictions/{prediction_id}/replay", self.replay, methods=["POST"]),
            Route("/v1/models", self.models, methods=["GET"]),
            Route("/v1/features", self.features, methods=["GET"]),
            Route("/healthz", self.healthz, methods=["GET"]),
            Route("/readyz", self.readyz, methods=["GET"]),
            Route("/openapi.json", self.description, methods=["GET"]),
            Route("/docs", docs.page, methods=["GET"]),
            Route("/docs/{name}", docs.asset, methods=["GET"]),
            Route("/", self.page, methods=["GET"]),
            Mount("/web", Files(directory=self._deps.web, check_dir=False)),
        ]

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Follow the log and record what-ifs while the app runs."""
        await self.hub.start()
        await self.recorder.start()
        await self.activity.start()
        self.fixtures.tail.start()
        self.reader.tail.start()
        if self.push is not None:
            self.push.start()
        try:
            yield
        finally:
            if self.push is not None:
                self.push.stop()
            await self.hub.stop()
            if self.push is not None:
                await self.push.drain()
            await asyncio.gather(*(asyncio.to_thread(each.tail.stop) for each in (self.reader, self.fixtures)))
            await self.recorder.stop()
            await self.activity.stop()
            await asyncio.to_thread(self._deps.view.close)

    def problem(self) -> str | None:
        """Say why this process cannot go on and should be replaced, None while it can."""
        problems = [self.reader.tail.problem(), self.fixtures.tail.problem(), self.hub.problem()]
        problems += (self.recorder.problem(), self.activity.problem(), self.push.problem() if self.push else None)
        return next((each for each in problems if each), None)

    async def list_matches(self, request: Request) -> Response:
        check_accepts(request.headers)
        self._check_view()
        query = request.query_params
        status = one_of(query, "status", tuple(STATUSES))
        limit = whole_number(query, "limit", default=100, least=1, most=self._deps.limits.page_items)
        return json_response(self._matches.page(status, query.get("cursor"), limit))

    async def match(self, request: Request) -> Response:
        check_accepts(request.headers)
        return json_response(await self._matches.item(self._known(request)))

    async def forecast(self, request: Request) -> Response:
        """Answer with the latest forecast (GET) or a what-if (POST)."""
        check_accepts(request.headers)
        shown = await self._matches.latest(self._known(request))
        if request.method == "POST":
            limits = self._deps.limits
            what_if = await read_json(request, WhatIf, limit=limits.body_bytes, timeout_s=limits.body_timeout_s)
            return json_response((await self._what_ifs([(shown, what_if)]))[0])
        freshness = self._matches.freshness(shown)
        tag = etag(shown, freshness)
        if has_tag(request.headers.get("if-none-match", ""), tag):
            return Response(None, 304, {"ETag": tag, "Cache-Control": "no-cache"})
        return json_response(spliced(shown, freshness), headers={"ETag": tag})

    async def timeline(self, request: Request) -> Response:
        check_accepts(request.headers)
        query = request.query_params
        limit = whole_number(query, "limit", default=500, least=1, most=self._deps.limits.page_items)
        return json_response(await self._matches.timeline(self._known(request), query.get("cursor"), limit))

    async def inputs(self, request: Request) -> Response:
        check_accepts(request.headers)
        return json_response(await self._matches.inputs(self._known(request)))

    async def explanation(self, request: Request) -> Response:
        check_accepts(request.headers)
        shown = await self._matches.latest(self._known(request))
        freshness = self._matches.freshness(shown)
        return json_response(await explained(shown, freshness, self._deps.history, self._deps.predict))

    async def comparables(self, request: Request) -> Response:
        check_accepts(request.headers)
        shown = await self._matches.latest(self._known(request))
        fixture, freshness = self.fixtures.get(shown.forecast.match_id), self._matches.freshness(shown)
        kick_off = fixture.kick_off if fixture else None
        return json_response(await compared(shown, kick_off, freshness, self._deps.models(), self._past))

    async def batch(self, request: Request) -> Response:
        """Answer many matches and what-ifs in one; each has its own result or problem."""
        check_accepts(request.headers)
        self._check_view()
        limits = self._deps.limits
        wanted = await read_json(request, BatchRequest, limit=limits.batch_body_bytes, timeout_s=limits.body_timeout_s)
        if len(wanted.items) > limits.batch_items:
            raise Problem(422, f"at most {limits.batch_items} items are taken", field="items")
        found = [await self._find(item) for item in wanted.items]
        asked = [(shown, item) for shown, item in zip(found, wanted.items, strict=True) if _is_what_if(shown, item)]
        answers = iter(await self._what_ifs([(shown, item) for shown, item in asked if isinstance(shown, Shown)]))
        results: list[dict[str, object]] = []
        for shown, item in zip(found, wanted.items, strict=True):
            if isinstance(shown, Problem):
                results.append({"problem": shown.details()})
            elif _is_what_if(shown, item):
                results.append({"what_if": msgspec.Raw(next(answers))})
            else:
                results.append({"forecast": msgspec.Raw(spliced(shown, self._matches.freshness(shown)))})
        return json_response({"results": results})

    async def prediction(self, request: Request) -> Response:
        check_accepts(request.headers)
        return json_response(await self._predictions.record(request.path_params["prediction_id"]))

    async def replay(self, request: Request) -> Response:
        check_accepts(request.headers)
        return json_response(await self._predictions.replay(request.path_params["prediction_id"]))

    async def models(self, request: Request) -> Response:
        check_accepts(request.headers)
        held, report, now = self._deps.models(), await self._deps.health(), self._deps.now()
        versions = [
            ModelVersion(
                version=version,
                live=version == held.live,
                manifest=manifest,
                health=health_of(version, held, report, now),
            )
            for version, manifest in sorted(held.versions.items())
        ]
        return json_response(ModelsAnswer(live=held.live, epoch=held.epoch, previous=held.previous, models=versions))

    async def features(self, request: Request) -> Response:
        check_accepts(request.headers)
        return json_response(FeaturesAnswer(features=[*CATALOGUE, *MATCH_CATALOGUE]))

    async def healthz(self, request: Request) -> Response:
        check_accepts(request.headers)
        if problem := self.problem():
            raise Problem(503, problem)
        return json_response(Alive())

    async def readyz(self, request: Request) -> Response:
        check_accepts(request.headers)
        self._check_view()
        if problem := self.problem():
            raise Problem(503, problem)
        live = self._deps.models().live
        if live is None:
            raise NoModel("no version is committed yet")
        return json_response(Ready(model_version=live, matches=len(self.reader.matches()), streams=self.hub.streams))

    async def description(self, request: Request) -> Response:
        check_accepts(request.headers)
        return json_response(openapi.encoded())

    async def page(self, request: Request) -> Response:
        """Answer with the page."""
        index = self._deps.web / "index.html"
        if not index.is_file():
            raise Problem(404, "this server has no page; the API is described at /docs")
        return file_response(index, request.scope)

    async def _what_ifs(self, asked: Sequence[tuple[Shown, WhatIf]]) -> list[bytes]:
        """Predict and record; raises Overloaded, NoModel, MalformedMarket."""
        if not asked:
            return []
        self.recorder.admit(len(asked))
        changed = [Asked(shown, changed_inputs(shown.forecast.inputs, what_if)) for shown, what_if in asked]
        predictions = await self._deps.predict([each.inputs for each in changed])
        few = len(asked) == 1
        said = told(predictions) if few else await asyncio.to_thread(told, predictions)
        return self.what_ifs.answers(changed, said)

    async def _find(self, item: BatchItem) -> Shown | Problem:
        try:
            return await self._matches.latest(item.match_id)
        except Unknown as error:
            return as_problem(error)

    def _known(self, request: Request) -> str:
        """Return the match id of a path; raises NoModel while the view is not filled, when nothing is known."""
        self._check_view()
        return str(request.path_params["match_id"])

    @property
    def is_filled(self) -> bool:
        """Whether the view holds all that the log held when it was begun."""
        return self.reader.tail.caught_up and self.fixtures.tail.caught_up

    def freshness(self, shown: Shown) -> Freshness:
        """Return how fresh a forecast is now."""
        return self._matches.freshness(shown)

    def _check_view(self) -> None:
        if not self.is_filled:
            raise NoModel("the view is not filled yet")


def _is_what_if(shown: Shown | Problem, item: BatchItem) -> bool:
    asked = (item.score, item.clock, item.reds, item.prices)
    return isinstance(shown, Shown) and any(each is not None for each in asked)


def has_tag(header: str, tag: str) -> bool:
    """Say whether an If-None-Match names a tag."""
    return header == "*" or (
        tag in header and any(each.strip().removeprefix("W/") == tag for each in header.split(","))
    )
