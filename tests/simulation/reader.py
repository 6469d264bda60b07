"""A process that feeds the live view: reads, counts by the readers' rule, puts, and remembers how far it is."""

from contextlib import suppress

from actors.domain.errors import StoreUnavailable
from actors.domain.forecast import Forecast, decode_published
from actors.domain.ports import FORECASTS, LiveView, LogRecord, ViewEntry
from actors.domain.published import NOTHING, accept
from tests.simulation.fates import GO, PUT
from tests.simulation.hub import Hub, Violation
from tests.simulation.log import SimulatedLog
from tests.simulation.witness import Witness


class Kept:
    """What outlives a reader, as a view in Redis does: the view, and beside it how far its feeder was."""

    def __init__(self, view: LiveView) -> None:
        self.view, self.position, self.accepted, self.last_seq = view, 0, NOTHING, -1


class ViewFeeder:
    """One reader. Begins where another one left off, or at the first record of the match."""

    def __init__(self, hub: Hub, log: SimulatedLog, kept: Kept, witness: Witness, from_start: bool) -> None:
        self._hub, self._log, self._kept, self._witness = hub, log, kept, witness
        self._position, self._accepted = (0, NOTHING) if from_start else (kept.position, kept.accepted)

    def run(self) -> None:
        """Read until the process ends."""
        while True:
            with suppress(StoreUnavailable):  # nothing was read: read again
                for record in self._log.read(FORECASTS, {0: self._position}, 500, wait_s=1.0):
                    self._take(record)
                self._kept.position, self._kept.accepted = self._position, self._accepted

    def _take(self, record: LogRecord) -> None:
        published = decode_published(record.value or b"")
        self._accepted, counts = accept(self._accepted, published)
        if counts and isinstance(published, Forecast):
            self._check_place(record)
            self._put(record, published)
        self._position = record.offset + 1

    def _check_place(self, record: LogRecord) -> None:
        """What a reader counts as the nth forecast must be that for everybody."""
        counted, count = self._witness.counted, self._accepted.count
        if count > len(counted) or counted[count - 1][0] != record.offset:
            raise Violation(f"a reader took the record at {record.offset} for forecast number {count}")

    def _put(self, record: LogRecord, forecast: Forecast) -> None:
        fate = self._hub.enter(PUT)
        entry = ViewEntry(
            match_id=forecast.match_id,
            epoch=forecast.epoch,
            seq=forecast.seq,
            partition=record.partition,
            offset=record.offset,
            value=record.value or b"",
        )
        if self._kept.view.put(entry):
            if forecast.seq <= self._kept.last_seq:
                raise Violation(f"the view went back from seq {self._kept.last_seq} to {forecast.seq}")
            self._kept.last_seq = forecast.seq
        if fate != GO:
            self._hub.leave(PUT, fate)
