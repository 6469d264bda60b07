"""What serving and training keep in SQLite: what-ifs, models and user activity, in one file."""

import sqlite3
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from actors.adapters.sqlite import Database, opened_at_start
from actors.domain.ports import ActivityRow, ModelRow

_VERSION = 2
_WHAT_IFS = """
CREATE TABLE what_ifs (replica TEXT NOT NULL, batch INTEGER NOT NULL, payload BLOB NOT NULL, UNIQUE (replica, batch));
"""
_SINCE_2 = """
CREATE TABLE models (version TEXT PRIMARY KEY, manifest BLOB NOT NULL, weights BLOB NOT NULL);
CREATE TABLE activity (
    tenant TEXT NOT NULL, minute INTEGER NOT NULL, key_id TEXT NOT NULL, route TEXT NOT NULL, status INTEGER NOT NULL,
    replica TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (tenant, minute, key_id, route, status, replica)
) WITHOUT ROWID;
CREATE INDEX activity_by_minute ON activity (minute);
"""
_UPGRADES = {1: _SINCE_2}
_PAGE_BYTES = 16384
_KEPT_MINUTES = 30 * 24 * 60  # of activity; behind its newest row, so that no clock is asked


class SqliteRecords:
    """WhatIfStore, ModelStore and ActivityStore in one file."""

    def __init__(self, path: Path) -> None:
        with opened_at_start(path.parent):
            self._records = Database(path, _WHAT_IFS + _SINCE_2, _VERSION, page_bytes=_PAGE_BYTES, upgrades=_UPGRADES)

    def write_what_ifs(self, replica: str, batch: int, payload: bytes) -> None:
        with self._records.writing("write_what_ifs") as connection:
            connection.execute(
                "INSERT INTO what_ifs VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (replica, batch, payload)
            )

    def what_ifs(self, replica: str, batch: int) -> bytes | None:
        query = "SELECT payload FROM what_ifs WHERE replica = ? AND batch = ?"
        with self._records.reading("what_ifs") as connection:
            return first_blob(connection.execute(query, (replica, batch)))

    def write_model(self, version: str, manifest: bytes, content: bytes) -> None:
        with self._records.writing("write_model") as connection:
            connection.execute(
                "INSERT INTO models (version, manifest, weights) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (version, manifest, content),
            )

    def model(self, version: str) -> ModelRow | None:
        query = "SELECT manifest, weights FROM models WHERE version = ?"
        with self._records.reading("model") as connection:
            row = connection.execute(query, (version,)).fetchone()
        return None if row is None else ModelRow(version=version, manifest=row[0], content=row[1])

    def model_versions(self) -> list[str]:
        with self._records.reading("model_versions") as connection:
            rows = connection.execute("SELECT version FROM models ORDER BY version").fetchall()
        return [version for (version,) in rows]

    def write_activity(self, rows: Sequence[ActivityRow]) -> None:
        if not rows:
            return
        newest = max(_minute(row.at) for row in rows)
        with self._records.writing("write_activity") as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO activity (tenant, minute, key_id, route, status, replica, count) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(r.tenant, _minute(r.at), r.key_id, r.route, r.status, r.replica, r.count) for r in rows],
            )
            connection.execute("DELETE FROM activity WHERE minute < ?", (newest - _KEPT_MINUTES,))

    def activity(self, tenant: str, day: date) -> list[ActivityRow]:
        begins = datetime(day.year, day.month, day.day, tzinfo=UTC)
        query = """
            SELECT minute, key_id, route, status, replica, count FROM activity
            WHERE tenant = ? AND minute >= ? AND minute < ? ORDER BY minute, key_id, route, status, replica
        """
        with self._records.reading("activity") as connection:
            within = (tenant, _minute(begins), _minute(begins + timedelta(days=1)))
            rows = connection.execute(query, within).fetchall()
        return [
            ActivityRow(
                tenant=tenant,
                at=datetime.fromtimestamp(60 * minute, UTC),
                key_id=key_id,
                route=route,
                status=status,
                replica=replica,
                count=count,
            )
            for minute, key_id, route, status, replica, count in rows
        ]

    def close(self) -> None:
        self._records.close()


def first_blob(rows: sqlite3.Cursor) -> bytes | None:
    """Return the one column of the first row."""
    row: tuple[bytes] | None = rows.fetchone()
    return None if row is None else row[0]


def _minute(at: datetime) -> int:
    return int(at.timestamp()) // 60
