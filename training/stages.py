"""The fit as stages, each a pure function from what is known so far: a run that was ended goes on behind the last one.

The in-play network first: ratings; the score-state chain; red cards and stoppage; the corrections for what a match has
shown. Then the forecast before kick-off, a variant at a time. All of it from what is dated before `until`, so that one
model may be scored on every suite that begins there or later.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np
import torch

from training.anchored import clock_shares
from training.evidence import EvidenceReader
from training.fit_chain import Chain, fit_chain, fit_default_over, goals_and_lead, share_per_minute, solve_rates
from training.fit_corrections import fit_corrections, fit_shots, shot_scale
from training.fit_ratings import fit_ratings
from training.fit_reds import Reds, fit_reds
from training.fit_stoppage import fit_stoppage
from training.live_data import (
    FloatArray,
    LiveMatches,
    ReadColumns,
    load_half_lengths,
    load_live,
    load_results,
    need_rows,
    read_columns,
)
from training.model_file import Vocabulary
from training.prematch.fit import fit_recalibration, fit_variant
from training.prematch.inputs import PrematchInputs, prematch_inputs
from training.prematch.model import Variant
from training.prematch.store import arrays_of
from training.prematch.table import ResultTable, load_table

PREMATCH_PREFIX = "prematch/"  # of the arrays that are weights of the forecast before kick-off
_FIRST_DAY = date(1990, 1, 1)
_NO_NAMES = Vocabulary(leagues=(), teams=())


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is to be fitted and from what; data is read when a stage first asks for it."""

    root: Path
    until: date  # exclusive
    seed: int
    report: Callable[[str], None]
    read: ReadColumns = read_columns

    @cached_property
    def matches(self) -> LiveMatches:
        """Matches of understat, which has shots of many years."""
        return self._live("understat")

    @cached_property
    def cards(self) -> LiveMatches:
        """Matches of wyscout, which has times of cards."""
        return self._live("wyscout")

    @cached_property
    def results(self) -> ResultTable:
        """Every league's results."""
        table = load_table(self.root, self.read)
        table = table.rows(table.day < (self.until - date(1970, 1, 1)).days)
        need_rows(len(table), f"{self.root}: results has no match before {self.until}")
        return table

    @cached_property
    def prematch(self) -> PrematchInputs:
        """What was known before each of them."""
        self.report("results: ratings and inputs")
        return prematch_inputs(self.results)

    def _live(self, suite: str) -> LiveMatches:
        matches = load_live(self.root, suite, _FIRST_DAY, self.until, self.read)
        need_rows(len(matches), f"{self.root}: {suite} has no priced match before {self.until}")
        return matches


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What the finished stages found, and where the random numbers stand: all that the next stage goes on from."""

    random: Mapping[str, Any]  # state of numpy's bit generator
    done: tuple[str, ...] = ()
    arrays: Mapping[str, FloatArray] = field(default_factory=dict)
    vocabulary: Vocabulary = _NO_NAMES
    took_s: float = 0.0

    @classmethod
    def start(cls, seed: int) -> "Progress":
        """Return the progress of a run that has done nothing yet."""
        return cls(random=np.random.default_rng(seed).bit_generator.state)

    def generator(self) -> np.random.Generator:
        """Return random numbers from where they stand."""
        generator = np.random.default_rng()
        generator.bit_generator.state = dict(self.random)
        return generator

    def with_arrays(self, arrays: Mapping[str, FloatArray]) -> "Progress":
        """Return this with more arrays."""
        return replace(self, arrays={**self.arrays, **arrays})

    def chain(self) -> Chain:
        """Return the chain as it was fitted."""
        return Chain(log_effect=self.arrays["log_effect"], share=self.arrays["share"])


Stage = Callable[[Work, Progress], Progress]


def run_stages(work: Work, progress: Progress, keep: Callable[[Progress], None]) -> Progress:
    """Run the stages that are not done yet; each one's result is handed to `keep` before the next begins.

    Raises:
        SetupError: The data is not there, cannot be read, or has nothing to fit on.
    """
    for number, (name, stage) in enumerate(STAGES.items(), start=1):
        if name in progress.done:
            continue
        work.report(f"{number}/{len(STAGES)} {name}")
        began = time.monotonic()
        with torch.inference_mode():
            progress = stage(work, progress)
        took_s = progress.took_s + time.monotonic() - began
        progress = replace(progress, done=(*progress.done, name), took_s=took_s)
        keep(progress)
    return progress


def _ratings(work: Work, progress: Progress) -> Progress:
    arrays, vocabulary = fit_ratings(load_results(work.root, work.until, work.read), work.until)
    return replace(progress.with_arrays(arrays), vocabulary=vocabulary)


def _chain(work: Work, progress: Progress) -> Progress:
    default_over = fit_default_over(work.matches)
    chain = fit_chain(work.matches, default_over, work.report)
    return progress.with_arrays({"default_over": default_over, "log_effect": chain.log_effect, "share": chain.share})


def _cards(work: Work, progress: Progress) -> Progress:
    reds = fit_reds(work.cards, progress.chain(), progress.arrays["default_over"])
    stoppage = fit_stoppage(load_half_lengths(work.root, work.until, work.read))
    arrays = {"red_log_factor": reds.log_factor, "red_covariance": reds.covariance, "stoppage": stoppage}
    return progress.with_arrays(arrays)


def _corrections(work: Work, progress: Progress) -> Progress:
    """Fit what a match has shown against what was expected of it; shots are expected as understat counts them."""
    matches, cards, chain, known = work.matches, work.cards, progress.chain(), progress.arrays
    solved, solved_cards = (solve_rates(chain, each, known["default_over"]) for each in (matches, cards))
    (_, lead), (_, lead_cards) = goals_and_lead(matches), goals_and_lead(cards)
    shots = fit_shots(matches, solved.rates.numpy(), share_per_minute(chain.share, lead), lead)
    along = share_per_minute(chain.share, lead_cards)
    scale = shot_scale(cards, shots, solved_cards.rates.numpy(), along, lead_cards)
    clock = clock_shares(torch.from_numpy(chain.share), torch.from_numpy(known["stoppage"]))
    reader = EvidenceReader(clock=clock, effect=chain.module().effect.tolist(), shots=shots)
    reds = Reds(log_factor=known["red_log_factor"], covariance=known["red_covariance"])
    fitted = fit_corrections(matches, solved, chain.module(), reader, reds, work.seed)
    arrays = {"shot_level": np.array(shots.level), "shot_effect": np.array(shots.effect)}
    arrays |= {"shot_scale": np.array([1.0, scale]), "weights": fitted.weights, "spread": fitted.spread}
    vocabulary = msgspec.structs.replace(progress.vocabulary, shot_providers=(matches.suite, cards.suite))
    return replace(progress.with_arrays(arrays), vocabulary=vocabulary)


def _variant(variant: Variant, work: Work, progress: Progress) -> Progress:
    random = progress.generator()
    linear = fit_variant(variant, work.results, work.prematch, random, work.report)
    arrays = {PREMATCH_PREFIX + key: array for name in linear for key, array in arrays_of(name, linear[name]).items()}
    return replace(progress.with_arrays(arrays), random=random.bit_generator.state)


def _recalibration(work: Work, progress: Progress) -> Progress:
    random = progress.generator()
    found = fit_recalibration(work.results, work.prematch, random)
    return replace(progress.with_arrays({f"{PREMATCH_PREFIX}recalibration": found}), random=random.bit_generator.state)


STAGES: Mapping[str, Stage] = MappingProxyType(
    {
        "results: team ratings": _ratings,
        "understat: the chain": _chain,
        "wyscout: red cards and stoppage": _cards,
        "understat: corrections": _corrections,
        "before kick-off, no odds": partial(_variant, "no_odds"),
        "before kick-off, past odds": partial(_variant, "past_odds"),
        "before kick-off, early odds": partial(_variant, "pre_odds"),
        "before kick-off, the close": _recalibration,
    }
)
