"""Fits what the inputs rest on: `python -m training.fit_quantities data.root=DIR until=2017-12-01 out=FILE`.

Our shot model (logistic, by Newton's method with a small ridge) and the value of each zone of the pitch, from the
events of all Wyscout matches that kicked off before `until`.
"""

import sys
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import numpy as np

from actors.adapters.feed_data_root import list_matches, read_match
from actors.domain.distribution import FloatArray
from actors.domain.errors import SetupError
from actors.domain.features.columns import WHAT, IntArray
from actors.domain.features.fitted import FILE, Fitted
from actors.domain.features.shot_model import TERMS, shot_terms
from actors.domain.features.table import Table, shot_context
from actors.domain.features.zone_value import COLUMNS, ROWS, zone
from training.live_inputs import plain_table_of
from training.options import DataConfig, check_date, parse

SOURCE = "Wyscout events (Pappalardo et al. 2019, CC BY 4.0)"
_ZONES = COLUMNS * ROWS
_RIDGE = 1.0
_NEWTON_STEPS = 30
_VALUE_STEPS = 60  # the chain of moves has lost all but a billionth by then


@dataclass
class QuantitiesConfig:
    """Options of `training.fit_quantities`."""

    data: DataConfig = field(default_factory=DataConfig)
    until: str = "2017-12-01"  # exclusive
    out: str = str(FILE)

    def __post_init__(self) -> None:
        check_date("until", self.until)


@dataclass(slots=True)
class Seen:
    """What is counted over matches."""

    terms: list[FloatArray]
    scored: list[FloatArray]
    penalties: list[FloatArray]
    shots: IntArray  # (zones,)
    goals: IntArray  # (zones,)
    moves: IntArray  # (zones, zones), those that came off
    lost: IntArray  # (zones,) moves that did not
    matches: int = 0


def main(arguments: list[str]) -> int:
    """Fit and write; return the exit code."""
    try:
        config = parse(QuantitiesConfig, arguments, __doc__)
        fitted = fit(Path(config.data.root), date.fromisoformat(config.until))
    except SetupError as error:
        print(error, file=sys.stderr)
        return 2
    Path(config.out).write_bytes(msgspec.json.format(msgspec.json.encode(fitted), indent=1) + b"\n")
    print(
        f"{fitted.shots} shots, {fitted.goals} goals and {fitted.moves} moves of {fitted.matches} matches: {config.out}"
    )
    return 0


def fit(root: Path, until: date) -> Fitted:
    """Fit on all matches before `until`; raises SetupError."""
    cut = datetime(until.year, until.month, until.day, tzinfo=UTC)
    seen = _nothing()
    for match in list_matches(root, "wyscout"):
        if match.kick_off < cut:
            see(seen, plain_table_of(read_match(root, match.match_id)))
    if not seen.matches:
        raise SetupError(f"{root}: wyscout has no match before {until}")
    terms, scored = np.concatenate(seen.terms), np.concatenate(seen.scored)
    weights = logistic(terms, scored)
    values = zone_values(seen)
    return Fitted(
        source=SOURCE,
        until=until.isoformat(),
        matches=seen.matches,
        shots=len(scored),
        goals=int(scored.sum()),
        moves=int(seen.moves.sum()),
        shot_weights={term: round(float(weight), 6) for term, weight in zip(TERMS, weights, strict=True)},
        penalty=round(float(np.concatenate(seen.penalties).mean()), 4),
        zone_value=tuple(tuple(round(float(v), 6) for v in row) for row in values.reshape(COLUMNS, ROWS)),
    )


def see(seen: Seen, table: Table) -> None:
    """Count one match."""
    shots = np.flatnonzero(table.shot & ~np.isnan(table.x))
    header, free_kick, counter, set_piece, penalty = shot_context(table, shots)
    scored = _scored(table, shots)
    kinds = [flags[~penalty].astype(np.float64) for flags in (header, free_kick, counter, set_piece)]
    seen.terms.append(shot_terms(table.x[shots][~penalty], table.y[shots][~penalty], *kinds))
    seen.scored.append(scored[~penalty])
    seen.penalties.append(scored[penalty])
    open_play = shots[~penalty]
    places = zone(table.x[open_play], table.y[open_play])
    np.add.at(seen.shots, places, 1)
    np.add.at(seen.goals, places, scored[~penalty].astype(np.int64))
    moves = np.flatnonzero(table.is_what("pass", "carry") & ~table.shot & ~np.isnan(table.x + table.end_x))
    start, end = zone(table.x[moves], table.y[moves]), zone(table.end_x[moves], table.end_y[moves])
    off = table.success[moves] == 0
    np.add.at(seen.moves, (start[~off], end[~off]), 1)
    np.add.at(seen.lost, start[off], 1)
    seen.matches += 1


def logistic(terms: FloatArray, happened: FloatArray) -> FloatArray:
    """Return the (k,) ridge weights of a logistic model; the first term, the constant, is not shrunk."""
    ridge = np.full(terms.shape[1], _RIDGE)
    ridge[0] = 1e-6
    weights = np.zeros(terms.shape[1])
    for _ in range(_NEWTON_STEPS):
        p = 1 / (1 + np.exp(-terms @ weights))
        gradient = terms.T @ (happened - p) - ridge * weights
        curvature = (terms.T * (p * (1 - p))) @ terms + np.diag(ridge)
        weights = weights + np.linalg.solve(curvature, gradient)
    return weights


def zone_values(seen: Seen) -> FloatArray:
    """Return the (zones,) chance of a goal before the ball is lost, mirrored left and right since sides are alike."""
    mirror = np.arange(_ZONES).reshape(COLUMNS, ROWS)[:, ::-1].ravel()
    shots, goals, lost = (each + each[mirror] for each in (seen.shots, seen.goals, seen.lost))
    moves = seen.moves + seen.moves[np.ix_(mirror, mirror)]
    tried = np.maximum(shots + moves.sum(axis=1) + lost, 1)
    scores, transitions = goals / tried, moves / tried[:, None]
    values = np.zeros(_ZONES)
    for _ in range(_VALUE_STEPS):
        values = scores + transitions @ values
    return values


def _scored(table: Table, shots: IntArray) -> FloatArray:
    """Say which shots went in: those that a goal of the side at the same instant belongs to."""
    goals = np.flatnonzero(table.what == WHAT["goal"])
    key = table.t_ms * 2 + table.side
    return np.isin(key[shots], key[goals]).astype(np.float64)


def _nothing() -> Seen:
    shots, goals, lost = (np.zeros(_ZONES, np.int64) for _ in range(3))
    return Seen([], [], [], shots, goals, np.zeros((_ZONES, _ZONES), np.int64), lost)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
