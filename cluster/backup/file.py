"""The file of a backup: a zip of Parquet parts and a manifest, sealed with the hash of all that comes before the seal.

Any tool that opens zips and Parquet can look into it. The zip's comment, the last bytes of the file, is the seal: so a
file that was cut off or changed anywhere is found out before anything in it is believed. Every version is sealed alike.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import msgspec
from msgspec import Struct

from actors.domain.errors import SetupError
from cluster.backup.tables import ROWS, Row, decode, encode, table_of, weight

FORMAT, VERSION = "touchline-backup", 1
MANIFEST = "manifest.json"
_SEAL = b"sha256:"
_SEAL_BYTES = len(_SEAL) + 64
_PART_BYTES, _PART_ROWS = 8 * 1024 * 1024, 5_000  # what is held in memory of each table
_READ_BYTES = 1024 * 1024


class Part(Struct, frozen=True, kw_only=True):
    """One Parquet file in the zip."""

    name: str
    table: str
    rows: int


class Manifest(Struct, frozen=True, kw_only=True):
    """What a backup says of itself."""

    format: str = FORMAT
    version: int = VERSION
    made_at: datetime
    matches: int
    has_events: bool
    offsets: dict[str, dict[int, int]]  # of each consumer, by partition: all records before them are in here
    parts: tuple[Part, ...]

    def rows(self, table: str) -> int:
        """Return how many rows of a table there are."""
        return sum(part.rows for part in self.parts if part.table == table)


class _Version(Struct):
    format: str = ""
    version: int = 0


class BackupWriter:
    """Writes a backup under another name; it gets its own when it is whole. What is left by an error is removed."""

    def __init__(self, path: Path) -> None:
        """Begin; raises SetupError where the file is there already or cannot be written."""
        self._path = path
        self._waiting: dict[str, list[Row]] = {table: [] for table in ROWS}
        self._bytes = dict.fromkeys(ROWS, 0)
        self._parts: list[Part] = []
        with _written(path):
            if path.exists():
                raise SetupError(f"{path} is there already; choose another name")
            handle, draft = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
            os.close(handle)
            self._draft = Path(draft)
            self._zip = ZipFile(self._draft, "w", ZIP_STORED)  # the parts are compressed

    def __enter__(self) -> "BackupWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        with suppress(OSError):  # what went wrong before is what matters
            self._zip.close()
        self._draft.unlink(missing_ok=True)

    def add(self, row: Row) -> None:
        """Add a row; it is in the file at the latest when the backup is finished."""
        table = table_of(row)
        self._waiting[table].append(row)
        self._bytes[table] += weight(row)
        if self._bytes[table] >= _PART_BYTES or len(self._waiting[table]) >= _PART_ROWS:
            self._flush(table)

    def finish(self, made_at: datetime, matches: int, has_events: bool, offsets: dict[str, dict[int, int]]) -> Manifest:
        """Write what waits and the manifest, seal the file, and give it its name."""
        for table in ROWS:
            self._flush(table)
        manifest = Manifest(
            made_at=made_at, matches=matches, has_events=has_events, offsets=offsets, parts=tuple(self._parts)
        )
        with _written(self._path):
            self._zip.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))
            self._zip.comment = _SEAL + b"0" * 64
            self._zip.close()
            _seal(self._draft)
            self._draft.rename(self._path)
        return manifest

    def _flush(self, table: str) -> None:
        rows, self._waiting[table], self._bytes[table] = self._waiting[table], [], 0
        if rows:
            part = Part(name=f"{table}/{len(self._parts):06d}.parquet", table=table, rows=len(rows))
            with _written(self._path):
                self._zip.writestr(part.name, encode(table, rows))
            self._parts.append(part)


class Backup:
    """A backup that was found whole."""

    def __init__(self, path: Path, progress: Callable[[int, int], None] = lambda *_: None) -> None:
        """Check the file.

        Args:
            progress: Is told how many bytes were looked at, of how many.
        Raises:
            SetupError: It is no backup, not as it was written, or of a newer version.
        """
        self._path = path
        _check_seal(path, progress)
        with self._opened() as archive:
            content = archive.read(MANIFEST)
        self.manifest = _read_manifest(path, content)

    def parts(self) -> Iterator[tuple[Part, list[Row]]]:
        """Yield the rows of each part, in the order in which they are to be written."""
        with self._opened() as archive:
            for part in sorted(self.manifest.parts, key=lambda part: list(ROWS).index(part.table)):
                yield part, decode(part.table, archive.read(part.name))

    @contextmanager
    def _opened(self) -> Iterator[ZipFile]:
        try:
            with ZipFile(self._path) as archive:
                yield archive
        except (BadZipFile, OSError, KeyError, ValueError, TypeError) as error:
            raise SetupError(f"{self._path} cannot be read as a backup: {error}") from error


def _seal(path: Path) -> None:
    with path.open("r+b") as file:
        digest = _digest(path, lambda *_: None)
        file.seek(-64, os.SEEK_END)
        file.write(digest.encode())
        file.flush()
        os.fsync(file.fileno())


def _check_seal(path: Path, progress: Callable[[int, int], None]) -> None:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _SEAL_BYTES))
            seal = file.read()
        if not seal.startswith(_SEAL) or len(seal) != _SEAL_BYTES:
            raise SetupError(f"{path} is no backup of Touchline, or was cut off: it does not end with a seal")
        found = _digest(path, progress)
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror or error}") from error
    if seal != _SEAL + found.encode():
        raise SetupError(f"{path} is not as it was written: its content does not have the hash that it is sealed with")


def _digest(path: Path, progress: Callable[[int, int], None]) -> str:
    """Return the hash of a file but for the last 64 bytes, where it stands."""
    digest, done, total = hashlib.sha256(), 0, path.stat().st_size - 64
    with path.open("rb") as file:
        while done < total and (block := file.read(min(_READ_BYTES, total - done))):
            digest.update(block)
            done += len(block)
            progress(done, total)
    return digest.hexdigest()


def _read_manifest(path: Path, content: bytes) -> Manifest:
    try:
        says = msgspec.json.decode(content, type=_Version)
        if says.format != FORMAT:
            raise SetupError(f"{path} is no backup of Touchline")
        if says.version > VERSION:
            raise SetupError(
                f"{path} is a backup of version {says.version}, this Touchline reads up to {VERSION}; use a newer one"
            )
        return msgspec.json.decode(content, type=Manifest)
    except msgspec.DecodeError as error:
        raise SetupError(f"the manifest of {path} cannot be read: {error}") from error


@contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SetupError(f"{path} cannot be written: {error.strerror or error}") from error
