"""What is left out when a match is behind."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from actors.domain.assemble import Draft
from actors.domain.match import forecast_inputs, new_match
from actors.session import conflate
from tests.unit.test_match_crash import FIXTURE, NOW

_STATE = new_match(FIXTURE)
_DRAFT = Draft(
    state=_STATE,
    inputs=forecast_inputs(_STATE),
    trigger="tick",
    status="OK",
    reasons=(),
    occurred=NOW,
    received=NOW,
    logged=NOW,
)


@given(st.lists(st.sampled_from(["tick", "goal", "card", "var_start", "odds"]), max_size=40))
def test_only_ticks_are_left_out_and_the_newest_forecast_always_stays(triggers: list[str]) -> None:
    drafts = [replace(_DRAFT, trigger=trigger) for trigger in triggers]
    kept = conflate(drafts)
    assert [d.trigger for d in kept if d.trigger != "tick"] == [t for t in triggers if t != "tick"]
    assert [d.trigger for d in kept[-1:]] == triggers[-1:]
    assert sum(d.trigger == "tick" for d in kept) == (triggers[-1:] == ["tick"])
    assert len(kept) + sum(d.conflated for d in kept) == len(triggers)
