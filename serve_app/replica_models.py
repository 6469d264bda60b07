"""The models that one forecaster replica has loaded: the one it serves, the one aside, and a few for replays.

A version that is to be served is loaded beside the one that serves, checked and warmed up; the change itself is the
assignment of one reference, which each batch reads once. So no request waits for it, and none sees two versions.
"""

import logging
import statistics
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Protocol

from actors.domain.distribution import ForecastInputs, Prediction, Predictions
from actors.domain.errors import ForecastingError, NoModel
from actors.domain.models import NO_ORDERS, Answer, Candidate, Orders, ReplicaReport

logger = logging.getLogger("touchline.models")

MOST_CPU_RATIO = 3.0
_ROUNDS = 9  # of each model, alternating; the median of nine shrugs off a few that were disturbed
_KEPT = 3  # beside the one served, the one before it and the candidate: those that replays asked for last
_FEWEST_ROWS = 32


class ServedModel(Protocol):
    """A forecaster that checked itself when it was loaded, and the inputs that it did so with."""

    @property
    def model_version(self) -> str: ...

    @property
    def golden_inputs(self) -> Sequence[ForecastInputs]: ...

    def predict(self, inputs: list[ForecastInputs]) -> list[Prediction]: ...

    def predict_rows(self, inputs: list[ForecastInputs]) -> Predictions: ...


class ReplicaModels:
    """What is loaded. `get`, `prepare` and `load_committed` block and belong to one thread; the rest never blocks."""

    def __init__(
        self, replica: str, load: Callable[[str], ServedModel], cpu_s: Callable[[], float] = time.thread_time
    ) -> None:
        """Take what loads a version from history, verified; raises ForecastingError. `cpu_s`: of the calling thread."""
        self._replica, self._load, self._cpu_s = replica, load, cpu_s
        self._serving: ServedModel | None = None
        self._loaded: OrderedDict[str, ServedModel] = OrderedDict()  # the least recently used first
        self._orders = NO_ORDERS
        self._answer: Answer | None = None
        self._unloadable: int | None = None  # the epoch whose version could not be loaded: say so once

    @property
    def serving(self) -> ServedModel:
        """The committed model, to be read once for each batch; raises NoModel."""
        if self._serving is None:
            raise NoModel("this replica has loaded none yet")
        return self._serving

    @property
    def is_up_to_date(self) -> bool:
        """Whether it serves what is committed."""
        return self._serving is not None and self._serving.model_version == self._orders.version

    def report(self) -> ReplicaReport:
        """Return what the registry is to know."""
        version = None if self._serving is None else self._serving.model_version
        return ReplicaReport(replica=self._replica, version=version, answer=self._answer)

    def heard(self, orders: Orders) -> Callable[[], None] | None:
        """Take orders: serve the committed version if it is loaded; return the work that is to be done aside."""
        self._orders = orders
        if orders.candidate is None:
            self._answer = None
        if not self.is_up_to_date and orders.version in self._loaded:
            self._flip()
        if not self.is_up_to_date and orders.version is not None:
            return self.load_committed
        candidate = orders.candidate
        if candidate is None or (self._answer is not None and self._answer.request == candidate.request):
            return None
        return lambda: self.prepare(candidate)

    def load_committed(self) -> None:
        """Load the committed version where it was not prepared here, as at a start; serve it once that is done."""
        version = self._orders.version
        assert version is not None
        try:
            self.get(version)
        except ForecastingError as error:
            if self._serving is None:
                raise
            if self._unloadable != self._orders.epoch:  # it goes on with the one it has, and tries again
                logger.error("Committed model not loaded", extra={"version": version, "problem": str(error)})
            self._unloadable = self._orders.epoch
        self._flip()

    def prepare(self, candidate: Candidate) -> None:
        """Load a candidate, compare its cost with that of the version served, warm it up; then answer."""
        try:
            model = self.get(candidate.version)
            ratio = None if candidate.was_live else cpu_ratio(model, self.serving, self._cpu_s)
            is_slow = ratio is not None and ratio > MOST_CPU_RATIO
            problem = f"takes {ratio:.1f} times the CPU, at most {MOST_CPU_RATIO:g} are allowed" if is_slow else None
            self._answer = Answer(request=candidate.request, problem=problem, cpu_ratio=ratio)
        except Exception as error:  # whatever is wrong with a candidate must not end the replica that serves
            logger.exception("Candidate not prepared", extra={"version": candidate.version})
            problem = str(error) if isinstance(error, ForecastingError) else repr(error)
            self._answer = Answer(request=candidate.request, problem=problem)

    def get(self, version: str) -> ServedModel:
        """Return any version that history keeps, loaded now or before; raises ForecastingError."""
        model = self._loaded.get(version)
        if model is None:
            model = self._load(version)
        self._loaded[version] = model
        self._loaded.move_to_end(version)
        for each in self._beyond_kept():
            del self._loaded[each]
        return model

    def _beyond_kept(self) -> list[str]:
        orders, serving = self._orders, self._serving
        pinned = {orders.version, orders.previous}
        pinned |= {serving.model_version} if serving else set()
        pinned |= {orders.candidate.version} if orders.candidate else set()
        return [version for version in self._loaded if version not in pinned][:-_KEPT]

    def _flip(self) -> None:
        model = self._loaded.get(self._orders.version or "")
        if model is not None:
            self._serving = model
            logger.info("Replica serves model", extra={"version": model.model_version, "epoch": self._orders.epoch})


def cpu_ratio(candidate: ServedModel, served: ServedModel, cpu_s: Callable[[], float]) -> float:
    """Return the CPU that a candidate takes over that of the model served: medians, alternating, on the same inputs.

    Both are warm then: the first round is not counted. Only this thread's CPU is, so live traffic does not disturb it.
    """
    inputs = [*candidate.golden_inputs, *served.golden_inputs]
    inputs *= -(-_FEWEST_ROWS // len(inputs))
    taken: dict[str, list[float]] = {"candidate": [], "served": []}
    for _ in range(_ROUNDS + 1):
        for name, model in (("candidate", candidate), ("served", served)):
            began = cpu_s()
            model.predict(inputs)
            taken[name].append(cpu_s() - began)
    return statistics.median(taken["candidate"][1:]) / statistics.median(taken["served"][1:])
