"""The world of one schedule: the log, the stores and the processes, and a supervisor that starts what is missing."""

from collections.abc import Callable

from msgspec import Struct

from actors.adapters.memory_view import MemoryView
from actors.domain.distribution import ForecastInputs, Prediction
from actors.domain.errors import ForecasterUnavailable, StoreUnavailable
from actors.domain.forecast import decode_published
from actors.domain.match import decode_state
from actors.history_writer import HistoryWriter
from actors.match import MatchActor
from actors.session import MatchPorts, MatchSettings
from tests.simulation.fates import PREDICT
from tests.simulation.feeds import Feed
from tests.simulation.hub import Hub, Process, Violation
from tests.simulation.log import SimulatedLog
from tests.simulation.reader import Kept, ViewFeeder
from tests.simulation.stores import SimulatedHistory, SimulatedSnapshots
from tests.simulation.witness import Witness
from tests.unit.fakes import predict

OWNER, HISTORY, READER = "owner", "history writer", "reader"
MEDDLINGS = 34  # kinds of what may be done to processes from outside, some of them alike
_PAUSED = 3  # so many processes stay paused; who was paused first then goes on
_OWNERS = 3  # so many run at once


class Plan(Struct, frozen=True, kw_only=True):
    """What kind of schedule it is."""

    feed: Feed
    settings: MatchSettings
    is_conflating: bool
    has_history: bool
    has_reader: bool


class World:
    """Everything but time: who is there, and what is durable."""

    def __init__(self, hub: Hub, plan: Plan) -> None:
        self.hub, self.plan, self.needs_owner = hub, plan, True
        self.witness = Witness(plan.feed.expected, decode_published, plan.is_conflating)
        self.log = SimulatedLog(hub, self.witness, plan.feed.records, plan.feed.announcement)
        self.snapshots = SimulatedSnapshots(hub, self.witness, decode_state)
        self.history = SimulatedHistory(hub, self.witness) if plan.has_history else None
        self.kept = Kept(MemoryView(tail_per_partition=100)) if plan.has_reader else None
        self._ports = MatchPorts(log=self.log, snapshots=self.snapshots, predict=_predicting(hub))

    def tend(self) -> None:
        """Start what is missing; one that is paused is missing too."""
        self.hub.settle()
        running = {task.process.role for task in self.hub.ready}
        if self.needs_owner and OWNER not in running:
            self._start_owner()
        if self.plan.has_history and HISTORY not in running:
            self.hub.start(HISTORY, lambda: HistoryWriter(lambda: self.log, lambda: self.history))
        if self.plan.has_reader and READER not in running:
            self._start_reader()
        if len(paused := self._are_paused()) > _PAUSED:
            self.hub.resume(paused[0])

    def meddle(self, how: int) -> None:
        """Do to some process what comes from outside, as a drawn number below `MEDDLINGS` has it."""
        hub = self.hub
        if how < 14:
            if hub.pulses:
                hub.run(hub.pulses[how % len(hub.pulses)])
        elif how < 24:
            if paused := self._are_paused():
                hub.resume(paused[how % len(paused)])
        elif how < 28:
            if len(self.owners()) < _OWNERS:
                self._start_owner()
        elif hub.ready:
            process = hub.ready[how % len(hub.ready)].process
            if how < 32 or process.role == READER:
                hub.kill(process)
            else:
                stop(process)

    def owners(self) -> list[Process]:
        """Return the owners that run, or think so."""
        return [task.process for task in self.hub.ready if task.process.role == OWNER]

    def has_owner(self) -> bool:
        """Say whether the newest epoch's owner is among those that run."""
        return any(epoch_of(process) == self.witness.epoch for process in self.owners())

    def _are_paused(self) -> list[Process]:
        return [process for process in self.hub.processes if process.is_paused and process.tasks]

    def _start_owner(self) -> None:
        fixture, settings = self.plan.feed.fixture, self.plan.settings
        self.hub.start(OWNER, lambda: MatchActor(fixture, lambda: self._ports, settings))

    def _start_reader(self) -> None:
        from_start = next(self.hub.draw, 0) & 1 == 0
        feeder = ViewFeeder(self.hub, self.log, self.kept, self.witness, from_start)
        self.hub.start(READER, lambda: self.hub.spawn("reader", feeder.run))


def _predicting(hub: Hub) -> Callable[[list[ForecastInputs]], list[Prediction]]:
    def answer(inputs: list[ForecastInputs]) -> list[Prediction]:
        try:
            hub.enter(PREDICT)
        except StoreUnavailable as error:
            raise ForecasterUnavailable(1.0, error.cause) from None
        return predict(inputs)

    return answer


def stop(process: Process) -> None:
    """Ask what runs in a process to come to an end."""
    process.what.stop()
    process.is_stopping = True
    for task in process.tasks:
        task.is_idle = False


def epoch_of(process: Process) -> int:
    """Return the epoch that an owner takes for its own.

    Raises:
        Violation: It died of something that is no fault of the world around it.
    """
    progress = process.what.progress()
    if progress.failed is not None:
        raise Violation(f"{process.name} failed: {progress.failed}")
    return progress.epoch
