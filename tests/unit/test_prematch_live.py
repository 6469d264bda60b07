"""Serving says before kick-off what evaluation says; results of the log move it, those of the day and later do not."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow.parquet as pq
import pytest

from actors.domain.distribution import ForecastInputs
from actors.domain.events import Prematch
from tests.unit.prematch_data import write_results
from tests.unit.test_fit import SHIPPED
from training.chain import GOALS
from training.live_anchors import with_forecasts
from training.live_data import RESULTS, load_live
from training.live_score import forecast, inputs_at
from training.network import TorchForecaster
from training.prematch.live import Match, prematch_of, with_matches
from training.prematch.model import PrematchModel
from training.prematch.store import read_prematch
from training.prematch.table import ResultTable, load_table

PREMATCH = SHIPPED / "prematch"
LAST_DAY = date(2019, 5, 24)  # of the season in France: ten matches at once
NEXT = datetime(2020, 11, 7, 15, tzinfo=UTC)  # behind the last result of the small file


@pytest.fixture(scope="module")
def model() -> PrematchModel:
    return read_prematch(PREMATCH)[1]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> ResultTable:
    return load_table(write_results(tmp_path_factory.mktemp("data")))


def upcoming(home: str = "Upper 3", away: str = "Upper 4", league: str = "E0", **fields: object) -> Match:
    plain = {"league": league, "kick_off": NEXT, "home": home, "away": away}
    return Match(**{**plain, **fields})  # type: ignore[arg-type]


def said(model: PrematchModel, table: ResultTable, match: Match, *played: Match) -> Prematch:
    (found,) = prematch_of(model, "m", table, [match], list(played))
    assert found is not None
    return found


def test_ten_matches_of_data_root_are_forecast_as_evaluation_forecasts_them(
    data_root: Path, tmp_path: Path, model: PrematchModel
) -> None:
    root = _in_france(data_root, tmp_path)
    matches = load_live(root, "understat", LAST_DAY, LAST_DAY + timedelta(days=1))
    assert len(matches) == 10
    seen = with_forecasts(matches, PREMATCH, root, LAST_DAY + timedelta(days=1), "past_odds")
    table = load_table(root)
    table = table.rows(table.day < (LAST_DAY - date(1970, 1, 1)).days)
    kick_off = datetime(2019, 5, 24, 20, tzinfo=ZoneInfo("Europe/London"))
    names = zip(matches.league, matches.home, matches.away, strict=True)
    asked = [Match(league=league, kick_off=kick_off, home=home, away=away) for league, home, away in names]
    found = prematch_of(model, "m", table, asked, [])
    priors = [each.prior for each in found if each is not None]
    np.testing.assert_allclose([prior.prices for prior in priors], seen.prices, rtol=1e-12)
    np.testing.assert_allclose([prior.totals[1:] for prior in priors], seen.over_under, rtol=1e-12)
    assert {(prior.basis, prior.as_of) for prior in priors} == {("prematch:past_odds", date(2019, 5, 18))}
    forecaster, at_half_time = TorchForecaster(SHIPPED), inputs_at(seen, 45)
    served = forecaster.predict([_unpriced(inputs, prior) for inputs, prior in zip(at_half_time, priors, strict=True)])
    scored = forecast(forecaster, seen).chances[3, :, 0].tolist()
    for answer, inputs, home in zip(served, at_half_time, scored, strict=True):
        lead = inputs.home_goals - inputs.away_goals + np.subtract.outer(np.arange(GOALS), np.arange(GOALS))
        assert answer.basis == "prematch:past_odds"
        assert answer.distribution.remaining[lead > 0].sum() == pytest.approx(home, abs=1e-12)


def _in_france(data_root: Path, folder: Path) -> Path:
    """A data root with some seasons of one country's results."""
    (folder / "results").mkdir()
    results = pq.read_table(data_root / RESULTS, filters=[("country", "=", "France"), ("season_start", ">=", 2012)])
    pq.write_table(results, folder / RESULTS)
    (folder / "understat").symlink_to(data_root / "understat")
    return folder


def _unpriced(inputs: ForecastInputs, prior: object) -> ForecastInputs:
    return inputs.__replace__(anchor_1x2=None, anchor_over_under=None, prior=prior)


def test_a_finished_match_of_the_log_moves_its_teams_before_their_next_one(
    model: PrematchModel, table: ResultTable
) -> None:
    won = upcoming("Upper 3", "Upper 5", kick_off=NEXT - timedelta(days=3), goals=(6, 0), half_time=(3, 0), reds=(0, 0))
    before, after = said(model, table, upcoming()), said(model, table, upcoming(), won)
    assert after.prior.home > before.prior.home
    assert after.numbers["go_supremacy"] > before.numbers["go_supremacy"]
    assert (before.prior.as_of, after.prior.as_of) == (date(2020, 10, 31), date(2020, 11, 4))


def test_prices_of_a_finished_match_of_the_log_move_what_past_prices_say(
    model: PrematchModel, table: ResultTable
) -> None:
    level = upcoming("Upper 3", "Upper 5", kick_off=NEXT - timedelta(days=3), goals=(1, 1), half_time=(0, 0))
    likely = level.__replace__(close=(1.2, 6.0, 12.0), close_total=(1.9, 1.95))
    doubtful = level.__replace__(close=(4.0, 3.5, 1.9), close_total=(1.9, 1.95))
    one, other = (said(model, table, upcoming(), each) for each in (likely, doubtful))
    assert one.numbers["im_supremacy"] > other.numbers["im_supremacy"]
    assert one.prior.home > other.prior.home


@pytest.mark.parametrize("hours", [0, 3, 200])
def test_what_kicks_off_on_the_same_day_or_later_does_not_count(
    model: PrematchModel, table: ResultTable, hours: int
) -> None:
    other = upcoming("Upper 3", "Upper 5", kick_off=NEXT + timedelta(hours=hours), goals=(9, 0), half_time=(5, 0))
    assert said(model, table, upcoming(), other).prior == said(model, table, upcoming()).prior


def test_a_team_without_a_result_counts_as_a_newcomer_and_a_league_without_one_has_no_prior(
    model: PrematchModel, table: ResultTable
) -> None:
    known, new = said(model, table, upcoming()), said(model, table, upcoming(home="Came Up"))
    assert (known.prior.basis, new.prior.basis) == ("prematch:past_odds", "prematch:past_odds:newcomer")
    unknown = upcoming(league="XX")
    assert prematch_of(model, "m", table, [unknown, upcoming()], []) == [None, known]


def test_a_match_that_the_results_file_has_by_now_counts_once(model: PrematchModel, table: ResultTable) -> None:
    row = int(np.flatnonzero(table.league == table.league_names.index("E0"))[-1])
    home, away = (table.team_names[code][1] for code in (table.home[row], table.away[row]))
    kick_off = datetime(1970, 1, 1, 23, tzinfo=UTC) + timedelta(days=int(table.day[row]) + 1)
    again = upcoming(home, away, kick_off=kick_off, goals=(7, 7))
    whole, rows = with_matches(table, [again, upcoming()])
    assert rows[0] == row
    assert len(whole) == len(table) + 1


def test_a_season_begins_anew_behind_a_summer(table: ResultTable) -> None:
    summer = upcoming(kick_off=datetime(2021, 8, 7, 15, tzinfo=UTC))
    whole, rows = with_matches(table, [upcoming(), summer])
    assert whole.season[rows].tolist() == [2020, 2021]
