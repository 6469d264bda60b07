"""One SQLite file shared by the threads of a process (a lock) and by processes (write-ahead log), durable on commit."""

import errno
import os
import sqlite3
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

from actors.domain.errors import SetupError, StoreError, StoreUnavailable

BUSY_TIMEOUT_S = 5.0  # a writer waits this long for another process's transaction, which takes about a millisecond
PAGE_BYTES = 4096
CACHE_KIB = 2048

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_PASSING = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}


class Database:
    """A SQLite file with a fixed schema. Every instance has one connection; open one per process."""

    def __init__(
        self,
        path: Path,
        schema: str,
        version: int,
        page_bytes: int = PAGE_BYTES,
        cache_kib: int = CACHE_KIB,
        upgrades: Mapping[int, str] = MappingProxyType({}),
    ) -> None:
        """Open the file, creating it whole or not at all.

        Args:
            schema: Statements that make the tables, run once when the file is created.
            version: Kept in the file; another one is refused with SetupError, unless upgrades lead from it to this one.
            page_bytes: Page size of a new file; pages above the usual row keep rows in one piece.
            cache_kib: Page cache of this connection.
            upgrades: By version, statements that make a file of that version one of the next, whole or not at all.
        Raises:
            SetupError: The file has another version, or its file system cannot share a write-ahead log.
            StoreUnavailable, StoreError: It cannot be opened; it is damaged.
        """
        self._path, self._lock = path, threading.RLock()
        with self._translated("open"):
            if not path.exists():
                _create(path, schema, version, page_bytes)
            if not os.access(path, os.R_OK | os.W_OK):  # SQLite would open it for reading only, and say so much later
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            self._connection: sqlite3.Connection | None = _connect(path, cache_kib)
            found = _upgraded(self._connection, version, upgrades)
        if found != version:
            self.close()
            raise SetupError(f"{path} has format {found}, this version of Touchline reads format {version}")

    @contextmanager
    def writing(self, operation: str) -> Iterator[sqlite3.Connection]:
        """Run the block as one transaction that is on disk when the block is left; an exception undoes all of it."""
        with self._transaction("BEGIN IMMEDIATE", operation) as connection:
            yield connection

    @contextmanager
    def reading(self, operation: str) -> Iterator[sqlite3.Connection]:
        """Run the block on one consistent state of the file."""
        with self._transaction("BEGIN", operation) as connection:
            yield connection

    @contextmanager
    def _transaction(self, begin: str, operation: str) -> Iterator[sqlite3.Connection]:
        with self._translated(operation), self._lock:
            if (connection := self._connection) is None:
                raise sqlite3.ProgrammingError("closed")
            try:
                connection.execute(begin)
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    with suppress(sqlite3.Error):  # the first error is the one to report
                        connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _translated(self, operation: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if _code(error) in _DAMAGED:
                raise StoreError(f"{self._path} is damaged ({error}); put back a copy or remove it") from error
            if isinstance(error, sqlite3.IntegrityError):  # a row that breaks the schema: our own mistake, not passing
                raise StoreError(f"{self._path} refused a row in {operation}: {error}") from error
            raise StoreUnavailable(str(self._path), operation, str(error)) from error

    def close(self) -> None:
        with self._translated("close"), self._lock:
            if self._connection is not None:
                connection, self._connection = self._connection, None
                connection.close()


@contextmanager
def opened_at_start(folder: Path) -> Iterator[None]:
    """Make the folder and run the block that opens stores in it; what no retry would cure is a SetupError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise SetupError(f"the data folder {folder} cannot be written; change its permissions or choose another")
        yield
    except OSError as error:
        raise SetupError(f"the data folder {folder} cannot be used: {error.strerror or error}") from error
    except StoreError as error:
        if _code(error.__cause__) in _PASSING:
            raise
        raise SetupError(f"the data folder {folder} cannot be used: {error.__cause__ or error}") from error


def _code(error: BaseException | None) -> int | None:
    """SQLite's primary result code; the extended one has detail in its upper bytes."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF


def _create(path: Path, schema: str, version: int, page_bytes: int) -> None:
    """Build the file under another name and link it, so that a file under its own name is always complete."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", suffix=".new", dir=path.parent)
    os.close(handle)
    draft = Path(name)
    try:
        connection = _connect(draft, CACHE_KIB)
        try:
            connection.execute(f"PRAGMA page_size = {page_bytes}")
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            if mode != "wal":
                raise SetupError(f"the file system of {path.parent} cannot hold a shared SQLite write-ahead log")
            connection.executescript(f"BEGIN; {schema} PRAGMA user_version = {version}; COMMIT;")
        finally:
            connection.close()
        with suppress(FileExistsError):  # another process was faster, and its file is as good
            path.hardlink_to(draft)
        sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def _upgraded(connection: sqlite3.Connection, version: int, upgrades: Mapping[int, str]) -> int:
    """Bring the file to `version` as far as upgrades lead there; return the version it has then."""
    while (found := _version(connection)) != version and found in upgrades:
        connection.execute("BEGIN IMMEDIATE")
        try:
            if _version(connection) == found:  # else another process was faster
                for statement in upgrades[found].split(";"):  # not executescript: it would end the transaction
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {found + 1}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    return found


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _connect(path: Path, cache_kib: int) -> sqlite3.Connection:
    """Connect to a file that exists. The caller serialises its threads."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute("PRAGMA synchronous = FULL")  # in WAL mode: one fsync per commit, before it returns
    connection.execute(f"PRAGMA cache_size = -{cache_kib}")
    return connection


def sync_folder(folder: Path) -> None:
    """Make new names in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
