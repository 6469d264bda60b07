"""A lock that is a file: the kernel lets go of it whatever ends its holder."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from actors.domain.errors import SetupError


@contextlib.contextmanager
def held(path: Path, named: str, taken: str) -> Iterator[None]:
    """Hold the lock at a path, whose folder is made.

    Args:
        named: What the lock is of. taken: What to say of it where another process has the lock.
    Raises:
        SetupError: It cannot be written, or another process holds it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("a+")
    except OSError as error:
        raise SetupError(f"{named} cannot be written: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SetupError(f"{named}{taken}") from error
        yield
