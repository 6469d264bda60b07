"""What ratings say of a match comes by its feed: folded, forecast from, and unseen in records that have none."""

from msgspec import UNSET

from actors.domain.distribution import ForecastInputs
from actors.domain.forecast import feature_snapshot
from actors.domain.match import decode_state, encode_state, forecast_inputs, new_match, state_hash
from actors.domain.replay_check import read_inputs
from actors.machines.match import DeadLetter, Entry, Reforecast, step
from actors.machines.status import feed_status
from tests.unit.builders import (
    MATCH,
    PROVIDER,
    a_book,
    a_fixture,
    a_prior,
    encode_record,
    play,
    played,
    told_before,
    whole_match,
)

ADDRESS_OF_NOTHING = "a81a0ef2482895aef98309e2468301c118bf4fd3"  # of inputs as they were before there were priors


def test_a_prior_is_the_first_forecast_of_a_match_that_nobody_has_fed_yet() -> None:
    state, effects = step(new_match(a_fixture()), entry(0, told_before()))
    assert effects == (Reforecast(trigger="prematch"),)
    assert forecast_inputs(state).prior == a_prior()
    assert state.summary.phase == "scheduled"
    assert feed_status(state) == ("OK", ())


def test_the_newest_prior_counts_and_one_told_again_asks_for_no_forecast() -> None:
    state = played([told_before(), told_before(home=0.6, draw=0.2)])
    assert forecast_inputs(state).prior == a_prior(home=0.6, draw=0.2)
    again, effects = step(state, entry(2, told_before(home=0.6, draw=0.2)))
    assert effects == ()
    assert again.prematch is state.prematch


def test_a_prior_stays_beside_prices_and_through_the_match() -> None:
    before, after = whole_match(), [told_before(), *whole_match()]
    assert forecast_inputs(played(after)) == forecast_inputs(played(before)).__replace__(prior=a_prior())
    priced = played([told_before(), a_book(1)])
    assert forecast_inputs(priced).anchor_1x2 is not None


def test_from_kick_off_on_what_was_told_stands_and_a_first_word_counts_until_the_match_is_over() -> None:
    records = whole_match()
    early = played([told_before(), *records[:3]])
    assert early.clock.period == 1
    assert step(early, entry(4, told_before(home=0.6, draw=0.2)))[0].prematch is early.prematch
    late, effects = step(played(records[:3]), entry(3, told_before()))
    assert forecast_inputs(late).prior == a_prior()
    assert Reforecast(trigger="prematch") in effects
    over, effects = step(played(records), entry(len(records), told_before()))
    assert (over.prematch, effects) == (None, ())


def test_nobody_else_may_tell_it_and_trying_is_no_gap() -> None:
    state, effects = step(new_match(a_fixture()), entry(0, told_before(provider=PROVIDER)))
    assert isinstance(effects[0], DeadLetter)
    assert effects[0].reason == "unknown_provider"
    assert state.prematch is None
    assert feed_status(state) == ("OK", ())


def test_what_was_stored_before_there_were_priors_reads_and_hashes_as_it_did() -> None:
    address, encoded = feature_snapshot(ForecastInputs())
    assert address == ADDRESS_OF_NOTHING
    assert read_inputs(address, encoded).prior is UNSET
    with_prior = ForecastInputs(prior=a_prior())
    assert read_inputs(*feature_snapshot(with_prior)) == with_prior
    without = played(whole_match())
    assert state_hash(decode_state(MATCH, encode_state(without))) == state_hash(without)


def test_a_snapshot_keeps_the_prior_and_its_hash_covers_it() -> None:
    state = played([told_before({"go_supremacy": 0.25}), *whole_match()])
    assert decode_state(MATCH, encode_state(state)) == state
    assert state_hash(state) != state_hash(played([told_before({"go_supremacy": 0.5}), *whole_match()]))


def entry(offset: int, record: object) -> Entry:
    return Entry(offset=offset, key=MATCH, value=encode_record(record))  # type: ignore[arg-type]


def test_replayed_from_the_log_it_is_the_same_bit_for_bit() -> None:
    records = [told_before({"im_total": 0.1 + 0.2}), *whole_match()]
    once, again = play(records), play(records)
    assert once == again
