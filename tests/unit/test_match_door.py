"""A match asks a replica over its socket: what comes back is what the model said, whoever dies meanwhile."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec import Struct

from actors.adapters.forecaster_socket import ForecasterSocket
from actors.domain.asking import HEAD_BYTES, MOST_BYTES, framed, replica_socket
from actors.domain.distribution import ForecastInputs, Prediction
from actors.domain.errors import ForecasterUnavailable
from cluster.patient_forecaster import PatientForecaster
from serve_app.batcher import Batcher
from serve_app.match_door import MatchDoor
from tests.conftest import eventually
from tests.unit.fakes import joined, predict
from training.network import TorchForecaster

SHIPPED = Path(__file__).resolve().parents[2] / "training" / "models" / "touchline-all"
PRICED = ForecastInputs(period=1, clock_ms=600_000, anchor_1x2=(1.7, 3.9, 5.1), anchor_over_under=(2.5, 1.9, 1.95))


Model = Callable[[list[ForecastInputs]], list[Prediction]]


class Replica:
    """A door with a loop of its own, as a replica's."""

    def __init__(self, folder: Path, name: str, model: Model = predict) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._call(self._start(folder, name, model))

    async def _start(self, folder: Path, name: str, model: Model) -> None:
        self._batcher = Batcher(lambda rows: joined(model(rows)), 128)
        self._door = MatchDoor(self._batcher, folder, name)
        await self._door.open()

    async def _close(self) -> None:
        self._door.close()
        await asyncio.sleep(0.01)
        self._batcher.close()

    def _call(self, work) -> None:  # type: ignore[no-untyped-def]
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def close(self) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextmanager
def replica(folder: Path, name: str, model: Model = predict) -> Iterator[Replica]:
    running = Replica(folder, name, model)
    try:
        yield running
    finally:
        running.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sockets"


def test_every_bit_of_a_prediction_arrives(folder: Path) -> None:
    model = TorchForecaster(SHIPPED)
    rows = [PRICED, ForecastInputs(league="ITA-1"), ForecastInputs(period=2, clock_ms=2_000_000, home_goals=3)]
    expected = model.predict(rows)
    with replica(folder, "a", model.predict):
        told = ForecasterSocket(folder).predict(rows, 5.0)
    assert _bits(told) == _bits(expected)
    with pytest.raises(ValueError, match="read-only"):
        told[0].distribution.remaining[0, 0] = 1.0


def test_where_no_replica_answers_that_is_said(folder: Path) -> None:
    with pytest.raises(ForecasterUnavailable, match="no forecaster replica answers in"):
        ForecasterSocket(folder).predict([PRICED], 1.0)


def test_a_replica_that_goes_is_left_for_another_and_its_socket_is_gone(folder: Path) -> None:
    asked = ForecasterSocket(folder)
    with replica(folder, "a"):
        asked.predict([PRICED], 5.0)
    assert not list(folder.iterdir())
    with pytest.raises(ForecasterUnavailable):
        asked.predict([PRICED], 1.0)
    with replica(folder, "b"):
        assert len(asked.predict([PRICED, PRICED], 5.0)) == 2


def test_what_a_killed_replica_left_is_passed_over_and_removed(folder: Path) -> None:
    folder.mkdir()
    for name in "kmn":
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(replica_socket(folder, name)))
    with pytest.raises(ForecasterUnavailable):
        ForecasterSocket(folder).predict([PRICED], 1.0)
    assert not list(folder.iterdir())


def test_a_folder_of_somebody_else_is_asked_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with replica(folder, "a"):
        monkeypatch.setattr("os.getuid", lambda: folder.stat().st_uid + 1)
        with pytest.raises(ForecasterUnavailable, match="belongs to another user"):
            ForecasterSocket(folder).predict([PRICED], 1.0)


def test_a_replica_that_hangs_takes_no_longer_than_was_given(folder: Path) -> None:
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(replica_socket(folder, "h")))
        hung.listen()
        with pytest.raises(ForecasterUnavailable, match="TimeoutError"):
            ForecasterSocket(folder).predict([PRICED], 0.2)


def test_what_the_model_raises_is_told_and_the_connection_goes_on(folder: Path) -> None:
    problems = [ValueError("no such period")]

    def model(rows: list[ForecastInputs]) -> list[Prediction]:
        if problems:
            raise problems.pop()
        return predict(rows)

    with replica(folder, "a", model):
        asked = ForecasterSocket(folder)
        with pytest.raises(ForecasterUnavailable, match="no such period"):
            asked.predict([PRICED], 5.0)
        assert _bits(asked.predict([PRICED], 5.0)) == _bits(predict([PRICED]))


@pytest.mark.parametrize("sent", [(MOST_BYTES + 1).to_bytes(HEAD_BYTES, "big"), b"GET / HTTP/1.1\r\n\r\n"])
def test_who_sends_no_frame_is_cut_off_and_the_others_are_answered(folder: Path, sent: bytes) -> None:
    with replica(folder, "a"), socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(str(replica_socket(folder, "a")))
        stranger.settimeout(5.0)
        stranger.sendall(sent)
        assert stranger.recv(1) == b""
        assert _bits(ForecasterSocket(folder).predict([PRICED], 5.0)) == _bits(predict([PRICED]))


def test_a_frame_that_is_no_question_is_answered_so(folder: Path) -> None:
    with replica(folder, "a"), socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(str(replica_socket(folder, "a")))
        stranger.settimeout(5.0)
        stranger.sendall(framed(b"\x01"))
        assert b"not forecast inputs" in stranger.recv(4_096)


def test_a_match_waits_for_a_replica_that_is_started_again(folder: Path) -> None:
    ask = PatientForecaster(folder, timeout_s=10.0)
    answers = list[Prediction]()
    with replica(folder, "a"):
        ask([PRICED])
    waiting = threading.Thread(target=lambda: answers.extend(ask([PRICED])))
    waiting.start()
    with replica(folder, "b"):
        eventually(lambda: answers)
    waiting.join()
    assert _bits(answers) == _bits(predict([PRICED]))


def test_a_match_gives_up_in_time_and_says_what_it_tried(folder: Path) -> None:
    folder.mkdir()
    with pytest.raises(ForecasterUnavailable, match=r"within 0\.2 s .*no forecaster replica answers"):
        PatientForecaster(folder, timeout_s=0.2)([PRICED])


def _bits(predictions: list[Prediction]) -> list[object]:
    return [(_plain(each), _plain(each.distribution), each.distribution.remaining.tobytes()) for each in predictions]


def _plain(struct: Struct) -> dict[str, object]:
    """Return every field but those that hold arrays, floats by their bits."""
    names = [name for name in struct.__struct_fields__ if name not in ("distribution", "remaining")]
    fields = {name: getattr(struct, name) for name in names}
    return {name: value.hex() if isinstance(value, float) else value for name, value in fields.items()}
