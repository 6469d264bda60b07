"""What the driver's errors mean to us, in words, and a log in which the driver says each thing once and in one line."""

import logging
import os
import re
import threading
import time
from collections.abc import Callable

from cassandra import AuthenticationFailed, OperationTimedOut, RequestValidationException, UnresolvableContactPoints
from cassandra.cluster import NoHostAvailable
from cassandra.protocol import SyntaxException

CONNECTING = "cassandra-connecting"  # the thread of a start: what it could not do is told once, by its SetupError

_LOGGERS = ("cluster", "connection", "pool", "policies", "metadata", "protocol", "io.libevreactor")
_SAY_AGAIN_S = 60.0
_OTHER_PROTOCOL = re.compile("protocol.version", re.IGNORECASE)  # the driver has no class for it
_LONGEST = 200  # characters of a server's message


def is_refused(error: BaseException) -> bool:
    """Say whether the server answered, and would answer the same again."""
    return isinstance(error, RequestValidationException | SyntaxException)


def is_final(error: BaseException) -> bool:
    """Say whether connecting again could not help: credentials, or a protocol that the server does not speak."""
    said = causes(error)
    return any(isinstance(cause, AuthenticationFailed) or _OTHER_PROTOCOL.search(str(cause)) for cause in said)


def causes(error: BaseException) -> list[BaseException]:
    """Return what lies behind an error: one per host that was tried, or the error itself."""
    tried = error.errors if isinstance(error, NoHostAvailable) and isinstance(error.errors, dict) else {}
    return [cause for cause in tried.values() if isinstance(cause, BaseException)] or [error]


def in_words(error: BaseException) -> str:
    """Say in a few words what went wrong.

    >>> in_words(NoHostAvailable("Unable to connect", {"127.0.0.1:9042": ConnectionRefusedError(111, "tried it")}))
    '127.0.0.1:9042: Connection refused'
    """
    if isinstance(error, OperationTimedOut):
        return "no answer in time"
    if isinstance(error, NoHostAvailable):
        if isinstance(error.errors, dict) and error.errors:
            return "; ".join(f"{_host(host)}: {in_words(cause)}" for host, cause in error.errors.items())
        return "no host to ask"
    if isinstance(error, UnresolvableContactPoints):
        return "the name of no host has an address"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    first_line = (str(error).splitlines() or [""])[0][:_LONGEST]
    return first_line or type(error).__name__


def _host(host: object) -> str:
    return str(getattr(host, "endpoint", host))


class OneLine(logging.Filter):
    """Takes the tracebacks off the driver's records, lets each through once a minute, and nothing while we connect.

    A node that is away would otherwise write a traceback a second for as long as it is away.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic, self._lock = monotonic, threading.Lock()
        self._said: dict[tuple[str, str], float] = {}  # bounded by the number of messages in the driver's source

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a record is written, and shorten it."""
        if record.levelno < logging.WARNING:
            return True
        if record.threadName == CONNECTING or str(record.msg).startswith("Failed to authenticate to"):
            return False
        if record.exc_info and record.exc_info[1] is not None:
            record.msg, record.args = f"{record.getMessage()} {in_words(record.exc_info[1])}", ()
        record.exc_info = record.exc_text = record.stack_info = None
        return self._is_new((record.name, f"{record.pathname}:{record.lineno}"))

    def _is_new(self, place: tuple[str, str]) -> bool:
        now = self._monotonic()
        with self._lock:
            if now - self._said.get(place, -_SAY_AGAIN_S) < _SAY_AGAIN_S:
                return False
            self._said[place] = now
        return True


_one_line = OneLine()


def shape_driver_log() -> None:
    """Put the filter on the driver's loggers; doing it again changes nothing."""
    for name in _LOGGERS:  # each of them: a filter on their parent does not see what its children log
        logging.getLogger(f"cassandra.{name}").addFilter(_one_line)
