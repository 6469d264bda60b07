"""What a match's decisive events add up to: score, cards, substitutions, phase, open reviews. Never counted by hand."""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from actors.domain.event_set import StoredEvent
from actors.domain.events import (
    BEFORE_KICK_OFF,
    Abandoned,
    Card,
    Clock,
    FullTime,
    Goal,
    KickOff,
    Lineups,
    OwnGoal,
    PenaltyScored,
    PeriodEnd,
    PeriodStart,
    Postponed,
    Score,
    Side,
    Substitution,
    VarOver,
    VarStart,
)

Phase = Literal["scheduled", "live", "break", "finished", "postponed", "abandoned"]
SCORING = (Goal, OwnGoal, PenaltyScored)
LIFECYCLE = (KickOff, PeriodStart, PeriodEnd, FullTime, Postponed, Abandoned)

_RESUMABLE: tuple[Phase, ...] = ("scheduled", "postponed", "abandoned")


class Summary(Struct, frozen=True, kw_only=True):
    """A match as its decisive events tell it; scores are home first."""

    score: Score = Score()  # regular and extra time
    regular: Score = Score()
    half_time: Score = Score()
    extra_time: Score | None = None  # goals of that phase alone; None if it was not played
    shoot_out: Score | None = None
    yellow: Score = Score()  # players cautioned for the first time
    sent_off: Score = Score()  # straight red or second caution
    off_pitch: Score = Score()  # those of them who were on the pitch
    substitutions: Score | None = None  # None where the provider has sent none
    phase: Phase = "scheduled"
    period: int = 0  # the last one that began, by the whistles
    periods_started: tuple[int, ...] = ()
    reviews: tuple[str, ...] = ()  # what the open reviews are about


class Course(Struct, frozen=True):
    """How far a match has come by its whistles: the phase, its period, and the clock of the last one that counted."""

    phase: Phase = "scheduled"
    period: int = 0
    clock: Clock = BEFORE_KICK_OFF


def summarise(events: Iterable[StoredEvent]) -> Summary:
    """Add up decisive events, given by place."""
    events = tuple(event for event in events if event.is_decisive)
    goals = [(e.clock.period, e.payload.side) for e in events if isinstance(e.payload, SCORING)]
    now = course(events)
    return Summary(
        score=_score(side for p, side in goals if p <= 4),
        regular=_score(side for p, side in goals if p <= 2),
        half_time=_score(side for p, side in goals if p <= 1),
        extra_time=_score(side for p, side in goals if p in (3, 4)) if _played(events, 3, 4) else None,
        shoot_out=_score(side for p, side in goals if p == 5) if _played(events, 5) else None,
        yellow=_score(side for side, _ in _cautioned(events)),
        sent_off=_score(side for side, _, _ in _sent_off(events)),
        off_pitch=_score(side for side, _, on_pitch in _sent_off(events) if on_pitch),
        substitutions=_substitutions(events),
        phase=now.phase,
        period=now.period,
        periods_started=_periods_started(events),
        reviews=_open_reviews(events),
    )


def course(events: Iterable[StoredEvent]) -> Course:
    """Return how far a match has come, by its whistles as the provider told them, or by its events without any.

    A period never goes back to one before it, and full time is not undone by a period that had begun: so a whistle
    that is told late, or corrected after full time, changes nothing but itself.
    """
    events = tuple(event for event in events if event.is_decisive)
    whistles = sorted((e for e in events if isinstance(e.payload, LIFECYCLE)), key=lambda e: (e.told, e.place))
    now = Course()
    for whistle in whistles:
        now = _after(now, whistle)
    if now.period == 0 and now.phase == "scheduled":
        period = max((event.clock.period for event in events), default=0)
        return Course("live", period) if period else now
    return now


def _after(now: Course, whistle: StoredEvent) -> Course:
    clock, period = whistle.clock, whistle.clock.period
    match whistle.payload:
        case Postponed():
            return Course("postponed", now.period, now.clock)
        case Abandoned():
            return Course("abandoned", max(now.period, period), max(now.clock, clock))
        case FullTime():
            return Course("finished", max(now.period, period), max(now.clock, clock))
        case PeriodEnd() if period >= now.period and now.phase in ("scheduled", "live", "break"):
            return Course("break", period, max(now.clock, clock))
        case KickOff() | PeriodStart() if period > now.period or (period == now.period and now.phase in _RESUMABLE):
            return Course("live", period, max(now.clock, clock))
        case _:
            return now


def _score(sides: Iterable[Side]) -> Score:
    sides = list(sides)
    return Score(sides.count("home"), sides.count("away"))


def _played(events: tuple[StoredEvent, ...], *periods: int) -> bool:
    return any(e.clock.period in periods and not isinstance(e.payload, FullTime) for e in events)


def _cautioned(events: tuple[StoredEvent, ...]) -> set[tuple[Side, str]]:
    cards = ((e, e.payload) for e in events if isinstance(e.payload, Card))
    return {(card.side, card.player_id or e.event_id) for e, card in cards if card.colour == "yellow"}


def _sent_off(events: tuple[StoredEvent, ...]) -> list[tuple[Side, str, bool]]:
    """Return (side, player, whether on the pitch) once per player, however many cards said so."""
    off: dict[tuple[Side, str], bool] = {}
    for event in events:
        card = event.payload
        if isinstance(card, Card) and card.colour != "yellow":
            player = card.player_id or event.event_id
            off.setdefault((card.side, player), _on_pitch(events, card.side, player, event.clock))
    return [(side, player, on_pitch) for (side, player), on_pitch in off.items()]


def _on_pitch(events: tuple[StoredEvent, ...], side: Side, player: str, at: Clock) -> bool:
    """Say whether a player was playing; one of whom nothing is known is taken to be."""
    on = True
    for event in events:
        match event.payload:
            case Lineups() as sheet:
                team = sheet.home if side == "home" else sheet.away
                on = next((p.starter for p in team if p.player_id == player), on)
            case Substitution(side=of) as change if of == side and event.clock <= at:
                on = (on or change.player_on == player) and change.player_off != player
    return on


def _substitutions(events: tuple[StoredEvent, ...]) -> Score | None:
    sides = [e.payload.side for e in events if isinstance(e.payload, Substitution)]
    return _score(sides) if sides else None


def _periods_started(events: tuple[StoredEvent, ...]) -> tuple[int, ...]:
    starts = {e.clock.period for e in events if isinstance(e.payload, KickOff | PeriodStart)}
    return tuple(sorted(starts))


def _open_reviews(events: tuple[StoredEvent, ...]) -> tuple[str, ...]:
    over = {e.payload.review_id for e in events if isinstance(e.payload, VarOver)}
    reviews = [(e.event_id, e.payload.about) for e in events if isinstance(e.payload, VarStart)]
    return tuple(about or "incident" for event_id, about in reviews if event_id not in over)
