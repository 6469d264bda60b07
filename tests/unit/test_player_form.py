"""Player form knows earlier matches only, and what players added in the time that they played."""

from typing import Any

import pytest

from actors.domain.events import BallEvent
from actors.domain.features import PreMatch
from actors.domain.match import MatchState
from tests.unit.builders import minute, played, substitution, whole_match
from training.player_form import PlayerForms, minutes_played

PRIOR = 0.25 * 180 / 90


def a_shot(player: str, **fields: Any) -> BallEvent:
    plain = {"side": "home", "action": "shot", "is_shot": True, "x": 90.0, "y": 50.0, "player_id": player}
    return BallEvent(**{**plain, **fields})


def a_match() -> MatchState:
    shots = [(a_shot("h1", xg=0.4), minute(10)), (a_shot("h12", xg=0.2), minute(40, period=2))]
    return played(whole_match(*shots, (substitution("h1", "h12"), minute(20, period=2))))


def test_a_player_is_judged_by_what_he_added_in_his_minutes() -> None:
    """`whole_match` takes 46 and 48 minutes: h1 went off after 66 of 94."""
    forms = PlayerForms()
    forms.learn(a_match())
    before = forms.before(a_match(), PreMatch(numbers={"go_total": 0.5}))
    assert before.home_form["h1"] == pytest.approx(90 * (0.4 + PRIOR) / (66 + 180))
    assert before.home_form["h12"] == pytest.approx(90 * (0.2 + PRIOR) / (28 + 180))
    assert before.home_form["h2"] == pytest.approx(90 * PRIOR / (94 + 180))
    assert (before.numbers, "h13" in before.home_form) == ({"go_total": 0.5}, False)
    assert before.home_starters == tuple(f"h{n}" for n in range(1, 12))


def test_nothing_is_known_before_the_first_match() -> None:
    before = PlayerForms().before(a_match(), PreMatch())
    assert (before.home_form, before.away_form, before.home_starters) == ({}, {}, ())


def test_minutes_end_when_a_player_goes_off() -> None:
    minutes = minutes_played(a_match(), "home", first_half_ms=46 * 60_000, end=94.0)
    assert (minutes["h1"], minutes["h12"], minutes["h2"], len(minutes)) == (66.0, 28.0, 94.0, 12)
