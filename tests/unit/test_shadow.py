"""A candidate is scored on what was served: on the same inputs, and only where it cannot have seen the result."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from actors.domain.distribution import ForecastInputs, Prediction
from actors.domain.fixtures import Fixture, encode_fixture
from actors.domain.judged import CLOCKS, Followed, Judged
from actors.domain.markets import derive_markets
from actors.domain.ports import FIXTURES, NewRecord
from cluster.audit import MODELS
from cluster.shadow import compare, main
from cluster.stores import Stores
from conf.run import load, setting
from tests.contract.test_live_health import a_match, keep
from tests.unit import fakes
from tests.unit.api_world import a_fixture


class Sure:
    """Has the served model's answers, of other inputs: as if home were a goal ahead."""

    model_version = "sure-1"

    def __init__(self, lead: int) -> None:
        self._lead = lead

    def predict(self, inputs: list[ForecastInputs]) -> list[Prediction]:
        return fakes.predict([replace(row, home_goals=row.home_goals + self._lead) for row in inputs])


def a_served_match(result: int | None) -> Followed:
    inputs = [ForecastInputs(period=at.period, clock_ms=at.ms) for at in CLOCKS]
    judged = []
    for minute, row, answer in zip(CLOCKS.values(), inputs, fakes.predict(inputs), strict=True):
        now = derive_markets(answer.distribution).one_x_two
        chances = (now.home, now.draw, now.away)
        judged.append(Judged(minute=minute, model_version="fake-1", chances=chances, inputs=row))
    return Followed(judged=tuple(judged), result=result)


def test_the_model_that_was_served_differs_by_nothing() -> None:
    found = compare([a_served_match(number % 3) for number in range(30)], Sure(0))
    assert [(each.minute, each.matches) for each in found] == [(minute, 30) for minute in CLOCKS.values()]
    assert {(each.log_loss.value, each.log_loss.low, each.rps.high) for each in found} == {(0.0, 0.0, 0.0)}


@pytest.mark.parametrize(("result", "is_better"), [(0, True), (2, False)])
def test_a_candidate_that_was_right_has_lower_scores(result: int, is_better: bool) -> None:
    found = compare([a_served_match(result), a_served_match(None)], Sure(1))
    assert all((each.log_loss.value < 0) == (each.rps.value < 0) == is_better for each in found)
    assert {each.matches for each in found} == {1}


def announce(stores: Stores, *fixtures: Fixture) -> None:
    log = stores.log()
    log.append(FIXTURES, 0, [NewRecord(key=each.match_id, value=encode_fixture(each)) for each in fixtures])
    log.close()


def test_the_command_scores_a_folder_on_matches_since_its_training_data_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stores = Stores(load([setting("data.folder", tmp_path / "data")]))
    stores.prepare()
    announce(stores, replace(a_fixture("a:1"), kick_off=datetime.now(UTC)))
    history = stores.history()
    keep(history, a_match("a:1"))
    history.close()
    data = f"--data={stores.folder}"
    assert main([str(MODELS / "touchline-2017-12-01"), data]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [[f"{minute}'", "n=1"] for minute in CLOCKS.values()]
    assert main(["nobody-1", data]) == 2
    assert "nobody-1 is no folder, and history keeps only none" in capsys.readouterr().err
