"""Live, training and evaluation see the same inputs, bit for bit, however the records came."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from actors.adapters.feed_data_root import list_matches, read_match
from actors.adapters.feeds import MatchFeed, read_feed
from actors.domain.distribution import FloatArray
from actors.domain.events import Clock, FeedRecord, Tick
from actors.domain.features import FEATURE_NAMES, Extractor, PreMatch
from actors.domain.judged import CLOCKS
from actors.domain.match import MatchState, decode_state, encode_state, new_match
from actors.machines.match import step_record
from actors.machines.replay import NO_NOISE, ReplayPlan, schedule
from training.live_inputs import state_of_feed

DEMO = Path(__file__).resolve().parents[2] / "cluster" / "demo" / "wyscout_2499841.json.xz"
BEFORE = PreMatch(numbers={"go_supremacy": 0.3, "go_total": 0.5})
NOISY = ReplayPlan(seed=7, delay_ms=800, reorder=0.05, duplicate=0.05, correction=0.5, taken_back=1.0)


def in_training(feed: MatchFeed) -> dict[Clock, FloatArray]:
    extractor, state = Extractor(), state_of_feed(feed)
    return {at: extractor.extract(state, BEFORE, at).values for at in CLOCKS}


def live(feed: MatchFeed, plan: ReplayPlan = NO_NOISE) -> Iterator[tuple[Clock, MatchState]]:
    """Play a match and yield its state at the tick of each clock, at half time at the restart."""
    wanted = list(CLOCKS)
    state = new_match(feed.fixture)
    for offset, record in enumerate(thinned(timed.record for timed in schedule(feed, plan))):
        while wanted and record.clock > wanted[0] and record.provider == feed.fixture.believed.clock:
            yield wanted.pop(0), state
        state, _ = step_record(state, offset, record)
    assert not wanted


def thinned(records: Iterable[FeedRecord]) -> Iterator[FeedRecord]:
    """Leave out the ticks that nothing here looks at."""
    return (record for record in records if not isinstance(record.payload, Tick) or record.clock in CLOCKS)


def check_same(found: FloatArray, expected: FloatArray, at: Clock) -> None:
    if found.tobytes() != expected.tobytes():
        wrong = [
            name
            for name, a, b in zip(FEATURE_NAMES, found, expected, strict=True)
            if (a != b and a == a) or b == b != a
        ]
        raise AssertionError(f"{at}: {wrong[:10]}")


def check_parity(feed: MatchFeed) -> None:
    expected, extractor = in_training(feed), Extractor()
    for at, state in live(feed):
        check_same(extractor.extract(state, BEFORE).values, expected[at], at)


def test_a_match_played_through_the_fold_has_the_inputs_of_training() -> None:
    check_parity(read_feed(DEMO))


@pytest.mark.needs_data
def test_ten_matches_of_the_data_have_them_too(data_root: Path) -> None:
    for match in list_matches(data_root, "wyscout")[::134]:
        check_parity(read_match(data_root, match.match_id))


def test_late_repeated_reordered_and_corrected_records_lead_to_the_same_inputs() -> None:
    feed = read_feed(DEMO)
    state = new_match(feed.fixture)
    kept = Extractor()
    for offset, record in enumerate(thinned(timed.record for timed in schedule(feed, NOISY))):
        state, _ = step_record(state, offset, record)
        if offset % 400 == 0:
            kept.extract(state, BEFORE)
    for at, expected in in_training(feed).items():
        check_same(kept.extract(state, BEFORE, at).values, expected, at)


def test_a_restart_from_a_snapshot_changes_no_input() -> None:
    feed, expected = read_feed(DEMO), None
    for at, state in live(feed):
        again = decode_state(state.match_id, encode_state(state))
        assert (
            Extractor().extract(again, BEFORE).values.tobytes() == Extractor().extract(state, BEFORE).values.tobytes()
        )
        expected = at
    assert expected == list(CLOCKS)[-1]
