"""The events of matches as columns in order of play, alike for Wyscout's ball events and for Understat's shots."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from actors.domain.features.shot_model import expected_goals, shot_terms
from training.live_data import FloatArray, IntArray, LiveMatches, read_columns

KINDS = 128  # more than any code of a kind
KICK_OFF = KINDS - 1  # the kind of the token that opens every sequence
_WYSCOUT = ["match_id", "period", "t_ms", "side", "type", "subtype", "tags", "x", "y", "end_x", "end_y", "goal"]
_UNDERSTAT = ["match_id", "shot_id", "half", "minute", "side", "result", "situation", "shot_type", "x", "y", "xg"]
_SHOT, _FREE_KICK_SHOT, _PENALTY = 10, 33, 35  # a type, and two subtypes that are shots as well
_COMMON = (1, 7, 8)  # duels, touches and passes: two thirds of them lie outside the final third and are left out
_FINAL_THIRD = 66
_HEADER, _ACCURATE, _NOT_ACCURATE, _COUNTER = 7, 52, 53, 54  # bits of the tags
_SITUATIONS = ("OpenPlay", "FromCorner", "SetPiece", "DirectFreekick", "Penalty")
_UNKNOWN_HALF_MS = 7 * 60_000  # a shot of unknown half is only sure to be over in the 52nd minute

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """One match's events of regular time, (T,) each."""

    period: IntArray
    t_ms: IntArray  # in the period
    side: IntArray  # 0 home, 1 away
    kind: IntArray  # below KINDS
    group: IntArray  # 0..9: what the encoder foretells of the next one
    x: FloatArray  # 0..100, the acting side attacks towards 100; NaN where unknown
    y: FloatArray
    end_x: FloatArray
    end_y: FloatArray
    success: IntArray  # 1 accurate, -1 not, 0 where that means nothing
    scored: IntArray  # 1 a goal, -1 an own goal, else 0
    shot: Bools
    xg: FloatArray  # 0 but for shots

    def minute(self) -> FloatArray:
        """Return the minute of play; what belongs to the first half comes before the 45th."""
        minute = self.t_ms / 60_000 + 45 * (self.period - 1)
        return np.where(self.period == 1, np.minimum(minute, 44.999), minute)


def load_events(root: Path, matches: LiveMatches) -> list[Events]:
    """Return the events of each match; raises SetupError where the file or a column is missing."""
    if matches.suite == "wyscout":
        return _of_matches(read_columns(root, "wyscout/events.parquet", _WYSCOUT), matches, _wyscout)
    return _of_matches(read_columns(root, "understat/shots.parquet", _UNDERSTAT), matches, _understat)


def _of_matches(table: pa.Table, matches: LiveMatches, build: Any) -> list[Events]:
    columns = {name: table.column(name).to_numpy(zero_copy_only=False) for name in table.column_names}
    order = np.argsort(columns["match_id"], kind="stable")
    ids = columns["match_id"][order]
    first, last = (np.searchsorted(ids, matches.match_id, side=side) for side in ("left", "right"))
    spans = zip(first.tolist(), last.tolist(), strict=True)
    return [build({name: column[order[a:b]] for name, column in columns.items()}) for a, b in spans]


def _wyscout(row: Mapping[str, NDArray[Any]]) -> Events:
    """Keep every event of the final third, and all but the common ones elsewhere: some 600 of 1,680 a match."""
    common = np.isin(row["type"], _COMMON) & (row["x"] < _FINAL_THIRD) & (row["goal"] == 0)
    keep = (row["period"] <= 2) & ~common
    whole = {name: column[keep].astype(np.int64) for name, column in row.items()}
    kind, subtype, tags = whole["type"], whole["subtype"], whole["tags"]
    shot = (kind == _SHOT) | np.isin(subtype, (_FREE_KICK_SHOT, _PENALTY))
    x, y, end_x, end_y = (np.where(whole[name] < 0, np.nan, whole[name]) for name in ("x", "y", "end_x", "end_y"))
    header, counter = (_bit(tags, bit).astype(np.float64) for bit in (_HEADER, _COUNTER))
    terms = shot_terms(x, y, header, (subtype == _FREE_KICK_SHOT) * 1.0, counter, np.zeros_like(x))
    return Events(
        period=whole["period"],
        t_ms=whole["t_ms"],
        side=whole["side"],
        kind=np.where(subtype >= 0, subtype, 10 * kind),
        group=kind - 1,
        x=x,
        y=y,
        end_x=end_x,
        end_y=end_y,
        success=_bit(tags, _ACCURATE) - _bit(tags, _NOT_ACCURATE),
        scored=np.where(whole["goal"] == 2, -1, whole["goal"]),
        shot=shot,
        xg=np.where(shot, np.nan_to_num(expected_goals(terms, subtype == _PENALTY)), 0.0),
    )


def _understat(row: Mapping[str, NDArray[Any]]) -> Events:
    """Take shots half past their minute; one of unknown half when it is surely over."""
    half, minute = row["half"].astype(np.int64), row["minute"].astype(np.int64)
    in_half = np.maximum(minute - 45 * (half - 1), 0) * 60_000 + 30_000
    period, t_ms = np.where(half == 0, 2, half), np.where(half == 0, _UNKNOWN_HALF_MS, in_half)
    order = np.lexsort((row["shot_id"], t_ms, period))
    result, situation = row["result"][order], row["situation"][order]
    own_goal, none = result == "OwnGoal", np.full(len(order), np.nan)
    kind = sum((situation == name) * place for place, name in enumerate(_SITUATIONS, start=1))
    return Events(
        period=period[order],
        t_ms=t_ms[order],
        side=row["side"][order].astype(np.int64),
        kind=np.asarray(kind + 10 * (row["shot_type"][order] == "Head"), dtype=np.int64),
        group=np.where(own_goal, 1, 0),
        x=row["x"][order].astype(np.float64) * 100,
        y=row["y"][order].astype(np.float64) * 100,
        end_x=none,
        end_y=none,
        success=np.where(result == "MissedShots", -1, 1),
        scored=np.where(result == "Goal", 1, np.where(own_goal, -1, 0)),
        shot=~own_goal,
        xg=np.where(own_goal, 0.0, np.nan_to_num(row["xg"][order].astype(np.float64))),
    )


def _bit(tags: IntArray, bit: int) -> IntArray:
    return (tags >> bit) & 1
