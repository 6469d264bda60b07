"""Brings a Cassandra keyspace to the schema of this version: creates it, and applies the files of `cluster/schema/`.

Every statement is idempotent, so a migration that was interrupted is begun again. Two at once: a lightweight
transaction on `schema_version` lets one in at a time, and another one, behind a file's last statement, says that it was
applied. That table itself is made before it can lock anything: two nodes that are asked for it in the same instant
could each make one and disagree from then on. So its id is derived from the keyspace's name: both make the same one.
"""

import hashlib
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

from cassandra import (
    ConsistencyLevel,
    DriverException,
    ReadTimeout,
    RequestExecutionException,
    RequestValidationException,
)
from cassandra.cluster import NoHostAvailable
from cassandra.protocol import ErrorMessage
from cassandra.query import SimpleStatement
from msgspec import Struct

from actors.adapters.cassandra_connect import connect, where
from actors.adapters.cassandra_errors import in_words
from actors.domain.errors import SetupError
from conf.stores import CassandraStoreConfig

SCHEMA_FOLDER = Path(__file__).resolve().parent / "schema"
_DDL_TIMEOUT_S = 30.0  # all nodes have to agree on each change
_LOCK_S = 120  # a lock whose holder died is gone then; a migration takes some 5 s
_LOOK_EVERY_S = 0.25
_TRIES = 5
_ANY = (DriverException, RequestExecutionException, RequestValidationException, ErrorMessage, NoHostAvailable)


class SchemaFile(Struct, frozen=True, kw_only=True):
    """One file of the schema. Its hash is that of what its statements say: its comments may be improved."""

    number: int
    name: str
    sha256: str
    statements: tuple[str, ...]


def read_schema(folder: Path = SCHEMA_FOLDER) -> list[SchemaFile]:
    """Return the files of the schema in order; the one numbered 0 makes the table that says which were applied."""
    return [_schema_file(path) for path in sorted(folder.glob("[0-9][0-9][0-9]_*.cql"))]


def statements_of(cql: str) -> tuple[str, ...]:
    """Return the statements of a file without comments; no string in it may contain a semicolon or two dashes.

    >>> statements_of("-- why; because\\nCREATE TABLE a (b int); -- so\\n")
    ('CREATE TABLE a (b int)',)
    """
    bare = re.sub(r"--[^\n]*", "", cql)
    return tuple(statement.strip() for statement in bare.split(";") if statement.strip())


def migrate(config: CassandraStoreConfig, folder: Path = SCHEMA_FOLDER) -> list[str]:
    """Create the keyspace if need be and apply what was not applied yet; return the names of the files applied now.

    Raises:
        SetupError: Cassandra cannot be used, a file was changed after it was applied, the keyspace is of a newer
            version, or another migration does not end.
    """
    cluster, session = connect(config, _DDL_TIMEOUT_S, lambda *_: None)
    try:
        return _migrated(config, session, read_schema(folder))
    except _ANY as error:
        raise SetupError(f"{where(config)}: the migration of {config.keyspace!r} failed ({in_words(error)})") from error
    finally:
        cluster.shutdown()


def _migrated(config: CassandraStoreConfig, session: Any, files: list[SchemaFile]) -> list[str]:
    _create_keyspace(config, session)
    session.set_keyspace(config.keyspace)
    versions, *others = files
    for statement in versions.statements:
        session.execute(f"{statement} AND id = {uuid5(NAMESPACE_DNS, config.keyspace)}")
    applied_now: list[str] = []
    if not _missing(config, session, others):
        return applied_now
    with _locked(config, session):
        for file in _missing(config, session, others):  # again: another migration may have just ended
            for statement in file.statements:
                session.execute(statement)
            _record(session, file)
            applied_now.append(file.name)
    return applied_now


def _create_keyspace(config: CassandraStoreConfig, session: Any) -> None:
    """One that is there stays as it is: how its data are replicated is its operator's business."""
    session.execute(
        f"CREATE KEYSPACE IF NOT EXISTS {config.keyspace} WITH replication = {{'class': 'NetworkTopologyStrategy', "
        f"'{config.datacenter}': {config.replication_factor}}}"
    )


def _missing(config: CassandraStoreConfig, session: Any, files: list[SchemaFile]) -> list[SchemaFile]:
    """Return the files that were not applied yet; raises SetupError where what was applied is not what we have."""
    asking = SimpleStatement(
        "SELECT number, file, sha256 FROM schema_version WHERE component = 'touchline' AND number > 0",
        consistency_level=ConsistencyLevel.SERIAL,  # sees what a transaction has decided
    )
    applied = {number: (name, sha256) for number, name, sha256 in _answer(session, asking)}
    _need_ours(config, files, applied)
    return [file for file in files if file.number not in applied]


def _answer(session: Any, asking: SimpleStatement) -> Any:
    """Ask again where a transaction of another migration holds up the answer for longer than Cassandra waits."""
    for _ in range(_TRIES - 1):
        try:
            return session.execute(asking)
        except ReadTimeout:
            time.sleep(_LOOK_EVERY_S)
    return session.execute(asking)


def _need_ours(config: CassandraStoreConfig, files: list[SchemaFile], applied: Mapping[int, tuple[str, str]]) -> None:
    ours = {file.number: file for file in files}
    for number, (name, sha256) in sorted(applied.items()):
        if number not in ours:
            raise SetupError(
                f"keyspace {config.keyspace!r} has schema {number} ({name}), this version of Touchline knows up to "
                f"{max(ours)}; run a newer one"
            )
        if ours[number].sha256 != sha256:
            raise SetupError(
                f"cluster/schema/{ours[number].name} was changed after it was applied to keyspace {config.keyspace!r}; "
                "put it back and add a new file"
            )


@contextmanager
def _locked(config: CassandraStoreConfig, session: Any) -> Iterator[None]:
    owner = f"{socket.gethostname()} {os.getpid()} {time.time_ns()}"
    take = (
        "INSERT INTO schema_version (component, number, owner) VALUES ('touchline', 0, %s) "
        f"IF NOT EXISTS USING TTL {_LOCK_S}"
    )
    deadline = time.monotonic() + _LOCK_S + _DDL_TIMEOUT_S
    while not session.execute(take, (owner,)).was_applied:
        if time.monotonic() > deadline:
            raise SetupError(f"another migration of keyspace {config.keyspace!r} has been under way for {_LOCK_S} s")
        time.sleep(_LOOK_EVERY_S)
    try:
        yield
    finally:
        session.execute(
            "DELETE FROM schema_version WHERE component = 'touchline' AND number = 0 IF owner = %s", (owner,)
        )


def _record(session: Any, file: SchemaFile) -> None:
    session.execute(
        "INSERT INTO schema_version (component, number, file, sha256, applied_at) "
        "VALUES ('touchline', %s, %s, %s, toTimestamp(now())) IF NOT EXISTS",
        (file.number, file.name, file.sha256),
    )


def _schema_file(path: Path) -> SchemaFile:
    statements = statements_of(path.read_text(encoding="utf-8"))
    said = "; ".join(" ".join(statement.split()) for statement in statements)
    return SchemaFile(
        number=int(path.name[:3]),
        name=path.name,
        sha256=hashlib.sha256(said.encode()).hexdigest(),
        statements=statements,
    )
