"""Model health from history: how the forecasts that were published did, and how their inputs have moved.

Computed from the rows of history and the fixtures alone, so it is the same after a restart and on every profile. Rows
of a match are read once; what is kept of it are seven forecasts.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct

from actors.domain.distribution import ForecastInputs
from actors.domain.drift import REFERENCE, Reference, drift
from actors.domain.fixtures import Fixture
from actors.domain.health import HealthReport, LiveHealth
from actors.domain.judged import Followed, Judged, observe, skip
from actors.domain.ports import EventLog, History, ModelStore
from actors.supervisor import FixtureBook
from cluster.held_models import file_of
from training.live_health import Scored, score_phases

logger = logging.getLogger("touchline.health")

_PAGE = 500
_WRITTEN_WITHIN = timedelta(hours=24)  # history may be behind the log, and a retired match still grow there
NO_RESULT = "no match that it forecast has its result yet"
NO_MATCH = "no match has been forecast with it in this time"
NO_REFERENCE = f"the model has no {REFERENCE}: how its inputs were where it was fitted is not known"


class HealthSettings(Struct, frozen=True, kw_only=True):
    """Which matches count. At most so many, the newest first: they are read anew at each start."""

    window_days: int = 60
    matches: int = 1_000
    every_s: float = 60.0


class LiveMatches:
    """Follows the matches of the last weeks in history."""

    def __init__(self, log: EventLog, history: History, settings: HealthSettings, pause: Callable[[], None]) -> None:
        """Args: `pause` is called before each page of rows is read, for others to have the store and the processor."""
        self._book, self._history = FixtureBook(log), history
        self._settings, self._pause = settings, pause
        self._followed: dict[str, Followed] = {}
        self._done: set[str] = set()

    def refresh(self, now: datetime) -> bool:
        """Read what history has more of; return whether there was any.

        Raises:
            StoreError: The log or history did not answer; what was read so far stays.
        """
        self._book.refresh()
        wanted = recent(self._book.fixtures.values(), now, self._settings)
        forgotten = self._followed.keys() - {fixture.match_id for fixture in wanted}
        for match_id in forgotten:
            del self._followed[match_id]
        self._done -= forgotten
        grown = [self._follow(fixture, now) for fixture in wanted if fixture.match_id not in self._done]
        return any(grown) or bool(forgotten)

    def matches(self, since: datetime | None = None) -> list[Followed]:
        """Return what was followed; of a recorded match that was played again and again, the newest with a result.

        Args:
            since: Leave out what kicked off before it.
        """
        newest: dict[str, Followed] = {}
        for match_id in sorted(self._followed, key=_run):
            if since is not None and self._book.fixtures[match_id].kick_off < since:
                continue
            followed, recorded = self._followed[match_id], recorded_id(match_id)
            if followed.result is not None or recorded not in newest:
                newest[recorded] = followed
        return list(newest.values())

    def _follow(self, fixture: Fixture, now: datetime) -> bool:
        match_id, before = fixture.match_id, self._followed.get(fixture.match_id, Followed())
        followed = before
        while True:
            self._pause()
            page = self._history.predictions(match_id, followed.seq, _PAGE)
            for row in page:
                try:
                    followed = observe(followed, row.seq, row.forecast)
                except msgspec.DecodeError as error:  # an audit says so of each; one must not hide the others
                    logger.warning("Forecast not read", extra={"id": row.prediction_id, "problem": str(error)})
                    followed = skip(followed, row.seq)
            self._followed[match_id] = followed
            if len(page) < _PAGE:
                break
        is_old = fixture.kick_off < now - _WRITTEN_WITHIN
        if fixture.status == "retired" and (followed.result is not None or is_old):
            self._done.add(match_id)
        return followed.seq != before.seq


def recent(fixtures: Iterable[Fixture], now: datetime, settings: HealthSettings) -> list[Fixture]:
    """Return the fixtures that began within the window, the newest first, as many as are wanted."""
    begin = now - timedelta(days=settings.window_days)
    begun = [fixture for fixture in fixtures if fixture.lease is not None and begin <= fixture.kick_off <= now]
    return sorted(begun, key=lambda fixture: fixture.kick_off, reverse=True)[: settings.matches]


def report(
    matches: Sequence[Followed], references: Mapping[str, Reference | None], now: datetime, window_days: int
) -> HealthReport:
    """Return the health of each version, and of what was served by whichever.

    Args:
        references: By version that history keeps; None: it came without one.
    """
    return HealthReport(
        at=now,
        window_days=window_days,
        served=_health(matches, None, "what is served is of several versions"),
        versions={
            version: _health([_of_version(each, version) for each in matches], reference, NO_REFERENCE)
            for version, reference in references.items()
        },
    )


def references_of(kept: ModelStore, known: dict[str, Reference | None]) -> dict[str, Reference | None]:
    """Return how inputs were where each version was fitted; what is `known` is not read again, a version stays."""
    return {
        version: known[version] if version in known else _reference(kept, version) for version in kept.model_versions()
    }


def _reference(kept: ModelStore, version: str) -> Reference | None:
    row = kept.model(version)
    try:
        content = None if row is None else file_of(row, REFERENCE)
        return None if content is None else msgspec.json.decode(content, type=Reference)
    except msgspec.DecodeError as error:
        logger.warning("Reference not read", extra={"version": version, "problem": str(error)})
        return None


def _of_version(followed: Followed, version: str) -> Followed:
    judged = tuple(each for each in followed.judged if each.model_version == version)
    return msgspec.structs.replace(followed, judged=judged)


def _health(matches: Sequence[Followed], reference: Reference | None, no_reference: str) -> LiveHealth:
    forecast = [each for each in matches if each.judged]
    settled = [each for each in forecast if each.result is not None]
    drifts = None
    if reference is not None and forecast:
        inputs = [_inputs(each.judged) for each in forecast]
        drifts = tuple(drift(each, inputs) for each in reference.inputs)
    return LiveHealth(
        scored_matches=len(settled),
        phases=score_phases(scored(settled)) if settled else None,
        phases_reason="" if settled else NO_RESULT,
        drift=drifts,
        drift_reason="" if drifts is not None else no_reference if reference is None else NO_MATCH,
    )


def _inputs(judged: Sequence[Judged]) -> dict[int, ForecastInputs]:
    return {each.minute: each.inputs for each in judged}


def scored(settled: Iterable[Followed]) -> dict[int, list[Scored]]:
    """Return chances and result by minute, of matches that have one."""
    by_minute: dict[int, list[Scored]] = {}
    for match in settled:
        assert match.result is not None
        for each in match.judged:
            by_minute.setdefault(each.minute, []).append((each.chances, match.result))
    return by_minute


def recorded_id(match_id: str) -> str:
    """Return the id of the recorded match that a fixture of cluster.replay plays: it adds the number of the run."""
    base, _, run = match_id.rpartition(".")
    return base if base and run.isdigit() else match_id


def _run(match_id: str) -> int:
    run = match_id.rpartition(".")[2]
    return int(run) if run.isdigit() else 0
