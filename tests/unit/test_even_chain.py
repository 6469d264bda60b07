"""The chain in one step: what the chain in nineteen steps says, whoever its neighbours are."""

import numpy as np
import pytest
import torch

from training.chain import BLOCKS, LEADS, ScoreChain, tree_sum
from training.even_chain import EvenChain, terms_needed

EFFECT = torch.exp(torch.linspace(-0.2, 0.2, 2 * LEADS, dtype=torch.float64)).view(2, LEADS)
ROWS = 60


def example() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(4)
    rates = torch.rand((2, ROWS), generator=random, dtype=torch.float64) * 3 + 0.05
    shares = torch.rand((BLOCKS, ROWS), generator=random, dtype=torch.float64) / BLOCKS
    return rates, shares, torch.randint(-5, 6, (ROWS,), generator=random)


def normalised(grid: torch.Tensor) -> torch.Tensor:
    return grid / tree_sum(grid[:, :, :ROWS].reshape(-1, ROWS)).repeat(grid.shape[2] // ROWS)


@pytest.mark.parametrize("first", [None, 0])
def test_one_step_says_what_nineteen_say(first: int | None) -> None:
    rates, shares, lead = example()
    steps = ScoreChain(EFFECT.unsqueeze(1).repeat(1, BLOCKS, 1))(rates, shares, lead, first=first)
    even = EvenChain(EFFECT)(rates, shares, lead, first=first)
    assert torch.allclose(normalised(steps), normalised(even), rtol=0, atol=2e-5)


def test_a_row_has_the_same_bits_alone_and_beside_any_other() -> None:
    rates, shares, lead = example()
    chain = EvenChain(EFFECT)
    together = chain(rates, shares, lead, first=0)
    for row in range(0, ROWS, 7):
        alone = chain(rates[:, [row]], shares[:, [row]], lead[[row]], first=0)
        assert torch.equal(alone, together[:, :, [row, ROWS + row]])


def test_the_series_is_long_enough_for_the_highest_hazard_of_its_class() -> None:
    for most in (0.2, 0.25, 0.9, 2.0, 3.4, 6.0, 9.9):
        (terms,) = terms_needed(np.array([most]))
        hazard, beyond = torch.tensor(most, dtype=torch.float64), torch.arange(int(terms) + 1, int(terms) + 60)
        assert float(torch.exp(beyond * hazard.log() - hazard - torch.lgamma(beyond + 1.0)).sum()) < 1e-8
