"""The experiment with an encoder of events: it knows no future, and its correction finds what there is to find."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from training.chain import GOALS
from training.fit_corrections import MINUTES
from training.sequence.__main__ import INPUTS, SequenceConfig, Side, corrections_of, main, table
from training.sequence.correction import Known, fit_and_apply, gains
from training.sequence.encoder import Encoder, read_out
from training.sequence.events import Events
from training.sequence.view import NONE, OPPONENT, OWN, UNKNOWN, view, window_counts

LEVEL = np.zeros(2)


def a_match(seconds: Sequence[int], sides: Sequence[int], shots: Sequence[bool], scored: Sequence[int]) -> Events:
    """Return a match of these events, of which the ones from the 2,700th second on are of the second half."""
    t_s, count = np.array(seconds), len(seconds)
    second = t_s >= 2700
    place = np.linspace(10.0, 90.0, count)
    return Events(
        period=1 + second.astype(np.int64),
        t_ms=1000 * (t_s - 2700 * second),
        side=np.array(sides),
        kind=np.arange(count) % 100,
        group=np.arange(count) % 10,
        x=place,
        y=place,
        end_x=np.full(count, np.nan),
        end_y=place,
        success=np.ones(count, np.int64),
        scored=np.array(scored),
        shot=np.array(shots),
        xg=0.1 * np.array(shots),
    )


def a_drawn_match(random: np.random.Generator, events: int = 40) -> Events:
    seconds = np.sort(random.integers(0, 5400, events)).tolist()
    shots = random.random(events) < 0.3
    goals = (shots & (random.random(events) < 0.2)).astype(int)
    return a_match(seconds, random.integers(0, 2, events).tolist(), shots.tolist(), goals.tolist())


def a_world(n: int, random: np.random.Generator, effect: float = 0.0) -> tuple[Known, np.ndarray]:
    """Return what a model knows of goalless matches, and one input (2, MINUTES, n, 1) that it has missed."""
    share = 1 - np.array(MINUTES) / 90
    missed = np.repeat(random.normal(size=(2, 1, n)), len(MINUTES), axis=1)
    expected = np.broadcast_to(1.4 * share[:, None], (2, len(MINUTES), n))
    count = np.arange(GOALS)
    factorial = np.cumprod(np.maximum(count, 1))
    poisson = (1.4 * share[:, None]) ** count * np.exp(-1.4 * share[:, None]) / factorial
    grid = np.broadcast_to((poisson[:, :, None] * poisson[:, None, :])[:, None], (len(MINUTES), n, GOALS, GOALS))
    goals = random.poisson(1.4 * np.exp(effect * missed[:, 0] - effect**2 / 2))
    known = Known(
        remaining=grid,
        expected=expected,
        to_come=random.binomial(goals[:, None], share[:, None]),
        context=np.ones((2, len(MINUTES), n, 1)),
        log_rates=np.zeros((2, n)),
        lead=np.zeros((len(MINUTES), n), np.int64),
        outcome=np.where(goals[0] > goals[1], 0, np.where(goals[0] < goals[1], 2, 1)),
    )
    return known, missed[..., None]


def test_each_token_is_to_foretell_what_comes_behind_it_in_the_eyes_of_the_side_that_looks() -> None:
    match = a_match([10, 600, 2690, 2710], sides=[0, 1, 0, 1], shots=[False, True, False, True], scored=[0, 1, -1, 0])
    home, away = (view(match, side, LEVEL) for side in (0, 1))
    assert home.next_goal.tolist() == [OPPONENT, OPPONENT, OPPONENT, NONE, NONE]  # the own goal counts for away
    assert away.next_goal.tolist() == [OWN, OWN, OWN, NONE, NONE]
    assert home.next_group.tolist() == [0, 11, 2, UNKNOWN, UNKNOWN]
    assert home.shot_soon.tolist() == [[0, 0]] * 5  # no shot within five minutes of the same half
    assert view(match, 1, LEVEL).at[[0, 1, 7, 8]].tolist() == [1, 1, 2, 3]  # 5', 10', 40', 45'


def test_windows_count_own_and_the_opponents_last_minutes() -> None:
    match = a_match([10, 200, 290, 1000], sides=[0, 1, 0, 1], shots=[False, True, True, True], scored=[0, 0, 0, 0])
    counts = window_counts(match, 0)[0] ** 2  # the fifth minute
    assert counts[[0, 9]].tolist() == pytest.approx([1, 1])
    assert counts[[1, 10]].tolist() == pytest.approx([0.1, 0.1])


def test_what_comes_later_changes_nothing_that_was_read_before() -> None:
    random = np.random.default_rng(1)
    match, other = a_drawn_match(random), a_drawn_match(random)
    past = match.minute() < 45
    mixed = Events(
        **{
            each.name: np.concatenate([getattr(match, each.name)[past], getattr(other, each.name)[other.period == 2]])
            for each in fields(Events)
        }
    )
    torch.manual_seed(0)
    encoder = Encoder().eval()
    one, two = (
        read_out(encoder, [(view(each, 0, LEVEL), view(each, 1, LEVEL))], whole_state=True) for each in (match, mixed)
    )
    until = MINUTES.index(45) + 1
    assert one[:, :until] == pytest.approx(two[:, :until], abs=1e-6)
    assert np.abs(one[:, until:] - two[:, until:]).max() > 1e-3


def test_a_correction_finds_what_the_model_missed_and_a_strong_ridge_leaves_the_model_alone() -> None:
    random = np.random.default_rng(2)
    (past, missed), (later, later_missed) = (a_world(400, random, effect=0.4) for _ in range(2))
    free, shrunk = fit_and_apply(past, missed, later, later_missed, [1.0, 1e9])
    assert np.polyfit(later_missed.ravel(), free.ravel(), 1)[0] == pytest.approx(0.4, abs=0.06)
    assert np.abs(shrunk).max() < 1e-3
    rps, log = gains(later, free)
    assert rps.mean() < 0
    assert log.mean() < 0


def test_encoders_are_read_where_they_were_not_trained_and_every_input_is_scored(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    sides = []
    for n in (18, 4):
        known, _ = a_world(n, random)
        sides.append(Side(known=known, events=[a_drawn_match(random) for _ in range(n)]))
    config = SequenceConfig(epochs=1, precisions=[1e3], keep=str(tmp_path))
    found = corrections_of(*sides, config)
    assert set(found) == set(INPUTS)
    assert all(each.shape == (1, 2, len(MINUTES), 4) and np.isfinite(each).all() for each in found.values())
    for keep in (str(tmp_path), ""):  # taken from the folder, and pre-trained again from the same seed
        again = corrections_of(*sides, replace(config, keep=keep))
        assert all((found[name] == again[name]).all() for name in INPUTS)
    crossed = corrections_of(sides[0], None, replace(config, keep=str(tmp_path)))
    assert all(each.shape == (1, 2, len(MINUTES), 18) and (each != 0).any() for each in crossed.values())
    assert table(sides[1].known, found[INPUTS[0]][0], 1e3, seed=0)[1].startswith("  15'-75'")


@pytest.mark.parametrize("mistake", ["suite=betfair", "split=tomorrow", "inputs=[guesses]"])
def test_a_mistake_is_one_sentence(mistake: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([mistake]) == 2
    assert f"{mistake.split('=')[0]} must be of" in capsys.readouterr().err
