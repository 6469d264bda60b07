"""What is refused before it is folded: records that cannot be about this match, whatever else is known."""

from collections.abc import Iterator

from actors.domain.errors import RecordRejected
from actors.domain.event_set import StoredEvent
from actors.domain.events import (
    OURS,
    BallEvent,
    Card,
    Clock,
    Correction,
    Event,
    FeedRecord,
    FullTime,
    KickOff,
    Lineups,
    Odds,
    PeriodEnd,
    PeriodStart,
    Prematch,
    Retraction,
    Snapshot,
    Substitution,
    Tick,
)
from actors.domain.fixtures import Believed
from actors.domain.match import MatchState, book_key
from actors.domain.summary import LIFECYCLE, SCORING

MAX_MARKETS = 1_000  # an exchange has some 100 markets on a match
_HARMLESS = ("ball", "odds", "tick", "lineups", "substitution")  # change neither score nor cards nor clock
_NOT_OURS = ("unknown_provider", "wrong_key", "wrong_partition")  # says nothing about this match
_SELECTIONS = {"1x2": ("home", "draw", "away"), "over_under": ("over", "under")}  # those that forecasts are made from
_TEAM = 11


def check(state: MatchState, record: FeedRecord) -> None:
    """Raise RecordRejected for a record that makes no sense for this match."""
    if record.match_id != state.match_id:
        raise rejected(record, "wrong_partition", f"{record.match_id!r} on the partition of {state.match_id!r}")
    if isinstance(record.payload, Prematch):
        _check_prematch(record)
    elif not is_ours(state.believed, record.provider):
        raise rejected(record, "unknown_provider", f"{record.provider!r} is not believed for anything here")
    if isinstance(record.payload, Odds):
        _check_odds(state, record, record.payload)
    if isinstance(record.payload, KickOff) and _is_over_for(state, record):
        raise rejected(record, "match_is_over", "a kick-off after full time: the match id was used before")
    for clock, incident in _incidents(record):
        _check_incident(state, record, clock, incident)


def check_same(record: FeedRecord, known: StoredEvent | None, new: StoredEvent) -> None:
    """Raise RecordRejected for a version of an event that was told before and meant something else."""
    if known is not None and known.version == new.version and _meaning(known) != _meaning(new):
        told = f"version {new.version} of {new.event_id!r} was {_meaning(known)[0]}, now it is {_meaning(new)[0]}"
        raise rejected(record, "contradiction", told)


def rejected(record: FeedRecord, reason: str, detail: str) -> RecordRejected:
    """Return the refusal of a record that could be decoded."""
    return RecordRejected(reason, detail, record.kind, record.provider, record.provider_seq)


def is_ours(believed: Believed, provider: str) -> bool:
    """Say whether a provider is believed for anything."""
    return provider in (believed.events, believed.clock) or provider in believed.odds


def is_believed(believed: Believed, provider: str, event: Event | None) -> bool:
    """Say whether an event counts: whistles are the clock provider's, all else the event provider's to tell."""
    if event is None:  # taken back: of whatever kind, only one's own events can be
        return provider in (believed.events, believed.clock)
    return provider == (clock_provider(believed) if isinstance(event, LIFECYCLE) else believed.events)


def clock_provider(believed: Believed) -> str | None:
    """Return who tells the clock and the whistles."""
    return believed.clock or believed.events


def event_key(state: MatchState, provider: str, event_id: str) -> str:
    """Return the id under which an event is kept: ids are unique per provider only."""
    return event_id if provider == state.believed.events else f"{provider}/{event_id}"


def whose(state: MatchState, rejection: RecordRejected) -> str | None:
    """Return the provider whose account a refused record belongs to; None if it is no matter of this match."""
    if rejection.reason in _NOT_OURS:
        return None
    if rejection.provider is None:
        return state.believed.events or state.believed.clock
    return rejection.provider if is_ours(state.believed, rejection.provider) else None


def is_harmless(rejection: RecordRejected) -> bool:
    """Say whether what was refused could have changed neither score nor cards nor clock."""
    return rejection.kind in _HARMLESS and rejection.reason != "teams_swapped"


def _check_odds(state: MatchState, record: FeedRecord, odds: Odds) -> None:
    expected = _SELECTIONS.get(odds.market)
    if expected is not None and odds.selections != expected:
        raise rejected(record, "unknown_selections", f"{odds.market} is {expected}, received {odds.selections}")
    if book_key(odds) not in state.books and len(state.books) >= MAX_MARKETS:
        raise rejected(record, "too_many_markets", f"at most {MAX_MARKETS} are kept")


def _check_prematch(record: FeedRecord) -> None:
    if record.provider != OURS:
        raise rejected(record, "unknown_provider", f"what ratings say is told by {OURS!r}, not {record.provider!r}")


def _incidents(record: FeedRecord) -> Iterator[tuple[Clock, Event]]:
    match record.payload:
        case Correction(clock=clock, event=event):
            yield clock, event
        case Snapshot(events=events):
            yield from ((told.clock, told.event) for told in events)
        case Retraction() | Odds() | Tick() | Prematch():
            return
        case incident:
            yield record.clock, incident


def _check_incident(state: MatchState, record: FeedRecord, clock: Clock, incident: Event) -> None:
    match incident:
        case BallEvent():
            return
        case Lineups():
            _check_sheets(state, record, incident)
        case Substitution(player_on=on, player_off=off) if on is not None and on == off:
            raise rejected(record, "nonsense", f"player {on!r} replaces himself")
        case KickOff() | PeriodStart() | PeriodEnd() | FullTime() if clock.period == 0:
            raise rejected(record, "clock", "a whistle of play in the time before kick-off")
        case incident if isinstance(incident, SCORING) and clock.period == 0:
            raise rejected(record, "clock", "a goal before kick-off")


def _check_sheets(state: MatchState, record: FeedRecord, sheets: Lineups) -> None:
    home, away = state.home.name, state.away.name
    if home != away and (sheets.home_team, sheets.away_team) == (away, home):
        raise rejected(record, "teams_swapped", f"home is {home!r}, not {sheets.home_team!r}")
    if any(sum(player.starter for player in side) > _TEAM for side in (sheets.home, sheets.away)):
        raise rejected(record, "too_many_players", f"more than {_TEAM} players start")


def _is_over_for(state: MatchState, record: FeedRecord) -> bool:
    """Say whether a kick-off was sent after full time; one that merely came late belongs to this match."""
    if state.summary.phase != "finished" or state.events.get(event_key(state, record.provider, record.event_id)):
        return False
    ends = [event.seq for event in state.events.decisive if isinstance(event.payload, FullTime)]
    return record.provider_seq > max(ends, default=0)


def _meaning(event: StoredEvent) -> tuple[object, ...]:
    """Return what matters if one version of an event is told twice and not alike."""
    payload = event.payload
    if payload is None:
        return ("nothing",)
    colour = payload.colour if isinstance(payload, Card) else None
    side = getattr(payload, "side", None) if event.is_decisive else None
    return payload.__struct_config__.tag, side, colour
