"""The odds-anchored model: coherent, the same bits in any batch, never loaded from files that it cannot trust."""

import json
import math
import pickle
import random
import shutil
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save

from actors.domain.distribution import MAX_REMAINING, ForecastInputs, Prediction
from actors.domain.errors import ModelRejected
from actors.domain.overround import fair
from training.anchored import clock_shares, score_grids
from training.chain import BLOCKS, GOALS, LEADS, ScoreChain, tree_sum
from training.clock import ClockShares, Stoppage
from training.model_file import MANIFEST, VOCABULARY, WEIGHTS, sha256
from training.network import TorchForecaster, load_model

SHIPPED = Path(__file__).resolve().parents[2] / "training" / "models" / "baseline-2017-12-01"
PRICES = (2.1, 3.4, 3.9)
TOTAL = (2.5, 1.95, 1.95)

prices = st.floats(1.005, 200)
goals = st.integers(0, 6)
inputs_strategy = st.builds(
    ForecastInputs,
    league=st.sampled_from([None, "E0", "RUS", "no such league"]),
    home_team=st.sampled_from([None, "Arsenal", "Barcelona", "no such team"]),
    away_team=st.sampled_from([None, "Chelsea", "Zenit", "no such team"]),
    period=st.integers(0, 3),
    clock_ms=st.integers(0, 60 * 60_000),
    home_goals=goals,
    away_goals=goals,
    home_reds=st.integers(0, 3),
    away_reds=st.integers(0, 3),
    anchor_1x2=st.none() | st.tuples(prices, prices, prices),
    anchor_over_under=st.none() | st.tuples(st.sampled_from([1.75, 2.0, 2.25, 2.5, 3.5, 40.0]), prices, prices),
)


@pytest.fixture(scope="module")
def forecaster() -> TorchForecaster:
    return load_model(SHIPPED)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED, tmp_path / "model"))


def bits(prediction: Prediction) -> tuple[object, ...]:
    """Everything published of a prediction, so that == means the same bits."""
    distribution = prediction.distribution
    numbers = (distribution.next_home, distribution.next_away, prediction.home_rate, prediction.away_rate)
    return (distribution.score, distribution.remaining.tobytes(), np.array(numbers).tobytes(), prediction.basis)


def three_way(prediction: Prediction) -> tuple[float, float, float]:
    distribution = prediction.distribution
    lead = distribution.score.home - distribution.score.away
    home = np.tril(distribution.remaining, lead - 1).sum()
    away = np.triu(distribution.remaining, lead + 1).sum()
    return float(home), float(distribution.remaining.sum() - home - away), float(away)


def many_inputs(count: int, seed: int) -> list[ForecastInputs]:
    """Realistic and extreme rows in random order, some with the same prices."""
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        book = tuple(round(math.exp(draw.uniform(0.02, 3.5)), 2) for _ in range(3))
        rows.append(
            ForecastInputs(
                league=draw.choice(["E0", "SP1", None]),
                home_team=draw.choice(["Arsenal", "Barcelona", None]),
                away_team=draw.choice(["Chelsea", "nobody"]),
                period=draw.randint(0, 3),
                clock_ms=draw.randint(0, 50 * 60_000),
                home_goals=draw.randint(0, 4),
                away_goals=draw.randint(0, 4),
                home_reds=draw.choice([0, 0, 0, 1, 2]),
                away_reds=draw.choice([0, 0, 0, 1]),
                anchor_1x2=draw.choice([book, book, PRICES, (1.01, 50.0, 100.0), None]),
                anchor_over_under=draw.choice([None, TOTAL, (2.25, 1.7, 2.2), (3.0, 3.5, 1.3)]),
            )
        )
    return rows


def test_a_value_has_the_same_bits_at_any_batch_size_and_position_beside_any_neighbours() -> None:
    rows = many_inputs(128, seed=5)
    reference = [bits(prediction) for prediction in TorchForecaster(SHIPPED).predict(rows)]
    for batch_rows in (1, 7, 32, 64):
        order = list(range(len(rows)))
        random.Random(batch_rows).shuffle(order)
        chosen = order[:30] if batch_rows == 1 else order  # one at a time is slow
        answers = TorchForecaster(SHIPPED, batch_rows=batch_rows).predict([rows[i] for i in chosen])
        assert [bits(answer) for answer in answers] == [reference[i] for i in chosen]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=inputs_strategy, neighbours=st.lists(inputs_strategy, max_size=5), position=st.integers(0, 5))
def test_neighbours_change_no_bit_whether_anchors_are_cached_or_solved(
    forecaster: TorchForecaster, row: ForecastInputs, neighbours: list[ForecastInputs], position: int
) -> None:
    at = min(position, len(neighbours))
    together = TorchForecaster(SHIPPED, batch_rows=4, cached_anchors=1).predict(
        [*neighbours[:at], row, *neighbours[at:]]
    )
    assert bits(together[at]) == bits(forecaster.predict([row])[0])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=inputs_strategy)
def test_any_inputs_give_a_coherent_distribution_and_stay_as_they_were(
    forecaster: TorchForecaster, row: ForecastInputs
) -> None:
    before = msgspec.json.encode(row)
    (prediction,) = forecaster.predict([row])
    distribution = prediction.distribution
    assert distribution.remaining.shape == (MAX_REMAINING + 1, MAX_REMAINING + 1)
    assert distribution.remaining.min() >= 0
    assert distribution.remaining.sum() == pytest.approx(1, abs=1e-12)
    opened = distribution.next_home + distribution.next_away
    assert opened + distribution.remaining[0, 0] == pytest.approx(1, abs=1e-12)
    assert min(distribution.next_home, distribution.next_away) >= 0
    assert (distribution.score.home, distribution.score.away) == (row.home_goals, row.away_goals)
    assert prediction.basis == "prices" if row.anchor_1x2 else prediction.basis in ("ratings", "league")
    assert msgspec.json.encode(row) == before
    if row.is_over:
        assert distribution.remaining[0, 0] == 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shares=st.lists(st.floats(0.05, 1), min_size=3, max_size=3),
    margin=st.floats(0.97, 1.15),
    over=st.floats(0.3, 0.75),
)
def test_at_kick_off_the_model_repeats_the_market(
    forecaster: TorchForecaster, shares: list[float], margin: float, over: float
) -> None:
    home, draw, away = (share / sum(shares) for share in shares)
    assume(0.12 < draw < 0.4)  # beyond, the tilt that it needs may be out of bounds
    book = (1 / (home * margin), 1 / (draw * margin), 1 / (away * margin))
    assume(min(book) > 1.01)
    row = ForecastInputs(anchor_1x2=book, anchor_over_under=(2.5, 0.95 / over, 0.95 / (1 - over)))
    (prediction,) = forecaster.predict([row])
    assert three_way(prediction) == pytest.approx(fair(book, "power"), abs=1e-9)
    total = np.add.outer(np.arange(GOALS), np.arange(GOALS))
    assert prediction.distribution.remaining[total > 2.5].sum() == pytest.approx(over, abs=1e-9)


@pytest.mark.parametrize(
    "book",
    [(1.01, 50.0, 100.0), (100.0, 50.0, 1.01), (1.0000001, 10_000.0, 10_000.0), (4.0, 4.0, 4.0), (9.0, 1.01, 9.0)],
)
def test_extreme_and_arbitrage_books_give_the_favourite_the_market_names(
    forecaster: TorchForecaster, book: tuple[float, float, float]
) -> None:
    (prediction,) = forecaster.predict([ForecastInputs(anchor_1x2=book)])
    ours, market = three_way(prediction), fair(book, "power")
    assert prediction.basis == "prices"
    assert ours[0] / (ours[0] + ours[2]) == pytest.approx(market[0] / (market[0] + market[2]), abs=1e-3)
    assert np.isfinite(prediction.distribution.remaining).all()


@pytest.mark.parametrize("book", [(math.nan, 3.0, 3.0), (1.0, 3.0, 3.0), (math.inf, 3.0, 3.0), (0.0, -1.0, 3.0)])
def test_prices_that_are_no_book_count_as_none(forecaster: TorchForecaster, book: tuple[float, float, float]) -> None:
    spoilt, without = forecaster.predict([ForecastInputs(anchor_1x2=book), ForecastInputs()])
    assert bits(spoilt) == bits(without)


def test_a_quarter_line_is_repeated_as_a_split_stake(forecaster: TorchForecaster) -> None:
    row = ForecastInputs(anchor_1x2=PRICES, anchor_over_under=(2.25, 1.8, 2.05))
    remaining = forecaster.predict([row])[0].distribution.remaining
    total = np.add.outer(np.arange(GOALS), np.arange(GOALS))
    won, lost = remaining[total > 2].sum(), remaining[total < 2].sum() + remaining[total == 2].sum() / 2
    assert won / (won + lost) == pytest.approx(fair((1.8, 2.05), "proportional")[0], abs=1e-9)


def test_without_prices_ratings_decide_and_without_ratings_the_league(forecaster: TorchForecaster) -> None:
    rated = ForecastInputs(league="E0", home_team="Man City", away_team="Stoke")
    rows = [
        rated,
        msgspec.structs.replace(rated, home_team="Stoke", away_team="Man City"),
        msgspec.structs.replace(rated, home_team="Never Seen FC"),
        ForecastInputs(league="E0", home_team="Never Seen FC", away_team="Nor This One"),
        ForecastInputs(home_team="Italy", away_team="Spain"),
        msgspec.structs.replace(rated, league=None),
    ]
    strong, weak, half, league, nobody, anywhere = forecaster.predict(rows)
    assert [p.basis for p in (strong, weak, half, league, nobody)] == ["ratings"] * 3 + ["league"] * 2
    assert strong.home_rate > half.home_rate > weak.home_rate
    assert league.home_rate > league.away_rate  # home advantage
    assert nobody.home_rate + nobody.away_rate == pytest.approx(2.63, abs=0.1)
    assert bits(anywhere) == bits(strong)


def test_a_red_card_costs_its_side_and_helps_the_other(forecaster: TorchForecaster) -> None:
    level = ForecastInputs(anchor_1x2=PRICES, period=2)
    before, after = forecaster.predict([level, msgspec.structs.replace(level, home_reds=1)])
    assert after.distribution.next_home < before.distribution.next_home
    assert after.distribution.next_away > before.distribution.next_away
    assert three_way(after)[0] < three_way(before)[0]


def test_a_pickled_forecaster_says_the_same(forecaster: TorchForecaster) -> None:
    rows = many_inputs(20, seed=9)
    copy = pickle.loads(pickle.dumps(forecaster))
    assert [bits(p) for p in copy.predict(rows)] == [bits(p) for p in forecaster.predict(rows)]


def test_nothing_to_predict_is_nothing(forecaster: TorchForecaster) -> None:
    assert forecaster.predict([]) == []


def test_golden_vectors_come_back_to_the_bit(forecaster: TorchForecaster) -> None:
    assert len(forecaster.manifest.golden) >= 5
    assert forecaster.verify() < 1e-12  # 0.0 where the model was fitted; another libm may round a de-vigged price


def test_the_published_grid_cannot_be_written_to(forecaster: TorchForecaster) -> None:
    with pytest.raises(ValueError, match="read-only"):
        forecaster.predict([ForecastInputs()])[0].distribution.remaining[0, 0] = 1.0


# --- the clock and the chain


def shipped_clock() -> ClockShares:
    tensors = load_file(SHIPPED / WEIGHTS)
    return clock_shares(tensors["share"], tensors["stoppage"])


def test_what_is_still_to_come_never_grows_and_ends_at_nought() -> None:
    clock = shipped_clock()
    points = [(0, 0)] + [(period, second * 1000) for period in (1, 2) for second in range(58 * 60)] + [(3, 0)]
    left = [math.fsum(clock.to_come(*point)) for point in points]
    assert left[0] == pytest.approx(1)
    assert all(later <= now for now, later in pairwise(left))
    assert min(left[:-1]) > 0
    assert left[-1] == 0
    blocks = [clock.to_come(*point) for point in points]
    assert all(y <= x for now, later in pairwise(blocks) for x, y in zip(now, later, strict=True))


def test_a_tick_within_play_always_takes_something_away() -> None:
    clock = ClockShares(
        blocks=(1 / BLOCKS,) * BLOCKS,
        first_stoppage_share=0.2,
        first=Stoppage(floor=0.5, decay_s=60),
        second=Stoppage(floor=0.3, decay_s=90),
    )
    for period in (1, 2):
        left = [math.fsum(clock.to_come(period, second * 1000)) for second in range(0, 50 * 60, 5)]
        assert all(later < now for now, later in pairwise(left))


def flat_shares(rows: int) -> torch.Tensor:
    return torch.full((BLOCKS, rows), 1 / BLOCKS, dtype=torch.float64)


def test_without_score_effects_the_chain_is_two_independent_poissons() -> None:
    chain = ScoreChain(torch.ones((2, BLOCKS, LEADS), dtype=torch.float64))
    rates = torch.tensor([[1.7], [0.9]], dtype=torch.float64)
    lead, tilt = torch.zeros(1, dtype=torch.int64), torch.ones(1, dtype=torch.float64)
    grids = score_grids(chain, rates, flat_shares(1), lead, tilt)
    remaining, (next_home, next_away) = grids.remaining, grids.first
    k = np.arange(6)
    factorials = np.array([math.factorial(x) for x in k])
    home, away = (np.exp(-rate) * rate**k / factorials for rate in (1.7, 0.9))
    assert remaining[0, :6, :6] == pytest.approx(np.outer(home, away), abs=2e-6)
    some = 1 - math.exp(-2.6)
    assert (next_home[0], next_away[0]) == pytest.approx((some * 1.7 / 2.6, some * 0.9 / 2.6), abs=2e-6)


def euler(effect: np.ndarray, home: float, away: float, lead: int, tilt: float, steps: int) -> tuple[np.ndarray, float]:
    """Play the chain in small steps, one cell at a time: slow, and free of anything the module does."""
    grid, first = np.zeros((2, GOALS, GOALS)), 0
    grid[0, 0, 0] = 1
    for step in range(BLOCKS * steps):
        block, new = step // steps, grid.copy()
        for i in range(GOALS):
            for j in range(GOALS):
                state = min(max(lead + i - j, -3), 3) + 3
                out_home = home * effect[0, block, state] / BLOCKS / steps * (i < GOALS - 1)
                out_away = away * effect[1, block, state] / BLOCKS / steps * (j < GOALS - 1)
                new[:, i, j] -= grid[:, i, j] * (out_home + out_away)
                if out_home:
                    new[:, i + 1, j] += grid[:, i, j] * out_home
                    new[1, i + 1, j] += grid[0, i, j] * out_home * (i == j == first)
                if out_away:
                    new[:, i, j + 1] += grid[:, i, j] * out_away
        grid = new
    index = np.arange(GOALS)
    grid[:, lead + np.subtract.outer(index, index) == 0] *= tilt
    return grid[0] / grid[0].sum(), float(grid[1].sum() / grid[0].sum())


def test_with_score_effects_and_tilt_the_chain_is_what_small_steps_give() -> None:
    effect = np.exp(np.random.default_rng(2).normal(0, 0.3, (2, BLOCKS, LEADS)))
    rates = torch.tensor([[1.9], [1.2]], dtype=torch.float64)
    lead, tilt = torch.tensor([-1]), torch.tensor([1.2], dtype=torch.float64)
    grids = score_grids(ScoreChain(torch.from_numpy(effect)), rates, flat_shares(1), lead, tilt)
    remaining, (next_home, _) = grids.remaining, grids.first
    expected, opened = euler(effect, 1.9, 1.2, -1, 1.2, steps=40)
    assert remaining[0] == pytest.approx(expected, abs=1e-3)  # the steps' own error, which halves with their length
    assert next_home[0] == pytest.approx(opened, abs=1e-3)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40))
def test_a_tree_sum_is_the_sum(values: list[float]) -> None:
    assert float(tree_sum(torch.tensor(values, dtype=torch.float64))) == pytest.approx(math.fsum(values), abs=1e-12)


# --- files that must not be served


def rewrite(folder: Path, weights: bytes) -> None:
    """Put other weights into a model with a manifest that vouches for them."""
    (folder / WEIGHTS).write_bytes(weights)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["weights_sha256"] = sha256(weights)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def test_changed_weights_are_refused_by_hash(folder: Path) -> None:
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS).write_bytes(bytes(content))
    with pytest.raises(ModelRejected, match="expected sha256"):
        TorchForecaster(folder)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("effect", torch.full((2, BLOCKS, LEADS), torch.nan, dtype=torch.float64), "NaN"),
        ("share", torch.full((BLOCKS,), torch.inf, dtype=torch.float64), "infinity"),
        ("share", torch.full((BLOCKS,), 0.1, dtype=torch.float64), "must sum to 1"),
        ("red_factor", torch.tensor([-1.0, 1.0], dtype=torch.float64), "positive"),
        ("red_factor", torch.ones(3, dtype=torch.float64), r"expected float64 \(2,\)"),
        ("red_factor", torch.ones(2), "received torch.float32"),
        ("surprise", torch.ones(2, dtype=torch.float64), "expected the tensors"),
    ],
)
def test_weights_of_other_names_shapes_or_values_are_refused(
    folder: Path, name: str, value: torch.Tensor, problem: str
) -> None:
    rewrite(folder, save(load_file(folder / WEIGHTS) | {name: value}))
    with pytest.raises(ModelRejected, match=problem):
        TorchForecaster(folder)


def test_a_pickle_is_refused_under_any_name(folder: Path) -> None:
    (folder / "weights.pt").write_bytes(pickle.dumps({"effect": 1}))
    with pytest.raises(ModelRejected, match="pickles are never loaded"):
        TorchForecaster(folder)
    (folder / "weights.pt").unlink()
    rewrite(folder, pickle.dumps({"effect": 1}))
    with pytest.raises(ModelRejected, match="not a safetensors file"):
        TorchForecaster(folder)


@pytest.mark.parametrize("name", [WEIGHTS, VOCABULARY, MANIFEST])
def test_a_missing_file_or_a_link_is_refused(folder: Path, name: str) -> None:
    (folder / name).rename(folder / "elsewhere")
    with pytest.raises(ModelRejected, match="no such file"):
        TorchForecaster(folder)
    (folder / name).symlink_to(folder / "elsewhere")
    with pytest.raises(ModelRejected, match="plain file"):
        TorchForecaster(folder)


def test_a_file_beyond_the_size_limit_is_refused_unread(folder: Path) -> None:
    with (folder / WEIGHTS).open("ab") as file:
        file.truncate(17 * 2**20)  # sparse
    with pytest.raises(ModelRejected, match="limit"):
        TorchForecaster(folder)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"format": "x"}', "\x00"])
def test_a_manifest_that_is_none_is_refused(folder: Path, content: str) -> None:
    (folder / MANIFEST).write_text(content)
    with pytest.raises(ModelRejected, match="not what it should be"):
        TorchForecaster(folder)


def test_weights_that_answer_otherwise_than_the_golden_vectors_are_refused(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    rewrite(folder, save(tensors | {"red_factor": tensors["red_factor"] * 1.001}))
    with pytest.raises(ModelRejected, match="golden vectors differ"):
        load_model(folder)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRejected, match="no such folder"):
        TorchForecaster(tmp_path / "nothing")
