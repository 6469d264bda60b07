"""Fits the in-play network: `python -m training.fit_baseline data.root=DIR out=DIR until=2017-12-01`.

Everything is fitted from what is dated before `until`, so that one model may be scored on every suite whose cut-off
is not earlier. The steps: ratings; then, in turn, each match's rates under the chain as it stands, the effect of the
score, and the shares of the blocks; then red cards, stoppage, the total to assume where none is priced; and last the
corrections for what a match has shown, with the bootstrap that says how sure they are.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import Tensor

from actors.domain.distribution import ForecastInputs, GoalAt
from actors.domain.errors import SetupError
from training.anchored import clock_shares, price_target, stack_targets
from training.anchors import Solved, solve
from training.baseline_config import FitConfig, parse
from training.baseline_data import (
    MINUTES,
    FloatArray,
    HalfLengths,
    IntArray,
    LiveMatches,
    data_hashes,
    load_half_lengths,
    load_live,
    load_results,
)
from training.baseline_score import MINUTES as SCORED
from training.baseline_score import forecast, validation_metrics
from training.calibration import CONFORMAL, conformal_threshold
from training.chain import BLOCKS, LEADS
from training.even_chain import EvenChain
from training.evidence import EvidenceReader
from training.fit_corrections import Reds, fit_corrections, fit_shots, shot_scale
from training.model_file import (
    IN_PLAY,
    Expected,
    Golden,
    LeagueName,
    Manifest,
    TeamName,
    Vocabulary,
    check_tensors,
    encode_weights,
    expected_shapes,
    sha256,
    write_model,
)
from training.network import TorchForecaster
from training.poisson import curvature, poisson_ridge
from training.ratings import RatingFilter, Result

Report = Callable[[str], None]

KIND = "in-play network: odds-anchored score-state chain, corrected by shots, goals and state"
_FIRST_DAY = date(1990, 1, 1)
_ROUNDS = 3  # rates move the effects by a third of a standard error in the second round, and not visibly in the third
_EFFECT_PRECISION = 100.0  # ridge on log effects: a standard deviation of .1; flat from 25 to 400 on validation
_RED_PRIOR = ((0.70, 0.15), (1.40, 0.15))  # own, opponent: model notes, step 7; standard deviation of the logs
_SOLVE_ROWS = 256
_AVERAGE_DAYS = 3 * 365
_BLOCK_OF_MINUTE = np.minimum(np.arange(MINUTES) // 5, BLOCKS - 1)
_MINUTES_OF_BLOCK = np.where(np.arange(BLOCKS) < BLOCKS - 1, 5.0, 1.0)  # 90+ is one row


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """What is fitted on minutes."""

    log_effect: FloatArray  # (2, LEADS)
    share: FloatArray  # (BLOCKS,)

    def module(self) -> EvenChain:
        """Return the chain as a torch module."""
        return EvenChain(torch.from_numpy(np.exp(self.log_effect)))


def main(arguments: list[str]) -> int:
    """Fit and write a model as the arguments say; return the exit code."""
    try:
        folder = fit(parse(FitConfig, arguments), report=lambda line: print(line, file=sys.stderr, flush=True))
    except SetupError as error:
        print(error, file=sys.stderr)
        return 2
    print(folder)
    return 0


def fit(config: FitConfig, report: Report) -> Path:
    """Fit the model and write its folder `out`/`version`; return the folder."""
    started = time.monotonic()
    torch.set_num_threads(config.threads)
    root, until = Path(config.data.root), date.fromisoformat(config.until)
    report("1/7 results: team ratings")
    tensors, vocabulary = fit_ratings(load_results(root, until), until)
    matches = load_live(root, "understat", _FIRST_DAY, until)
    cards = load_live(root, "wyscout", _FIRST_DAY, until)
    _need(len(matches), f"{root}: understat has no priced match before {until}")
    _need(len(cards), f"{root}: wyscout has no priced match before {until}")
    report(f"2/7 understat: the total to assume where none is priced, {len(matches)} matches")
    default_over = fit_default_over(matches)
    with torch.inference_mode():
        chain = fit_chain(matches, default_over, lambda line: report(f"3/7 understat: {line}"))
        report(f"4/7 wyscout: red cards and stoppage, {len(cards)} matches")
        reds = fit_reds(cards, chain, default_over)
        tensors |= {
            "effect": chain.module().effect,
            "share": torch.from_numpy(chain.share),
            "stoppage": torch.from_numpy(fit_stoppage(load_half_lengths(root, until))),
            "default_over": torch.from_numpy(default_over),
        }
        report(f"5/7 understat: corrections, {len(matches)} matches")
        tensors |= _fit_evidence(matches, cards, chain, reds, tensors, config.seed)
    vocabulary = msgspec.structs.replace(vocabulary, shot_providers=(matches.suite, cards.suite))
    report("6/7 hashes of the data")
    hashes = data_hashes(root)
    folder = Path(config.out) / (config.version or f"inplay-{until}")
    check_tensors(tensors, expected_shapes(vocabulary, IN_PLAY), folder)
    manifest = _manifest(
        config, folder.name, hashes, {"fitted_matches": len(matches), "fitted_matches_with_cards": len(cards)}
    )
    manifest = msgspec.structs.replace(manifest, fitted_in_s=round(time.monotonic() - started, 1))
    report(f"7/7 golden vectors and validation; writing {folder}")
    _write(folder, tensors, vocabulary, manifest, _golden_inputs(matches, cards), root, matches)
    return folder


def _fit_evidence(
    matches: LiveMatches, cards: LiveMatches, chain: Chain, reds: Reds, tensors: dict[str, Tensor], seed: int
) -> dict[str, Tensor]:
    """Return the tensors of the corrections; shots are expected as understat counts them."""
    default_over = tensors["default_over"].numpy()
    solved, solved_cards = (solve_rates(chain, each, default_over) for each in (matches, cards))
    (_, lead), (_, lead_cards) = _goals_and_lead(matches), _goals_and_lead(cards)
    shots = fit_shots(matches, solved.rates.numpy(), _time(chain.share, lead), lead)
    rates = solved_cards.rates.numpy()
    scale = shot_scale(cards, shots, rates, _time(chain.share, lead_cards), lead_cards)
    clock = clock_shares(tensors["share"], tensors["stoppage"])
    reader = EvidenceReader(clock=clock, effect=tensors["effect"].tolist(), shots=shots)
    fitted = fit_corrections(matches, solved, chain.module(), reader, reds, seed)
    return {
        "shot_level": torch.tensor(shots.level, dtype=torch.float64),
        "shot_effect": torch.tensor(shots.effect, dtype=torch.float64),
        "shot_scale": torch.tensor([1.0, scale], dtype=torch.float64),
        "weights": torch.from_numpy(fitted.weights),
        "spread": torch.from_numpy(fitted.spread),
    }


def fit_ratings(results: list[Result], until: date) -> tuple[dict[str, Tensor], Vocabulary]:
    """Run the rating filter; return its tensors and names. Teams that have not played for two years are left out."""
    _need(len(results), f"results has no match before {until}")
    rating_filter = RatingFilter()
    for _ in rating_filter.run(results):
        pass
    today = (until - date(1970, 1, 1)).days
    levels, teams = rating_filter.levels(), rating_filter.rated(since_day=today - 2 * 365)
    recent = [result for result in results if result.day >= today - _AVERAGE_DAYS] or results
    average = [sum(r.home_goals for r in recent) / len(recent), sum(r.away_goals for r in recent) / len(recent)]
    tensors = {
        "league_level": torch.tensor([(x.mu, x.home) for x in levels], dtype=torch.float64).reshape(-1, 2),
        "team_strength": torch.tensor([(x.attack, x.defence) for x in teams], dtype=torch.float64).reshape(-1, 2),
        "average": torch.tensor(average, dtype=torch.float64),
    }
    vocabulary = Vocabulary(
        leagues=tuple(LeagueName(x.league, x.country) for x in levels),
        teams=tuple(TeamName(x.country, x.team, x.league) for x in teams),
    )
    return tensors, vocabulary


def fit_default_over(matches: LiveMatches) -> FloatArray:
    """Regress the logit of fair over 2.5 on the logit of the draw and the squared logit of home's share: (3,)."""
    rows = np.array([price_target(*key, (0.0, 0.0, 0.0)) for key in _price_keys(matches)])
    priced = np.isfinite(matches.over_under).all(axis=1)
    _need(int(priced.sum()), "understat: no match has prices for over and under 2.5 goals")
    share, draw, over = (np.log(column / (1 - column)) for column in rows[priced, :3].T)
    design = np.stack([np.ones_like(draw), draw, share**2], axis=1)
    return np.asarray(np.linalg.lstsq(design, over, rcond=None)[0], dtype=np.float64)


def fit_chain(matches: LiveMatches, default_over: FloatArray, report: Report) -> Chain:
    """Fit effects and shares, and each match's rates under them, in turn."""
    goals, lead = _goals_and_lead(matches)
    scored = _per_block(goals)
    chain = Chain(log_effect=np.zeros((2, LEADS)), share=_normalised(scored))
    for turn in range(_ROUNDS):
        report(f"rates of {len(matches)} matches, round {turn + 1} of {_ROUNDS}")
        rates = solve_rates(chain, matches, default_over).rates.numpy()
        for _ in range(_ROUNDS):  # cheap beside the rates
            exposure = _exposure(rates, chain.share, lead)
            chain = Chain(log_effect=_fit_effect(goals, exposure, lead), share=chain.share)
            chain = Chain(log_effect=chain.log_effect, share=_fit_share(scored, rates, chain.log_effect, lead))
    return chain


def solve_rates(chain: Chain, matches: LiveMatches, default_over: FloatArray) -> Solved:
    """Solve rates and tilt of all matches under the chain."""
    module, share = chain.module(), torch.from_numpy(chain.share)
    keys = _price_keys(matches)
    parts = []
    for start in range(0, len(keys), _SOLVE_ROWS):  # small enough for the cache
        rows = [price_target(*key, default_over.tolist()) for key in keys[start : start + _SOLVE_ROWS]]
        parts.append(solve(module, share, stack_targets(rows)))
    return Solved(
        rates=torch.cat([part.rates for part in parts], dim=1),
        tilt=torch.cat([part.tilt for part in parts]),
        means=torch.cat([part.means for part in parts], dim=1),
        residual=torch.cat([part.residual for part in parts]),
    )


def fit_reds(matches: LiveMatches, chain: Chain, default_over: FloatArray) -> Reds:
    """Fit the factors of an own and an opponent's red card by the Poisson likelihood of goals per minute."""
    rates = solve_rates(chain, matches, default_over).rates.numpy()
    goals, lead = _goals_and_lead(matches)
    effect = np.exp(chain.log_effect)
    expected = _exposure(rates, chain.share, lead) * np.stack([effect[side][lead] for side in (0, 1)])
    reds = matches.reds if matches.reds is not None else np.zeros((len(matches), MINUTES, 2), np.int64)
    own, other = np.moveaxis(reds, 2, 0), np.moveaxis(reds[:, :, ::-1], 2, 0)
    seen = (own + other) > 0  # the rest says nothing about cards
    design = np.stack([own[seen], other[seen]], axis=1).astype(np.float64)
    middle = np.log([factor for factor, _ in _RED_PRIOR])
    precision = np.diag([spread**-2.0 for _, spread in _RED_PRIOR])
    log_factor = poisson_ridge(design, np.moveaxis(goals, 2, 0)[seen], expected[seen], middle, precision)
    mean = expected[seen] * np.exp(design @ log_factor)
    covariance = np.asarray(np.linalg.inv(curvature(design, mean, precision)), dtype=np.float64)
    return Reds(log_factor=log_factor, covariance=covariance)


def fit_stoppage(lengths: HalfLengths) -> FloatArray:
    """Fit stoppage from how long halves lasted: goals come at an even pace, so time left stands for goals left.

    Returns (5,): share of the ninth block (40:00 to half time) that lies behind 45:00; floor and decay of each half.
    """
    first, second = lengths.first_s - 45 * 60, lengths.second_s - 45 * 60
    added = float(np.maximum(first, 0).mean())
    return np.array([added / (300 + added), *_fit_tail(first), *_fit_tail(second)])


def _fit_tail(over_s: FloatArray) -> tuple[float, float]:
    """Fit floor and decay of the mean time left, given that the half is still on, by weighted least squares."""
    elapsed = np.arange(0, 8 * 60, 15.0)
    on = np.array([(over_s > at).sum() for at in elapsed])
    _need(int(on[0]), "wyscout: no half lasted longer than 45 minutes")
    left = np.array([np.maximum(over_s[over_s > at] - at, 0).mean() if (over_s > at).any() else 0.0 for at in elapsed])
    best = (np.inf, 0.5, 90.0)
    for floor in np.arange(0.05, 0.96, 0.05):
        for decay in np.arange(15.0, 301.0, 15.0):
            shape = floor + (1 - floor) * np.exp(-elapsed / decay)
            miss = float((on * (left - left[0] * shape) ** 2).sum())
            best = min(best, (miss, float(floor), float(decay)))
    return best[1], best[2]


def _fit_effect(goals: IntArray, exposure: FloatArray, lead: IntArray) -> FloatArray:
    """Return (2, LEADS) log effects, ridge towards 0."""
    effect = np.zeros((2, LEADS))
    for side in (0, 1):
        for state in range(LEADS):
            at = lead == state
            scored, expected = goals[:, :, side][at].sum(), exposure[side][at].sum()
            one = np.ones((1, 1))
            fitted = poisson_ridge(one, np.array([scored]), np.array([expected]), np.zeros(1), _EFFECT_PRECISION * one)
            effect[side, state] = fitted[0]
    return effect


def _fit_share(scored: FloatArray, rates: FloatArray, log_effect: FloatArray, lead: IntArray) -> FloatArray:
    """Return (BLOCKS,): goals of each block over what the effects alone would make of an even spread."""
    expected = _exposure(rates, np.ones(BLOCKS), lead)
    spread = sum(_per_block((expected[side] * np.exp(log_effect[side])[lead])[:, :, None]) for side in (0, 1))
    return _normalised(scored / spread)


def _goals_and_lead(matches: LiveMatches) -> tuple[IntArray, IntArray]:
    """Return goals within each minute (n, MINUTES, 2), and the state before it (n, MINUTES) as 0..LEADS - 1."""
    score = np.concatenate([matches.goals, matches.final[:, None]], axis=1)
    lead = score[:, :-1, 0] - score[:, :-1, 1]
    return np.diff(score, axis=1), np.clip(lead, -(LEADS // 2), LEADS // 2) + LEADS // 2


def _exposure(rates: FloatArray, share: FloatArray, lead: IntArray) -> FloatArray:
    """Return (2, n, MINUTES): goals expected within each minute but for the score's effect."""
    return np.asarray(rates[:, :, None] * _time(share, lead), dtype=np.float64)


def _time(share: FloatArray, lead: IntArray) -> FloatArray:
    """Return (n, MINUTES): share of a match's goals that each minute has."""
    per_minute = (share / _MINUTES_OF_BLOCK)[_BLOCK_OF_MINUTE]
    return np.asarray(np.broadcast_to(per_minute, lead.shape), dtype=np.float64)


def _per_block(values: FloatArray | IntArray) -> FloatArray:
    """Add up (n, MINUTES, sides) over matches, sides and the minutes of each block: (BLOCKS,)."""
    sums = np.bincount(_BLOCK_OF_MINUTE, weights=values.sum(axis=(0, 2)), minlength=BLOCKS)
    return sums.astype(np.float64)


def _normalised(values: FloatArray) -> FloatArray:
    floor = 1e-6 * values.sum()  # a block in which few matches saw no goal keeps the chain moving
    return np.asarray(np.maximum(values, floor) / np.maximum(values, floor).sum(), dtype=np.float64)


def _price_keys(
    matches: LiveMatches,
) -> list[tuple[tuple[float, float, float], tuple[float, float, float] | None]]:
    totals = [(2.5, over, under) if over > 1 and under > 1 else None for over, under in matches.over_under.tolist()]
    return list(zip(map(tuple, matches.prices.tolist()), totals, strict=True))


def _golden_inputs(matches: LiveMatches, cards: LiveMatches) -> list[ForecastInputs]:
    """Return inputs that reach every part of the model."""
    change = msgspec.structs.replace
    home, draw, away = matches.prices[0].tolist()
    total = next(((2.5, o, u) for o, u in matches.over_under.tolist() if o > 1 and u > 1), None)
    prices = ForecastInputs(anchor_1x2=(home, draw, away), anchor_over_under=total)
    goal = GoalAt(1, 31 * 60_000, "home")
    shown = change(prices, league="E0", home_shots=9, away_shots=4, shots_by="understat", goals=(goal,))
    named = ForecastInputs(league=cards.league[0], home_team=cards.home[0], away_team=cards.away[0])
    return [
        prices,
        change(prices, period=1, clock_ms=23 * 60_000 + 500, home_goals=1),
        change(shown, period=2, clock_ms=16 * 60_000, home_goals=1, away_reds=1),
        change(shown, league="nowhere", shots_by="wyscout", period=1, clock_ms=44 * 60_000, home_goals=1),
        change(prices, period=1, clock_ms=46 * 60_000, away_goals=2, away_reds=1, anchor_over_under=None),
        change(prices, period=2, clock_ms=0, anchor_over_under=(2.75, 2.02, 1.84)),
        change(prices, period=2, clock_ms=47 * 60_000, home_goals=1, away_goals=1, home_reds=2),
        ForecastInputs(period=2, clock_ms=30 * 60_000, anchor_1x2=(1.01, 50.0, 100.0)),
        named,
        change(named, home_team="A team that nobody has rated", period=2, clock_ms=1_000, away_goals=1),
        ForecastInputs(period=3),
    ]


def _write(
    folder: Path,
    tensors: dict[str, Tensor],
    vocabulary: Vocabulary,
    manifest: Manifest,
    inputs: list[ForecastInputs],
    root: Path,
    matches: LiveMatches,
) -> None:
    """Write the model, load it as serving does, and write it again with its own answers and validation scores."""
    weights, names = encode_weights(tensors), msgspec.json.encode(vocabulary)
    manifest = msgspec.structs.replace(manifest, weights_sha256=sha256(weights), vocabulary_sha256=sha256(names))
    write_model(folder, weights, names, manifest)
    forecaster = TorchForecaster(folder)
    answers = forecaster.predict(inputs)
    golden = tuple(
        Golden(
            inputs=row,
            expected=Expected(
                basis=answer.basis,
                home_rate=answer.home_rate,
                away_rate=answer.away_rate,
                next_home=answer.distribution.next_home,
                next_away=answer.distribution.next_away,
                remaining=tuple(map(tuple, answer.distribution.remaining.tolist())),
                intervals=answer.intervals,
            ),
        )
        for row, answer in zip(inputs, answers, strict=True)
    )
    metrics = manifest.metrics | validation_metrics(forecaster, root, date.fromisoformat(manifest.trained_until))
    metrics |= _thresholds(forecaster, matches)
    write_model(folder, weights, names, msgspec.structs.replace(manifest, golden=golden, metrics=metrics))


def _thresholds(forecaster: TorchForecaster, matches: LiveMatches) -> dict[str, float]:
    """Return the conformal thresholds by minute: the fit's own matches are many to its few weights."""
    chances = forecast(forecaster, matches).chances
    return {
        CONFORMAL.format(minute=minute): round(conformal_threshold(table, matches.outcome, 0.9), 6)
        for minute, table in zip(SCORED, chances, strict=True)
    }


def _manifest(config: FitConfig, version: str, hashes: dict[str, str], metrics: dict[str, float]) -> Manifest:
    return Manifest(
        format=IN_PLAY,
        model_version=version,
        kind=KIND,
        note=f"Nothing dated on or after {config.until} was used, so every suite cut off there or later may score it.",
        trained_until=config.until,
        seed=config.seed,
        fitted_in_s=0.0,
        code_commit=code_commit(),
        data_hash=sha256(msgspec.json.encode(hashes)),
        data=hashes,
        inputs=ForecastInputs.__struct_fields__,
        metrics=metrics,
        weights_sha256="0" * 64,
        vocabulary_sha256="0" * 64,
        golden=(),
    )


def code_commit() -> str | None:
    """Return the commit of the code, None outside a repository."""
    here = Path(__file__).resolve().parent
    command = ["git", "-C", str(here), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _need(count: int, otherwise: str) -> None:
    if not count:
        raise SetupError(f"{otherwise}: nothing to fit on")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
