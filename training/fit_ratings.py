"""Runs the rating filter to the end of what may be known: the ratings for matches that nobody has priced."""

from datetime import date

import numpy as np

from training.live_data import FloatArray, need_rows
from training.model_file import LeagueName, TeamName, Vocabulary
from training.ratings import RatingFilter, Result

_AVERAGE_DAYS = 3 * 365


def fit_ratings(results: list[Result], until: date) -> tuple[dict[str, FloatArray], Vocabulary]:
    """Run the rating filter; return its arrays and names.

    Teams without a match in their league's last two years are left out.
    """
    need_rows(len(results), f"results has no match before {until}")
    rating_filter = RatingFilter()
    for _ in rating_filter.run(results):
        pass
    today = results[-1].day + 1  # not `until`, which may be far ahead
    levels, teams = rating_filter.levels(), rating_filter.rated(days=2 * 365)
    recent = [result for result in results if result.day >= today - _AVERAGE_DAYS] or results
    average = [sum(r.home_goals for r in recent) / len(recent), sum(r.away_goals for r in recent) / len(recent)]
    arrays = {
        "league_level": np.array([(x.mu, x.home) for x in levels], dtype=np.float64).reshape(-1, 2),
        "team_strength": np.array([(x.attack, x.defence) for x in teams], dtype=np.float64).reshape(-1, 2),
        "average": np.array(average),
    }
    vocabulary = Vocabulary(
        leagues=tuple(LeagueName(x.league, x.country) for x in levels),
        teams=tuple(TeamName(x.country, x.team, x.league) for x in teams),
    )
    return arrays, vocabulary
