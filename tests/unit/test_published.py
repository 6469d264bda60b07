"""The readers' rule of forecasts.v1."""

from hypothesis import given
from hypothesis import strategies as st

from actors.domain.forecast import GENESIS, EpochOpen, Forecast, Published
from actors.domain.published import NOTHING, accept, read_all
from tests.unit.api_world import MATCH, a_forecast, a_head, a_pulse, opened


def test_a_forecast_is_counted_once_and_chained() -> None:
    forecast = a_forecast(seq=4)
    state, counted = read_all([opened(), forecast, forecast])
    assert counted == [opened(), forecast]
    assert (state.epoch, state.owner, state.seq, state.count) == (1, "owner-1", 4, 1)
    assert state.row_hash == forecast.row_hash != GENESIS


def test_behind_a_marker_lower_epochs_are_void() -> None:
    zombie = a_forecast(seq=9, epoch=1)
    records = [opened(epoch=1), opened(epoch=2), zombie, a_pulse(offset=9, epoch=1), a_head(zombie)]
    state, counted = read_all(records)
    assert counted == records[:2]
    assert state.seq == -1


def test_a_seq_that_is_not_above_the_last_one_is_dropped_whatever_its_epoch() -> None:
    state, counted = read_all([opened(), a_forecast(seq=5), opened(epoch=2), a_forecast(seq=5, epoch=2)])
    assert [type(each) for each in counted] == [EpochOpen, Forecast, EpochOpen]
    assert (state.epoch, state.seq) == (2, 5)


def test_of_two_markers_with_one_epoch_the_first_counts() -> None:
    second = EpochOpen(match_id=MATCH, epoch=1, owner="late")
    state, counted = read_all([opened(), second])
    assert (state.owner, counted) == ("owner-1", [opened()])


def test_a_reader_that_began_behind_the_marker_takes_the_epoch_as_it_comes() -> None:
    state, accepted = accept(NOTHING, a_forecast(seq=3, epoch=7))
    assert accepted
    assert (state.epoch, state.owner, state.seq) == (7, None, 3)
    assert accept(state, a_forecast(seq=4, epoch=6)) == (state, False)


def test_a_pulse_of_a_newer_epoch_voids_the_older_one() -> None:
    state, _ = accept(NOTHING, a_pulse(offset=3, epoch=2))
    assert accept(state, a_forecast(seq=4, epoch=1))[1] is False


def _record(kind: str, epoch: int, number: int) -> Published:
    match kind:
        case "open":
            return opened(epoch=epoch)
        case "pulse":
            return a_pulse(offset=number, epoch=epoch)
        case _:
            return a_forecast(seq=number, epoch=epoch)


LOGS = st.lists(
    st.builds(_record, st.sampled_from(["open", "pulse", "forecast"]), st.integers(0, 3), st.integers(0, 12)),
    max_size=20,
)


@given(LOGS)
def test_whatever_was_written_epochs_never_fall_and_seqs_always_rise(log: list[Published]) -> None:
    _, counted = read_all(log)
    epochs = [each.epoch for each in counted]
    seqs = [each.seq for each in counted if isinstance(each, Forecast)]
    assert epochs == sorted(epochs)
    assert seqs == sorted(set(seqs))


@given(LOGS, st.integers(0, 20))
def test_a_reader_that_stops_and_goes_on_counts_the_same(log: list[Published], cut: int) -> None:
    state, first = read_all(log[:cut])
    end, rest = read_all(log[cut:], state)
    assert (end, first + rest) == read_all(log)


@given(LOGS)
def test_reading_the_log_twice_counts_no_forecast_twice(log: list[Published]) -> None:
    state, _ = read_all(log)
    again = read_all(log, state)[1]
    assert not [each for each in again if isinstance(each, Forecast)]
