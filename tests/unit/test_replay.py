"""Playing recorded matches: what is added without noise and with it, and that neither changes what happened."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import kloppy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from actors.adapters.feed_statsbomb import read
from actors.adapters.feeds import FeedBuilder, MatchFeed, TimedRecord
from actors.domain.events import (
    BallEvent,
    Card,
    Clock,
    Correction,
    Goal,
    Odds,
    OwnGoal,
    Payload,
    PenaltyScored,
    Score,
    Snapshot,
    Substitution,
    Tick,
)
from actors.domain.fixtures import Believed, Fixture, Team
from actors.domain.match import MatchState, new_match, state_hash
from actors.machines.match import fold
from actors.machines.replay import ReplayPlan, announced, rename, schedule
from actors.machines.simulated_odds import SIMULATED

MINUTE = 60_000
KICK_OFF = datetime(2020, 1, 1, 15, tzinfo=UTC)
SIDES = st.sampled_from(("home", "away"))

PAYLOADS: st.SearchStrategy[Payload] = st.one_of(
    st.builds(BallEvent, side=SIDES, action=st.just("pass")),
    st.builds(Goal, side=SIDES, player_id=st.just("9")),
    st.builds(OwnGoal, side=SIDES),
    st.builds(PenaltyScored, side=SIDES, player_id=st.just("8")),
    st.builds(Card, side=SIDES, colour=st.sampled_from(("yellow", "red")), player_id=st.sampled_from(("5", "6"))),
    st.builds(Substitution, side=SIDES, player_on=st.just("12"), player_off=st.just("7")),
)
EVENTS = st.lists(st.tuples(st.integers(1, 2), st.integers(0, 4 * MINUTE), PAYLOADS), max_size=40)
RATES = st.sampled_from((0.0, 0.05, 0.3, 1.0))
PLANS = st.builds(
    ReplayPlan,
    seed=st.integers(0, 2**32),
    delay_ms=st.sampled_from((0, 50, 2_000)),
    reorder=RATES,
    duplicate=RATES,
    gap=st.sampled_from((0.0, 0.05, 0.3)),
    correction=RATES,
    taken_back=RATES,
    simulated_odds=st.booleans(),
)


def feed_of(events: list[tuple[int, int, Payload]]) -> MatchFeed:
    fixture = Fixture(
        match_id="made:1",
        kick_off=KICK_OFF,
        home=Team(name="A"),
        away=Team(name="B"),
        believed=Believed(events="made", clock="made", odds=("book",)),
    )
    builder = FeedBuilder(fixture, "made")
    book = Odds(market="1x2", selections=("home", "draw", "away"), prices=(2.0, 3.0, 4.0))
    builder.before(100, "odds", book, provider="book")
    for number, (period, ms, payload) in enumerate(events):
        builder.add(Clock(period, ms), f"e{number}", payload)
    builder.phases({1: 5 * MINUTE, 2: 5 * MINUTE})
    return builder.build()


def folded(fixture: Fixture, records: list[TimedRecord]) -> MatchState:
    return fold(new_match(fixture), (timed.record for timed in records))


def without_ticks(records: list[TimedRecord]) -> list[TimedRecord]:
    return [timed for timed in records if not isinstance(timed.record.payload, Tick)]


@given(events=EVENTS)
@settings(max_examples=30, deadline=None)
def test_without_noise_every_record_comes_once_and_in_order(events: list[Any]) -> None:
    feed = feed_of(events)
    assert without_ticks(schedule(feed)) == list(feed.records)


@given(events=EVENTS)
@settings(max_examples=10, deadline=None)
def test_every_second_of_play_has_one_tick_that_repeats_the_providers_number(events: list[Any]) -> None:
    sent = schedule(feed_of(events))
    ticks = [timed for timed in sent if isinstance(timed.record.payload, Tick)]
    assert [t.record.clock for t in ticks] == [Clock(p, s * 1000) for p in (1, 2) for s in range(1, 300)]
    assert len({t.record.event_id for t in ticks}) == len(ticks)
    reached = 0
    for timed in sent:
        if isinstance(timed.record.payload, Tick):
            assert timed.record.provider_seq == reached
        elif timed.record.provider == "made":
            reached = timed.record.provider_seq


@given(events=EVENTS, plan=PLANS)
@settings(max_examples=60, deadline=None)
def test_the_same_seed_gives_the_same_schedule(events: list[Any], plan: ReplayPlan) -> None:
    feed = feed_of(events)
    assert schedule(feed, plan) == schedule(feed, plan)


@given(events=EVENTS, plan=PLANS)
@settings(max_examples=200, deadline=None)
def test_noise_changes_neither_score_nor_cards_nor_substitutions(events: list[Any], plan: ReplayPlan) -> None:
    feed = feed_of(events)
    state = folded(announced(feed.fixture, plan), schedule(feed, plan))
    assert state.summary == folded(feed.fixture, list(feed.records)).summary
    assert state.rejected == {}
    assert all(sequence.is_whole for sequence in state.sequences.values())


@given(events=EVENTS, plan=PLANS)
@settings(max_examples=60, deadline=None)
def test_every_event_comes_itself_or_in_a_snapshot(events: list[Any], plan: ReplayPlan) -> None:
    feed = feed_of(events)
    sent = [timed.record for timed in schedule(feed, plan)]
    told = {(record.provider, record.event_id) for record in sent}
    for record in sent:
        if isinstance(record.payload, Snapshot):
            told |= {(record.provider, event.event_id) for event in record.payload.events}
    assert {(timed.record.provider, timed.record.event_id) for timed in feed.records} <= told


@given(events=EVENTS, plan=PLANS)
@settings(max_examples=60, deadline=None)
def test_numbers_are_missing_only_where_a_snapshot_follows(events: list[Any], plan: ReplayPlan) -> None:
    records = [timed.record for timed in without_ticks(schedule(feed_of(events), plan))]
    for provider in {record.provider for record in records}:
        came = {record.provider_seq for record in records if record.provider == provider}
        healed = [r.provider_seq for r in records if r.provider == provider and isinstance(r.payload, Snapshot)]
        missing = set(range(1, max(came) + 1)) - came
        assert not missing or max(missing) < max(healed, default=0)


@given(events=EVENTS, seed=st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_delay_keeps_the_order_and_is_seen_in_the_times(events: list[Any], seed: int) -> None:
    feed = feed_of(events)
    late = without_ticks(schedule(feed, ReplayPlan(seed=seed, delay_ms=400)))
    ours = [timed for timed in late if timed.record.provider == "made"]
    assert [timed.record.provider_seq for timed in ours] == list(range(1, len(ours) + 1))
    before = {timed.record.event_id: timed.at_ms for timed in feed.records}
    for timed in ours:
        delay = timed.record.received_at - timed.record.occurred_at
        assert delay == timedelta(milliseconds=timed.at_ms - before[timed.record.event_id])


def test_a_goal_taken_back_comes_with_its_review_and_leaves_the_score() -> None:
    feed = feed_of([(1, MINUTE, Goal(side="home"))])
    sent = schedule(feed, ReplayPlan(seed=3, taken_back=1.0))
    kinds = Counter(timed.record.kind for timed in sent)
    assert (kinds["var_start"], kinds["retraction"], kinds["var_over"]) == (2, 2, 2)
    scores = []
    state = new_match(feed.fixture)
    for timed in sent:
        state = fold(state, [timed.record])
        scores.append(state.summary.score)
    assert max(score.home + score.away for score in scores) == 2
    assert scores[-1] == Score(1, 0)
    assert state.summary.reviews == ()


def test_corrections_put_right_who_and_when() -> None:
    goals = [(1, MINUTE * n, Goal(side="home", player_id="9", player="Nine")) for n in (1, 2, 3, 4)]
    sent = schedule(feed_of(goals), ReplayPlan(seed=4, correction=1.0))  # type: ignore[arg-type]
    first = [t.record for t in sent if isinstance(t.record.payload, Goal)]
    put_right = [t.record.payload for t in sent if isinstance(t.record.payload, Correction)]
    assert any(isinstance(r.payload, Goal) and r.payload.player_id is None for r in first)
    assert any(r.clock.ms % MINUTE for r in first)
    assert {(c.clock.ms, c.event.player_id) for c in put_right if isinstance(c.event, Goal)} == {
        (MINUTE * n, "9") for n in (1, 2, 3, 4)
    }


def test_a_gap_shows_at_the_next_tick_and_ends_with_the_snapshot() -> None:
    events: list[Any] = [(1, 1000 * n + 500, BallEvent(side="home", action="pass")) for n in range(200)]
    feed = feed_of(events)
    state, whole = new_match(feed.fixture), []
    for timed in schedule(feed, ReplayPlan(seed=5, gap=0.02)):
        state = fold(state, [timed.record])
        ours = state.sequences.get("made")
        whole.append((timed.at_ms, timed.record.kind, ours is None or ours.is_whole))
    broken = [at_ms for at_ms, _, is_whole in whole if not is_whole]
    healed = [is_whole for _, kind, is_whole in whole if kind == "snapshot"]
    assert broken
    assert all(healed)


def test_simulated_odds_are_said_to_be_and_suspended_at_goals() -> None:
    feed = feed_of([(1, MINUTE, Goal(side="home"))])
    plan = ReplayPlan(seed=2, simulated_odds=True)
    fixture = announced(feed.fixture, plan)
    sent = schedule(feed, plan)
    goal_at = next(t.at_ms for t in sent if t.record.kind == "goal")
    told = [(t.at_ms, t.record.payload) for t in sent if t.record.provider == SIMULATED]
    books = [(at_ms, odds) for at_ms, odds in told if isinstance(odds, Odds) and odds.market == "1x2"]
    assert fixture.believed.odds == ("book", SIMULATED)
    assert next(odds.suspended for at_ms, odds in books if at_ms >= goal_at)
    before = [odds.prices[0] for at_ms, odds in books if at_ms < goal_at][-1]
    after = next(odds.prices[0] for at_ms, odds in books if at_ms > goal_at and not odds.suspended)
    assert before is not None and after is not None and after < before
    assert all(sum(1 / price for price in odds.prices if price) > 1 for _, odds in books)
    assert announced(feed.fixture, ReplayPlan()) == feed.fixture


def test_no_odds_are_made_up_unless_asked_for() -> None:
    assert not any(timed.record.provider == SIMULATED for timed in schedule(feed_of([])))


def test_a_renamed_match_is_the_same_match_later() -> None:
    feed = feed_of([(1, MINUTE, Goal(side="home"))])
    later = rename(feed, "made:1.2", KICK_OFF + timedelta(days=1))
    assert {timed.record.match_id for timed in later.records} == {later.fixture.match_id} == {"made:1.2"}
    shifts = {b.record.occurred_at - a.record.occurred_at for a, b in zip(feed.records, later.records, strict=True)}
    assert shifts == {timedelta(days=1)}
    assert rename(later, "made:1", KICK_OFF) == feed


def test_a_file_that_stops_in_mid_play_has_ticks_to_its_last_record() -> None:
    whole = feed_of([(1, MINUTE, Goal(side="home"))])
    cut = replace(whole, records=tuple(t for t in whole.records if t.at_ms <= 5_000 + MINUTE))
    ticks = [t for t in schedule(cut) if isinstance(t.record.payload, Tick)]
    assert [t.record.clock.ms for t in (ticks[0], ticks[-1])] == [1_000, 59_000]


def test_a_feed_without_records_sends_nothing() -> None:
    assert schedule(replace(feed_of([]), records=())) == []


@pytest.mark.parametrize("seed", range(5))
def test_a_real_match_survives_a_bad_day(seed: int) -> None:
    feed = read(Path(kloppy.__file__).parent / "tests" / "files" / "statsbomb_15986_event.json", None)
    plan = ReplayPlan(seed=seed, delay_ms=300, reorder=0.02, duplicate=0.02, gap=0.003, correction=0.5, taken_back=0.7)
    sent = schedule(feed, plan)
    state = folded(feed.fixture, sent)
    assert Counter(timed.record.kind for timed in sent)["snapshot"] > 3
    assert state.summary == folded(feed.fixture, list(feed.records)).summary
    assert (state.rejected, state.sequences["statsbomb"].is_whole) == ({}, True)
    assert state_hash(state) == state_hash(folded(feed.fixture, schedule(feed, plan)))
