"""What ratings and form say of coming matches, told to each by its own feed; finished matches of the log move them.

Everything is computed anew when it is due, from data.root's results and the log's: seconds of work once a match and
once for every result of its teams, and a prior never depends on what was computed before it.
"""

import logging
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from actors.domain.events import BEFORE_KICK_OFF, OURS, FeedRecord, Prematch, encode_record
from actors.domain.fixtures import Fixture
from actors.domain.ports import FEED, EventLog, ModelStore, NewRecord, SnapshotStore
from actors.supervisor import FixtureBook
from cluster.finished import FinishedMatches, kept_state, match_of
from cluster.held_models import unpack
from cluster.live_models import LiveModels
from training.model_file import PREMATCH_FOLDER
from training.prematch.live import Match, load_countries, prematch_of
from training.prematch.model import PrematchModel
from training.prematch.store import read_prematch

logger = logging.getLogger("touchline.priors")

_CLOSE = 1e-9  # of chances


class Basis(Struct, frozen=True):
    """What a prior was made of: the model, the day, and the log's results of its teams."""

    version: str
    day: int = 0  # of the match
    results: frozenset[str] = frozenset()


class Speaker(Struct, frozen=True, kw_only=True):
    """The forecast before kick-off that was fitted with the live model."""

    version: str
    trained_until: date
    model: PrematchModel


_UNKNOWN = Basis("")  # of a prior that another process told


class Priors:
    """Follows fixtures and the live model; tells each match its prior, and before kick-off a newer one."""

    def __init__(self, log: EventLog, kept: ModelStore, snapshots: SnapshotStore, root: Path) -> None:
        """Args: `root` is data.root, whose results are read whenever a prior is due."""
        self._log, self._kept, self._snapshots, self._root = log, kept, snapshots, root
        self._finished = FinishedMatches(snapshots)
        self._book, self._models = FixtureBook(log), LiveModels(log, kept)
        self._speaker: Speaker | None = None
        self._told: dict[str, tuple[Basis, Prematch | None]] = {}

    def look(self, now: datetime) -> int:
        """Tell what is due; return how many matches were told.

        Raises:
            SetupError, ModelRejected: The results or the model cannot be read: nobody is told anything.
            StoreError: A store did not answer.
        """
        self._book.refresh()
        self._models.refresh(0.0)
        self._speaker = speaker = self._speak(self._models.current().live)
        if speaker is None:
            return 0
        results = self._finished.read(self._book.fixtures)
        due = dict[str, tuple[Match, Basis]]()
        for match_id, fixture in sorted(self._book.fixtures.items()):
            match = match_of(fixture)
            if fixture.status == "retired":
                self._told.pop(match_id, None)
            if match is None or fixture.lease is None or fixture.status == "retired":
                continue
            basis = Basis(speaker.version, match.day, frozenset(results_of(match, results)))
            if self._is_due(fixture, basis, now) and fixture.kick_off.date() >= speaker.trained_until:
                due[match_id] = (match, basis)
        return self._tell(speaker, due, list(results.values()), now) if due else 0

    def _tell(
        self, speaker: Speaker, due: Mapping[str, tuple[Match, Basis]], played: Sequence[Match], now: datetime
    ) -> int:
        upcoming = [match for match, _ in due.values()]
        table = load_countries(self._root, {match.league for match in upcoming})
        found = prematch_of(speaker.model, speaker.version, table, upcoming, played)
        count = 0
        for (match_id, (_, basis)), prematch in zip(due.items(), found, strict=True):
            _, before = self._told.get(match_id, (_UNKNOWN, None))
            if prematch is not None and is_news(before, prematch):
                self._append(self._book.fixtures[match_id], prematch, now)
                count += 1
            self._told[match_id] = basis, prematch
        return count

    def _append(self, fixture: Fixture, prematch: Prematch, now: datetime) -> None:
        assert fixture.lease is not None  # or it would not be due
        record = FeedRecord(
            match_id=fixture.match_id,
            provider=OURS,
            provider_seq=1,
            event_id=f"prematch:{prematch.prior.model_version}:{now.isoformat()}",
            occurred_at=now,
            received_at=now,
            clock=BEFORE_KICK_OFF,
            payload=prematch,
        )
        self._log.append(FEED, fixture.lease.partition, [NewRecord(key=fixture.match_id, value=encode_record(record))])
        facts = {"match_id": fixture.match_id, "basis": prematch.prior.basis, "as_of": str(prematch.prior.as_of)}
        logger.info("Prior told", extra=facts)

    def _is_due(self, fixture: Fixture, basis: Basis, now: datetime) -> bool:
        """Say whether a match has none, or may have a better one before it begins."""
        if fixture.match_id not in self._told:
            state = kept_state(self._snapshots, fixture.match_id)
            if state is not None and state.summary.phase not in ("scheduled", "live", "break"):
                return False
            if state is not None and state.prematch is not None:
                self._told[fixture.match_id] = _UNKNOWN, state.prematch
        told = self._told.get(fixture.match_id)
        return told is None or (told[0] != basis and now < fixture.kick_off)

    def _speak(self, version: str | None) -> Speaker | None:
        """Return the live version's forecast before kick-off; None where it has none, or nothing is live yet."""
        if version is None or (self._speaker is not None and self._speaker.version == version):
            return self._speaker
        row = self._kept.model(version)
        if row is None:
            return None
        with tempfile.TemporaryDirectory(prefix="touchline-priors-") as made:
            unpack(row, Path(made))
            folder = Path(made) / PREMATCH_FOLDER
            if not folder.is_dir():
                return None
            manifest, model, _ = read_prematch(folder)
        return Speaker(version=version, trained_until=date.fromisoformat(manifest.trained_until), model=model)


def is_news(before: Prematch | None, now: Prematch) -> bool:
    """Say whether there is more to tell; last bits depend on which countries were computed side by side."""
    if before is None:
        return True
    one, other = before.prior, now.prior
    chances = [abs(getattr(one, name) - getattr(other, name)) for name in ("home", "draw", "away", "over")]
    same = replace(one, home=other.home, draw=other.draw, away=other.away, over=other.over) == other
    return not same or max(chances) > _CLOSE


def results_of(match: Match, results: Mapping[str, Match]) -> Iterable[str]:
    """Return the ids of the earlier results that one of a match's teams had."""
    teams = {match.home, match.away}
    return (
        match_id
        for match_id, result in results.items()
        if result.day < match.day and not teams.isdisjoint((result.home, result.away))
    )
