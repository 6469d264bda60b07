"""The embedded twins of the snapshot store and of history: SQLite files, for all processes of one machine."""

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from actors.adapters.embedded_records import SqliteRecords, first_blob
from actors.adapters.sqlite import Database, opened_at_start
from actors.domain.ports import ChainHeadRow, EventRow, HistoryBatch, MatchSnapshot, PredictionRow

_VERSION = 1
_SNAPSHOTS = """
CREATE TABLE snapshots (
    match_id TEXT PRIMARY KEY, epoch INTEGER NOT NULL, offset INTEGER NOT NULL,
    state BLOB NOT NULL, state_hash TEXT NOT NULL, code_version INTEGER NOT NULL
);
"""
_HISTORY = """
CREATE TABLE predictions (
    match_id TEXT NOT NULL, seq INTEGER NOT NULL, prediction_id TEXT NOT NULL, model_version TEXT NOT NULL,
    feature_snapshot_id TEXT NOT NULL, prev_hash TEXT NOT NULL, row_hash TEXT NOT NULL, forecast BLOB NOT NULL,
    UNIQUE (match_id, seq)
);
CREATE INDEX predictions_by_id ON predictions (prediction_id);
CREATE TABLE feature_snapshots (snapshot_id TEXT NOT NULL UNIQUE, inputs BLOB NOT NULL);
CREATE TABLE heads (
    match_id TEXT NOT NULL, seq INTEGER NOT NULL, count INTEGER NOT NULL, row_hash TEXT NOT NULL,
    PRIMARY KEY (match_id, seq)
) WITHOUT ROWID;
CREATE TABLE events (
    partition INTEGER NOT NULL, offset INTEGER NOT NULL, match_id TEXT NOT NULL, value BLOB NOT NULL,
    UNIQUE (partition, offset)
);
CREATE INDEX events_by_match ON events (match_id, partition, offset);
CREATE TABLE offsets (
    consumer TEXT NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL, PRIMARY KEY (consumer, partition)
) WITHOUT ROWID;
"""
_HISTORY_PAGE_BYTES = 16384  # a forecast has about 4 KB: several fit a page, none is cut up
_PREDICTION = "prediction_id, match_id, seq, model_version, feature_snapshot_id, prev_hash, row_hash, forecast"


class SqliteSnapshots:
    """A SnapshotStore in one file. Every process opens its own; threads may share one."""

    def __init__(self, path: Path) -> None:
        with opened_at_start(path.parent):
            self._database = Database(path, _SNAPSHOTS, _VERSION)

    def load(self, match_id: str) -> MatchSnapshot | None:
        query = "SELECT epoch, offset, state, state_hash, code_version FROM snapshots WHERE match_id = ?"
        with self._database.reading("load") as connection:
            row = connection.execute(query, (match_id,)).fetchone()
        if row is None:
            return None
        epoch, offset, state, state_hash, code_version = row
        return MatchSnapshot(
            match_id=match_id,
            epoch=epoch,
            offset=offset,
            state=state,
            state_hash=state_hash,
            code_version=code_version,
        )

    def save(self, snapshot: MatchSnapshot) -> None:
        with self._database.writing("save") as connection:
            connection.execute(
                """
                INSERT INTO snapshots (match_id, epoch, offset, state, state_hash, code_version)
                VALUES (?, ?, ?, ?, ?, ?)
                ON CONFLICT (match_id) DO UPDATE SET epoch = excluded.epoch, offset = excluded.offset,
                    state = excluded.state, state_hash = excluded.state_hash, code_version = excluded.code_version
                WHERE (excluded.epoch, excluded.offset) > (snapshots.epoch, snapshots.offset)
                """,
                (
                    snapshot.match_id,
                    snapshot.epoch,
                    snapshot.offset,
                    snapshot.state,
                    snapshot.state_hash,
                    snapshot.code_version,
                ),
            )

    def close(self) -> None:
        self._database.close()


class SqliteHistory(SqliteRecords):
    """HistoryWriterPort and History in one file, and the rest of history in a second one beside it.

    What-ifs, models and activity come from serving and training at any time; in a file of their own they never wait for
    the history writer.
    """

    def __init__(self, path: Path) -> None:
        with opened_at_start(path.parent):
            self._database = Database(path, _HISTORY, _VERSION, page_bytes=_HISTORY_PAGE_BYTES)
        super().__init__(path.with_name(f"{path.stem}-what-ifs{path.suffix}"))

    def write(self, batch: HistoryBatch) -> None:
        with self._database.writing("write") as connection:
            _insert_predictions(connection, batch.predictions)
            connection.executemany(
                "INSERT INTO feature_snapshots (snapshot_id, inputs) VALUES (?, ?) ON CONFLICT DO NOTHING",
                batch.feature_snapshots,
            )
            _insert_heads(connection, batch.heads)
            _insert_events(connection, batch.events)

    def offsets(self, consumer: str) -> dict[int, int]:
        with self._database.reading("offsets") as connection:
            rows = connection.execute("SELECT partition, next FROM offsets WHERE consumer = ?", (consumer,))
            return dict(rows.fetchall())

    def commit(self, consumer: str, offsets: Mapping[int, int]) -> None:
        with self._database.writing("commit") as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO offsets (consumer, partition, next) VALUES (?, ?, ?)",
                [(consumer, partition, offset) for partition, offset in offsets.items()],
            )

    def prediction(self, prediction_id: str) -> PredictionRow | None:
        query = f"SELECT {_PREDICTION} FROM predictions WHERE prediction_id = ? ORDER BY match_id, seq LIMIT 1"
        with self._database.reading("prediction") as connection:
            row = connection.execute(query, (prediction_id,)).fetchone()
        return None if row is None else _prediction(row)

    def predictions(self, match_id: str, after_seq: int, limit: int) -> list[PredictionRow]:
        query = f"SELECT {_PREDICTION} FROM predictions WHERE match_id = ? AND seq > ? ORDER BY seq LIMIT ?"
        with self._database.reading("predictions") as connection:
            rows = connection.execute(query, (match_id, after_seq, limit)).fetchall()
        return [_prediction(row) for row in rows]

    def feature_snapshot(self, snapshot_id: str) -> bytes | None:
        query = "SELECT inputs FROM feature_snapshots WHERE snapshot_id = ?"
        with self._database.reading("feature_snapshot") as connection:
            return first_blob(connection.execute(query, (snapshot_id,)))

    def heads(self, match_id: str) -> list[ChainHeadRow]:
        query = "SELECT seq, count, row_hash FROM heads WHERE match_id = ? ORDER BY seq"
        with self._database.reading("heads") as connection:
            rows = connection.execute(query, (match_id,)).fetchall()
        return [ChainHeadRow(match_id=match_id, seq=seq, count=count, row_hash=h) for seq, count, h in rows]

    def matches(self) -> list[str]:
        # One index seek per match; DISTINCT would walk through every prediction.
        query = """
            WITH RECURSIVE ids (id) AS (
                SELECT min(match_id) FROM predictions
                UNION ALL SELECT (SELECT min(match_id) FROM predictions WHERE match_id > id) FROM ids WHERE id NOT NULL
            ) SELECT id FROM ids WHERE id NOT NULL
        """
        with self._database.reading("matches") as connection:
            return [match_id for (match_id,) in connection.execute(query).fetchall()]

    def events(self, match_id: str, partition: int, after_offset: int, limit: int) -> list[EventRow]:
        query = """
            SELECT offset, value FROM events WHERE match_id = ? AND partition = ? AND offset > ? ORDER BY offset LIMIT ?
        """
        with self._database.reading("events") as connection:
            rows = connection.execute(query, (match_id, partition, after_offset, limit)).fetchall()
        return [EventRow(match_id=match_id, partition=partition, offset=offset, value=value) for offset, value in rows]

    def event_places(self) -> list[tuple[str, int]]:
        # One index seek per place, as for matches.
        query = """
            SELECT match_id, partition FROM events WHERE (match_id, partition) > (?, ?)
            ORDER BY match_id, partition LIMIT 1
        """
        places: list[tuple[str, int]] = []
        with self._database.reading("event_places") as connection:
            while row := connection.execute(query, places[-1] if places else ("", -1)).fetchone():
                places.append(row)
        return places

    def close(self) -> None:
        self._database.close()
        super().close()


def _insert_predictions(connection: sqlite3.Connection, rows: Sequence[PredictionRow]) -> None:
    connection.executemany(
        f"INSERT INTO predictions ({_PREDICTION}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            (
                row.prediction_id,
                row.match_id,
                row.seq,
                row.model_version,
                row.feature_snapshot_id,
                row.prev_hash,
                row.row_hash,
                row.forecast,
            )
            for row in rows
        ),
    )


def _insert_heads(connection: sqlite3.Connection, rows: Sequence[ChainHeadRow]) -> None:
    connection.executemany(
        "INSERT INTO heads (match_id, seq, count, row_hash) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        ((row.match_id, row.seq, row.count, row.row_hash) for row in rows),
    )


def _insert_events(connection: sqlite3.Connection, rows: Sequence[EventRow]) -> None:
    connection.executemany(
        "INSERT INTO events (partition, offset, match_id, value) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        ((row.partition, row.offset, row.match_id, row.value) for row in rows),
    )


def _prediction(row: tuple[Any, ...]) -> PredictionRow:
    prediction_id, match_id, seq, model_version, feature_snapshot_id, prev_hash, row_hash, forecast = row
    return PredictionRow(
        prediction_id=prediction_id,
        match_id=match_id,
        seq=seq,
        model_version=model_version,
        feature_snapshot_id=feature_snapshot_id,
        prev_hash=prev_hash,
        row_hash=row_hash,
        forecast=forecast,
    )
