"""Files of the page and of the description: always asked for again, so that no browser mixes two versions of them."""

import hashlib
import os
from functools import lru_cache
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Scope

_KEPT_TAGS = 256  # the page has a dozen files
_TYPES = {".css": "text/css", ".js": "text/javascript"}  # else the host's mime.types decides whether the page runs


class Files(StaticFiles):
    """A folder of files. A browser keeps them, but asks each time; its answer is then 304 if nothing changed.

    The validator is the hash of what a file holds. The one that Starlette makes of time and size would be the same for
    a new version of the same length that was installed with a fixed time stamp.
    """

    def file_response(
        self, full_path: "str | os.PathLike[str]", stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        media_type = _TYPES.get(Path(full_path).suffix)
        response = FileResponse(full_path, status_code=status_code, media_type=media_type, stat_result=stat_result)
        response.headers["Cache-Control"] = "no-cache"
        response.headers["ETag"] = _tag(os.fspath(full_path), stat_result)
        asked = Headers(scope=scope)
        return NotModifiedResponse(response.headers) if self.is_not_modified(response.headers, asked) else response


def file_response(path: Path, scope: Scope) -> Response:
    """Answer with one file in the same manner; raises FileNotFoundError."""
    return Files(directory=path.parent, check_dir=False).file_response(path, path.stat(), scope)


def _tag(path: str, stat: os.stat_result) -> str:
    return _tag_of(path, stat.st_ino, stat.st_ctime_ns, stat.st_size)


@lru_cache(maxsize=_KEPT_TAGS)
def _tag_of(path: str, inode: int, changed_ns: int, size: int) -> str:
    """Hash a file; what is beside the path makes the answer one of this version of it."""
    return f'"{hashlib.blake2b(Path(path).read_bytes(), digest_size=16).hexdigest()}"'
