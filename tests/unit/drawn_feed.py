"""Whole feeds drawn by hypothesis: a provider that keeps a ledger, tells it truthfully, and numbers what it sends."""

from collections.abc import Sequence

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from actors.domain.events import (
    BEFORE_KICK_OFF,
    Card,
    Clock,
    Correction,
    FeedRecord,
    FullTime,
    Goal,
    KickOff,
    OwnGoal,
    PenaltyScored,
    PeriodEnd,
    PeriodStart,
    Retraction,
    Score,
    Side,
    Snapshot,
    SnapshotEvent,
    Tick,
    VarOver,
    VarStart,
)
from tests.unit.builders import a_book, a_pass, a_record, a_tick, lineups, substitution, totals

SIDES: tuple[Side, ...] = ("home", "away")
GOALS = (Goal, OwnGoal, PenaltyScored)
WINDOW = 64
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure
HALF_MS = 2_700_000
_NOT_CORRECTED = (KickOff, PeriodStart, PeriodEnd, Snapshot, Tick)  # line-ups are there from the start
KINDS = (
    *("pass", "pass", "goal", "own_goal", "card", "substitution", "correct", "correct", "retract", "var", "review"),
    *("odds", "odds", "totals", "snapshot", "tick", "tick", "tick"),
)


class Drawn(Struct, frozen=True, kw_only=True):
    """A feed in the order in which it was sent, and what its provider holds to be true at the end."""

    records: tuple[FeedRecord, ...]
    truth: tuple[SnapshotEvent, ...]

    @property
    def score(self) -> Score:
        """The score, by the ledger."""
        return _score(self.truth)

    @property
    def sent_off(self) -> Score:
        """Players sent off, by the ledger: every card is another player's."""
        return _count(e.event.side for e in self.truth if isinstance(e.event, Card) and e.event.colour == "red")

    @property
    def numbers(self) -> int:
        """The provider's last number."""
        return max(record.provider_seq for record in self.records if record.provider == "p")

    def snapshot(self, seq: int) -> FeedRecord:
        """Return the provider's account of everything, sent as number `seq`."""
        return a_record(seq, Snapshot(score=self.score, events=self.truth), Clock(2, HALF_MS), f"s{seq}")


class _Provider:
    """Draws what happens next, and keeps the ledger."""

    def __init__(self, draw: st.DrawFn, states_score: bool) -> None:
        self._draw, self._states_score = draw, states_score
        self.records: list[FeedRecord] = []
        self.ledger: dict[str, SnapshotEvent] = {}
        self._versions: dict[str, int] = {}
        self._seq = self._book = 0

    def tell(self, clock: Clock, event: object, event_id: str = "", version: int = 1, about: object = None) -> None:
        """Send a record; `about` is what the ledger holds then, the event itself unless said."""
        self._seq += 1
        record = a_record(self._seq, event, clock, event_id, version=version)
        self.records.append(record)
        self._versions[record.event_id] = version
        if not isinstance(event, Retraction | Correction | Snapshot):
            self._hold(record.event_id, version, clock, event)

    def happen(self, kind: str, clock: Clock) -> None:
        """Send what a kind of happening calls for."""
        side: Side = self._draw(st.sampled_from(SIDES))
        match kind:
            case "pass":
                self.tell(clock, a_pass(side))
            case "goal":
                self.tell(clock, self._goal(Goal(side=side), clock))
            case "own_goal":
                self.tell(clock, self._goal(OwnGoal(side=side), clock))
            case "card":
                self.tell(clock, Card(side=side, colour=self._draw(st.sampled_from(["yellow", "red"]))))
            case "substitution":
                self.tell(clock, substitution("h1", "h12"))
            case "var":
                self.tell(clock, VarStart(about="goal"))
            case "review":
                self.tell(clock, VarOver(review_id=self._any_id()))
            case "odds" | "totals":
                self._odds(kind, clock)
            case "vanish":  # as snapshot feeds have it: nobody says that it is gone, it is just no longer there
                self.ledger.pop(self._any_id(), None)
            case "tick":
                self.records.append(a_tick(self._seq, clock))
            case "snapshot":
                self.tell(clock, Snapshot(score=_score(self.ledger.values()), events=tuple(self.ledger.values())))
            case _:
                self._think_again(kind, clock, side)

    def _think_again(self, kind: str, clock: Clock, side: Side) -> None:
        """Correct or take back something, be it a whistle, a pass, or what was taken back before."""
        event_id = self._any_id()
        version = self._versions[event_id] + 1
        self._versions[event_id] = version
        old = self.ledger.pop(event_id, None)
        if kind == "retract":
            self.tell(clock, Retraction(), event_id, version)
            return
        choices = [Goal(side=side), a_pass(side), Card(side=side, colour="red")]
        event = self._draw(st.sampled_from([*choices, old.event] if old else choices))
        at = old.clock if old else clock
        at = Clock(max(at.period, 1), at.ms)
        self.tell(clock, Correction(clock=at, event=event), event_id, version)
        self._hold(event_id, version, at, event)

    def _hold(self, event_id: str, version: int, clock: Clock, event: object) -> None:
        if getattr(event, "action", None) is None:  # passes are left out of snapshots
            self.ledger[event_id] = SnapshotEvent(event_id=event_id, version=version, clock=clock, event=event)  # type: ignore[arg-type]

    def _any_id(self) -> str:
        """Draw anything told so far but a whistle."""
        ids = [r.event_id for r in self.records if r.provider == "p" and not isinstance(r.payload, _NOT_CORRECTED)]
        return self._draw(st.sampled_from(ids))

    def _goal(self, goal: Goal | OwnGoal, clock: Clock) -> Goal | OwnGoal:
        now = SnapshotEvent(event_id="now", clock=clock, event=goal)
        score = _score([*self.ledger.values(), now])
        return replace(goal, score=score) if self._states_score and self._draw(st.booleans()) else goal

    def _odds(self, kind: str, clock: Clock) -> None:
        self._book += 1
        price, suspended = self._draw(st.sampled_from([1.5, 2.0, 4.0, None])), self._draw(st.booleans())
        at = self._draw(st.sampled_from([clock, BEFORE_KICK_OFF]))
        if kind == "totals":
            self.records.append(totals(self._book, self._draw(st.sampled_from([1.5, 2.5])), price, clock=at))
        else:
            self.records.append(a_book(self._book, (price, 3.0, 4.0), at, suspended=suspended))


@st.composite
def feeds(draw: st.DrawFn, states_score: bool = True, kinds: Sequence[str] = KINDS, most: int = 40) -> Drawn:
    """Draw a match of at most `most` happenings between its whistles."""
    provider = _Provider(draw, states_score)
    provider.tell(BEFORE_KICK_OFF, lineups())
    for period, start in ((1, KickOff()), (2, PeriodStart())):
        provider.tell(Clock(period, 0), start)
        plan = draw(st.lists(st.sampled_from(kinds), max_size=most // 2))
        for number, kind in enumerate(plan, start=1):
            provider.happen(kind, Clock(period, number * draw(st.sampled_from([900, 7_300]))))
        provider.tell(Clock(period, HALF_MS), PeriodEnd())
    provider.tell(Clock(2, HALF_MS), FullTime())
    return Drawn(records=tuple(provider.records), truth=tuple(provider.ledger.values()))


@st.composite
def disordered(draw: st.DrawFn, records: Sequence[FeedRecord], window: int = WINDOW) -> list[FeedRecord]:
    """Draw an order in which no record is more than `window` places from where it was sent."""
    delays = draw(st.lists(st.integers(0, window), min_size=len(records), max_size=len(records)))
    return [records[place] for place, _ in sorted(enumerate(delays), key=lambda each: each[0] + each[1])]


def _score(events: object) -> Score:
    return _count(e.event.side for e in events if isinstance(e.event, GOALS) and e.clock.period <= 4)  # type: ignore[attr-defined]


def _count(sides: object) -> Score:
    found = list(sides)  # type: ignore[call-overload]
    return Score(found.count("home"), found.count("away"))
