"""The record of a replica's what-ifs: written behind the answers, a row per batch, found again by id."""

import asyncio
import logging
import re
from collections import deque
from collections.abc import Sequence

from actors.domain.errors import Overloaded, StoreUnavailable
from actors.domain.ports import WhatIfStore
from serve_app.background import Background
from serve_app.deps import Limits
from serve_app.messages import WhatIfRecord
from serve_app.what_if_rows import KeptWhatIf, Row, pack, unpack

logger = logging.getLogger(__name__)
PREFIX = "wi-"
_ID = re.compile(r"wi-([A-Za-z0-9_.-]{1,200})-(\d{1,12})-(\d{1,3})")
_RETRY_S = 0.2


def is_what_if(prediction_id: str) -> bool:
    """Say whether an id is that of a what-if; ids of published forecasts hold an @.

    >>> is_what_if("wi-app-0-17"), is_what_if("wi-fi:1@17")
    (True, False)
    """
    return prediction_id.startswith(PREFIX) and "@" not in prediction_id


class WhatIfRecorder:
    """Records what-ifs of this replica: a row per batch of at most 1,000 or 200 ms. Runs on the event loop.

    An id is replica, batch, index; the batch is durable soon after its answers were given. While the store does not
    answer, batches wait and are written again; when too many wait, new ones are refused.
    """

    def __init__(self, store: WhatIfStore, replica: str, limits: Limits) -> None:
        self.replica = re.sub(r"[^A-Za-z0-9_.]", "-", replica)[-200:]
        self._store, self._limits = store, limits
        self._batch, self._waiting = 0, 0
        self._open: list[Row] = []
        self._closed: deque[tuple[int, list[Row]]] = deque()  # oldest first, kept until written
        self._news = asyncio.Event()
        self._writer = Background("what-if record", self._write_for_ever)

    async def start(self) -> None:
        self._writer.start()

    def problem(self) -> str | None:
        """Say why nothing is recorded any more, None while it is."""
        return self._writer.problem

    async def stop(self, timeout_s: float = 2.0) -> None:
        """Write what waits, as far as the store answers in time."""
        self._writer.stop()
        self._close_batch()
        try:
            async with asyncio.timeout(timeout_s):
                await self._write_closed()
        except TimeoutError:
            logger.warning("What-ifs not recorded", extra={"batches": len(self._closed)})

    def admit(self, count: int) -> None:
        """Raise Overloaded if `count` more would not fit."""
        if self._waiting + count > self._limits.what_ifs_waiting:
            raise Overloaded("what-if record", self._limits.what_ifs_waiting)

    def record(self, rows: Sequence[Row]) -> list[str]:
        """Take what-ifs into the record and return the id of each; raises Overloaded, and then takes none."""
        self.admit(len(rows))
        self._waiting += len(rows)
        self._news.set()
        return [self._record(row) for row in rows]

    def _record(self, row: Row) -> str:
        name = f"{PREFIX}{self.replica}-{self._batch}-{len(self._open)}"
        self._open.append(row)
        if len(self._open) >= self._limits.what_if_batch:
            self._close_batch()
        return name

    def _close_batch(self) -> None:
        if self._open:
            self._closed.append((self._batch, self._open))
            self._batch, self._open = self._batch + 1, []

    async def _write_for_ever(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            if not self._closed:
                await asyncio.sleep(self._limits.what_if_flush_s)
            self._close_batch()
            await self._write_closed()

    async def _write_closed(self) -> None:
        while self._closed:
            batch, rows = self._closed[0]
            try:
                await asyncio.to_thread(self._write, batch, rows)
            except StoreUnavailable as error:
                logger.warning("What-ifs wait for the store", extra={"cause": str(error)})
                await asyncio.sleep(_RETRY_S)
            else:
                self._closed.popleft()
                self._waiting -= len(rows)

    def _write(self, batch: int, rows: list[Row]) -> None:
        self._store.write_what_ifs(self.replica, batch, pack(rows))

    async def find(self, prediction_id: str) -> KeptWhatIf | WhatIfRecord | None:
        """Look a what-if up, also one that is not written yet; raises StoreUnavailable, ValueError if damaged."""
        if (named := _ID.fullmatch(prediction_id)) is None:
            return None
        replica, batch, index = named[1], int(named[2]), int(named[3])
        rows = self._unwritten(replica, batch)
        if rows is not None:
            return unpack(pack(rows[index : index + 1]), 0, prediction_id)
        payload = await asyncio.to_thread(self._store.what_ifs, replica, batch)
        return None if payload is None else unpack(payload, index, prediction_id)

    def _unwritten(self, replica: str, batch: int) -> list[Row] | None:
        if replica != self.replica:
            return None
        if batch == self._batch:
            return self._open
        return next((rows for number, rows in self._closed if number == batch), None)
