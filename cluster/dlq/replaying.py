"""Appending the record of a dead letter to the feed again, where its match reads now."""

from collections.abc import Mapping
from datetime import UTC, datetime

from actors.domain.errors import ForecastingError, RecordRejected
from actors.domain.events import decode_record
from actors.domain.fixtures import Fixture
from actors.domain.letters import Letter, ReplayMark, replay_mark
from actors.domain.ports import DEAD_LETTERS, FEED, EventLog, NewRecord


class CannotReplay(ForecastingError):
    """Nobody would read the record, or there is none: nothing was appended."""

    def __init__(self, letter: str, problem: str) -> None:
        super().__init__(letter, problem)
        self.letter, self.problem = letter, problem

    def __str__(self) -> str:
        return f"{self.letter}: not replayed: {self.problem}"


def target(letter: Letter, fixtures: Mapping[str, Fixture], anyway: bool = False) -> int:
    """Return the partition that the letter's match is leased now.

    Args:
        anyway: Do not ask whether this code could read the record; one that is refused again marks its match GAP again.
    Raises:
        CannotReplay: No match would read it, its bytes were lost, or this code would refuse it as before.
    """
    problem = _no_record(letter) or _no_reader(letter.key, fixtures) or ("" if anyway else _refused_still(letter))
    if problem:
        raise CannotReplay(letter.id, problem)
    assert letter.key is not None
    lease = fixtures[letter.key].lease
    assert lease is not None
    return lease.partition


def _no_record(letter: Letter) -> str | None:
    if letter.topic != FEED:
        return f"only records of {FEED} can be"
    if letter.raw is None:
        return f"its bytes were lost ({letter.detail}); ask the provider for a snapshot of the match"
    return None


def _no_reader(key: str | None, fixtures: Mapping[str, Fixture]) -> str | None:
    fixture = fixtures.get(key or "")
    if key is None:
        return "it has no key, so it is of no match"
    if fixture is None:
        return f"no fixture announces {key!r}"
    if fixture.status == "retired":
        return f"{key} is over, nobody reads its partition any more"
    return None if fixture.lease else f"{key} has been leased no partition yet"


def _refused_still(letter: Letter) -> str | None:
    try:
        decode_record(letter.key, letter.raw)
    except RecordRejected as rejection:
        return f"this code refuses it as before ({rejection}); --anyway appends it all the same"
    return None


def replay(log: EventLog, letter: Letter, partition: int, now: datetime | None = None) -> ReplayMark:
    """Append the letter's record again, as it came, and then the mark that says so.

    A crash between the two leaves a letter that looks as if it had not been replayed; replaying it again is harmless,
    since a match that has the record takes it for a duplicate.

    Raises:
        StoreUnavailable: Either may or may not be there; doing it again is safe.
    """
    assert letter.key is not None
    [offset] = log.append(letter.topic, partition, [NewRecord(key=letter.key, value=letter.raw)])
    mark = ReplayMark(letter=letter.id, replayed_at=now or datetime.now(UTC), partition=partition, offset=offset)
    log.append(DEAD_LETTERS, 0, [replay_mark(mark)])
    return mark
