"""Who is told a prior, when, and what a finished match of the log changes."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from actors.domain.errors import SetupError
from actors.domain.events import FeedRecord, Prematch, decode_record
from actors.domain.fixtures import Fixture, Lease, Team, encode_fixture
from actors.domain.match import MatchState, new_match
from actors.domain.models import Committed, encode_model_record
from actors.domain.ports import FEED, FIXTURES, MODELS, ModelRow, NewRecord
from cluster.finished import match_of, result_of
from cluster.held_models import pack
from cluster.priors import Priors, is_news
from tests.unit.builders import a_fixture, a_prior, goal, minute, play, played, red, saved, totals, whole_match
from tests.unit.fakes import MemoryLog, MemorySnapshots
from tests.unit.prematch_data import write_results
from tests.unit.test_fit import SHIPPED

KICK_OFF = datetime(2020, 11, 7, 15, tzinfo=UTC)
NOW = KICK_OFF - timedelta(hours=20)


class KeptModels:
    """A ModelStore with the shipped model, and the first one."""

    def __init__(self) -> None:
        folders = (SHIPPED, SHIPPED.parent / "baseline-2017-12-01")
        self.rows = {
            folder.name: ModelRow(version=folder.name, manifest=manifest, content=content)
            for folder in folders
            for manifest, content in [pack(folder)]
        }

    def model(self, version: str) -> ModelRow | None:
        return self.rows.get(version)

    def model_versions(self) -> list[str]:
        return sorted(self.rows)

    def write_model(self, version: str, manifest: bytes, content: bytes) -> None:
        raise AssertionError("nothing is written here")


class World:
    """A log with fixtures and a live model, and what a process that tells priors works with."""

    def __init__(self, root: Path) -> None:
        self.root, self.log, self.snapshots, self.kept = root, MemoryLog(), MemorySnapshots(), KeptModels()
        self.epoch = 0
        self.priors = self.restarted()

    def restarted(self) -> Priors:
        return Priors(self.log, self.kept, self.snapshots, self.root)

    def announce(self, fixture: Fixture) -> None:
        self.log.append(FIXTURES, 0, [NewRecord(key=fixture.match_id, value=encode_fixture(fixture))])

    def serve(self, version: str) -> None:
        self.epoch += 1
        commit = Committed(
            epoch=self.epoch,
            version=version,
            previous=None,
            configured=version,
            request=None,
            replicas=1,
            cpu_ratio=None,
            at=NOW,
        )
        self.log.append(MODELS, 0, [NewRecord(key="models", value=encode_model_record(commit))])

    def keep(self, state: MatchState) -> None:
        self.snapshots.save(saved(state))

    def told(self, match_id: str) -> list[FeedRecord]:
        records = [record for part in self.log.topics.get(FEED, {}).values() for record in part]
        return [decode_record(record.key, record.value) for record in records if record.key == match_id]


def a_match(match_id: str, home: str, away: str, days: float = 0.0, **fields: object) -> Fixture:
    plain = {
        "match_id": match_id,
        "kick_off": KICK_OFF + timedelta(days=days),
        "home": Team(name=home, rating_key=home),
        "away": Team(name=away, rating_key=away),
        "lease": Lease(partition=int(match_id[-1]), start_offset=0),
    }
    return a_fixture(**{**plain, **fields})


ONE, OTHER = a_match("p:1", "Upper 3", "Upper 4"), a_match("p:2", "Upper 5", "Upper 6")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_results(tmp_path_factory.mktemp("data"))


@pytest.fixture
def world(root: Path) -> World:
    world = World(root)
    world.serve(SHIPPED.name)
    for fixture in (ONE, OTHER):
        world.announce(fixture)
    return world


def finished(fixture: Fixture) -> MatchState:
    """A match won by five to nought."""
    records = [
        replace(each, match_id=fixture.match_id)
        for each in whole_match(*[(goal(), minute(9 * n)) for n in range(1, 6)])
    ]
    return played(records, new_match(fixture))


def test_each_leased_match_is_told_once_with_the_inputs_behind_it(world: World) -> None:
    assert world.priors.look(NOW) == 2
    assert world.priors.look(NOW) == 0
    (record,) = world.told("p:1")
    assert isinstance(record.payload, Prematch)
    prior = record.payload.prior
    assert (prior.basis, prior.model_version, prior.as_of) == ("prematch:past_odds", SHIPPED.name, date(2020, 10, 31))
    assert prior.home + prior.draw + prior.away == pytest.approx(1.0)
    assert {"go_supremacy", "im_total", "home_rest_days"} <= record.payload.numbers.keys()
    state, effects = play([record], new_match(ONE))
    assert (state.prematch, len(effects[0])) == (record.payload, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"lease": None},
        {"league": None},
        {"league": "XX"},
        {"home": Team(name="Upper 3")},
        {"status": "retired"},
        {"kick_off": datetime(2017, 11, 30, 15, tzinfo=UTC)},  # the model was fitted on what came after it
    ],
)
def test_a_match_that_cannot_be_rated_is_told_nothing(root: Path, changes: dict[str, object]) -> None:
    world = World(root)
    world.serve(SHIPPED.name)
    world.announce(replace(ONE, **changes))
    assert [world.priors.look(NOW), world.priors.look(NOW)] == [0, 0]


def test_a_result_in_the_log_moves_its_teams_next_match_and_no_other(world: World) -> None:
    before = a_match("p:3", "Upper 3", "Upper 7", days=-3)
    world.announce(before)
    world.priors.look(NOW - timedelta(days=4))
    world.announce(replace(before, status="retired"))
    world.keep(finished(before))
    assert world.priors.look(NOW) == 1
    first, second = (record.payload for record in world.told("p:1"))
    assert isinstance(first, Prematch)
    assert isinstance(second, Prematch)
    assert second.prior.home > first.prior.home
    assert (first.prior.as_of, second.prior.as_of) == (date(2020, 10, 31), date(2020, 11, 4))
    assert len(world.told("p:2")) == 1


def test_from_kick_off_on_a_prior_stands(world: World) -> None:
    world.priors.look(NOW)
    before = a_match("p:3", "Upper 3", "Upper 7", days=-3, status="retired")
    world.announce(before)
    world.keep(finished(before))
    assert world.priors.look(KICK_OFF) == 0


def test_a_restart_tells_nothing_twice(world: World) -> None:
    world.priors.look(NOW)
    for fixture in (ONE, OTHER):
        world.keep(played(world.told(fixture.match_id), new_match(fixture)))
    assert world.restarted().look(NOW) == 0
    assert world.restarted().look(KICK_OFF + timedelta(minutes=5)) == 0


def test_a_match_under_way_without_a_prior_still_gets_one_and_a_finished_one_none(world: World) -> None:
    world.keep(finished(OTHER))
    assert world.priors.look(KICK_OFF + timedelta(minutes=5)) == 1
    assert (len(world.told("p:1")), len(world.told("p:2"))) == (1, 0)


def test_the_live_model_speaks_and_where_it_has_no_forecast_before_kick_off_nobody_does(world: World) -> None:
    world.priors.look(NOW)
    world.serve("baseline-2017-12-01")  # it has no forecast before kick-off
    assert world.priors.look(NOW) == 0
    world.serve(SHIPPED.name)
    assert world.priors.look(NOW) == 0  # what it would say was said


def test_without_results_nobody_is_told_anything_and_later_looks_try_again(tmp_path: Path, root: Path) -> None:
    world = World(tmp_path / "nowhere")
    world.serve(SHIPPED.name)
    world.announce(ONE)
    with pytest.raises(SetupError, match="nowhere"):
        world.priors.look(NOW)
    (tmp_path / "nowhere").symlink_to(root)
    assert world.priors.look(NOW) == 1


def test_a_recorded_match_that_is_played_again_counts_once(world: World) -> None:
    for run, days in ((1, -3), (2, -1)):
        again = a_match(f"p:9.{run}", "Upper 3", "Upper 7", days=days, status="retired")
        world.announce(again)
        world.keep(finished(again))
    world.priors.look(NOW)
    (record,) = world.told("p:1")
    assert isinstance(record.payload, Prematch)
    assert record.payload.prior.as_of == date(2020, 11, 4)


def test_the_last_bits_are_no_news() -> None:
    before = Prematch(prior=a_prior())
    assert is_news(None, before)
    assert not is_news(before, Prematch(prior=a_prior(home=0.5 + 1e-12)))
    assert is_news(before, Prematch(prior=a_prior(home=0.51, away=0.19)))
    assert is_news(before, Prematch(prior=a_prior(variant="no_odds")))


def test_a_result_is_what_the_results_file_would_say() -> None:
    records = whole_match((goal(), minute(10)), (red("away"), minute(30)), (goal("away"), minute(20, 2)))
    state = played([totals(1, 2.5), *records])
    found = result_of(a_fixture(), state)
    assert found is not None
    assert (found.goals, found.half_time, found.reds) == ((1, 1), (1, 0), (0, 1))
    assert (found.close, found.close_total) == (None, (1.9, 1.95))
    assert result_of(a_fixture(), played(records[:-1])) is None  # not over
    assert result_of(a_fixture(), played([*records[:3], *records[4:]])) is None  # one is missing: nobody knows of what


@pytest.mark.parametrize("changes", [{"league": None}, {"away": Team(name="Blues")}])
def test_nobody_guesses_who_a_team_is(changes: dict[str, object]) -> None:
    assert match_of(a_fixture()) is not None
    assert match_of(a_fixture(**changes)) is None
