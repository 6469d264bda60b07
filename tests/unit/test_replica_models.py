"""A replica's models: loaded aside, checked, and changed between two batches; a broken one never answers."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from actors.domain.distribution import ForecastInputs, Prediction, Predictions
from actors.domain.errors import ModelRejected, NoModel
from actors.domain.models import Candidate, Orders
from actors.domain.ports import ModelRow
from cluster.audit import MODELS as MODELS_FOLDER
from cluster.held_models import load_kept, pack
from serve_app.replica_models import ReplicaModels
from tests.unit import fakes

INPUTS = [ForecastInputs(period=1, clock_ms=60_000)]


class Clock:
    """CPU seconds that models spend when they predict."""

    def __init__(self) -> None:
        self.spent_s = 0.0

    def __call__(self) -> float:
        return self.spent_s


class FakeModel:
    """A model of one name, which takes as long as it is told to."""

    def __init__(self, version: str, clock: Clock, cost_s: float = 0.001) -> None:
        self.model_version, self._clock, self._cost_s = version, clock, cost_s
        self.golden_inputs = INPUTS

    def predict(self, inputs: list[ForecastInputs]) -> list[Prediction]:
        self._clock.spent_s += self._cost_s
        return [msgspec.structs.replace(each, model_version=self.model_version) for each in fakes.predict(inputs)]

    def predict_rows(self, inputs: list[ForecastInputs]) -> Predictions:
        return fakes.joined(self.predict(inputs))


class Shelf:
    """Loads models by name, and counts."""

    def __init__(self, **cost_s: float) -> None:
        self.clock, self.cost_s, self.loads = Clock(), cost_s, list[str]()

    def load(self, version: str) -> FakeModel:
        self.loads.append(version)
        if version not in self.cost_s:
            raise ModelRejected(version, "golden vectors differ by nan")
        return FakeModel(version, self.clock, self.cost_s[version])

    def replica(self) -> ReplicaModels:
        return ReplicaModels("r1", self.load, self.clock)


def told(
    models: ReplicaModels, version: str, *, previous: str | None = None, candidate: Candidate | None = None
) -> bool:
    """Give orders and do what is to be done aside; say whether there was anything."""
    work = models.heard(Orders(epoch=1, version=version, previous=previous, candidate=candidate))
    if work is not None:
        work()
    return work is not None


def a_candidate(version: str, request: str = "s", *, was_live: bool = False) -> Candidate:
    return Candidate(request=request, version=version, was_live=was_live)


def started(**cost_s: float) -> tuple[ReplicaModels, Shelf]:
    shelf = Shelf(**cost_s)
    models = shelf.replica()
    told(models, "a")
    return models, shelf


def test_a_new_replica_loads_the_committed_version_and_answers_with_nothing_before() -> None:
    models = Shelf(a=0.001).replica()
    with pytest.raises(NoModel):
        _ = models.serving
    told(models, "a")
    assert models.is_up_to_date and models.serving.model_version == "a"


def test_a_candidate_is_loaded_aside_acknowledged_and_served_from_the_commit_on_without_waiting() -> None:
    models, shelf = started(a=0.001, b=0.002)
    assert told(models, "a", candidate=a_candidate("b"))
    answer = models.report().answer
    assert answer is not None and (answer.request, answer.problem) == ("s", None)
    assert answer.cpu_ratio == pytest.approx(2.0)
    assert models.serving.model_version == "a"
    assert not told(models, "a", candidate=a_candidate("b"))  # prepared once
    assert not told(models, "b", previous="a")  # nothing is left to be loaded
    assert (models.serving.model_version, models.report().answer, shelf.loads) == ("b", None, ["a", "b"])


def test_a_batch_that_has_begun_ends_with_the_model_it_began_with() -> None:
    models, _ = started(a=0.001, b=0.001)
    told(models, "a", candidate=a_candidate("b"))
    before = models.serving
    told(models, "b", previous="a")
    assert {each.model_version for each in before.predict(INPUTS * 3)} == {"a"}


@pytest.mark.parametrize(("version", "problem"), [("broken", "golden vectors differ"), ("slow", "5.0 times the CPU")])
def test_a_candidate_that_fails_is_not_acknowledged_and_the_old_model_stays(version: str, problem: str) -> None:
    models, _ = started(a=0.001, slow=0.005)
    told(models, "a", candidate=a_candidate(version))
    answer = models.report().answer
    assert answer is not None and answer.problem is not None and problem in answer.problem
    told(models, "a")
    assert (models.serving.model_version, models.report().answer) == ("a", None)


def test_any_exception_of_a_candidate_is_an_answer_and_not_the_end_of_the_replica() -> None:
    def load(version: str) -> FakeModel:
        if version == "b":
            raise MemoryError("of the candidate")
        return FakeModel(version, Clock())

    models = ReplicaModels("r1", load)
    told(models, "a")
    told(models, "a", candidate=a_candidate("b"))
    answer = models.report().answer
    assert answer is not None and "of the candidate" in (answer.problem or "")


def test_a_rollback_needs_no_loading_and_no_comparing_of_costs() -> None:
    models, shelf = started(a=0.005, b=0.001)
    told(models, "a", candidate=a_candidate("b"))
    told(models, "b", previous="a")
    told(models, "b", previous="a", candidate=a_candidate("a", "back", was_live=True))
    answer = models.report().answer
    assert answer is not None and (answer.problem, answer.cpu_ratio) == (None, None)
    assert shelf.loads == ["a", "b"]


def test_a_replica_that_missed_the_preparation_serves_the_old_model_until_it_has_loaded_the_new_one() -> None:
    models, _ = started(a=0.001, b=0.001)
    work = models.heard(Orders(epoch=2, version="b", previous="a", candidate=None))
    assert models.serving.model_version == "a" and work is not None
    work()
    assert models.serving.model_version == "b"


def test_a_committed_version_that_cannot_be_loaded_here_is_tried_again_and_the_old_one_goes_on() -> None:
    models, shelf = started(a=0.001)
    assert told(models, "b", previous="a") and told(models, "b", previous="a")
    assert models.serving.model_version == "a"
    shelf.cost_s["b"] = 0.001
    told(models, "b", previous="a")
    assert models.serving.model_version == "b"


def test_replays_load_what_history_keeps_and_only_a_few_stay_loaded() -> None:
    models, shelf = started(a=0.001, **{f"old-{n}": 0.001 for n in range(6)})
    for n in range(6):
        assert models.get(f"old-{n}").predict(INPUTS)[0].model_version == f"old-{n}"
    models.get("old-5")
    models.get("a")
    assert shelf.loads == ["a", *(f"old-{n}" for n in range(6))]
    models.get("old-0")
    assert shelf.loads[-1] == "old-0"
    assert models.serving.model_version == "a"


BASELINE, IN_PLAY = "baseline-2017-12-01", "touchline-2017-12-01"


def kept(version: str, change: Callable[[dict[str, bytes]], None] = lambda files: None) -> ModelRow:
    manifest, content = pack(MODELS_FOLDER / version)
    files = msgspec.msgpack.decode(content, type=dict[str, bytes])
    change(files)
    return ModelRow(version=version, manifest=manifest, content=msgspec.msgpack.encode(files))


def test_the_models_of_the_repository_can_be_swapped_for_each_other_and_replayed_after_it(tmp_path: Path) -> None:
    models = ReplicaModels("r1", lambda version: load_kept(kept(version), 32))
    told(models, BASELINE)
    inputs = [ForecastInputs(league="E0", period=1, clock_ms=60_000, anchor_1x2=(0.5, 0.3, 0.2))]
    first = models.serving.predict(inputs)
    told(models, BASELINE, candidate=a_candidate(IN_PLAY))
    answer = models.report().answer
    assert answer is not None and answer.problem is None and answer.cpu_ratio is not None
    told(models, IN_PLAY, previous=BASELINE)
    assert models.serving.predict(inputs)[0].model_version == IN_PLAY
    [again] = models.get(BASELINE).predict(inputs)
    assert again.model_version == BASELINE
    assert (again.distribution.remaining == first[0].distribution.remaining).all()


@pytest.mark.parametrize(
    "change",
    [
        lambda files: files.update({"weights.safetensors": b"\x80\x04N."}),
        lambda files: files.pop("weights.safetensors"),
        lambda files: files.update({"vocabulary.json": b"{}"}),
    ],
    ids=["a pickle", "a missing file", "other names"],
)
def test_a_broken_model_in_history_is_refused_by_the_replica(change: Callable[[dict[str, bytes]], None]) -> None:
    rows = {BASELINE: kept(BASELINE), IN_PLAY: kept(IN_PLAY, change)}
    models = ReplicaModels("r1", lambda version: load_kept(rows[version], 32))
    told(models, BASELINE)
    told(models, BASELINE, candidate=a_candidate(IN_PLAY))
    answer = models.report().answer
    assert answer is not None and answer.problem is not None
    assert models.serving.model_version == BASELINE
