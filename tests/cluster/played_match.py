"""A match that a test plays: real records on the feed, a real owner that folds and publishes them, and history."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from actors.adapters.embedded_stores import SqliteSnapshots
from actors.domain.events import BEFORE_KICK_OFF, Clock, Event, FeedRecord, KickOff, Odds, Tick, encode_record
from actors.domain.fixtures import Believed, Fixture, Lease, Team, encode_fixture
from actors.domain.ports import FEED, FIXTURES, NewRecord
from actors.history_writer import HistoryWriter
from actors.match import MatchActor
from actors.session import MatchPorts, MatchSettings
from tests.cluster.page_server import open_history, open_log, predict_surely

PROVIDER = "test"
TICK_EVERY_S = 0.1  # ten times real speed
QUOTE_EVERY_MS = 20_000  # of match time: no edge is shown against an old quote
PRICES = (1.9, 3.6, 4.4)
KICK_OFF = datetime(2026, 8, 1, 15, tzinfo=UTC)


class PlayedMatch:
    """One match, from kick-off on, whose clock runs at ten times real speed until it is stopped."""

    def __init__(self, folder: Path, *, match_id: str, home: str, away: str, partition: int) -> None:
        self.match_id = match_id
        self._log = open_log(folder)
        self._lock = threading.Lock()
        self._partition, self._seq, self._ms = partition, 0, 0
        fixture = Fixture(
            match_id=match_id,
            kick_off=KICK_OFF,
            home=Team(name=home),
            away=Team(name=away),
            competition="Test Cup",
            believed=Believed(events=PROVIDER, clock=PROVIDER, odds=(PROVIDER,)),
            lease=Lease(partition=partition, start_offset=0),
        )
        self._log.append(FIXTURES, 0, [NewRecord(key=match_id, value=encode_fixture(fixture))])
        snapshots = SqliteSnapshots(folder / f"snapshots-{partition}.sqlite")
        ports = MatchPorts(log=self._log, snapshots=snapshots, predict=predict_surely)
        self._actor = MatchActor(fixture, lambda: ports, MatchSettings(read_wait_s=0.1))
        self._snapshots = snapshots
        self._stop = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="ticker", daemon=True)

    def start(self) -> None:
        """Quote, kick off, and let the clock run."""
        self.quote(PRICES, BEFORE_KICK_OFF)
        self.send(KickOff())
        self.quote(PRICES)
        self._ticker.start()

    def quote(self, prices: tuple[float, float, float], clock: Clock | None = None) -> None:
        """Send a whole 1X2 book."""
        book = Odds(market="1x2", selections=("home", "draw", "away"), prices=prices, bookmaker="Test Bets")
        self.send(book, clock)

    def send(self, payload: Event, clock: Clock | None = None) -> None:
        """Put an event on the feed, at the match clock as it stands unless told otherwise."""
        with self._lock:
            self._seq += not isinstance(payload, Tick)
            clock = clock or Clock(1, self._ms)
            at = KICK_OFF + timedelta(milliseconds=self._ms)
            record = FeedRecord(
                match_id=self.match_id,
                provider=PROVIDER,
                provider_seq=self._seq,
                event_id=f"{type(payload).__name__}-{self._seq}-{self._ms}",
                occurred_at=at,
                received_at=at,
                clock=clock,
                payload=payload,  # type: ignore[arg-type]
            )
            self._log.append(FEED, self._partition, [NewRecord(key=self.match_id, value=encode_record(record))])

    def stop(self) -> None:
        """Stop clock and owner."""
        self._stop.set()
        if self._ticker.is_alive():
            self._ticker.join(timeout=5.0)
        self._actor.stop()
        self._snapshots.close()
        self._log.close()

    def _tick(self) -> None:
        while not self._stop.wait(TICK_EVERY_S):
            self._ms += 1_000
            self.send(Tick())
            if self._ms % QUOTE_EVERY_MS == 0:
                self.quote(PRICES)


def start_history(folder: Path) -> HistoryWriter:
    """Start what copies the log into history."""
    return HistoryWriter(lambda: open_log(folder), lambda: open_history(folder))
