"""What serving and training keep in Cassandra: what-ifs, models and user activity. The tables: cluster/schema/."""

import zlib
from collections.abc import Sequence
from datetime import UTC, date
from hashlib import sha256
from typing import Any

from actors.adapters.cassandra_requests import Task, reading, writing
from actors.adapters.cassandra_session import CassandraConnection
from actors.adapters.cassandra_tables import ACTIVITY_SLOTS, activity_slot, by_key, mutations
from actors.domain.errors import StoreError
from actors.domain.ports import ActivityRow, ModelRow

MOST_BYTES = 8 * 1024 * 1024  # of one row; a mutation may have 16 MiB, half a segment of the commit log
_PART_BYTES = 512 * 1024
_REGISTRY = "touchline"

_WRITE_WHAT_IFS = "INSERT INTO {keyspace}.what_ifs (replica, number, payload) VALUES (?, ?, ?) USING TIMESTAMP ?"
_WHAT_IFS = "SELECT payload FROM {keyspace}.what_ifs WHERE replica = ? AND number = ?"
_WRITE_MODEL = (
    "INSERT INTO {keyspace}.models (registry, version, manifest, weights_sha256, parts) "
    "VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?"
)
_MODEL = "SELECT manifest, weights_sha256, parts FROM {keyspace}.models WHERE registry = ? AND version = ?"
_VERSIONS = "SELECT version FROM {keyspace}.models WHERE registry = ?"
_WRITE_PART = "INSERT INTO {keyspace}.model_weights (sha256, part, bytes) VALUES (?, ?, ?)"
_PART = "SELECT bytes FROM {keyspace}.model_weights WHERE sha256 = ? AND part = ?"
_WRITE_ACTIVITY = (
    "INSERT INTO {keyspace}.user_activity (tenant, day, slot, at, key_id, route, status, replica, count) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_ACTIVITY = (
    "SELECT at, key_id, route, status, replica, count FROM {keyspace}.user_activity "
    "WHERE tenant = ? AND day = ? AND slot = ?"
)
RECORDS = (
    *(_WRITE_WHAT_IFS, _WHAT_IFS, _WRITE_MODEL, _MODEL, _VERSIONS, _WRITE_PART, _PART),
    *(_WRITE_ACTIVITY, _ACTIVITY),
)


class CassandraRecords:
    """WhatIfStore, ModelStore and ActivityStore."""

    def __init__(self, connection: CassandraConnection) -> None:
        self._connection = connection

    def write_what_ifs(self, replica: str, batch: int, payload: bytes) -> None:
        """As promised; raises StoreError where the payload would not fit one row even compressed."""
        compressed = zlib.compress(payload, 1)
        if len(compressed) > MOST_BYTES:
            raise StoreError(
                f"what-ifs {batch} of {replica}: {len(payload)} bytes are {len(compressed)} compressed, one row takes "
                f"{MOST_BYTES} at most; record fewer in one batch"
            )
        stays = self._connection.first_stays.timestamp()
        row = self._connection.bound(_WRITE_WHAT_IFS, replica, batch, compressed, stays)
        self._connection.run("write_what_ifs", [writing([row])])

    def what_ifs(self, replica: str, batch: int) -> bytes | None:
        rows = self._read("what_ifs", _WHAT_IFS, replica, batch)
        try:
            return zlib.decompress(rows[0][0]) if rows else None
        except zlib.error as error:
            raise StoreError(f"what-ifs {batch} of {replica} are damaged: {error}") from error

    def write_model(self, version: str, manifest: bytes, content: bytes) -> None:
        """Write the content, by its hash, and then the row that makes the version appear."""
        address = sha256(content).hexdigest()
        parts = [content[start : start + _PART_BYTES] for start in range(0, len(content), _PART_BYTES)]
        bound = self._connection.bound
        self._connection.run(
            "write_model", [writing([bound(_WRITE_PART, address, n, part)]) for n, part in enumerate(parts)]
        )
        stays = self._connection.first_stays.timestamp()
        row = bound(_WRITE_MODEL, _REGISTRY, version, manifest, address, len(parts), stays)
        self._connection.run("write_model", [writing([row])])

    def model(self, version: str) -> ModelRow | None:
        """As promised; raises StoreError where the content is not what was registered."""
        [found] = self._connection.run("model", [self._model(version)])
        return found

    def _model(self, version: str) -> Task[ModelRow | None]:
        bound = self._connection.bound
        rows = yield from reading(bound(_MODEL, _REGISTRY, version))
        if not rows:
            return None
        manifest, address, parts = rows[0]
        found: list[Any] = []
        for part in range(parts):
            found += yield from reading(bound(_PART, address, part))
        content = b"".join(part for (part,) in found)
        if sha256(content).hexdigest() != address:
            raise StoreError(f"the files of model {version} are not those that were registered: their hash differs")
        return ModelRow(version=version, manifest=manifest, content=content)

    def model_versions(self) -> list[str]:
        return [version for (version,) in self._read("model_versions", _VERSIONS, _REGISTRY)]

    def write_activity(self, rows: Sequence[ActivityRow]) -> None:
        by_partition = by_key(rows, lambda row: (row.tenant, row.at.date(), activity_slot(row.key_id)))
        tasks = [
            writing(mutations([self._counted(partition, row) for row in of_partition]))
            for partition, of_partition in by_partition.items()
        ]
        self._connection.run("write_activity", tasks)

    def _counted(self, partition: tuple[str, date, int], row: ActivityRow) -> Any:
        return self._connection.bound(
            _WRITE_ACTIVITY, *partition, row.at, row.key_id, row.route, row.status, row.replica, row.count
        )

    def activity(self, tenant: str, day: date) -> list[ActivityRow]:
        slots = [reading(self._connection.bound(_ACTIVITY, tenant, day, slot)) for slot in range(ACTIVITY_SLOTS)]
        found = sorted(row for rows in self._connection.run("activity", slots) for row in rows)
        return [
            ActivityRow(
                tenant=tenant,
                at=at.replace(tzinfo=UTC),
                key_id=key_id,
                route=route,
                status=status,
                replica=replica,
                count=count,
            )
            for at, key_id, route, status, replica, count in found
        ]

    def close(self) -> None:
        self._connection.close()

    def _read(self, operation: str, cql: str, *values: object) -> list[Any]:
        [rows] = self._connection.run(operation, [reading(self._connection.bound(cql, *values))])
        return rows
