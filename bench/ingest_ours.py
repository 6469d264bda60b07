"""Our path in bench/ingest: a process reads its matches from Kafka one after the other, folds, forecasts, publishes."""

import time
from collections.abc import Sequence
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import torch
from msgspec import Struct
from msgspec.structs import replace

from actors.adapters.embedded_stores import SqliteSnapshots
from actors.adapters.kafka_log import KafkaLog
from actors.domain.assemble import Draft
from actors.domain.distribution import ForecastInputs, Prediction
from actors.domain.ports import FEED, FORECASTS
from actors.session import MatchPorts, MatchSession, MatchSettings
from bench.ingest_feed import PARTITIONS, Played
from bench.ingest_task import Done
from training.network import TorchForecaster, load_model

_QUIET_S = 0.6  # a fetch at the end of a partition waits half a second for news


class Lane(Struct, frozen=True, kw_only=True):
    """What one process plays."""

    matches: tuple[Played, ...]
    folder: Path  # for snapshots
    model: Path | None  # None: no forecasts
    settings: MatchSettings


class _Folding(MatchSession):
    """A session that makes no forecasts."""

    def _publish(self, drafts: list[Draft]) -> None:
        pass


class _Predicting:
    """The forecaster in this process, counting what it is asked."""

    def __init__(self, model: TorchForecaster | None) -> None:
        self._model, self.asked = model, 0

    def __call__(self, inputs: list[ForecastInputs]) -> list[Prediction]:
        assert self._model is not None
        self.asked += len(inputs)
        return self._model.predict(inputs)


def play(lane: Lane, barrier: Barrier, results: "Queue[Done]") -> None:
    """Claim all matches of the lane, wait for the others, then play one match after the other."""
    torch.set_num_threads(1)
    predict = _Predicting(load_model(lane.model) if lane.model else None)
    sessions = _sessions(lane, predict)
    time.sleep(_QUIET_S)
    barrier.wait(timeout=120)
    began, cpu_began = time.monotonic(), time.process_time()
    for session, played in zip(sessions, lane.matches, strict=True):
        while session.state.offset < played.records - 1:
            session.advance()
    ended, cpu_s = time.monotonic(), time.process_time() - cpu_began
    _check(sessions)
    records = sum(played.records for played in lane.matches)
    results.put(Done(records=records, began=began, ended=ended, cpu_s=cpu_s, forecasts=predict.asked))


def _sessions(lane: Lane, predict: _Predicting) -> list[MatchSession]:
    logs = {played.topic: KafkaLog(played.kafka, PARTITIONS) for played in lane.matches}
    snapshots = SqliteSnapshots(lane.folder / "snapshots.db")
    kind = MatchSession if lane.model else _Folding
    sessions = list[MatchSession]()
    for played in lane.matches:
        log, lease = logs[played.topic], played.fixture.lease
        assert lease is not None
        lease = replace(lease, forecasts_from=log.end_offsets(FORECASTS)[lease.partition])
        ports = MatchPorts(log=log, snapshots=snapshots, predict=predict)
        sessions.append(kind(played.fixture, lease, ports, lane.settings))
        log.read(FEED, {lease.partition: played.records}, 1, wait_s=0.01)  # connected, as one that follows a match is
    return sessions


def _check(sessions: Sequence[MatchSession]) -> None:
    wrong = [session.state.match_id for session in sessions if session.state.summary.phase != "finished"]
    if wrong:
        raise AssertionError(f"not folded to their end: {', '.join(wrong)}")
