"""The schedule on a clock of its own: due or not, never two at once, and no hot loop where a process dies."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from cluster.retraining import Retraining, start_process
from conf.run import load, setting
from training.decisions import FOLDER, Decision, Outcome, write_decision

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Process:
    """One that ends when told."""

    def __init__(self) -> None:
        self.code: int | None = None

    def poll(self) -> int | None:
        return self.code


class World:
    """A clock, and the processes that were started."""

    def __init__(self, folder: Path, *overrides: str) -> None:
        self.now, self.started, self.commands = NOON, list[Process](), list[Sequence[str]]()
        self._folder, self._overrides = folder, overrides
        self.restart()

    def restart(self) -> None:
        config = load([setting("data.folder", self._folder), *self._overrides])
        self.retraining = Retraining(config, self._overrides, lambda: self.now, self._start)

    def _start(self, command: Sequence[str], folder: Path) -> Process:
        assert folder == self._folder / FOLDER
        self.commands.append(command)
        self.started.append(Process())
        return self.started[-1]

    def after(self, hours: float = 0.0) -> int:
        """Let time pass; return how many have been started since the beginning."""
        self.now += hours * HOUR
        self.retraining.tend()
        return len(self.started)

    def decide(self, outcome: Outcome, ended: bool = True) -> None:
        decision = Decision(began_at=self.now, as_of=date(2026, 3, 10), outcome=outcome)
        write_decision(self._folder / FOLDER, decision if not ended else _ended(decision, self.now))
        self.started[-1].code = 0 if ended else -9


def _ended(decision: Decision, at: datetime) -> Decision:
    return Decision(began_at=decision.began_at, as_of=decision.as_of, outcome=decision.outcome, ended_at=at)


def test_it_is_off_in_the_demo(tmp_path: Path) -> None:
    assert World(tmp_path).after(1000) == 0


def test_once_a_day_with_the_options_of_the_system_and_never_two_at_once(tmp_path: Path) -> None:
    world = World(tmp_path, "retrain=daily", "serve.port=8123")
    assert world.after() == 1
    assert world.commands[0][1:] == ["-m", "training.retrain", "when=now", "retrain=daily", "serve.port=8123"]
    assert world.after(30) == 1  # it takes its time
    world.decide("rejected")
    assert world.after(23) == 1
    assert world.after(1) == 2


@pytest.mark.parametrize("outcome", ["accepted", "rejected", "too little data", "failed"])
def test_a_restart_does_not_begin_anew(tmp_path: Path, outcome: Outcome) -> None:
    world = World(tmp_path, "retrain=daily")
    world.after()
    world.decide(outcome)
    world.restart()
    assert world.after(1) == 1
    assert world.after(23) == 2


def test_what_a_stop_interrupted_goes_on_at_the_next_start(tmp_path: Path) -> None:
    world = World(tmp_path, "retrain=daily")
    world.after()
    world.decide("under way", ended=False)
    world.restart()
    assert world.after() == 2


def test_a_process_that_dies_without_a_word_is_given_an_hour(tmp_path: Path) -> None:
    world = World(tmp_path, "retrain=daily")
    world.after()
    world.started[0].code = 2
    assert [world.after(0.5), world.after(0.25), world.after(1)] == [1, 1, 2]


def test_at_night(tmp_path: Path) -> None:
    world = World(tmp_path, "retrain=daily", "retrain.at='03:30'")
    assert [world.after(15), world.after(0.5)] == [0, 1]


def test_a_process_has_the_lowest_priority_and_one_thread(tmp_path: Path) -> None:
    process = start_process(["sh", "-c", "echo $(nice) $OMP_NUM_THREADS"], tmp_path / "made")
    # The lowest priority is the point of it: beside two busy lanes it may wait long for its turn.
    assert process.wait(timeout=300) == 0
    assert (tmp_path / "made" / "retrain.log").read_text() == "19 1\n"
