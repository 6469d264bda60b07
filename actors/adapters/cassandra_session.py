"""The connection to Cassandra that the stores of one process share."""

import atexit
import os
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from typing import Any, TypeVar

from cassandra.cluster import EXEC_PROFILE_DEFAULT

from actors.adapters.cassandra_connect import READS, check_schema, connect, where, within
from actors.adapters.cassandra_requests import Request, Requests, Task
from actors.adapters.cassandra_timestamps import FirstStays
from actors.domain.errors import SetupError, StoreUnavailable
from conf.stores import CassandraStoreConfig

T = TypeVar("T")

_PAGE_ROWS = 500  # of forecasts, 2 MB
_ASK_AGAIN_S = 1.0


class CassandraConnection:
    """One store's share of the process's session, with its statements prepared. Threads may share it."""

    def __init__(self, config: CassandraStoreConfig, statements: Iterable[str], at_once: bool = True) -> None:
        """Connect, or join in.

        Args:
            statements: CQL with `{keyspace}.` in front of each table; all of them must be idempotent.
            at_once: Else at the first request, where a Cassandra that is away is one that does not answer: for those
                who have other things to do than to wait for it.
        Raises:
            SetupError: No Cassandra that can be used within `connect_timeout_s`: what was tried, and for how long.
        """
        self._config, self._statements = config, tuple(statements)
        self._lock = threading.Lock()
        self._shared: _Shared | None = None
        self._closed, self._ask_again_at = False, float("-inf")
        if at_once:
            self._shared = _joined(config, self._statements)

    @property
    def first_stays(self) -> FirstStays:
        """The timestamps of rows of which the first stays."""
        return self._open("write").first_stays

    @property
    def requests(self) -> Requests:
        """The requests of this process, which all its stores share."""
        return self._open("ask").requests

    def bound(self, cql: str, *values: object) -> Any:
        """Return a prepared statement with its values; a value that is left out at the end stays unset."""
        return self.prepared(cql).bind(values)

    def prepared(self, cql: str) -> Any:
        """Return a statement as it was prepared."""
        return self._open("bind").prepared[cql]

    def run(self, operation: str, tasks: Iterable[Task[T]]) -> list[T]:
        """Do tasks as `Requests.run` does."""
        return self._open(operation).requests.run(operation, tasks)

    def close(self) -> None:
        """Leave the session, and end it if this was the last share; closing again changes nothing."""
        with self._lock:
            self._closed = True
            shared, self._shared = self._shared, None
        if shared is not None:
            _left(shared)

    def _open(self, operation: str) -> "_Shared":
        shared = self._shared
        if shared is not None:
            return shared
        with self._lock:
            if self._shared is None:
                self._shared = self._join(operation)
            return self._shared

    def _join(self, operation: str) -> "_Shared":
        """Connect now; while that fails, say so at once for a second instead of trying for each request."""
        if self._closed:
            raise StoreUnavailable(where(self._config), operation, "closed")
        if time.monotonic() < self._ask_again_at:
            raise StoreUnavailable(where(self._config), operation, "not connected")
        try:
            return _joined(self._config, self._statements)
        except SetupError as error:
            self._ask_again_at = time.monotonic() + _ASK_AGAIN_S
            raise StoreUnavailable(where(self._config), operation, str(error)) from error


class _Shared:
    """A session that is connected, and how many stores share it."""

    def __init__(self, config: CassandraStoreConfig, cluster: Any, session: Any) -> None:
        self.cluster, self.session, self.shares = cluster, session, 0
        self.prepared: dict[str, Any] = {}
        self.first_stays = FirstStays()
        self.requests = Requests(self._send, where(config), config.in_flight, config.request_timeout_s)
        self._keyspace = config.keyspace

    def prepare(self, statements: Iterable[str]) -> None:
        """Prepare what is not prepared yet."""
        for cql in statements:
            if cql not in self.prepared:
                statement = self.session.prepare(cql.format(keyspace=self._keyspace))
                statement.is_idempotent = True  # each one: else neither speculation nor repeating would be allowed
                statement.fetch_size = _PAGE_ROWS
                self.prepared[cql] = statement

    def _send(self, request: Request) -> Any:
        profile = READS if request.is_read else EXEC_PROFILE_DEFAULT
        return self.session.execute_async(
            request.statement, execution_profile=profile, paging_state=request.paging_state
        )


_sessions: dict[tuple[object, ...], _Shared] = {}
_lock = threading.Lock()


def _joined(config: CassandraStoreConfig, statements: Sequence[str]) -> _Shared:
    key = _key(config)
    with _lock:
        shared = _sessions.get(key)
        if shared is None:
            shared = _Shared(config, *connect(config, config.request_timeout_s, check_schema))
        try:
            within(config, "prepare statements", lambda: shared.prepare(statements))
        except SetupError:
            if not shared.shares:
                shared.cluster.shutdown()
            raise
        shared.shares += 1
        _sessions[key] = shared
    return shared


def _left(shared: _Shared) -> None:
    with _lock:
        shared.shares -= 1
        if shared.shares:
            return
        for key in [key for key, held in _sessions.items() if held is shared]:
            del _sessions[key]
    shared.cluster.shutdown()


@atexit.register
def _end_all() -> None:
    """End what a process leaves open: else the driver's threads complain when the interpreter is gone."""
    with _lock:
        for shared in _sessions.values():
            shared.cluster.shutdown()
        _sessions.clear()


def _key(config: CassandraStoreConfig) -> tuple[object, ...]:
    values = (tuple(value) if isinstance(value, list) else value for value in astuple(config))
    return (os.getpid(), *values)  # the sessions of a process that forked are not those of its child
