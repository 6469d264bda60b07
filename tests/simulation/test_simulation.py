"""A hundred thousand seeded schedules of faults and crashes against the real owner, history writer and readers' rule.

Log, stores and model are simulated, everything in this process, no thread and no socket: a schedule is its seed, and
one that fails fails again. What goes wrong, and how often: tests/simulation/fates.py.
"""

import gc
import logging
import multiprocessing
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.simulation.fates import FATES, OPERATIONS, struck
from tests.simulation.feeds import FEEDS, feed_of
from tests.simulation.hub import TracingHub, Violation
from tests.simulation.memo import simulated
from tests.simulation.planted import PLANTED, Plant
from tests.simulation.schedules import play

SCHEDULES = 100_000
PROCESSES = 2
LEAST = 25  # times that each kind of fault must have struck, of everything that it can strike
FOUND_WITHIN = 5_000  # schedules
LAST_STEPS = 60

Struck = Counter[tuple[int, int]]


def play_all(first: int, end: int) -> tuple[Struck, float, int | None]:
    """Play the schedules of some seeds; return what struck, seconds of CPU, and the first seed that failed."""
    logging.disable(logging.CRITICAL)
    began = time.process_time()
    with simulated() as hub:
        gc.freeze()  # what is remembered stays: looking through it again and again would cost a tenth
        for seed in range(first, end):
            try:
                play(hub, seed)
            except Violation:
                return hub.struck, time.process_time() - began, seed
    return hub.struck, time.process_time() - began, None


def told(seed: int) -> str:
    """Say what happened in a schedule, step by step, to its end."""
    with simulated(kind=TracingHub) as hub:
        assert isinstance(hub, TracingHub)
        try:
            play(hub, seed)
        except Violation as violation:
            return "\n".join([*hub.trace[-LAST_STEPS:], f"seed {seed}: {violation}"])
    return f"seed {seed} fails only behind those before it"


def test_no_schedule_of_faults_breaks_a_promise(capsys: pytest.CaptureFixture[str]) -> None:
    share = SCHEDULES // PROCESSES
    with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn")) as pool:
        firsts = range(0, SCHEDULES, share)
        played = list(pool.map(play_all, firsts, (first + share for first in firsts)))
    failed = [seed for _, _, seed in played if seed is not None]
    assert not failed, told(failed[0])
    total = sum((found for found, _, _ in played), Counter())
    rare = [f"{OPERATIONS[o]}: {FATES[f]}: {total[o, f]}" for o, f in struck() if total[o, f] < LEAST]
    assert not rare, rare
    cpu_s = sum(each for _, each, _ in played)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{SCHEDULES:,} schedules in {cpu_s:.0f} s of CPU, {total.total():,} faults and pauses struck\n"
        )


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    with simulated() as hub:
        plant(monkeypatch)
        with pytest.raises(Violation):
            for seed in range(FOUND_WITHIN):
                play(hub, seed)


def test_what_is_remembered_changes_nothing() -> None:
    def seen(remembering: bool) -> list[object]:
        with simulated(remembering) as hub:
            worlds = [play(hub, seed) for seed in range(100)]
            return [
                [(world.log.forecasts, world.snapshots.kept, world.history and world.history.rows) for world in worlds],
                hub.struck,
            ]

    assert seen(True) == seen(False)


def test_a_schedule_is_its_seed() -> None:
    def trace(seed: int) -> list[str]:
        with simulated(kind=TracingHub) as hub:
            assert isinstance(hub, TracingHub)
            play(hub, seed)
            return hub.trace

    assert all(feed_of(number) for number in range(FEEDS))
    for seed in range(50):
        assert trace(seed) == trace(seed)
