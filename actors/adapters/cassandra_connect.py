"""Connecting to Cassandra within a bound of time, or saying in one sentence why that could not be."""

import queue
import re
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from cassandra import ConsistencyLevel, InvalidRequest
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import (
    ConstantReconnectionPolicy,
    ConstantSpeculativeExecutionPolicy,
    DCAwareRoundRobinPolicy,
    FallthroughRetryPolicy,
    TokenAwarePolicy,
)
from cassandra.query import tuple_factory

from actors.adapters.cassandra_errors import CONNECTING, causes, in_words, is_final, shape_driver_log
from actors.adapters.passwords import read_password
from actors.domain.errors import SetupError
from conf.stores import CassandraStoreConfig

T = TypeVar("T")

SCHEMA = 3  # the newest file of cluster/schema/ that the stores here need
OLDEST = (5, 0)  # has UnifiedCompactionStrategy, and protocol 5
READS = "reads"  # the execution profile of reads

_PROTOCOL = 5
_CONNECT_S = 2.0  # for one node at most
_TRY_AGAIN_S = 0.5
_RECONNECT_S = 1.0
_HEARTBEAT_S = 5.0  # a node that neither answers nor closes its connections is found out after two of these
_ASK_ANOTHER_S, _MOST_OTHERS = 0.05, 2  # of a read that is late, where there are other replicas
_NO_DELAY = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]  # without it a save of 40 KB takes 50 ms, with it 9


def where(config: CassandraStoreConfig) -> str:
    """Return how messages name the servers.

    >>> where(CassandraStoreConfig(folder="data", hosts=["a", "b"]))
    'Cassandra at a:9042, b:9042'
    """
    return "Cassandra at " + ", ".join(f"{host}:{config.port}" for host in config.hosts)


def connect(
    config: CassandraStoreConfig, request_timeout_s: float, check: Callable[[CassandraStoreConfig, Any], None]
) -> tuple[Any, Any]:
    """Return the driver's cluster and session, checked; tries again while nobody answers.

    Raises:
        SetupError: There was none within `connect_timeout_s`, or there is one that no second try would make better.
    """
    shape_driver_log()
    credentials = _credentials(config)
    deadline, failed = time.monotonic() + config.connect_timeout_s, list[Exception]()

    def attempt() -> tuple[Any, Any]:
        while True:
            cluster = None
            try:
                cluster = _cluster(config, request_timeout_s, credentials)
                session = cluster.connect()
                _check_version(config, session)
                check(config, session)
                return cluster, session
            except Exception as error:
                if cluster is not None:
                    cluster.shutdown()
                failed.append(error)
                if isinstance(error, SetupError) or is_final(error) or time.monotonic() + _TRY_AGAIN_S > deadline:
                    raise
            time.sleep(_TRY_AGAIN_S)

    return within(config, "connect", attempt, abandon=lambda connected: connected[0].shutdown(), failed=failed)


def within(
    config: CassandraStoreConfig,
    what: str,
    work: Callable[[], T],
    abandon: Callable[[T], object] | None = None,
    failed: Sequence[Exception] = (),
) -> T:
    """Do some of the driver's work in a thread and wait `connect_timeout_s` for it: the driver knows no such bound.

    Args:
        abandon: Takes what came too late.
        failed: How earlier attempts ended, for when the last one takes too long: that says more than that it did.
    Raises:
        SetupError: It failed or took longer, in one sentence.
    """
    began, done = time.monotonic(), queue.SimpleQueue[T | Exception]()
    abandoned, deciding = threading.Event(), threading.Lock()

    def working() -> None:
        outcome: T | Exception
        try:
            outcome = work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the start that waits for us must hear of it
            outcome = error
        with deciding:
            done.put(outcome)
            if abandoned.is_set() and abandon and not isinstance(outcome, Exception):
                abandon(outcome)

    threading.Thread(target=working, name=CONNECTING, daemon=True).start()
    try:
        outcome = done.get(timeout=config.connect_timeout_s)
    except queue.Empty:
        with deciding:
            abandoned.set()
            outcome = done.get() if not done.empty() else failed[-1] if failed else TimeoutError("no answer")
    if isinstance(outcome, SetupError):
        raise outcome
    if isinstance(outcome, Exception):
        raise SetupError(_sentence(config, what, outcome, time.monotonic() - began)) from outcome
    return outcome


def _sentence(config: CassandraStoreConfig, what: str, error: Exception, tried_s: float) -> str:
    """Say what was tried, for how long, what came of it and where to look."""
    words = in_words(error)
    if isinstance(error, InvalidRequest):
        return f"{where(config)} refused to {what} ({words}); is the keyspace {config.keyspace!r} migrated?"
    if "Authenti" in type(causes(error)[0]).__name__:
        return f"{where(config)} refused the credentials of {config.username or 'nobody'}; see store.username ({words})"
    if is_final(error):
        oldest = ".".join(map(str, OLDEST))
        return f"{where(config)} does not speak protocol {_PROTOCOL}; Cassandra {oldest} or newer is needed ({words})"
    if words == "no host to ask":
        return f"{where(config)} has no node in datacenter {config.datacenter!r}; see store.datacenter"
    return (
        f"{where(config)} could not be reached: tried to {what} for {tried_s:.1f} s ({words}); see store.hosts and port"
    )


def _credentials(config: CassandraStoreConfig) -> Any:
    password = read_password("store.password_file", config.password_file)
    return None if password is None else PlainTextAuthProvider(config.username, password)


def _cluster(config: CassandraStoreConfig, request_timeout_s: float, credentials: Any) -> Any:
    def profile(**more: Any) -> Any:
        return ExecutionProfile(
            load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy(local_dc=config.datacenter)),
            retry_policy=FallthroughRetryPolicy(),  # Requests repeats: the driver's default asks not whether it may
            consistency_level=ConsistencyLevel.LOCAL_QUORUM,
            request_timeout=request_timeout_s,
            row_factory=tuple_factory,
            **more,
        )

    speculation = ConstantSpeculativeExecutionPolicy(_ASK_ANOTHER_S, _MOST_OTHERS)
    return Cluster(
        config.hosts,
        config.port,
        protocol_version=_PROTOCOL,
        auth_provider=credentials,
        execution_profiles={
            EXEC_PROFILE_DEFAULT: profile(),
            READS: profile(speculative_execution_policy=speculation),
        },
        reconnection_policy=ConstantReconnectionPolicy(_RECONNECT_S, max_attempts=None),
        connect_timeout=min(config.connect_timeout_s, _CONNECT_S),
        control_connection_timeout=min(config.connect_timeout_s, _CONNECT_S),
        idle_heartbeat_interval=_HEARTBEAT_S,
        idle_heartbeat_timeout=_HEARTBEAT_S,
        sockopts=_NO_DELAY,
        monitor_reporting_enabled=False,
        application_name="touchline",
    )


def _check_version(config: CassandraStoreConfig, session: Any) -> None:
    [(version,)] = session.execute("SELECT release_version FROM system.local")
    found = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if found < OLDEST:
        raise SetupError(f"{where(config)} is version {version}; {'.'.join(map(str, OLDEST))} or newer is needed")


def check_schema(config: CassandraStoreConfig, session: Any) -> None:
    """Raise SetupError unless the keyspace is there and has what the stores need; a newer schema is all right."""
    if config.keyspace not in session.cluster.metadata.keyspaces:
        raise SetupError(f"{where(config)} has no keyspace {config.keyspace!r}; migrate it first")
    applied = 0
    with suppress(InvalidRequest):  # no table schema_version: the keyspace is not ours, or was never migrated
        rows = session.execute(
            f"SELECT max(number) FROM {config.keyspace}.schema_version WHERE component = 'touchline'"
        )
        applied = rows.one()[0] or 0
    if applied < SCHEMA:
        raise SetupError(
            f"{where(config)}: the schema of keyspace {config.keyspace!r} is version {applied}, this Touchline needs "
            f"{SCHEMA}; migrate it first"
        )
