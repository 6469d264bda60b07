"""What tests read of the log of a system, whichever log it is."""

from actors.domain.fixtures import Fixture
from actors.domain.forecast import Forecast
from actors.domain.ports import FEED, FORECASTS, EventLog, LogRecord
from actors.domain.published import read_all
from actors.ownership import published_of
from actors.supervisor import FixtureBook


def everything(log: EventLog, topic: str, partition: int, position: int) -> list[LogRecord]:
    """Return all that a partition has from an offset on."""
    found: list[LogRecord] = []
    while records := log.read(topic, {partition: position}, 10_000, wait_s=0.0):
        found += records
        position = records[-1].offset + 1
    return found


def fixtures_of(log: EventLog) -> list[Fixture]:
    """Return the fixtures as their topic has them now."""
    book = FixtureBook(log)
    book.refresh()
    return list(book.fixtures.values())


def counted(log: EventLog, fixture: Fixture) -> list[Forecast]:
    """Return a match's forecasts by the readers' rule, in order."""
    assert fixture.lease is not None
    records = everything(log, FORECASTS, fixture.lease.partition, fixture.lease.forecasts_from)
    _, accepted = read_all(published_of(records, fixture.match_id))
    return [record for record in accepted if isinstance(record, Forecast)]


def feed_of(log: EventLog, fixture: Fixture) -> list[LogRecord]:
    """Return a match's partition; its lease began the partition, so that offsets are seqs."""
    assert fixture.lease is not None
    assert fixture.lease.start_offset == 0
    return everything(log, FEED, fixture.lease.partition, 0)
