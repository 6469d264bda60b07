"""A small recurrent encoder of a match's events, pre-trained to foretell the next event, shots and the next goal."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.live_data import FloatArray
from training.sequence.events import KINDS
from training.sequence.view import GROUPS, NONE, NUMBERS, UNKNOWN, View

WIDTH = 48
BATCH = {"wyscout": 40, "understat": 256}  # matches; sequences of 600 and of 25 tokens
_KIND_WIDTH, _DROPOUT, _DECAY, _RATE, _WARM_UP = 12, 0.2, 0.02, 5e-3, 0.2
_READ_AT_ONCE = 256

Views = Sequence[tuple[View, View]]  # of each match, as home and as away sees it


class Encoder(nn.Module):
    """A GRU over tokens, and a linear head for each thing foretold."""

    def __init__(self) -> None:
        super().__init__()
        self.kind = nn.Embedding(KINDS, _KIND_WIDTH)
        self.token = nn.Linear(_KIND_WIDTH + NUMBERS, WIDTH)
        self.over_time = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.drop = nn.Dropout(_DROPOUT)
        self.next_group, self.shots, self.next_goal = (nn.Linear(WIDTH, width) for width in (GROUPS, 2, NONE + 1))

    def forward(self, kind: Tensor, numbers: Tensor) -> Tensor:
        """Return the states (rows, T, WIDTH), each of the tokens up to it; padding behind the end changes none."""
        tokens = torch.tanh(self.token(torch.cat([self.kind(kind), numbers], dim=-1)))
        states: Tensor = self.drop(self.over_time(tokens)[0])
        return states

    def outlook(self, states: Tensor) -> Tensor:
        """Return (..., 4): logits of a shot soon, own and opponent's; log odds of either's next goal against none."""
        goal = self.next_goal(states)
        return torch.cat([self.shots(states), goal[..., :NONE] - goal[..., NONE:]], dim=-1)


def pretrain(views: Views, batch: int, epochs: int, seed: int, report: Callable[[str], None]) -> Encoder:
    """Train an encoder on matches, each seen by one of its sides, drawn anew, in every epoch."""
    torch.manual_seed(seed)
    random, encoder = np.random.default_rng(seed), Encoder()
    optimiser = torch.optim.AdamW(encoder.parameters(), _RATE, weight_decay=_DECAY)
    steps = epochs * -(-len(views) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps, pct_start=_WARM_UP)
    for epoch in range(epochs):
        losses = []
        for rows in np.array_split(random.permutation(len(views)), -(-len(views) // batch)):
            sides = random.integers(2, size=len(rows)).tolist()
            parts = _losses(encoder, [views[row][side] for row, side in zip(rows.tolist(), sides, strict=True)])
            optimiser.zero_grad()
            torch.autograd.backward(parts.sum())
            nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            losses.append(parts.detach())
        said = ", ".join(f"{loss:.4f}" for loss in torch.stack(losses).mean(dim=0).tolist())
        report(f"epoch {epoch + 1} of {epochs}: loss of next event, shots, next goal {said}")
    return encoder.eval()


def read_out(encoder: Encoder, views: Views, whole_state: bool) -> FloatArray:
    """Return what the encoder makes of each match at MINUTES, (2, MINUTES, n, 4), or with its states (.., WIDTH)."""
    sides = []
    with torch.inference_mode():
        for side in (0, 1):
            parts = []
            for seen in _chunks([pair[side] for pair in views]):
                states = encoder(*_tokens(seen))
                at = torch.from_numpy(np.stack([each.at for each in seen]))
                now = states[torch.arange(len(seen)).unsqueeze(1), at]
                parts.append((now if whole_state else encoder.outlook(now)).double().numpy())
            sides.append(np.concatenate(parts).swapaxes(0, 1))
    return np.stack(sides)


def _losses(encoder: Encoder, seen: Sequence[View]) -> Tensor:
    """Return the mean losses a token, (3,): next event, shots soon, next goal."""
    states = encoder(*_tokens(seen))
    real = _padded([np.ones(len(each.kind), np.float32) for each in seen])
    group = _padded([each.next_group for each in seen], UNKNOWN)
    soon, goal = _padded([each.shot_soon for each in seen]), _padded([each.next_goal for each in seen])
    of_group = functional.cross_entropy(encoder.next_group(states).transpose(1, 2), group, ignore_index=UNKNOWN)
    of_shots = functional.binary_cross_entropy_with_logits(encoder.shots(states), soon, reduction="none").sum(dim=-1)
    of_goal = functional.cross_entropy(encoder.next_goal(states).transpose(1, 2), goal, reduction="none")
    return torch.stack([of_group, (of_shots * real).sum() / real.sum(), (of_goal * real).sum() / real.sum()])


def _tokens(seen: Sequence[View]) -> tuple[Tensor, Tensor]:
    return _padded([each.kind for each in seen]), _padded([each.numbers for each in seen])


def _padded(rows: Sequence[np.ndarray], value: int = 0) -> Tensor:
    return nn.utils.rnn.pad_sequence([torch.from_numpy(row) for row in rows], batch_first=True, padding_value=value)


def _chunks(seen: Sequence[View]) -> Iterator[Sequence[View]]:
    for start in range(0, len(seen), _READ_AT_ONCE):
        yield seen[start : start + _READ_AT_ONCE]
