"""A small results file: two leagues of one country, three seasons, a team that goes up and one that goes down."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SEASONS = (2018, 2019, 2020)
CLUBS = {"E0": [f"Upper {n}" for n in range(8)], "E1": [f"Lower {n}" for n in range(8)]}


def write_results(root: Path, *, noise_from: date | None = None, seed: int = 5) -> Path:
    """Write `results/matches.parquet`; whatever is dated from `noise_from` on is drawn otherwise, fixtures included."""
    draw, noise = np.random.default_rng(seed), np.random.default_rng(seed + 1)
    strength = {club: float(draw.normal(0, 0.3)) for clubs in CLUBS.values() for club in clubs}
    rows = []
    for season in SEASONS:
        for league, clubs in _members(season).items():
            for number in range(60):
                day = date(season, 8, 5) + timedelta(days=3 * (number // 2))
                if number % 2 == 0:
                    today = [str(club) for club in draw.choice(clubs, 4, replace=False)]
                home, away = today[2 * (number % 2) :][:2]
                row = _match(draw, strength[home] - strength[away])
                if noise_from is not None and day >= noise_from:
                    home, away = f"Noise {noise.integers(9)}", f"Noise {noise.integers(9, 18)}"
                    row = _match(noise, 0.0)
                tier = 1 if league == "E0" else 2
                identity = {"league": league, "country": "England", "tier": tier, "season_start": season, "date": day}
                rows.append(identity | {"home": home, "away": away, "referee": f"Referee {number % 3}"} | row)
    (root / "results").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), root / "results" / "matches.parquet")
    return root


def _members(season: int) -> dict[str, list[str]]:
    swapped = season - SEASONS[0]
    return {
        "E0": CLUBS["E0"][swapped:] + CLUBS["E1"][:swapped],
        "E1": CLUBS["E1"][swapped:] + CLUBS["E0"][:swapped],
    }


def _match(draw: np.random.Generator, edge: float) -> dict[str, object]:
    goals = draw.poisson([1.5 * np.exp(edge), 1.2 * np.exp(-edge)])
    shots = draw.poisson([13, 11]) + goals
    prices = 1 / np.array([0.46 + edge / 4, 0.29, 0.31 - edge / 4]).clip(0.05, 0.9)
    moved = 1 + draw.normal(0, 0.02, 3)
    row: dict[str, object] = dict(zip(("fthg", "ftag", "hs", "as"), [*goals.tolist(), *shots.tolist()], strict=True))
    row |= dict(zip(("hst", "ast", "hc", "ac"), [*(shots // 3).tolist(), 5, 4], strict=True))
    row |= {"hthg": 0, "htag": 0, "hr": 0, "ar": 0, "time": "15:00", "pre_o25": 1.9, "pre_u25": 1.95}
    row |= dict(zip(("pre_h", "pre_d", "pre_a"), prices.tolist(), strict=True))
    row |= dict(zip(("close_h", "close_d", "close_a"), (prices * moved).tolist(), strict=True))
    return row | {"close_o25": float(1.9 * moved[0]), "close_u25": 1.95}
