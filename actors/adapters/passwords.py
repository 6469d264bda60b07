"""Passwords stand in files that the configuration names, so that none is in a command line, a run folder or a log."""

from pathlib import Path

from actors.domain.errors import SetupError


def read_password(key: str, path: str | None) -> str | None:
    """Return what a password file holds, None where none is named.

    Raises:
        SetupError: It cannot be read.
    """
    if path is None:
        return None
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SetupError(f"{key}={path} cannot be read: {reason}") from error
