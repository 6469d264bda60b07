"""Of many updates the newest wins; what is decisive is never left out."""

from hypothesis import given
from hypothesis import strategies as st

from actors.domain.events import Score
from serve_app.conflate import Waiting, conflate, is_decisive
from tests.unit.api_world import a_forecast, a_price

UPDATES = st.lists(
    st.builds(
        Waiting,
        message=st.integers(),
        match_id=st.sampled_from(["a", "b", None]),
        keys=st.frozensets(st.sampled_from("xyz")),
        decisive=st.booleans(),
    ),
    max_size=30,
)


def _client(waiting: list[Waiting]) -> dict[tuple[str, str], object]:
    """What a client holds who takes from each message the newest value of every key that it names."""
    return {(w.match_id, key): w.message for w in waiting if w.match_id for key in w.keys}


def _numbered(waiting: list[Waiting]) -> list[Waiting]:
    return [
        Waiting(message=number, match_id=each.match_id, keys=each.keys, decisive=each.decisive)
        for number, each in enumerate(waiting)
    ]


@given(UPDATES)
def test_everything_decisive_and_the_newest_of_each_match_stay_in_order(waiting: list[Waiting]) -> None:
    waiting = _numbered(waiting)
    kept = [each.message for each in conflate(waiting)]
    newest = {each.match_id: each.message for each in waiting}
    must = {e.message for e in waiting if e.decisive or e.match_id is None} | set(newest.values())
    assert kept == sorted(must)  # type: ignore[type-var]


@given(UPDATES)
def test_no_change_is_lost(waiting: list[Waiting]) -> None:
    waiting = _numbered(waiting)
    before, after = _client(waiting), _client(conflate(waiting))
    assert before.keys() == after.keys()
    assert all(after[key] >= before[key] for key in before)  # type: ignore[operator]


@given(UPDATES, st.integers(0, 30))
def test_conflating_early_and_again_is_conflating_once(waiting: list[Waiting], cut: int) -> None:
    waiting = _numbered(waiting)
    assert conflate(conflate(waiting[:cut]) + waiting[cut:]) == conflate(waiting)


def test_goals_cards_reviews_phases_and_suspensions_are_decisive_and_time_is_not() -> None:
    before = a_forecast(seq=1, price=a_price())
    assert not is_decisive(before, a_forecast(seq=2, price=a_price(edge=None)))
    for change in (
        {"score": Score(1, 0)},
        {"cards": {"yellow": Score(1, 0), "sent_off": Score()}},
        {"status": "VAR_REVIEW"},
        {"reasons": ("MODEL_FALLBACK",)},
        {"phase": "break"},
        {"shoot_out": Score(1, 0)},
        {"price": a_price(suspended=True)},
    ):
        assert is_decisive(before, a_forecast(seq=2, **{"price": a_price(), **change})), change
    assert is_decisive(None, before)
