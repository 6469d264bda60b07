"""Plays recorded matches as live feeds: announces them, waits for their lease, writes them, begins them anew."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from actors.adapters.feed_writer import FeedWriter, Playing
from actors.adapters.feeds import KICK_OFF_MS, MatchFeed
from actors.domain.errors import OffsetOutOfRange, StoreUnavailable
from actors.domain.fixtures import Fixture
from actors.domain.ports import FORECASTS, EventLog
from actors.machines.replay import ReplayPlan, announced, rename, schedule
from actors.supervisor import FixtureBook

logger = logging.getLogger("touchline.player")

_LOOK_EVERY_S = 0.2
_RETRY_S = 1.0


class PlayerSettings(Struct, frozen=True, kw_only=True):
    """How matches are played."""

    speed: float
    loop: bool
    plan: ReplayPlan
    owner_within_s: float = 0.0  # kick-off waits so long for the owners of all matches: a real one is known for days


class _Show(Struct):
    """One recorded match and the fixture under which it is being played."""

    feed: MatchFeed
    fixture: Fixture | None = None
    since_s: float = 0.0  # monotonic: when it was taken up
    is_playing: bool = False


class FeedPlayer:
    """Plays matches from one thread; after a restart it goes on where the log says that it was."""

    def __init__(
        self, log: Callable[[], EventLog], feeds: Callable[[], Sequence[MatchFeed]], settings: PlayerSettings
    ) -> None:
        self._log, self._settings = log(), settings
        self._book = FixtureBook(self._log)
        self._shows = [_Show(feed=feed) for feed in feeds()]
        self._writer = FeedWriter(self._log)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="player", daemon=True)
        self._thread.start()

    def playing(self) -> list[str]:
        """Return the ids of the matches announced."""
        return [show.fixture.match_id for show in self._shows if show.fixture is not None]

    def stop(self) -> None:
        """Stop playing; a later start goes on from here."""
        self._stop.set()
        self._thread.join(timeout=10.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._book.refresh()
                for show in self._shows:
                    self._tend(show)
                if not any(map(self._is_waited_for, self._shows)):
                    self._begin_all()
                left_s = self._writer.step()
                self._stop.wait(min(_LOOK_EVERY_S, _LOOK_EVERY_S if left_s is None else left_s))
            except StoreUnavailable as error:
                logger.warning("Feed waits for the log", extra={"problem": str(error)})
                self._stop.wait(_RETRY_S)
            except Exception:  # whatever it was, the other matches are to be played
                logger.exception("Playing stumbles")
                self._stop.wait(_RETRY_S)

    def _tend(self, show: _Show) -> None:
        """Announce a match, and announce it again after it is over."""
        if show.fixture is None:
            show.fixture, show.since_s = self._latest(show) or self._announce(show, run=1), time.monotonic()
        fixture = self._book.fixtures[show.fixture.match_id]
        if fixture.status == "retired" and self._settings.loop:
            show.fixture, show.since_s = self._announce(show, run=_run_of(fixture) + 1), time.monotonic()
            show.is_playing = False

    def _is_waited_for(self, show: _Show) -> bool:
        """Say whether a match has no owner yet, which writes to the log before all else, and may still get one."""
        fixture = self._fixture(show)
        if show.is_playing or fixture.status == "retired":
            return False
        if time.monotonic() - show.since_s >= self._settings.owner_within_s:
            return False
        lease = fixture.lease
        return lease is None or self._log.end_offsets(FORECASTS).get(lease.partition, 0) <= lease.forecasts_from

    def _fixture(self, show: _Show) -> Fixture:
        assert show.fixture is not None  # tended before
        return self._book.fixtures[show.fixture.match_id]

    def _begin_all(self) -> None:
        for show in self._shows:
            try:
                self._begin(show)
            except OffsetOutOfRange as error:  # nobody can say any more how far it was
                logger.warning("Match is not played on", extra={"problem": str(error)})
                show.is_playing = True

    def _begin(self, show: _Show) -> None:
        """Play a match that has been leased a partition."""
        fixture = self._fixture(show)
        if show.is_playing or fixture.lease is None or fixture.status == "retired":
            return
        feed = rename(show.feed, fixture.match_id, fixture.kick_off)
        self._writer.add(Playing(fixture=fixture, schedule=schedule(feed, self._settings.plan)), self._settings.speed)
        show.is_playing = True

    def _latest(self, show: _Show) -> Fixture | None:
        """Return the newest fixture under which this match was played before."""
        base = show.feed.fixture.match_id
        runs = [f for f in self._book.fixtures.values() if f.match_id.rpartition(".")[0] == base]
        return max(runs, key=_run_of, default=None)

    def _announce(self, show: _Show, run: int) -> Fixture:
        speed = self._settings.speed
        starts_in = timedelta(milliseconds=KICK_OFF_MS / speed) if speed else timedelta()
        match_id = f"{show.feed.fixture.match_id}.{run}"
        feed = rename(show.feed, match_id, datetime.now(UTC) + starts_in)
        fixture = announced(feed.fixture, self._settings.plan)
        self._book.save(fixture)
        logger.info("Match announced", extra={"match_id": match_id})
        return fixture


def _run_of(fixture: Fixture) -> int:
    run = fixture.match_id.rpartition(".")[2]
    return int(run) if run.isdigit() else 0
