"""What happens to a feed between the pitch and us: corrections, reviews, gaps, delay, disorder and duplicates."""

import random
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta

from msgspec import Struct, structs

from actors.domain.events import (
    BallEvent,
    Card,
    Clock,
    Correction,
    FeedRecord,
    FullTime,
    Goal,
    OwnGoal,
    Payload,
    PenaltyScored,
    Retraction,
    Score,
    Side,
    Snapshot,
    SnapshotEvent,
    VarOver,
    VarStart,
)
from actors.machines.simulated_odds import Pair, Span

REORDER_PLACES = 8  # well inside the fold's window of 64
REORDER_MS = 2_000
GAP_RECORDS = 6  # at most lost in one gap
HEAL_MS = (2_000, 8_000)  # the provider's snapshot comes that long after the gap
CORRECT_MS = (5_000, 60_000)  # until the scorer or the time of an event is put right
WRONG_BY_MS = 20_000  # a time that is corrected was too early by that much at most
REVIEW_MS = (15_000, 30_000)  # from the goal to the review, and from there to its end
QUIET_MS = 5_000  # around a goal that is taken back, so that no other shares its review
MAX_DELAYS = 10  # the longest delay, in means


class ReplayPlan(Struct, frozen=True, kw_only=True):
    """What is added to a recorded match. Rates are probabilities per record unless said otherwise; 0 is off."""

    seed: int = 0
    delay_ms: int = 0  # mean extra latency; the order is kept
    reorder: float = 0.0
    duplicate: float = 0.0
    gap: float = 0.0
    correction: float = 0.0  # per goal and card
    taken_back: float = 0.0  # per period: a goal that a review takes back
    simulated_odds: bool = False


NO_NOISE = ReplayPlan()


class _Gap(Struct, frozen=True):
    lost: frozenset[int]  # positions
    healed_ms: int


def disturb(
    sent: Sequence[Pair], played: Iterable[Span], provider: str, plan: ReplayPlan
) -> tuple[list[Pair], list[Pair]]:
    """Return what arrives and what is lost, numbered anew per provider; other providers' records pass untouched.

    Args:
        sent: All records in order of time.
        played: The periods as `provider` tells them.
        provider: The one who tells the events.
        plan: What to do to them.
    """
    rng = random.Random(plan.seed)
    ours = [pair for pair in sent if pair[1].provider == provider]
    others = [pair for pair in sent if pair[1].provider != provider]
    ours = _by_time([*ours, *_goals_taken_back(ours, played, plan.taken_back, rng)])
    ours = _by_time(list(_corrected(ours, plan.correction, rng)))
    gaps = list(_gaps(ours, plan.gap, rng))
    snapshots = [_snapshot(ours, gap, number) for number, gap in enumerate(gaps, start=1)]
    lost_at = {position for gap in gaps for position in gap.lost}
    tagged = [(pair, position in lost_at) for position, pair in enumerate(ours)] + [(s, False) for s in snapshots]
    numbered = _numbered(sorted(tagged, key=lambda entry: entry[0][0]))
    arriving = _shuffled(_delayed([pair for pair, lost in numbered if not lost], plan.delay_ms, rng), plan, rng)
    return _by_time([*arriving, *others]), [pair for pair, lost in numbered if lost]


def moved(record: FeedRecord, like: Pair, at_ms: int) -> FeedRecord:
    """Return a record with the wall times of `at_ms`, given any record and when it was sent."""
    when = like[1].occurred_at + timedelta(milliseconds=at_ms - like[0])
    return structs.replace(record, occurred_at=when, received_at=when)


def _by_time(pairs: list[Pair]) -> list[Pair]:
    return sorted(pairs, key=lambda pair: pair[0])


def _numbered(tagged: Iterable[tuple[Pair, bool]]) -> list[tuple[Pair, bool]]:
    return [
        ((at_ms, structs.replace(record, provider_seq=number)), lost)
        for number, ((at_ms, record), lost) in enumerate(tagged, start=1)
    ]


def _corrected(pairs: Sequence[Pair], rate: float, rng: random.Random) -> Iterator[Pair]:
    """Yield all records; some goals and cards come without their player or too early, and are put right later."""
    for at_ms, record in pairs:
        payload = record.payload
        if not isinstance(payload, Goal | PenaltyScored | Card) or not _happens(rate, rng) or _is_ours(record):
            yield at_ms, record
            continue
        if rng.random() < 0.5:
            first = structs.replace(record, payload=structs.replace(payload, player_id=None, player=""))
        else:
            early = max(record.clock.ms - rng.randrange(1_000, WRONG_BY_MS), 0)
            first = structs.replace(record, clock=Clock(record.clock.period, early))
        yield at_ms, first
        later = at_ms + rng.randrange(*CORRECT_MS)
        correction = Correction(clock=record.clock, event=payload)
        yield later, _another(pairs, later, record, correction, version=record.version + 1)


def _goals_taken_back(pairs: Sequence[Pair], played: Iterable[Span], rate: float, rng: random.Random) -> Iterator[Pair]:
    """Yield goal, review, its end and the retraction, for some periods, away from what really was scored."""
    scored = [at_ms for at_ms, record in pairs if isinstance(record.payload, Goal | OwnGoal | PenaltyScored)]
    for span in played:
        review, verdict = rng.randrange(*REVIEW_MS), rng.randrange(*REVIEW_MS)
        latest = span.end_ms - review - verdict - QUIET_MS
        if span.period > 4 or not _happens(rate, rng) or latest <= span.start_ms + QUIET_MS:
            continue
        at_ms = rng.randrange(span.start_ms + QUIET_MS, latest)
        if any(at_ms - QUIET_MS <= goal <= at_ms + review + verdict + QUIET_MS for goal in scored):
            continue
        side: Side = rng.choice(("home", "away"))
        goal_id, review_id = f"replay:goal:{span.period}", f"replay:review:{span.period}"
        steps: tuple[tuple[int, str, int, Payload], ...] = (
            (0, goal_id, 1, Goal(side=side)),
            (review, review_id, 1, VarStart(about="goal")),
            (review + verdict, goal_id, 2, Retraction(reason="offside")),
            (review + verdict, f"{review_id}:over", 1, VarOver(review_id=review_id, decision="goal cancelled")),
        )
        for after, event_id, version, payload in steps:
            record = moved(pairs[0][1], pairs[0], at_ms + after)
            yield (
                at_ms + after,
                structs.replace(
                    record, event_id=event_id, version=version, payload=payload, clock=span.clock(at_ms + after)
                ),
            )


def _gaps(pairs: Sequence[Pair], rate: float, rng: random.Random) -> Iterator[_Gap]:
    """Yield which records are lost and when the snapshot comes; no gap opens before the last one is healed."""
    free_from = 0
    for position, (at_ms, _) in enumerate(pairs):
        if position < free_from or not _happens(rate, rng):
            continue
        end = min(position + rng.randint(1, GAP_RECORDS), len(pairs))
        while end < len(pairs) and isinstance(pairs[end][1].payload, FullTime):
            end += 1  # the end of the last period and of the match are one message of the provider's
        healed_ms = max(pairs[end - 1][0], at_ms) + rng.randrange(*HEAL_MS)
        yield _Gap(frozenset(range(position, end)), healed_ms)
        free_from = bisect_right(pairs, healed_ms, key=lambda pair: pair[0])


def _snapshot(pairs: Sequence[Pair], gap: _Gap, number: int) -> Pair:
    """Return the provider's account when a gap is healed: all that is decisive, and the ball events that were lost."""
    held: dict[str, SnapshotEvent] = {}
    for position, (at_ms, record) in enumerate(pairs):
        if at_ms > gap.healed_ms:
            break
        if not isinstance(record.payload, BallEvent) or position in gap.lost:
            _hold(held, record)
    events = tuple(held.values())
    nearest = structs.replace(pairs[0][1], event_id=f"replay:snapshot:{number}")
    payload = Snapshot(score=_score(events), events=events)
    return gap.healed_ms, _another(pairs, gap.healed_ms, nearest, payload, version=1)


def _hold(held: dict[str, SnapshotEvent], record: FeedRecord) -> None:
    """Apply one record to an account, as the provider keeps it."""
    match record.payload:
        case Retraction():
            held.pop(record.event_id, None)
        case Correction(clock=clock, event=event):
            held[record.event_id] = SnapshotEvent(
                event_id=record.event_id, version=record.version, clock=clock, event=event
            )
        case payload if not isinstance(payload, Snapshot) and record.kind not in ("odds", "tick"):
            held[record.event_id] = SnapshotEvent(
                event_id=record.event_id,
                version=record.version,
                clock=record.clock,
                event=payload,  # type: ignore[arg-type]  # an Incident: all else is excluded above
            )


def _score(events: Iterable[SnapshotEvent]) -> Score:
    sides = [
        e.event.side for e in events if isinstance(e.event, Goal | OwnGoal | PenaltyScored) and e.clock.period <= 4
    ]
    return Score(sides.count("home"), sides.count("away"))


def _another(pairs: Sequence[Pair], at_ms: int, record: FeedRecord, payload: Payload, version: int) -> FeedRecord:
    """Return a record about the same event sent at another time, with the clock of the last one sent before."""
    before = bisect_right(pairs, at_ms, key=lambda pair: pair[0]) - 1
    clock = pairs[max(before, 0)][1].clock
    later = moved(record, pairs[0], at_ms)
    return structs.replace(later, payload=payload, version=version, clock=clock)


def _delayed(pairs: Sequence[Pair], mean_ms: int, rng: random.Random) -> list[Pair]:
    """Return the records later by an exponential delay, in the same order; they say when they came."""
    if mean_ms <= 0:
        return list(pairs)
    arrived, last = [], 0
    for at_ms, record in pairs:
        last = max(last, at_ms + round(min(rng.expovariate(1 / mean_ms), MAX_DELAYS * mean_ms)))
        received = record.occurred_at + timedelta(milliseconds=last - at_ms)
        arrived.append((last, structs.replace(record, received_at=received)))
    return arrived


def _shuffled(pairs: Sequence[Pair], plan: ReplayPlan, rng: random.Random) -> list[Pair]:
    """Hold some records back and repeat some, by a few places and never past a snapshot.

    Past a snapshot would do as well: the fold takes a late record for what it was when it happened.
    """
    placed: list[tuple[int, int, Pair]] = []
    for position, pair in enumerate(pairs):
        target = _later_place(pairs, position, rng) if _happens(plan.reorder, rng) else position
        placed.append((target, position if target == position else len(pairs), (pairs[target][0], pair[1])))
        if _happens(plan.duplicate, rng) and not isinstance(pair[1].payload, Snapshot):
            again = max(_later_place(pairs, position, rng), target)
            placed.append((again, len(pairs) + 1, (pairs[again][0], pair[1])))
    return [pair for _, _, pair in sorted(placed, key=lambda entry: entry[:2])]


def _later_place(pairs: Sequence[Pair], position: int, rng: random.Random) -> int:
    if isinstance(pairs[position][1].payload, Snapshot):
        return position
    last = min(position + rng.randint(1, REORDER_PLACES), len(pairs) - 1)
    target = position
    for place in range(position + 1, last + 1):
        at_ms, record = pairs[place]
        if isinstance(record.payload, Snapshot) or at_ms > pairs[position][0] + REORDER_MS:
            break
        target = place
    return target


def _happens(rate: float, rng: random.Random) -> bool:
    return rate > 0 and rng.random() < rate


def _is_ours(record: FeedRecord) -> bool:
    return record.event_id.startswith("replay:")
