"""Small feeds, a few hundred of them: each is folded undisturbed once and played by hundreds of schedules."""

from collections.abc import Iterator
from functools import cache
from random import Random

from msgspec import Struct

from actors.domain.events import Clock, FeedRecord, FullTime, KickOff, PeriodEnd, PeriodStart, VarStart, encode_record
from actors.domain.fixtures import Fixture, Lease, encode_fixture
from actors.domain.ports import LogRecord
from tests.simulation.expected import Expected, undisturbed
from tests.simulation.threads import START
from tests.unit.builders import MATCH, a_book, a_fixture, a_pass, a_record, a_tick, goal, minute, red, taken_back

FEEDS = 128
OTHER = "p:2"  # a match on the same partition, where that is shared
_HAPPENINGS = ("goal", "goal", "tick", "tick", "tick", "odds", "odds", "card", "pass", "var", "retract", "lost")
_DAMAGE = ("twice", "garbage", "empty", "foreign", "swapped", "cut")


class Feed(Struct, frozen=True, kw_only=True):
    """One match: its fixture, its feed as the log has it, and what is to come of it."""

    fixture: Fixture
    announcement: LogRecord
    records: tuple[LogRecord, ...]
    expected: Expected


@cache
def feed_of(number: int) -> Feed:
    """Return a feed by its number."""
    random = Random(number)
    lease = Lease(partition=0, start_offset=0, shared=random.random() < 0.25)
    fixture = a_fixture(lease=lease)
    records = tuple(_logged(offset, *said) for offset, said in enumerate(_damaged(random)))
    announcement = _logged(0, MATCH, encode_fixture(fixture))
    return Feed(fixture=fixture, announcement=announcement, records=records, expected=undisturbed(fixture, records))


def _logged(offset: int, key: str, value: bytes | None) -> LogRecord:
    return LogRecord(partition=0, offset=offset, key=key, value=value, appended_at=START)


def _damaged(random: Random) -> list[tuple[str, bytes | None]]:
    """Return (key, value) of what arrives in the log: what was sent, and what became of it on the way."""
    said: list[tuple[str, bytes | None]] = [(MATCH, encode_record(record)) for record in _sent(random)]
    for _ in range(random.choice((0, 0, 1, 1, 2))):
        place, how = random.randrange(len(said)), random.choice(_DAMAGE)
        key, value = said[place]
        match how:
            case "twice":
                said.insert(random.randint(place, len(said)), (key, value))
            case "garbage":
                said.insert(place, (MATCH, b"{not json"))
            case "empty":
                said.insert(place, (MATCH, None))
            case "foreign":
                said.insert(place, (OTHER, encode_record(a_record(1, goal(), minute(1), match_id=OTHER))))
            case "swapped":
                said.insert(max(0, place - 1), said.pop(place))
            case _:
                said[place] = key, (value or b"")[:-5]
    return said


def _sent(random: Random) -> list[FeedRecord]:
    """Return a few minutes of a match, or a whole one of very few words."""
    records, seq, book = [a_record(1, KickOff(), Clock(1, 0))], 1, 0
    for number in range(1, 1 + random.choice((1, 1, 2, 2, 3, 3, 4, 6))):
        kind, clock = random.choice(_HAPPENINGS), Clock(1, number * 4_000)
        if kind == "tick":
            records.append(a_tick(seq, clock))
        elif kind == "odds":
            book += 1
            prices = (random.choice((1.5, 2.0, 4.0)), 3.0, 4.0)
            records.append(a_book(book, prices, clock, suspended=random.random() < 0.2))
        else:
            seq += 1 + (kind == "lost")
            records.append(_told(random, kind, seq, clock))
    return [*records, *(_whistles(seq) if random.random() < 0.15 else ())]


def _told(random: Random, kind: str, seq: int, clock: Clock) -> FeedRecord:
    side = random.choice(("home", "away"))
    match kind:
        case "goal":
            return a_record(seq, goal(side), clock)
        case "card":
            return a_record(seq, red(side), clock)
        case "var":
            return a_record(seq, VarStart(about="goal"), clock)
        case "retract":
            return taken_back(seq, f"e{random.randint(1, seq)}", clock=clock)
        case _:
            return a_record(seq, a_pass(side), clock)


def _whistles(seq: int) -> Iterator[FeedRecord]:
    whistles = (
        (PeriodEnd(), minute(46)),
        (PeriodStart(), Clock(2, 0)),
        (PeriodEnd(), minute(48, 2)),
        (FullTime(), minute(48, 2)),
    )
    for number, (payload, clock) in enumerate(whistles, start=seq + 1):
        yield a_record(number, payload, clock)
