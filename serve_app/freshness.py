"""How much a number can be trusted right now: pure functions over pulses and a monotonic clock.

Freshness is added at delivery and never logged. The feed is silent if no record of the clock's provider came; we lag
if records wait unfolded. Both come with the owner's pulse, about once a second; without pulses we know neither.
"""

from typing import Literal

from msgspec import Struct

from actors.domain.forecast import Pulse
from actors.domain.summary import Phase

State = Literal["FRESH", "STALE", "SUSPENDED"]
STALE_AFTER_S = 3.0
SUSPENDED_AFTER_S = 10.0
OWN_LAG_LIMIT_S = 2.0
NEVER_S = float("-inf")


class Freshness(Struct, frozen=True, kw_only=True):
    """What a body says about its age. Seconds by the server's monotonic clock; null: nothing was heard yet."""

    state: State
    age_s: float  # since the forecast was published, as far as this server can tell
    feed_silent_s: float | None
    own_lag_s: float | None


class Heard(Struct, frozen=True, kw_only=True):
    """The last pulse of a match, and when it came (monotonic; NEVER_S: it was read late and proves no life)."""

    pulse: Pulse
    at_s: float
    silent_at_offset: int | None = None  # suspended by silence until a record behind this feed offset came


def hear(before: Heard | None, pulse: Pulse, *, at_s: float, has_gap: bool) -> Heard:
    """Take in a pulse; silence beyond the limit stays until a later record of the feed came, and without a gap.

    Args:
        at_s: Monotonic seconds, or NEVER_S if the pulse is read long after it was written.
        has_gap: Whether the latest forecast's logged status is GAP.
    """
    silent_at = before.silent_at_offset if before else None
    in_play = pulse.phase == "live"
    if in_play and pulse.feed_silent_s > SUSPENDED_AFTER_S:
        silent_at = pulse.offset
    elif silent_at is not None and _speaks_again(pulse, silent_at, in_play, has_gap):
        silent_at = None
    return Heard(pulse=pulse, at_s=at_s, silent_at_offset=silent_at)


def _speaks_again(pulse: Pulse, silent_at: int, in_play: bool, has_gap: bool) -> bool:
    heard_again = pulse.offset > silent_at and pulse.feed_silent_s <= STALE_AFTER_S
    return not has_gap and (heard_again or not in_play)


def freshness(heard: Heard | None, *, phase: Phase, retired: bool, age_s: float, now_s: float) -> Freshness:
    """Return how fresh a match's latest forecast is at `now_s`.

    Since the last pulse nobody vouches for the feed, so the time since then counts as silence too. A retired match has
    no owner and needs none, unless it was left in play.
    """
    in_play = phase == "live"
    pulse_age_s = now_s - heard.at_s if heard else float("inf")
    known = heard is not None and pulse_age_s != float("inf")
    silent_s = heard.pulse.feed_silent_s + pulse_age_s if heard and known else None
    lag_s = heard.pulse.own_lag_s if heard and known else None
    latched = heard is not None and heard.silent_at_offset is not None and in_play
    return Freshness(
        state=_state(in_play, retired, pulse_age_s, silent_s, lag_s, latched),
        age_s=round(age_s, 3),
        feed_silent_s=None if silent_s is None else round(silent_s, 3),
        own_lag_s=None if lag_s is None else round(lag_s, 3),
    )


def _state(
    in_play: bool, retired: bool, pulse_age_s: float, silent_s: float | None, lag_s: float | None, latched: bool
) -> State:
    if retired and not in_play:
        return "FRESH"
    silence = max(pulse_age_s, silent_s or 0.0) if in_play else pulse_age_s
    if latched or silence > SUSPENDED_AFTER_S or (lag_s or 0.0) > OWN_LAG_LIMIT_S:
        return "SUSPENDED"
    return "STALE" if silence > STALE_AFTER_S else "FRESH"
