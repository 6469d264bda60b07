"""Errors cross process borders and end up before people: each must survive pickling and say what happened."""

import inspect
import pickle

import pytest

from actors.domain import errors
from actors.domain.errors import ForecastingError, Transient

EXAMPLES: dict[ForecastingError, str] = {
    ForecastingError("something"): "something",
    errors.FeedError("a feed"): "a feed",
    errors.RecordRejected("malformed", "no JSON"): "malformed: no JSON",
    errors.RecordRejected("malformed_payload", "no side", "goal", "wyscout", 7): "malformed_payload: no side",
    errors.NotAMatch("a.json", "Wyscout events", "a list of 3 names"): (
        "a.json: expected Wyscout events, received a list of 3 names"
    ),
    errors.UnknownFixture("betfair", "1.23"): ("no fixture has the id '1.23' at provider 'betfair'; announce it first"),
    errors.MalformedMarket("1x2", "needs one price per selection"): "1x2: needs one price per selection",
    errors.StoreError("a store"): "a store",
    errors.StoreUnavailable("log", "append", "disk full"): (
        "log: append did not complete (disk full); it is safe to repeat"
    ),
    errors.OffsetOutOfRange("feed.v1", 3, 10, 400): "feed.v1/3: asked for offset 10, the log starts at 400",
    errors.SnapshotUnreadable("wyscout:7", "hash mismatch"): "snapshot of wyscout:7: hash mismatch",
    errors.Unknown("match", "wyscout:7"): "no match 'wyscout:7'",
    errors.NoModel("none committed"): "no model: none committed",
    errors.ForecasterUnavailable(10.0, "no replica"): "the forecaster did not answer within 10 s (no replica)",
    errors.ModelRejected("models/a", "wrong hash"): "model models/a: wrong hash",
    errors.Overloaded("the queue", 64): "the queue is full (limit 64); retry after 1 s",
    errors.Overloaded("the queue", 64, 2.5): "the queue is full (limit 64); retry after 2.5 s",
    errors.Fenced("wyscout:7", 1, 2): "wyscout:7: epoch 1 is over, epoch 2 owns the match",
    errors.SetupError("serve.port=80 cannot be used"): "serve.port=80 cannot be used",
}
WORTH_RETRYING = {errors.StoreUnavailable, errors.NoModel, errors.ForecasterUnavailable, errors.Overloaded}


def defined() -> set[type[BaseException]]:
    """Return every error class that the module defines."""
    classes = inspect.getmembers(errors, inspect.isclass)
    return {kind for _, kind in classes if issubclass(kind, BaseException) and kind.__module__ == errors.__name__}


def test_every_error_has_an_example_here() -> None:
    assert {type(error) for error in EXAMPLES} == defined()


@pytest.mark.parametrize(("error", "sentence"), EXAMPLES.items(), ids=lambda value: type(value).__name__)
def test_every_error_says_what_happened_in_one_line(error: ForecastingError, sentence: str) -> None:
    assert str(error) == sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_error_survives_pickling_with_its_facts(error: ForecastingError, protocol: int) -> None:
    back = pickle.loads(pickle.dumps(error, protocol))
    assert type(back) is type(error)
    assert (back.args, vars(back), str(back)) == (error.args, vars(error), str(error))


def test_all_share_one_root_and_only_what_is_worth_retrying_is_transient() -> None:
    assert all(issubclass(kind, ForecastingError) for kind in defined())
    assert {kind for kind in defined() if issubclass(kind, Transient)} == WORTH_RETRYING
