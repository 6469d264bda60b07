"""Rates in windows, shares and pressure: cross products of quantities, sides and windows."""

import math
from typing import Literal

import numpy as np
from msgspec import Struct

from actors.domain.distribution import FloatArray
from actors.domain.features.describe import FEED_STALE_S, SIDES, Feature, Group
from actors.domain.features.moment import WINDOWS, Moment
from actors.domain.features.quantities import IN_WINDOWS, IN_ZONES, PLACE_OF, QUANTITIES, Needs, Quantity

_SCALES = np.array([quantity.scale for quantity in QUANTITIES])
_NEEDS: tuple[Needs, ...] = ("score", "incidents", "shots", "balls", "details")
_NEEDED = np.array([_NEEDS.index(quantity.needs) for quantity in QUANTITIES])
_NAMES = tuple(WINDOWS)
_WIDE = tuple(_NAMES.index(name) for name in ("15min", "match"))
_OFTEN = 40.0  # events a minute and side: the busiest minute of 1,332 matches had 52 of both
_SAID = {name: "since kick-off" if name == "match" else f"in the last {name[:-3]} minutes" for name in WINDOWS}


def _rate(quantity: Quantity, side: str, window: str) -> Feature:
    most = 60.0 if quantity.unit == "s" else _OFTEN
    return Feature(
        name=f"{side}_{quantity.name}_{window}",
        definition=f"{quantity.definition}; {side}, per minute of play {_SAID[window]}, over one minute at least",
        unit=f"{quantity.unit} a minute",
        source="feed",
        group=quantity.group,
        range=(0.0, most),
        staleness_limit_s=FEED_STALE_S,
    )


RATE_FEATURES: tuple[Feature, ...] = (
    *(_rate(quantity, side, window) for window in WINDOWS for side in SIDES for quantity in IN_WINDOWS),
    *(_rate(quantity, side, _NAMES[i]) for i in _WIDE for side in SIDES for quantity in IN_ZONES),
)


def rates(moment: Moment) -> FloatArray:
    """Return the values of RATE_FEATURES."""
    lengths = np.array([max(1.0, min(minutes, moment.elapsed_min)) for minutes in WINDOWS.values()])
    found = moment.counts / _SCALES / lengths[:, None, None]
    told = np.array([moment.told[needs] for needs in _NEEDS])[_NEEDED]
    found[:, :, ~told] = np.nan
    if moment.now_ms <= 0:
        found[:] = np.nan
    in_windows = len(IN_WINDOWS)
    return np.concatenate([found[:, :, :in_windows].ravel(), found[list(_WIDE), :, in_windows:].ravel()])


class Share(Struct, frozen=True, kw_only=True):
    """A quotient of sums of quantities; a name that begins with `-` is the other side's."""

    name: str
    definition: str
    top: tuple[str, ...]
    bottom: tuple[str, ...]
    group: Group = "rates"
    unit: Literal["share", "ratio"] = "share"


def _share(name: str, definition: str, top: str, bottom: str, group: Group = "rates", unit: str = "share") -> Share:
    return Share(
        name=name,
        definition=definition,
        top=tuple(top.split()),
        bottom=tuple(bottom.split()),
        group=group,
        unit="share" if unit == "share" else "ratio",
    )


SHARES: tuple[Share, ...] = (
    _share("pass_completion", "completed passes of all", "completed_passes", "passes"),
    _share("cross_completion", "completed crosses of all", "completed_crosses", "crosses"),
    _share("forward_share", "forward passes of all", "forward_passes", "passes"),
    _share("progressive_share", "progressive passes of all", "progressive_passes", "passes"),
    _share("long_share", "long passes of all", "long_passes", "passes"),
    _share("own_half_share", "passes from the own half of all", "own_half_passes", "passes"),
    _share("duel_success", "duels won of those won or lost", "duels_won", "duels_won duels_lost"),
    _share("air_success", "duels in the air won of all", "air_duels_won", "air_duels"),
    _share("attacking_success", "attacking duels won of all", "attacking_duels_won", "attacking_duels"),
    _share("shot_accuracy", "shots on target of all", "shots_on_target", "shots", "shot_quality"),
    _share("box_shot_share", "shots from the penalty area of all", "box_shots", "shots", "shot_quality"),
    _share("xg_per_shot", "expected goals a shot", "xg", "shots", "shot_quality"),
    _share("finishing", "goals for each expected goal", "goals", "xg", "shot_quality", "ratio"),
    _share("save_share", "saves for each shot on target faced", "saves", "-shots_on_target", "shot_quality", "ratio"),
    _share("possession", "time on the ball of both sides'", "possession_s", "possession_s -possession_s", "momentum"),
    _share("pass_share", "passes of both sides'", "passes", "passes -passes", "momentum"),
    _share(
        "field_tilt",
        "completed final-third passes of both sides'",
        "final_third_passes",
        "final_third_passes -final_third_passes",
        "momentum",
    ),
    _share("shot_share", "shots of both sides'", "shots", "shots -shots", "momentum"),
    _share("xg_share", "expected goals of both sides'", "xg", "xg -xg", "momentum"),
    _share("value_share", "value gained of both sides'", "value_gained", "value_gained -value_gained", "momentum"),
    _share("corner_share", "corners of both sides'", "corners", "corners -corners", "momentum"),
    _share("foul_share", "fouls of both sides'", "fouls", "fouls -fouls", "discipline"),
    _share("cards_per_foul", "yellow cards for each foul", "cautions", "fouls", "discipline", "ratio"),
    _share(
        "ppda",
        "the other side's passes from its own half for each duel, foul or interception high up",
        "-own_half_passes",
        "high_defence",
        "momentum",
        "ratio",
    ),
    _share("passes_per_possession", "passes for each possession", "passes", "possessions", "momentum", "ratio"),
    _share("shots_per_box_entry", "shots for each entry into the penalty area", "shots", "box_entries", unit="ratio"),
)
SHARE_FEATURES: tuple[Feature, ...] = tuple(
    Feature(
        name=f"{side}_{share.name}_{_NAMES[i]}",
        definition=f"{share.definition}; {side}, {_SAID[_NAMES[i]]}; missing while there is nothing to divide by",
        unit=share.unit,
        source="feed",
        group=share.group,
        range=(0.0, 1.0 if share.unit == "share" else math.inf),
        staleness_limit_s=FEED_STALE_S,
    )
    for i in _WIDE
    for side in SIDES
    for share in SHARES
)


def _selection(names: tuple[str, ...]) -> FloatArray:
    """Return which quantities of (own side, other side) are summed, unscaled: (2, QUANTITIES)."""
    chosen = np.zeros((2, len(QUANTITIES)))
    for name in names:
        place = PLACE_OF[name.removeprefix("-")]
        chosen[int(name.startswith("-")), place] = 1 / QUANTITIES[place].scale
    return chosen


_TOP = np.stack([_selection(share.top) for share in SHARES])
_BOTTOM = np.stack([_selection(share.bottom) for share in SHARES])
_SHARE_NEEDS = tuple(
    tuple({QUANTITIES[PLACE_OF[name.removeprefix("-")]].needs for name in (*share.top, *share.bottom)})
    for share in SHARES
)


def shares(moment: Moment) -> FloatArray:
    """Return the values of SHARE_FEATURES."""
    told = np.array([all(moment.told[needs] for needs in needed) for needed in _SHARE_NEEDS])
    found = np.full((len(_WIDE), 2, len(SHARES)), np.nan)
    for row, window in enumerate(_WIDE):
        for side in (0, 1):
            counts = moment.counts[window][[side, 1 - side]]
            top, bottom = ((selection * counts).sum(axis=(1, 2)) for selection in (_TOP, _BOTTOM))
            is_known = told & (bottom > 0)
            found[row, side, is_known] = top[is_known] / bottom[is_known]
    return found.ravel()


_PRESSURE = (
    *("shots", "shots_on_target", "xg", "corners", "box_entries", "final_third_passes", "deep_completions"),
    *("value_gained", "possession_s", "high_recoveries", "fouls", "passes"),
)
HALF_LIVES_MIN = (3.0, 8.0)
WEIGHT_SCALE = 10_000  # of the fading weights, which are whole numbers as the quantities are: their sums are exact
_FADED_S = 7_200  # the weight is nought by then
_WEIGHTS = np.stack([np.rint(WEIGHT_SCALE * 2.0 ** (-np.arange(_FADED_S) / 60 / half)) for half in HALF_LIVES_MIN])
_PRESSURE_AT = [PLACE_OF[name] for name in _PRESSURE]
PRESSURE_FEATURES: tuple[Feature, ...] = (
    *(
        Feature(
            name=f"{side}_{name}_fading_{half_life:g}min",
            definition=f"{QUANTITIES[PLACE_OF[name]].definition}; {side}, per minute, "
            f"each minute counting half as much as that {half_life:g} minutes later",
            unit=f"{QUANTITIES[PLACE_OF[name]].unit} a minute",
            source="feed",
            group="momentum",
            range=(0.0, 60.0),
            staleness_limit_s=FEED_STALE_S,
        )
        for half_life in HALF_LIVES_MIN
        for side in SIDES
        for name in _PRESSURE
    ),
    *(
        Feature(
            name=f"{name}_tilt_{half_life:g}min",
            definition=f"{QUANTITIES[PLACE_OF[name]].definition}; home minus away over both, fading by half "
            f"in {half_life:g} minutes; missing while neither has any",
            unit="share",
            source="feed",
            group="momentum",
            range=(-1.0, 1.0),
            staleness_limit_s=FEED_STALE_S,
        )
        for half_life in HALF_LIVES_MIN
        for name in _PRESSURE
    ),
)


def _fading(moment: Moment) -> FloatArray:
    """Return the (HALF_LIVES, 2, PRESSURE) sums of quantities, each row weighed by its age; whole numbers."""
    rows = moment.rows
    age_s = np.minimum((moment.now_ms - moment.table.t_ms[:rows]) // 1_000, _FADED_S - 1)
    sides = np.stack([moment.table.side[:rows] == side for side in (0, 1)])
    by_age = _WEIGHTS[:, None, age_s] * sides
    sums: FloatArray = np.einsum("hsn,qn->hsq", by_age, moment.weights.rows[_PRESSURE_AT, :rows])
    return sums


def pressure(moment: Moment) -> FloatArray:
    """Return the values of PRESSURE_FEATURES."""
    fading = _fading(moment)
    elapsed = max(1.0, moment.elapsed_min)
    minutes = [half_life / math.log(2) * (1 - 2 ** (-elapsed / half_life)) for half_life in HALF_LIVES_MIN]
    found = fading / _SCALES[_PRESSURE_AT] / WEIGHT_SCALE / np.array(minutes)[:, None, None]
    both = fading.sum(axis=1)
    tilt = np.divide(fading[:, 0] - fading[:, 1], both, out=np.full(both.shape, np.nan), where=both > 0)
    told = np.array([moment.told[QUANTITIES[place].needs] for place in _PRESSURE_AT]) & (moment.now_ms > 0)
    found[:, :, ~told] = np.nan
    tilt[:, ~told] = np.nan
    return np.concatenate([found.ravel(), tilt.ravel()])
