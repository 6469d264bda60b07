"""What can be found wrong in a second, before anything is started: the model's files, and the matches to be played."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from actors.adapters.feeds import MatchFeed
from actors.domain.errors import SetupError
from cluster.feeds import read_feeds

_HASHED = {"weights.safetensors": "weights_sha256", "vocabulary.json": "vocabulary_sha256"}


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read a model's manifest.

    Raises:
        SetupError: There is none, or it names no version.
    """
    try:
        manifest = msgspec.json.decode((folder / "manifest.json").read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SetupError(f"model.folder={folder} holds no readable manifest.json: {error}") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("model_version"), str):
        raise SetupError(f"model.folder={folder} holds a manifest.json that names no model_version")
    return manifest


def need_model(folder: Path) -> dict[str, Any]:
    """Return a model's manifest, after a look at whether its files are those that it describes.

    Every replica checks more than that when it loads them; this is to say so before Ray is started.

    Raises:
        SetupError: A file is missing or is another one.
    """
    manifest = read_manifest(folder)
    for name, key in _HASHED.items():
        try:
            with (folder / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise SetupError(f"model.folder={folder} holds no readable {name}: {error.strerror}") from error
        if found != manifest.get(key):
            raise SetupError(f"model.folder={folder}: {name} is not the file that its manifest describes")
    return manifest


def need_matches(names: Sequence[str], data_root: Path) -> list[MatchFeed]:
    """Read the matches to be played.

    Raises:
        NotAMatch: A file is no match, or data.root has no such match.
        SetupError: data.root is not there, or a match is named twice.
    """
    feeds = read_feeds(names, data_root)
    seen: set[str] = set()
    for feed in feeds:
        if feed.fixture.match_id in seen:
            raise SetupError(f"replay.matches names {feed.fixture.match_id} twice; each match is played once at a time")
        seen.add(feed.fixture.match_id)
    return feeds
