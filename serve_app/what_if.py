"""What-ifs: the inputs of the latest forecast with some of them changed, run through the network for this request."""

from collections.abc import Callable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import NamedTuple

import msgspec
from msgspec import Struct

from actors.domain.distribution import ForecastInputs, GoalAt, Intervals, Prediction, Predictions, Runtime
from actors.domain.events import Side
from actors.domain.forecast import NO_ENSEMBLE, AsOf, Forecast, feature_snapshot
from actors.domain.markets import ThreeWay
from actors.domain.markets_json import distributions_json, markets_json
from actors.domain.replay_check import values_hash
from serve_app.body import Shown
from serve_app.freshness import Freshness
from serve_app.messages import Change, WhatIf
from serve_app.what_if_recorder import WhatIfRecorder
from serve_app.what_if_rows import Made, Row

_encoder = msgspec.json.Encoder()
_result = msgspec.json.Decoder(ThreeWay)
_FIELDS = ForecastInputs.__struct_fields__
_values: Callable[[ForecastInputs], tuple[object, ...]] = attrgetter(*_FIELDS)


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
    if inputs.goals is None or (what_if.score is None and what_if.clock is None):
        return changed
    return msgspec.structs.replace(changed, goals=goals_of(changed))


def goals_of(inputs: ForecastInputs) -> tuple[GoalAt, ...] | None:
    """Return the goals that make the inputs' score by their clock: the last ones are gone, new ones fall now."""
    if inputs.goals is None:
        return None
    now, goals = (inputs.period, inputs.clock_ms), list[GoalAt]()
    missing: dict[Side, int] = {"home": inputs.home_goals, "away": inputs.away_goals}
    for goal in inputs.goals:
        if missing[goal.side] > 0 and (goal.period, goal.clock_ms) < now:
            missing[goal.side] -= 1
            goals.append(goal)
    for side, count in missing.items():
        goals += [GoalAt(*now, side)] * count
    return tuple(goals)


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
    values = zip(_FIELDS, _values(before), _values(after), strict=True)
    return {name: Change(before=old, after=new) for name, old, new in values if old is not new and old != new}


class Asked(NamedTuple):
    """One what-if: the forecast that it starts from, and the inputs as it wants them."""

    shown: Shown
    inputs: ForecastInputs


class _Answer(Struct, frozen=True):
    """A WhatIfAnswer, field by field, of which the large parts are encoded already."""

    prediction_id: str
    match_id: str
    based_on: str
    seq: int
    as_of: AsOf
    model_version: str
    basis: str
    feature_snapshot_id: str
    changed: dict[str, Change]
    inputs: msgspec.Raw
    markets: msgspec.Raw
    intervals: Intervals | None
    intervals_reason: str
    runtime: Runtime
    freshness: Freshness


class Told(NamedTuple):
    """What the model said to one what-if, its markets as JSON."""

    made: Made
    intervals: Intervals | None
    markets: bytes


def told(predictions: Sequence[Prediction]) -> list[Told]:
    """Encode the markets of each prediction; raises ValueError where a distribution is none."""
    made = [Made(each.model_version, each.basis, each.runtime) for each in predictions]
    markets = markets_json([each.distribution for each in predictions])
    return list(map(Told, made, [each.intervals for each in predictions], markets))


def told_at_once(predictions: Predictions) -> list[Told]:
    """Do the same for a batch, without an object for each of its distributions."""
    made = {basis: Made(predictions.model_version, basis, predictions.runtime) for basis in predictions.bases}
    markets = distributions_json(predictions.distributions)
    return list(map(Told, map(made.__getitem__, predictions.bases), predictions.intervals(), markets))


class WhatIfs:
    """Answers what-ifs and takes them into the record. Runs on the event loop."""

    def __init__(
        self, recorder: WhatIfRecorder, freshness: Callable[[Shown], Freshness], now: Callable[[], datetime]
    ) -> None:
        self._recorder, self._freshness, self._now = recorder, freshness, now

    def answers(self, asked: Sequence[Asked], said: Sequence[Told]) -> list[bytes]:
        """Return the answer to each, encoded; raises Overloaded, and then none is recorded."""
        at = self._now()
        shown_once = {id(each.shown): each.shown for each in asked}
        fresh = {identity: self._freshness(shown) for identity, shown in shown_once.items()}
        rows, changes = list[Row](), list[dict[str, Change]]()
        for (shown, inputs), one in zip(asked, said, strict=True):
            changed = differences(shown.forecast.inputs, inputs)
            changes.append(changed)
            rows.append(_row(at, shown.forecast, changed, one, fresh[id(shown)]))
        names = self._recorder.record(rows)
        return [
            _answer(name, row, each.inputs, one, changed)
            for name, row, each, one, changed in zip(names, rows, asked, said, changes, strict=True)
        ]


def _row(at: datetime, forecast: Forecast, changed: dict[str, Change], said: Told, freshness: Freshness) -> Row:
    return Row(
        at=at,
        forecast=forecast,
        changed={name: change.after for name, change in changed.items()},
        made=said.made,
        freshness=freshness,
        result=_result_of(said.markets),
        values_hash=values_hash(said.markets, said.intervals),
    )


def _result_of(markets: bytes) -> ThreeWay:
    """Read the result's probabilities, which stand first, without reading the rest."""
    return _result.decode(markets[markets.index(b":") + 1 : markets.index(b"}") + 1])


def _answer(name: str, row: Row, inputs: ForecastInputs, said: Told, changed: dict[str, Change]) -> bytes:
    forecast, (snapshot_id, encoded) = row.forecast, feature_snapshot(inputs)
    return _encoder.encode(
        _Answer(
            prediction_id=name,
            match_id=forecast.match_id,
            based_on=forecast.prediction_id,
            seq=forecast.seq,
            as_of=forecast.as_of,
            model_version=said.made.model_version,
            basis=said.made.basis,
            feature_snapshot_id=snapshot_id,
            changed=changed,
            inputs=msgspec.Raw(encoded),
            markets=msgspec.Raw(said.markets),
            intervals=said.intervals,
            intervals_reason="" if said.intervals else NO_ENSEMBLE,
            runtime=said.made.runtime,
            freshness=row.freshness,
        )
    )
