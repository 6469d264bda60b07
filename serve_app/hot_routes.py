"""The two routes that most requests are for, answered without a task: `GET` and `POST /v1/matches/{id}/forecast`.

Bytes in, bytes out. A read is spliced from what was logged; a what-if joins those of the next milliseconds, which are
predicted, recorded and encoded together. Whatever is not plain is not for here: the app answers it.
"""

import asyncio
import logging
from collections import Counter
from email.utils import format_datetime
from http import HTTPStatus
from typing import Protocol

import msgspec
from starlette.responses import Response

from actors.domain.distribution import Predictions
from actors.domain.errors import Overloaded
from serve_app.app import Api, has_tag
from serve_app.batcher import Batcher
from serve_app.body import Shown, etag, spliced
from serve_app.deps import ListenerSettings
from serve_app.messages import WhatIf
from serve_app.problem import as_problem, brief, response
from serve_app.requests import JSON, NO_CACHE, NOT_READ, decode_problem
from serve_app.security import ALWAYS
from serve_app.what_if import Asked, changed_inputs, told_at_once

logger = logging.getLogger(__name__)
ROUTE = "/v1/matches/{match_id}/forecast"
_what_if: msgspec.json.Decoder[WhatIf] = msgspec.json.Decoder(WhatIf)


class Exchange(Protocol):
    """One what-if that waits for its answer."""

    shown: Shown
    body: bytes

    def reply(self, response: bytes) -> None:
        """Take the whole response; called once, on the loop."""
        ...


class HotRoutes:
    """Answers for one replica. Everything runs on the event loop."""

    def __init__(self, api: Api, batcher: Batcher, settings: ListenerSettings, most_rows: int) -> None:
        """Take how many what-ifs are answered in one go, beside the bounds of the listener."""
        self._api, self._batcher = api, batcher
        self._most_waiting, self._window_s, self._most_rows = settings.waiting, settings.window_s, most_rows
        self._waiting: list[tuple[Exchange, Asked]] = []
        self._under_way = 0
        self._due: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._tally = Counter[int]()
        self._refusals: dict[str, bytes] = {}  # of this second, by match
        self.tick()

    def tick(self) -> None:
        """Do what need not be done for each request: the date of the answers, the count of requests. Once a second."""
        date = format_datetime(self._api.now().replace(microsecond=0), usegmt=True)
        always = _lines({"date": date, **ALWAYS, **NO_CACHE})
        self._ok = b"HTTP/1.1 200 OK\r\n" + always + _lines({"content-type": JSON}) + b"content-length: "
        self._not_modified = b"HTTP/1.1 304 Not Modified\r\n" + always + b"etag: "
        for status, count in self._tally.items():
            self._api.activity.count(ROUTE, status, count)
        self._tally.clear()
        self._refusals.clear()

    def shown(self, match_id: str) -> Shown | None:
        """Return the latest forecast of a match of the view; None: the app knows what to say."""
        return self._api.reader.shown(match_id) if self._api.is_filled else None

    def read(self, shown: Shown, known_tags: str) -> bytes:
        """Answer a GET: the latest forecast, or that the client has it."""
        freshness = self._api.freshness(shown)
        tag = etag(shown, freshness)
        if known_tags and has_tag(known_tags, tag):
            self._tally[304] += 1
            return b"%b%b\r\n\r\n" % (self._not_modified, tag.encode())
        self._tally[200] += 1
        body = spliced(shown, freshness)
        return b"%b%d\r\netag: %b\r\n\r\n%b" % (self._ok, len(body), tag.encode(), body)

    def ask(self, exchange: Exchange) -> None:
        """Answer a what-if, soon; at once if it is not valid or too many wait."""
        try:
            what_if = _what_if.decode(exchange.body)
        except NOT_READ as error:
            exchange.reply(self.refusal(decode_problem(error), exchange.shown))
            return
        if len(self._waiting) + self._under_way >= self._most_waiting:
            exchange.reply(self._full(exchange.shown))
            return
        inputs = changed_inputs(exchange.shown.forecast.inputs, what_if)
        self._waiting.append((exchange, Asked(exchange.shown, inputs)))
        if self._due is None:
            self._due = self._loop.call_later(self._window_s, self._submit)
        elif len(self._waiting) >= self._most_rows:
            self._submit()

    def refusal(self, error: Exception, shown: Shown | None) -> bytes:
        """Return the response that says what is wrong with a request, for which `shown` was found."""
        problem = as_problem(error)
        self._tally[problem.status] += 1
        return encoded(response(problem, brief(ROUTE.format(match_id=shown.forecast.match_id)) if shown else None))

    def _full(self, shown: Shown) -> bytes:
        """Refuse a what-if since too many wait. Made once a second for each match: most answers are this one then."""
        match_id = shown.forecast.match_id
        if (made := self._refusals.get(match_id)) is None:
            made = self._refusals[match_id] = self.refusal(Overloaded("what-ifs", self._most_waiting), shown)
        else:
            self._tally[HTTPStatus.TOO_MANY_REQUESTS] += 1
        return made

    def _submit(self) -> None:
        """Hand what waits to the model in one call: it costs as much as some fifteen rows."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        batch, self._waiting = self._waiting, []
        self._under_way += len(batch)
        exchanges, asked = [each for each, _ in batch], [each for _, each in batch]

        def done(result: Predictions | Exception) -> None:
            self._under_way -= len(batch)
            self._answer(exchanges, asked, result)

        self._batcher.ask([each.inputs for each in asked], done)

    def _answer(self, exchanges: list[Exchange], asked: list[Asked], result: Predictions | Exception) -> None:
        try:
            if isinstance(result, Exception):
                raise result
            bodies = self._api.what_ifs.answers(asked, told_at_once(result))
        except Exception as error:  # noqa: BLE001  each who waits is told what the app would say
            self._refuse_all(exchanges, error)
            return
        self._tally[200] += len(bodies)
        ok = self._ok
        for exchange, body in zip(exchanges, bodies, strict=True):
            exchange.reply(b"%b%d\r\n\r\n%b" % (ok, len(body), body))

    def _refuse_all(self, exchanges: list[Exchange], error: Exception) -> None:
        if as_problem(error).status == HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.error("What-ifs failed", exc_info=error, extra={"count": len(exchanges)})
        for exchange in exchanges:
            exchange.reply(self.refusal(error, exchange.shown))


def encoded(answer: Response) -> bytes:
    """Return a whole response as it goes over the wire."""
    status = HTTPStatus(answer.status_code)
    head = b"".join(b"%b: %b\r\n" % each for each in answer.raw_headers)
    return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (status, status.phrase.encode(), head, bytes(answer.body))


def _lines(headers: dict[str, str]) -> bytes:
    return "".join(f"{name.lower()}: {value}\r\n" for name, value in headers.items()).encode()
