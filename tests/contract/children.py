"""What the contract tests run in other processes. Each opens its own instance, as every process must."""

import os
import time
from hashlib import sha256
from pathlib import Path

from actors.adapters.kafka_log import KafkaLog
from actors.domain.errors import StoreUnavailable
from actors.domain.ports import (
    ChainHeadRow,
    EventLog,
    HistoryBatch,
    LogRecord,
    MatchSnapshot,
    NewRecord,
    PredictionRow,
)
from tests.contract import real_kafka
from tests.contract.twins import TOPIC, open_history, open_log, open_snapshots

BATCH = 3


def append_numbers(twin: str, place: str, writer: str, partition: int, count: int) -> None:
    log = open_log(twin, place)
    for number in range(count):
        log.append(TOPIC, partition, [NewRecord(key=writer, value=str(number).encode())])
    log.close()


def append_until_killed(twin: str, place: str, writer: str, acknowledged: str) -> None:
    """Append batches for ever; note the offsets of each one that was acknowledged, in one write to a file."""
    log = open_log(twin, place)
    notes = os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    number = 0
    while True:
        values = [f"{writer}:{number}:{part}" for part in range(BATCH)]
        offsets = log.append(TOPIC, 0, [NewRecord(key=writer, value=value.encode()) for value in values])
        lines = [f"{offset} {value}\n" for offset, value in zip(offsets, values, strict=True)]
        os.write(notes, "".join(lines).encode())
        number += 1


def wait_for(log: EventLog, partition: int, position: int, count: int, patience_s: float = 60.0) -> list[LogRecord]:
    """Read on until `count` records are there, always blocking."""
    found: list[LogRecord] = []
    deadline = time.monotonic() + patience_s
    while len(found) < count and time.monotonic() < deadline:
        batch = log.read(TOPIC, {partition: position}, 100, wait_s=10.0)
        found += batch
        position = found[-1].offset + 1 if found else position
    return found


def answer_each(twin: str, place: str, count: int) -> None:
    """Answer every record of partition 0 with one in partition 1."""
    log = open_log(twin, place)
    position = 0
    for _ in range(count):
        record = wait_for(log, 0, position, 1)[0]
        position = record.offset + 1
        log.append(TOPIC, 1, [NewRecord(key="answer", value=record.value)])
    log.close()


def read_numbers(twin: str, place: str, partition: int, count: int, result: str) -> None:
    log = open_log(twin, place)
    found = wait_for(log, partition, 0, count)
    Path(result).write_text("\n".join(f"{record.offset} {(record.value or b'').decode()}" for record in found))
    log.close()


def a_snapshot(epoch: int, offset: int, match_id: str = "wyscout:1") -> MatchSnapshot:
    state = f"{match_id} {epoch} {offset} ".encode() * 2_000
    return MatchSnapshot(
        match_id=match_id,
        epoch=epoch,
        offset=offset,
        state=state,
        state_hash=sha256(state).hexdigest(),
        code_version=1,
    )


def save_until_killed(twin: str, place: str, acknowledged: str) -> None:
    store = open_snapshots(twin, place)
    notes = os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    offset = 0
    while True:
        store.save(a_snapshot(1, offset))
        os.write(notes, f"{offset}\n".encode())
        offset += 1


def save_range(twin: str, place: str, epoch: int, count: int) -> None:
    store = open_snapshots(twin, place)
    for offset in range(count):
        store.save(a_snapshot(epoch, offset))
    store.close()


def a_prediction(match_id: str, seq: int, forecast: bytes = b"{}") -> PredictionRow:
    return PredictionRow(
        prediction_id=f"{match_id}@{seq}",
        match_id=match_id,
        seq=seq,
        model_version="baseline-1",
        feature_snapshot_id=f"sha256:{seq}",
        prev_hash=f"hash {seq - 1}",
        row_hash=f"hash {seq}",
        forecast=forecast,
    )


def a_batch(match_id: str, first_seq: int, count: int) -> HistoryBatch:
    seqs = range(first_seq, first_seq + count)
    return HistoryBatch(
        predictions=tuple(a_prediction(match_id, seq, b"x" * 4_000) for seq in seqs),
        feature_snapshots=tuple((f"sha256:{seq}", b"inputs") for seq in seqs),
        heads=(ChainHeadRow(match_id=match_id, seq=seqs[-1], count=count, row_hash=f"hash {seqs[-1]}"),),
    )


def write_history_until_killed(twin: str, place: str, acknowledged: str) -> None:
    history = open_history(twin, place)
    notes = os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    first_seq = 0
    while True:
        history.write(a_batch("wyscout:1", first_seq, BATCH))
        history.commit("history", {0: first_seq + BATCH})
        os.write(notes, f"{first_seq}\n".encode())
        first_seq += BATCH


def write_history(twin: str, place: str, match_id: str, count: int) -> None:
    history = open_history(twin, place)
    for first_seq in range(0, count, BATCH):
        history.write(a_batch(match_id, first_seq, BATCH))
        history.write_what_ifs(match_id, first_seq, b"what if")
    history.close()


def append_stubbornly(namespace: str, acknowledged: str, topics: dict[str, int]) -> None:
    """Append numbers to Kafka for ever, each again until it is acknowledged; note where each one is."""
    log = KafkaLog(real_kafka.configured(namespace), topics)
    notes = os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    number = 0
    while True:
        try:
            [offset] = log.append(TOPIC, 0, [NewRecord(key="m", value=str(number).encode())])
        except StoreUnavailable:
            continue
        os.write(notes, f"{offset} {number}\n".encode())
        number += 1
