"""The tests that try to kill a match: whatever fails or dies, readers see what they would have seen anyway."""

from collections.abc import Iterable
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.domain.errors import Fenced
from actors.domain.events import (
    BallEvent,
    Card,
    Clock,
    FeedRecord,
    FullTime,
    Goal,
    KickOff,
    Odds,
    PeriodEnd,
    PeriodStart,
    Retraction,
    Tick,
    VarStart,
    encode_record,
)
from actors.domain.fixtures import Believed, Fixture, Lease, Team
from actors.domain.forecast import EpochOpen, Forecast, Pulse, decode_published, encode_published
from actors.domain.letters import decode_letter
from actors.domain.match import state_hash
from actors.domain.ports import DEAD_LETTERS, FEED, FORECASTS, NewRecord
from actors.domain.published import read_all
from actors.session import MatchPorts, MatchSession, MatchSettings
from tests.unit.fakes import Fate, Killed, MemoryLog, MemorySnapshots, predict

MATCH = "fake:1"
NOW = datetime(2026, 8, 1, 15, tzinfo=UTC)
LEASE = Lease(partition=2, start_offset=0)
FIXTURE = Fixture(
    match_id=MATCH,
    kick_off=NOW,
    home=Team(name="Home"),
    away=Team(name="Away"),
    believed=Believed(events="fake", clock="fake", odds=("fake",)),
    lease=LEASE,
)


def settings_of(read_batch: int = 5, snapshot_every: int = 3) -> MatchSettings:
    return MatchSettings(
        snapshot_every_records=snapshot_every, read_batch=read_batch, read_wait_s=0.0, conflate_behind_records=1_000
    )


SETTINGS = settings_of()

_PAYLOADS = st.one_of(
    st.builds(Goal, side=st.sampled_from(["home", "away"])),
    st.builds(Card, side=st.sampled_from(["home", "away"]), colour=st.just("red")),
    st.just(Tick()),
    st.just(BallEvent(side="home", action="pass")),
    st.builds(
        Odds,
        market=st.just("1x2"),
        selections=st.just(("home", "draw", "away")),
        prices=st.tuples(*[st.sampled_from([2.0, 3.0, 4.5])] * 3),
        suspended=st.booleans(),
    ),
    st.just(VarStart(about="goal")),
    st.just(Retraction()),
)


@st.composite
def event_feeds(draw: st.DrawFn) -> list[bytes]:
    """Whole matches, with garbage and duplicates in between."""
    body = draw(st.lists(st.tuples(_PAYLOADS, st.integers(0, 20)), min_size=1, max_size=25))
    whistles = [(KickOff(), Clock(1, 0)), (PeriodEnd(), Clock(1, 2_760_000)), (PeriodStart(), Clock(2, 0))]
    plan = [whistles[0], *((p, Clock(1, 4_000 * i)) for i, (p, _) in enumerate(body)), *whistles[1:]]
    plan.append((FullTime(), Clock(2, 2_800_000)))
    records, seq = [], 0
    for index, (payload, clock) in enumerate(plan):
        seq += not isinstance(payload, Tick)
        target = f"e{max(1, index - 2)}" if isinstance(payload, Retraction) else f"e{index}"
        record = FeedRecord(
            match_id=MATCH,
            provider="fake",
            provider_seq=seq,
            event_id=target,
            version=2 if isinstance(payload, Retraction) else 1,
            occurred_at=NOW,
            received_at=NOW,
            clock=clock,
            payload=payload,
        )
        records.append(encode_record(record))
    for index, how in enumerate(draw(st.lists(st.sampled_from(["keep", "twice", "garbage"]), max_size=len(records)))):
        if how == "twice":
            records.append(records[index])
        elif how == "garbage":
            records.insert(index, b"{not json")
    return records


def play(feed: Iterable[bytes], fate: Fate, how: MatchSettings = SETTINGS) -> tuple[object, ...]:
    """Play a feed to its end through as many owners as it takes; return all that a reader could see of it."""
    log, snapshots = MemoryLog(), MemorySnapshots()
    log.append(FEED, LEASE.partition, [NewRecord(key=MATCH, value=value) for value in feed])
    log.fate = snapshots.fate = fate
    ports = MatchPorts(log=log, snapshots=snapshots, predict=predict)
    end = log.end_offsets(FEED)[LEASE.partition]
    session = None
    while session is None or session.state.offset + 1 < end:
        try:
            session = session or MatchSession(FIXTURE, LEASE, ports, how)
            session.advance()
        except (Killed, Exception):  # noqa: BLE001  the supervisor's part: whatever it was, begin anew
            session = None
    return seen(log, session)


def seen(log: MemoryLog, session: MatchSession) -> tuple[object, ...]:
    published = [decode_published(r.value or b"") for r in log.topics[FORECASTS][LEASE.partition]]
    _, counted = read_all(published)
    forecasts = [f for f in counted if isinstance(f, Forecast)]
    letters = {(d.offset, d.reason) for r in log.topics.get(DEAD_LETTERS, {}).get(0, []) for d in [_letter(r.value)]}
    values = [
        (f.seq, f.prev_hash, f.row_hash, f.markets, f.status, f.reasons, f.price and f.price.edge) for f in forecasts
    ]
    return state_hash(session.state), values, letters


def _letter(value: bytes | None) -> object:
    return decode_letter(value or b"")


_FAILURES = st.sets(st.integers(1, 40), max_size=6)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    feed=event_feeds(),
    how=st.builds(settings_of, st.integers(1, 8), st.integers(1, 12)),
    refused=_FAILURES,
    unacknowledged=_FAILURES,
    kills=_FAILURES,
)
def test_faults_change_neither_state_nor_what_was_published_nor_what_was_refused(
    feed: list[bytes], how: MatchSettings, refused: set[int], unacknowledged: set[int], kills: set[int]
) -> None:
    assert play(feed, Fate(refused, unacknowledged, kills), how) == play(feed, Fate())


@given(feed=event_feeds())
@settings(max_examples=50, deadline=None)
def test_every_forecast_is_chained_to_the_one_before_it(feed: list[bytes]) -> None:
    _, values, _ = play(feed, Fate())
    assert isinstance(values, list)
    previous = [row[2] for row in values]
    assert [row[1] for row in values[1:]] == previous[:-1]
    assert values[0][1] == "0" * 64


def test_a_zombie_is_fenced_and_nothing_it_says_is_seen() -> None:
    log, snapshots = MemoryLog(), MemorySnapshots()
    ports = MatchPorts(log=log, snapshots=snapshots, predict=predict)
    zombie = MatchSession(FIXTURE, LEASE, ports, SETTINGS)
    heir = MatchSession(FIXTURE, LEASE, ports, SETTINGS)
    log.append(FEED, LEASE.partition, [NewRecord(key=MATCH, value=value) for value in _a_feed()])
    zombie.advance()
    heir.advance()
    _, counted = read_all([decode_published(r.value or b"") for r in log.topics[FORECASTS][LEASE.partition]])
    assert {p.epoch for p in counted if isinstance(p, Forecast)} == {heir.epoch}
    assert heir.epoch == zombie.epoch + 1
    with pytest.raises(Fenced, match=f"epoch {heir.epoch} owns the match"):
        zombie.pulse()


def test_of_two_markers_with_one_epoch_the_first_in_the_log_owns_the_match() -> None:
    log = MemoryLog()
    rival = NewRecord(key=MATCH, value=encode_published(EpochOpen(match_id=MATCH, epoch=0, owner="rival")))
    log.append(FORECASTS, LEASE.partition, [rival])
    session = MatchSession(FIXTURE, LEASE, MatchPorts(log=log, snapshots=MemorySnapshots(), predict=predict), SETTINGS)
    assert session.epoch == 1


def test_a_pulse_says_how_far_the_match_is() -> None:
    log = MemoryLog()
    session = MatchSession(FIXTURE, LEASE, MatchPorts(log=log, snapshots=MemorySnapshots(), predict=predict), SETTINGS)
    log.append(FEED, LEASE.partition, [NewRecord(key=MATCH, value=value) for value in _a_feed()])
    session.advance()
    session.pulse()
    last = decode_published(log.topics[FORECASTS][LEASE.partition][-1].value or b"")
    assert isinstance(last, Pulse)
    assert (last.offset, last.phase, last.clock) == (1, "live", Clock(1, 4_000))
    assert last.own_lag_s < 2


def _a_feed() -> list[bytes]:
    payloads = [(KickOff(), Clock(1, 0)), (Goal(side="home"), Clock(1, 4_000))]
    return [
        encode_record(
            FeedRecord(
                match_id=MATCH,
                provider="fake",
                provider_seq=seq,
                event_id=f"e{seq}",
                occurred_at=NOW,
                received_at=NOW,
                clock=clock,
                payload=payload,
            )
        )
        for seq, (payload, clock) in enumerate(payloads, start=1)
    ]
