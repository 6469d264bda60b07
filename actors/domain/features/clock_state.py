"""State and clock: the score, how long it has stood, and how long ago each kind of thing last happened."""

import math

import numpy as np

from actors.domain.events import Goal, OwnGoal, PenaltyScored
from actors.domain.features.describe import FEED_STALE_S, SIDES, Feature, Group
from actors.domain.features.moment import MINUTE_MS, Moment
from actors.domain.features.quantities import PLACE_OF, QUANTITIES
from actors.domain.summary import Summary

HALF_MIN = 45.0
LONGEST_MIN = 240.0


def _feature(
    name: str, definition: str, unit: str, low: float, high: float, group: Group = "state_and_clock"
) -> Feature:
    return Feature(
        name=name,
        definition=definition,
        unit=unit,
        source="feed",
        group=group,
        range=(low, high),
        staleness_limit_s=FEED_STALE_S,
    )


STATE_FEATURES: tuple[Feature, ...] = (
    _feature("minute", "minute on the scoreboard, stoppage counted on from 45 and 90", "min", 0, LONGEST_MIN),
    _feature("half", "1 or 2; 1 before kick-off, 3 when regular time is over", "count", 1, 3),
    _feature("elapsed", "minutes of play since kick-off, all stoppage counted", "min", 0, LONGEST_MIN),
    _feature("stoppage", "minutes beyond the 45th of this half", "min", 0, LONGEST_MIN),
    _feature("left_of_half", "minutes to the 45th of this half, nought in stoppage", "min", 0, HALF_MIN),
    _feature("left", "minutes to the 90th, nought in stoppage", "min", 0, 2 * HALF_MIN),
    _feature("home_score", "goals of home in regular time", "goals", 0, 99),
    _feature("away_score", "goals of away in regular time", "goals", 0, 99),
    _feature("lead", "goals by which home leads", "goals", -99, 99),
    _feature("total_score", "goals of both", "goals", 0, 198),
    _feature("home_half_time_score", "goals of home at half time; missing before", "goals", 0, 99),
    _feature("away_half_time_score", "goals of away at half time; missing before", "goals", 0, 99),
    _feature("first_goal", "1 if home scored first, -1 if away did; missing without goals", "sign", -1, 1),
    _feature("last_goal", "1 if home scored last, -1 if away did; missing without goals", "sign", -1, 1),
    _feature("lead_changes", "times that level became a lead or a lead became level", "count", 0, 198),
    _feature("score_stands", "minutes of play for which this score has stood", "min", 0, LONGEST_MIN),
    _feature("home_led", "minutes of play for which home has led", "min", 0, LONGEST_MIN),
    _feature("away_led", "minutes of play for which away has led", "min", 0, LONGEST_MIN),
    _feature("was_level", "minutes of play for which the score was level", "min", 0, LONGEST_MIN),
)


def state_values(moment: Moment, summary: Summary) -> list[float]:
    """Return the values of STATE_FEATURES."""
    half = moment.at.ms / MINUTE_MS
    period = max(1, min(3, moment.at.period))
    minute = {1: half, 2: HALF_MIN + half, 3: 2 * HALF_MIN}[period]
    home, away = summary.regular.home, summary.regular.away
    half_time = (summary.half_time.home, summary.half_time.away) if period > 1 else (math.nan, math.nan)
    return [
        minute,
        float(period),
        moment.elapsed_min,
        max(0.0, half - HALF_MIN) if period < 3 else 0.0,
        max(0.0, HALF_MIN - half) if period < 3 else 0.0,
        max(0.0, (HALF_MIN if period == 1 else 0.0) + HALF_MIN - half) if period < 3 else 0.0,
        *(float(home), float(away), float(home - away), float(home + away)),
        *half_time,
        *_course_of_score(moment),
    ]


def _course_of_score(moment: Moment) -> list[float]:
    """Return first and last scorer, changes of lead, and minutes of this score, of each lead and of none."""
    first_half_ms, lead, changes, since_ms = moment.table.first_half_ms, 0, 0, 0
    spent = {-1: 0, 0: 0, 1: 0}
    signs = []
    for event in moment.decisive:
        if not isinstance(event.payload, Goal | OwnGoal | PenaltyScored) or event.clock.period not in (1, 2):
            continue
        t_ms = event.clock.ms + (first_half_ms if event.clock.period == 2 else 0)
        before = _sign(lead)
        spent[before] += t_ms - since_ms
        signs.append(1 if event.payload.side == "home" else -1)
        lead, since_ms = lead + signs[-1], t_ms
        changes += _sign(lead) != before
    spent[_sign(lead)] += moment.now_ms - since_ms
    first, last = (signs[0], signs[-1]) if signs else (math.nan, math.nan)
    stands = (moment.now_ms - since_ms) / MINUTE_MS
    return [first, last, float(changes), stands, *(spent[sign] / MINUTE_MS for sign in (1, -1, 0))]


def _sign(lead: int) -> int:
    return (lead > 0) - (lead < 0)


_SINCE = (
    *("goals", "shots", "shots_on_target", "big_chances", "corners", "box_entries", "final_third_entries"),
    *("free_kicks_final_third", "deep_completions", "high_recoveries", "offsides", "fouls", "saves", "clearances"),
    *("cautions", "dismissals", "substitutions"),
)
_SINCE_AT = [PLACE_OF[name] for name in _SINCE]
SINCE_FEATURES: tuple[Feature, ...] = tuple(
    _feature(
        f"{side}_minutes_since_{name}",
        f"minutes of play since the last: {QUANTITIES[PLACE_OF[name]].definition}; {side}, missing before the first",
        "min",
        0,
        LONGEST_MIN,
        QUANTITIES[PLACE_OF[name]].group,
    )
    for side in SIDES
    for name in _SINCE
)


def since_values(moment: Moment) -> list[float]:
    """Return the values of SINCE_FEATURES."""
    sums = moment.weights.sums[:, _SINCE_AT, : moment.rows + 1].reshape(2 * len(_SINCE_AT), -1)
    values = []
    for counted in sums:
        row = int(np.searchsorted(counted, counted[-1])) - 1  # the row at which the count became what it is
        values.append((moment.now_ms - int(moment.table.t_ms[row])) / MINUTE_MS if counted[-1] else math.nan)
    return values


_BEST = (
    ("best_chance", "the highest expected goals of one shot so far", "expected goals", 0.0, 1.0),
    ("last_shot_xg", "expected goals of the last shot", "expected goals", 0.0, 1.0),
    ("xg_so_far", "expected goals so far", "expected goals", 0.0, 20.0),
    ("goals_above_xg", "goals less expected goals", "goals", -20.0, 20.0),
    (
        "no_goal_chance",
        "chance that no shot so far had gone in, by expected goals",
        "probability",
        0.0,
        1.0,
    ),
)
SHOT_FEATURES: tuple[Feature, ...] = tuple(
    _feature(f"{side}_{name}", f"{definition}; {side}", unit, low, high, "shot_quality")
    for side in SIDES
    for name, definition, unit, low, high in _BEST
)


def shot_values(moment: Moment, summary: Summary) -> list[float]:
    """Return the values of SHOT_FEATURES; the first two are missing before a shot, all if nobody tells of shots."""
    goals = (summary.regular.home, summary.regular.away)
    values: list[float] = []
    table, rows = moment.table, moment.rows
    for side in (0, 1):
        shots = np.flatnonzero(table.shot[:rows] & (table.side[:rows] == side) & ~np.isnan(table.xg[:rows]))
        xg = [float(each) for each in table.xg[shots]]
        total = math.fsum(xg)
        best, last = (max(xg), xg[-1]) if xg else (math.nan, math.nan)
        known = [best, last, total, goals[side] - total, math.prod(1 - each for each in xg)]
        values += known if moment.told["shots"] else [math.nan] * len(_BEST)
    return values
