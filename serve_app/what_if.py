"""What-ifs: the inputs of the latest forecast with some of them changed, run through the network for this request."""

import asyncio
import logging
import re
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from actors.domain.distribution import ForecastInputs, GoalAt, Prediction
from actors.domain.errors import Overloaded, StoreUnavailable
from actors.domain.events import Side
from actors.domain.forecast import NO_ENSEMBLE, Forecast, feature_snapshot
from actors.domain.markets import derive_markets
from actors.domain.ports import WhatIfStore
from serve_app.background import Background
from serve_app.deps import Limits
from serve_app.freshness import Freshness
from serve_app.messages import Change, WhatIf, WhatIfAnswer, WhatIfRecord

logger = logging.getLogger(__name__)
PREFIX = "wi-"
_ID = re.compile(r"wi-([A-Za-z0-9_.-]{1,200})-(\d{1,12})-(\d{1,3})")
_RETRY_S = 0.2
_records: msgspec.json.Decoder[list[WhatIfRecord]] = msgspec.json.Decoder(list[WhatIfRecord])


def is_what_if(prediction_id: str) -> bool:
    """Say whether an id is that of a what-if; ids of published forecasts hold an @.

    >>> is_what_if("wi-app-0-17"), is_what_if("wi-fi:1@17")
    (True, False)
    """
    return prediction_id.startswith(PREFIX) and "@" not in prediction_id


def changed_inputs(inputs: ForecastInputs, what_if: WhatIf) -> ForecastInputs:
    """Return the inputs as the what-if wants them."""
    changes: dict[str, object] = {}
    if what_if.score is not None:
        changes["home_goals"], changes["away_goals"] = what_if.score
    if what_if.clock is not None:
        changes["period"], changes["clock_ms"] = what_if.clock.period, what_if.clock.ms
    if what_if.reds is not None:
        changes["home_reds"], changes["away_reds"] = what_if.reds
    if what_if.prices is not None:
        changes |= _prices(what_if)
    changed = msgspec.structs.replace(inputs, **changes)
    return msgspec.structs.replace(changed, goals=goals_of(changed))


def goals_of(inputs: ForecastInputs) -> tuple[GoalAt, ...] | None:
    """Return the goals that make the inputs' score by their clock: the last ones are gone, new ones fall now."""
    if inputs.goals is None:
        return None
    now = (inputs.period, inputs.clock_ms)
    goals = list[GoalAt]()
    counts: tuple[tuple[Side, int], ...] = (("home", inputs.home_goals), ("away", inputs.away_goals))
    for side, count in counts:
        scored = [min((goal.period, goal.clock_ms), now) for goal in inputs.goals if goal.side == side][:count]
        scored += [now] * (count - len(scored))
        goals += [GoalAt(period, clock_ms, side) for period, clock_ms in scored]
    return tuple(sorted(goals, key=lambda goal: (goal.period, goal.clock_ms)))


def _prices(what_if: WhatIf) -> dict[str, object]:
    prices, changes = what_if.prices, dict[str, object]()
    if prices is not None and prices.one_x_two is not None:
        changes["anchor_1x2"] = prices.one_x_two
    if prices is not None and prices.over_under is not None:
        book = prices.over_under
        changes["anchor_over_under"] = (book.line, book.over, book.under)
    return changes


def differences(before: ForecastInputs, after: ForecastInputs) -> dict[str, Change]:
    """Return what differs between two inputs, by field."""
    old, new = msgspec.to_builtins(before), msgspec.to_builtins(after)
    return {name: Change(before=old[name], after=new[name]) for name in new if old[name] != new[name]}


def make_answer(forecast: Forecast, inputs: ForecastInputs, prediction: Prediction, fresh: Freshness) -> WhatIfAnswer:
    """Return the answer to one what-if; its id is given when it is recorded."""
    snapshot_id, _ = feature_snapshot(inputs)
    return WhatIfAnswer(
        prediction_id="",
        match_id=forecast.match_id,
        based_on=forecast.prediction_id,
        seq=forecast.seq,
        as_of=forecast.as_of,
        model_version=prediction.model_version,
        basis=prediction.basis,
        feature_snapshot_id=snapshot_id,
        changed=differences(forecast.inputs, inputs),
        inputs=inputs,
        markets=derive_markets(prediction.distribution),
        intervals=prediction.intervals,
        intervals_reason="" if prediction.intervals else NO_ENSEMBLE,
        runtime=prediction.runtime,
        freshness=fresh,
    )


class WhatIfRecorder:
    """Records what-ifs of this replica: a row per batch of at most 1,000 or 200 ms. Runs on the event loop.

    An id is replica, batch, index; the batch is durable soon after its answers were given. While the store does not
    answer, batches wait and are written again; when too many wait, new ones are refused.
    """

    def __init__(self, store: WhatIfStore, replica: str, limits: Limits, now: Callable[[], datetime]) -> None:
        self.replica = re.sub(r"[^A-Za-z0-9_.]", "-", replica)[-200:]
        self._store, self._limits, self._now = store, limits, now
        self._batch = 0
        self._open: list[WhatIfRecord] = []
        self._closed: deque[tuple[int, list[WhatIfRecord]]] = deque()  # oldest first, kept until written
        self._news = asyncio.Event()
        self._writer = Background("what-if record", self._write_for_ever)

    async def start(self) -> None:
        self._writer.start()

    def problem(self) -> str | None:
        """Say why nothing is recorded any more, None while it is."""
        return self._writer.problem

    async def stop(self, timeout_s: float = 2.0) -> None:
        """Write what waits, as far as the store answers in time."""
        self._writer.stop()
        self._close_batch()
        try:
            async with asyncio.timeout(timeout_s):
                await self._write_closed()
        except TimeoutError:
            logger.warning("What-ifs not recorded", extra={"batches": len(self._closed)})

    def admit(self, count: int) -> None:
        """Raise Overloaded if `count` more would not fit."""
        waiting = len(self._open) + sum(len(batch) for _, batch in self._closed)
        if waiting + count > self._limits.what_ifs_waiting:
            raise Overloaded("what-if record", self._limits.what_ifs_waiting)

    def record(self, answers: Sequence[WhatIfAnswer]) -> list[WhatIfAnswer]:
        """Give each answer its id and take it into the record; raises Overloaded, and then takes none."""
        self.admit(len(answers))
        return [self._record(answer) for answer in answers]

    def _record(self, answer: WhatIfAnswer) -> WhatIfAnswer:
        name = f"{PREFIX}{self.replica}-{self._batch}-{len(self._open)}"
        answer = msgspec.structs.replace(answer, prediction_id=name)
        self._open.append(WhatIfRecord(prediction_id=name, match_id=answer.match_id, at=self._now(), what_if=answer))
        if len(self._open) >= self._limits.what_if_batch:
            self._close_batch()
        self._news.set()
        return answer

    def _close_batch(self) -> None:
        if self._open:
            self._closed.append((self._batch, self._open))
            self._batch, self._open = self._batch + 1, []

    async def _write_for_ever(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            if not self._closed:
                await asyncio.sleep(self._limits.what_if_flush_s)
            self._close_batch()
            await self._write_closed()

    async def _write_closed(self) -> None:
        while self._closed:
            batch, records = self._closed[0]
            try:
                payload = msgspec.json.encode(records)
                await asyncio.to_thread(self._store.write_what_ifs, self.replica, batch, payload)
            except StoreUnavailable as error:
                logger.warning("What-ifs wait for the store", extra={"cause": str(error)})
                await asyncio.sleep(_RETRY_S)
            else:
                self._closed.popleft()

    async def find(self, prediction_id: str) -> WhatIfRecord | None:
        """Look a what-if up, also one that is not written yet; raises StoreUnavailable."""
        if (named := _ID.fullmatch(prediction_id)) is None:
            return None
        replica, batch, index = named[1], int(named[2]), int(named[3])
        records = self._waiting(replica, batch)
        if records is None:
            payload = await asyncio.to_thread(self._store.what_ifs, replica, batch)
            records = _records.decode(payload) if payload is not None else []
        return records[index] if index < len(records) else None

    def _waiting(self, replica: str, batch: int) -> list[WhatIfRecord] | None:
        if replica != self.replica:
            return None
        if batch == self._batch:
            return self._open
        return next((records for number, records in self._closed if number == batch), None)
