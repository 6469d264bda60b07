"""Whether a forecast that was made again is the one that was published."""

import msgspec
import pytest

from actors.domain.distribution import Intervals, Runtime
from actors.domain.forecast import encode_published, feature_snapshot
from actors.domain.markets import derive_markets
from actors.domain.replay_check import compare, largest_difference, read_inputs, read_recorded
from tests.unit.api_world import a_forecast, predict_one

FORECAST = a_forecast(seq=12)
RECORDED = read_recorded(encode_published(FORECAST))
PREDICTION = predict_one(FORECAST.inputs)
MARKETS = derive_markets(PREDICTION.distribution)


def test_the_same_inputs_give_an_identical_forecast() -> None:
    result = compare(RECORDED, PREDICTION, MARKETS)
    assert result.identical
    assert result.largest_difference == 0.0
    assert (result.prediction_id, result.model_version) == (FORECAST.prediction_id, FORECAST.model_version)


def test_one_bit_is_a_difference() -> None:
    home = MARKETS.one_x_two.home
    changed = msgspec.structs.replace(MARKETS.one_x_two, home=home * (1 + 2**-52))
    result = compare(RECORDED, PREDICTION, msgspec.structs.replace(MARKETS, one_x_two=changed))
    assert not result.identical
    assert result.largest_difference is not None
    assert 0 < result.largest_difference < 1e-15
    assert result.note.startswith("same runtime, other values")


def test_another_runtime_says_other_hardware_with_the_largest_difference() -> None:
    elsewhere = msgspec.structs.replace(PREDICTION, runtime=Runtime(torch="2.13.0", cpu_capability="AVX512"))
    changed = msgspec.structs.replace(MARKETS, other_score=MARKETS.other_score + 0.25)
    result = compare(RECORDED, elsewhere, changed)
    assert result.largest_difference == pytest.approx(0.25)
    assert result.note.startswith("other hardware")
    assert result.runtime.recorded.cpu_capability == "TEST"


def test_another_runtime_with_the_same_bits_is_identical() -> None:
    elsewhere = msgspec.structs.replace(PREDICTION, runtime=Runtime(torch="9", cpu_capability="X"))
    assert compare(RECORDED, elsewhere, MARKETS).identical


def test_markets_that_are_built_otherwise_have_no_difference_to_name() -> None:
    fewer = msgspec.structs.replace(MARKETS, totals=MARKETS.totals[1:])
    result = compare(RECORDED, PREDICTION, fewer)
    assert (result.identical, result.largest_difference) == (False, None)


INTERVALS = Intervals(level=0.9, home=(0.4, 0.5), draw=(0.2, 0.3), away=(0.25, 0.35))


def test_the_same_intervals_are_identical_and_one_bit_of_them_is_a_difference() -> None:
    recorded = msgspec.structs.replace(RECORDED, intervals=INTERVALS)
    same = msgspec.structs.replace(PREDICTION, intervals=INTERVALS)
    assert compare(recorded, same, MARKETS).identical
    other = msgspec.structs.replace(INTERVALS, home=(0.4, 0.5 + 2**-53))
    result = compare(recorded, msgspec.structs.replace(PREDICTION, intervals=other), MARKETS)
    assert (result.identical, result.largest_difference) == (False, 2**-53)


def test_intervals_on_one_side_only_are_not_identical() -> None:
    result = compare(RECORDED, msgspec.structs.replace(PREDICTION, intervals=INTERVALS), MARKETS)
    assert (result.identical, result.largest_difference) == (False, None)


def test_another_basis_is_not_identical() -> None:
    result = compare(RECORDED, msgspec.structs.replace(PREDICTION, basis="prices"), MARKETS)
    assert not result.identical
    assert "basis" in result.note


def test_inputs_that_were_changed_are_not_believed() -> None:
    snapshot_id, encoded = feature_snapshot(FORECAST.inputs)
    assert read_inputs(snapshot_id, encoded) == FORECAST.inputs
    with pytest.raises(ValueError, match="was changed"):
        read_inputs(snapshot_id, encoded.replace(b'"period":1', b'"period":2'))


def test_missing_and_zero_are_not_the_same() -> None:
    assert largest_difference({"a": None}, {"a": 0.0}) is None
    assert largest_difference({"a": [1.0, 2]}, {"a": [1.5, 2]}) == 0.5
