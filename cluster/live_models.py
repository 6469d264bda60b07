"""What a replica of the app says about model versions: followed in `models.v1`, with the manifests of history."""

import logging
import threading
from datetime import datetime
from typing import Any

import msgspec

from actors.domain.errors import StoreError
from actors.domain.models import Committed
from actors.domain.ports import EventLog, ModelStore
from actors.models import ModelBook
from serve_app.deps import ServedModels

logger = logging.getLogger("touchline.models")

_WAIT_S = 5.0  # of one read: a commit ends it at once
_RETRY_S = 1.0


class LiveModels:
    """Follows the log, once started in a thread that ends with the process."""

    def __init__(self, log: EventLog, kept: ModelStore) -> None:
        self._book, self._kept = ModelBook(log), kept
        self._current = ServedModels(live=None, versions={})
        self._manifests: dict[str, dict[str, Any]] = {}
        self._committed: dict[str, datetime] = {}

    def start(self) -> None:
        threading.Thread(target=self._run, name="live-models", daemon=True).start()

    def current(self) -> ServedModels:
        """Return what is committed, as far as it has been read."""
        return self._current

    def refresh(self, wait_s: float) -> None:
        """Read what was added to the log, and the manifests that are new; raises StoreError."""
        for record in self._book.refresh(wait_s):
            if isinstance(record, Committed):
                self._committed[record.version] = record.at
        state = self._book.state
        if state.version == self._current.live and state.epoch == self._current.epoch:
            return
        for version in self._kept.model_versions():
            if version not in self._manifests:
                self._manifests[version] = _manifest(self._kept, version)
        self._current = ServedModels(
            live=state.version,
            epoch=state.epoch,
            previous=state.previous,
            versions=dict(self._manifests),
            committed=dict(self._committed),
        )

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            try:
                self.refresh(_WAIT_S)
            except StoreError as error:
                logger.warning("Models not read", extra={"problem": str(error)})
                pause.wait(_RETRY_S)


def _manifest(kept: ModelStore, version: str) -> dict[str, Any]:
    row = kept.model(version)
    try:
        manifest: dict[str, Any] = msgspec.json.decode(row.manifest if row else b"{}", type=dict[str, Any])
    except msgspec.DecodeError:  # a damaged row must not hide the others
        return {}
    return manifest
