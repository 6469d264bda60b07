"""Batches of what-ifs as they are kept: small, complete but for the values, and the older form is still read."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from actors.domain.distribution import ForecastInputs, GoalAt
from actors.domain.forecast import NO_ENSEMBLE, Forecast, feature_snapshot
from actors.domain.markets import ThreeWay, derive_markets
from actors.domain.replay_check import values_hash
from serve_app.freshness import Freshness
from serve_app.messages import WhatIfAnswer, WhatIfRecord
from serve_app.what_if import differences
from serve_app.what_if_rows import KeptWhatIf, Made, Row, pack, rows_in, unpack
from tests.unit.api_world import HERE, MODEL, OTHER, a_forecast, predict_one

FRESH = Freshness(state="FRESH", age_s=0.25, feed_silent_s=None, own_lag_s=None)
AT = datetime(2026, 5, 30, 19, 30, 0, 123_456, tzinfo=UTC)
RESULT = ThreeWay(home=0.5, draw=0.3, away=0.2)


def a_row(number: int, forecast: Forecast, **changed: Any) -> Row:
    made = Made(MODEL, "league", HERE)
    return Row(AT, forecast, changed, made, FRESH, RESULT, values_hash(b"%d" % number, None))


def kept(payload: bytes, index: int) -> KeptWhatIf:
    found = unpack(payload, index, f"wi-r-0-{index}")
    assert isinstance(found, KeptWhatIf)
    return found


def test_what_was_kept_comes_back() -> None:
    first, other = a_forecast(seq=30), a_forecast(OTHER, seq=3)
    goals = (GoalAt(1, 5_000, "home"), GoalAt(2, 0, "away"))
    rows = [a_row(0, first, home_goals=2), a_row(1, other, goals=goals, anchor_1x2=(2.0, 3.5, 4.0)), a_row(2, first)]
    payload = pack(rows)
    one, two, three = (kept(payload, index) for index in range(3))
    assert one.inputs == msgspec.structs.replace(first.inputs, home_goals=2)
    assert two.inputs == msgspec.structs.replace(other.inputs, goals=goals, anchor_1x2=(2.0, 3.5, 4.0))
    assert three.inputs == first.inputs
    assert (two.based_on.match_id, two.based_on.prediction_id, two.based_on.seq) == (OTHER, f"{OTHER}@3", 3)
    assert (one.at, one.freshness, one.result, one.made) == (AT, FRESH, RESULT, Made(MODEL, "league", HERE))
    assert [each.values_hash for each in (one, two, three)] == [row.values_hash for row in rows]
    assert (rows_in(payload), unpack(payload, 3, "wi-r-0-3")) == (3, None)


def test_a_thousand_take_less_than_a_hundred_bytes_each() -> None:
    forecast = a_forecast(seq=30)
    rows = [a_row(n, forecast, home_goals=n % 5, clock_ms=1_000 * n, period=1 + n % 2) for n in range(1_000)]
    assert len(pack(rows)) < 100 * 1_000


def test_a_batch_of_the_older_form_is_read_as_it_was_written() -> None:
    payload = msgspec.json.encode([older := an_older_record("wi-r-7-0"), an_older_record("wi-r-7-1")])
    assert unpack(payload, 0, "wi-r-7-0") == older
    assert unpack(payload, 2, "wi-r-7-2") is None


def an_older_record(name: str) -> WhatIfRecord:
    forecast = a_forecast(seq=30)
    inputs: ForecastInputs = msgspec.structs.replace(forecast.inputs, home_goals=1)
    prediction = predict_one(inputs)
    answer = WhatIfAnswer(
        prediction_id=name,
        match_id=forecast.match_id,
        based_on=forecast.prediction_id,
        seq=forecast.seq,
        as_of=forecast.as_of,
        model_version=MODEL,
        basis="league",
        feature_snapshot_id=feature_snapshot(inputs)[0],
        changed=differences(forecast.inputs, inputs),
        inputs=inputs,
        markets=derive_markets(prediction.distribution),
        intervals_reason=NO_ENSEMBLE,
        runtime=HERE,
        freshness=FRESH,
    )
    return WhatIfRecord(prediction_id=name, match_id=forecast.match_id, at=AT, what_if=answer)


@pytest.mark.parametrize("payload", [b"", b"x\x9c damaged", b"[{}]", b"\x00"])
def test_a_damaged_batch_says_so(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpack(payload, 0, "wi-r-0-0")
