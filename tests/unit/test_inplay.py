"""The in-play network: what a match has shown moves the numbers, by the same bits in any batch, with intervals."""

import math
import random
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.domain.distribution import ForecastInputs, GoalAt, Intervals, Prediction
from tests.unit import network_reference
from tests.unit.test_network import PRICES, TOTAL, bits, many_inputs, three_way
from training.evidence import sum_exactly
from training.model_file import IN_PLAY, read_model
from training.network import TorchForecaster, load_model

MODELS = Path(__file__).resolve().parents[2] / "training" / "models"
SHIPPED, FIRST = MODELS / "touchline-2017-12-01", MODELS / "baseline-2017-12-01"
HALF_TIME = ForecastInputs(
    league="E0",
    period=2,
    home_goals=1,
    anchor_1x2=PRICES,
    anchor_over_under=TOTAL,
    home_shots=7,
    away_shots=6,
    shots_by="understat",
    goals=(GoalAt(1, 20 * 60_000, "home"),),
)


@pytest.fixture(scope="module")
def forecaster() -> TorchForecaster:
    return load_model(SHIPPED)


def shown(count: int, seed: int) -> list[ForecastInputs]:
    """Rows with and without shots and goal times, some of which contradict the score."""
    draw = random.Random(seed)
    rows = []
    for row in many_inputs(count, seed):
        times = sorted(
            (draw.randint(1, max(row.period, 1)), draw.randint(0, row.clock_ms)) for _ in range(row.home_goals)
        )
        goals = tuple(GoalAt(period, clock_ms, "home") for period, clock_ms in times)
        goals += tuple(GoalAt(row.period, row.clock_ms, "away") for _ in range(row.away_goals))
        shots = {"home_shots": draw.randint(0, 20), "away_shots": draw.randint(0, 20), "shots_by": "wyscout"}
        changes: dict[str, object] = draw.choice([{}, {"goals": goals}, {"goals": goals, **shots}, shots])
        rows.append(msgspec.structs.replace(row, **changes))
    return rows


def all_bits(prediction: Prediction) -> tuple[object, ...]:
    return (*bits(prediction), msgspec.json.encode(prediction.intervals))


def test_a_value_and_its_interval_have_the_same_bits_in_any_batch(forecaster: TorchForecaster) -> None:
    rows = shown(60, seed=8)
    reference = [all_bits(prediction) for prediction in forecaster.predict(rows)]
    for batch_rows in (1, 2):
        order = list(range(len(rows)))
        random.Random(batch_rows).shuffle(order)
        answers = TorchForecaster(SHIPPED, batch_rows=batch_rows).predict([rows[i] for i in order])
        assert [all_bits(answer) for answer in answers] == [reference[i] for i in order]
    for i in (3, 17, 40):
        assert all_bits(forecaster.predict([rows[i]])[0]) == reference[i]


@pytest.mark.parametrize("name", ["touchline-2017-12-01", "touchline-all"])
def test_the_compiled_network_gives_the_bits_of_the_readable_one(name: str) -> None:
    rows = shown(400, seed=21) + [answered.inputs for answered in read_model(MODELS / name).manifest.golden]
    model = TorchForecaster(MODELS / name)
    received = model.predict_rows(rows)
    anchors = [anchored.anchor for anchored in model.anchors(rows)]
    its = network_reference.prepare(read_model(MODELS / name), list(zip(rows, anchors, strict=True)))
    remaining, first, bounds = network_reference.answers(its)
    assert received.bounds is not None
    assert received.distributions.remaining.tobytes() == remaining.tobytes()
    assert received.distributions.next_home.tolist() == first[0]
    assert received.distributions.next_away.tolist() == first[1]
    assert received.bounds.tolist() == [[*each.home, *each.draw, *each.away] for each in bounds]
    assert model.verify() == 0.0


@given(st.lists(st.floats(-1e6, 1e6) | st.floats(-1, 1), max_size=20))
def test_a_compiled_sum_is_rounded_once(values: list[float]) -> None:
    assert sum_exactly(np.array(values)) == math.fsum(values)


def test_answers_are_coherent_and_lie_within_their_intervals(forecaster: TorchForecaster) -> None:
    rows = shown(60, seed=9)
    for row, answer in zip(rows, forecaster.predict(rows), strict=True):
        distribution, found = answer.distribution, answer.intervals
        assert distribution.remaining.sum() == pytest.approx(1, abs=1e-12)
        assert distribution.next_home + distribution.next_away + distribution.remaining[0, 0] == pytest.approx(1)
        assert found is not None
        for chance, (low, high) in zip(three_way(answer), (found.home, found.draw, found.away), strict=True):
            assert 0 <= low <= chance + 1e-9
            assert chance - 1e-9 <= high <= 1
        if row.is_over:
            assert {*found.home, *found.draw, *found.away} <= {0.0, 1.0}


def test_at_kick_off_the_market_has_said_all(forecaster: TorchForecaster) -> None:
    row = ForecastInputs(anchor_1x2=PRICES, anchor_over_under=TOTAL, goals=())
    (ours,), (first,) = forecaster.predict([row]), load_model(FIRST).predict([row])
    assert three_way(ours) == pytest.approx(three_way(first), abs=1e-5)


@pytest.mark.parametrize(
    ("changes", "is_higher"),
    [({"home_shots": 12}, True), ({"home_shots": 1}, False), ({"home_reds": 1}, False), ({"away_reds": 1}, True)],
)
def test_more_shots_and_more_players_mean_more_goals(
    forecaster: TorchForecaster, changes: dict[str, int], is_higher: bool
) -> None:
    before, after = forecaster.predict([HALF_TIME, msgspec.structs.replace(HALF_TIME, **changes)])
    assert (after.distribution.next_home > before.distribution.next_home) == is_higher


def test_a_provider_that_counts_fewer_shots_is_taken_at_its_own_scale(forecaster: TorchForecaster) -> None:
    rows = [msgspec.structs.replace(HALF_TIME, shots_by=by) for by in ("understat", "wyscout", "unheard of")]
    understat, wyscout, unknown = (answer.distribution.next_home for answer in forecaster.predict(rows))
    assert wyscout != understat == unknown


def test_without_shots_and_goal_times_the_score_and_the_clock_still_speak(forecaster: TorchForecaster) -> None:
    bare = msgspec.structs.replace(HALF_TIME, home_shots=None, away_shots=None, shots_by=None, goals=None)
    contradicted = msgspec.structs.replace(bare, goals=(GoalAt(1, 0, "away"),))
    future = msgspec.structs.replace(bare, goals=(GoalAt(2, 1, "home"),))
    first, second, third = forecaster.predict([bare, contradicted, future])
    assert bits(first) == bits(second) == bits(third)


def test_intervals_are_wider_where_less_is_known(forecaster: TorchForecaster) -> None:
    def width(intervals: Intervals | None) -> float:
        assert intervals is not None
        return intervals.home[1] - intervals.home[0]

    kick_off = ForecastInputs(anchor_1x2=PRICES, anchor_over_under=TOTAL)
    before, half, red = forecaster.predict([kick_off, HALF_TIME, msgspec.structs.replace(HALF_TIME, home_reds=1)])
    assert 0 < width(before.intervals) < width(half.intervals) < width(red.intervals)


def test_the_first_model_still_answers_without_intervals_and_inputs_stored_for_it_still_decode() -> None:
    first = load_model(FIRST)
    stored = b'{"league":"E0","period":2,"clock_ms":0,"home_goals":1,"anchor_1x2":[2.1,3.4,3.9]}'
    old = msgspec.json.decode(stored, type=ForecastInputs)
    new = msgspec.structs.replace(old, home_shots=9, away_shots=1, shots_by="understat", goals=())
    (one, two) = first.predict([old, new])
    assert one.intervals is None
    assert bits(one) == bits(two)
    assert load_model(SHIPPED).manifest.format == IN_PLAY
