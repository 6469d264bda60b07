"""The registry over a real log, as operators and the app see it: `cluster.models`, and what `GET /v1/models` shows."""

import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from actors.domain.errors import SetupError, StoreUnavailable
from actors.domain.models import Answer, Committed, Refused, ReplicaReport
from actors.domain.ports import EventLog, NewRecord
from actors.machines.models import AT_START, SwapSettings
from actors.models import ModelBook, ModelRegistry
from cluster.audit import MODELS
from cluster.live_models import LiveModels
from cluster.models import ask, main
from cluster.stores import Stores
from conf.run import load, setting
from tests.conftest import eventually
from tests.unit.fakes import MemoryLog

BASELINE, IN_PLAY = "baseline-2017-12-01", "touchline-2017-12-01"
SETTINGS = SwapSettings(silent_after_s=0.3, prepare_within_s=5.0)


class Replica:
    """Reports every few milliseconds, and is content with any candidate unless told otherwise."""

    def __init__(self, registry: ModelRegistry, problem: str | None = None) -> None:
        self._registry, self._problem = registry, problem
        self.version: str | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        answer = None
        while not self._stop.wait(0.01):
            orders = self._registry.report(ReplicaReport(replica="r1", version=self.version, answer=answer))
            self.version, wanted = orders.version, orders.candidate
            answer = None if wanted is None else Answer(request=wanted.request, problem=self._problem)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


class MoodyLog(MemoryLog):
    """A log whose first append fails, or takes effect and gives no answer."""

    def __init__(self, answer_lost: bool) -> None:
        super().__init__(partitions=1)
        self._answer_lost, self._is_first = answer_lost, True

    def append(self, topic: str, partition: int, records: Sequence[NewRecord]) -> list[int]:
        is_first, self._is_first = self._is_first, False
        offsets = [] if is_first and not self._answer_lost else super().append(topic, partition, records)
        if is_first:
            raise StoreUnavailable("fake", "append", "no answer")
        return offsets


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    stores = Stores(load([setting("data.folder", tmp_path / "data")]))
    stores.prepare()
    stores.keep_model(MODELS / IN_PLAY)
    return stores


@pytest.fixture
def log(stores: Stores) -> Iterator[EventLog]:
    log = stores.log()
    yield log
    log.close()


@contextmanager
def served(log: EventLog, configured: str = IN_PLAY, problem: str | None = None) -> Iterator[Replica]:
    """Run a registry with one replica."""
    registry = ModelRegistry(lambda: log, configured, SETTINGS)
    replica = Replica(registry, problem)
    try:
        yield replica
    finally:
        replica.stop()
        registry.stop()


def a_copy(folder: Path) -> Path:
    return Path(shutil.copytree(MODELS / IN_PLAY, folder))


def run(stores: Stores, *words: str) -> int:
    return main([*words, f"--data={stores.folder}"])


def test_swap_and_rollback_say_what_happened_and_list_shows_it(
    stores: Stores, log: EventLog, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(log) as replica:
        eventually(lambda: replica.version == IN_PLAY)
        assert run(stores, "swap", str(MODELS / BASELINE)) == 0
        assert f"{BASELINE} is live at epoch 2" in capsys.readouterr().out
        eventually(lambda: replica.version == BASELINE)
        assert run(stores, "swap", str(MODELS / BASELINE)) == 1
        assert f"Not swapped: {BASELINE} is live already" in capsys.readouterr().out
        assert run(stores, "list") == 0
        first, second = capsys.readouterr().out.splitlines()
        assert first.startswith(f"{BASELINE}: live (last committed at epoch 2, ")
        assert second.startswith(f"{IN_PLAY}: kept; a rollback goes here")
        assert run(stores, "rollback") == 0
        assert f"{IN_PLAY} is live at epoch 3" in capsys.readouterr().out


def test_a_swap_that_a_replica_refuses_is_exit_code_one(
    stores: Stores, log: EventLog, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(log, problem="takes 5.0 times the CPU") as replica:
        eventually(lambda: replica.version == IN_PLAY)
        assert run(stores, "swap", str(MODELS / BASELINE)) == 1
    assert "Not swapped: replica r1: takes 5.0 times the CPU" in capsys.readouterr().out


def test_a_folder_that_fails_its_own_checks_is_refused_before_anybody_is_asked(
    stores: Stores, log: EventLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = a_copy(tmp_path / "broken")
    (broken / "weights.safetensors").write_bytes(b"\x80\x04N.")
    assert run(stores, "swap", str(broken)) == 1
    assert "weights.safetensors" in capsys.readouterr().out
    assert ModelBook(log).refresh() == []


def test_export_lays_out_what_is_live_and_before_that_what_is_configured(
    stores: Stores, log: EventLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(stores, "export", str(tmp_path / "configured"), f"model={IN_PLAY}") == 0
    with served(log) as replica:
        eventually(lambda: replica.version == IN_PLAY)
        assert run(stores, "swap", str(MODELS / BASELINE)) == 0
    assert run(stores, "export", str(tmp_path / "live")) == 0
    assert capsys.readouterr().out.splitlines()[-1] == BASELINE
    for folder, model in (("configured", IN_PLAY), ("live", BASELINE)):
        for name in ("manifest.json", "weights.safetensors", "vocabulary.json"):
            assert (tmp_path / folder / name).read_bytes() == (MODELS / model / name).read_bytes()
    assert run(stores, "export", str(tmp_path / "live")) == 2
    assert "File exists" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "none yet"), f"--data={tmp_path / 'nowhere'}"]) == 0


def test_what_cannot_be_asked_for_is_exit_code_two(
    stores: Stores, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(stores, "rollback", "--wait", "0.2") == 2
    assert "nobody decided within 0.2 s" in capsys.readouterr().err
    assert main(["list", f"--data={tmp_path / 'nowhere'}"]) == 2


def test_a_request_that_nobody_answered_is_refused_by_the_registry_that_starts_later(log: EventLog) -> None:
    with pytest.raises(SetupError, match="nobody decided"):
        ask(log, BASELINE, 0.1)
    with served(log) as replica:
        eventually(lambda: replica.version == IN_PLAY)
        assert isinstance(ask(log, BASELINE, 20.0), Committed)
    answers = [each for each in ModelBook(log).refresh() if isinstance(each, Refused)]
    assert [each.why for each in answers] == [AT_START]


def test_the_committed_version_survives_the_registry(log: EventLog) -> None:
    with served(log) as replica:
        eventually(lambda: replica.version == IN_PLAY)
        assert isinstance(ask(log, BASELINE, 20.0), Committed)
    with served(log) as replica:
        eventually(lambda: replica.version == BASELINE)


@pytest.mark.parametrize("answer_lost", [False, True])
def test_a_decision_whose_write_got_no_answer_counts_once(answer_lost: bool) -> None:
    log = MoodyLog(answer_lost)
    with served(log, "a") as replica:
        eventually(lambda: replica.version == "a")
    assert [each.epoch for each in ModelBook(log).refresh() if isinstance(each, Committed)] == [1]


def test_history_keeps_one_model_of_a_name(stores: Stores, tmp_path: Path) -> None:
    assert stores.keep_model(MODELS / IN_PLAY) == IN_PLAY
    other = a_copy(tmp_path / "other")
    (other / "manifest.json").write_bytes((other / "manifest.json").read_bytes() + b"\n")
    with pytest.raises(SetupError, match=f"another model than history keeps under the name {IN_PLAY}"):
        stores.keep_model(other)


def test_the_app_follows_what_is_committed(stores: Stores, log: EventLog) -> None:
    history = stores.history()
    models = LiveModels(log, history)
    with served(log) as replica:
        eventually(lambda: replica.version == IN_PLAY)
        models.refresh(0.0)
        assert (list(models.current().versions), models.current().epoch) == ([IN_PLAY], 1)
        stores.keep_model(MODELS / BASELINE)
        assert isinstance(ask(log, BASELINE, 20.0), Committed)
    models.refresh(0.0)
    now = models.current()
    assert (now.live, now.epoch, now.previous) == (BASELINE, 2, IN_PLAY)
    assert now.versions[BASELINE]["model_version"] == BASELINE
    history.close()
