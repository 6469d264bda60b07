"""Mistakes that one could make in the code, to see that the simulation finds them: a test of the test."""

from collections.abc import Callable, Mapping, Sequence

import pytest
from msgspec.structs import replace

import actors.session as session
import tests.simulation.reader as reader
from actors.domain.forecast import GENESIS, Published
from actors.domain.ports import HistoryBatch, LogRecord
from actors.domain.published import NO_EPOCH, NO_SEQ, Accepted, accept
from actors.ownership import Claim, claim
from actors.session import MatchSession
from tests.simulation.stores import SimulatedHistory, SimulatedSnapshots

Plant = Callable[[pytest.MonkeyPatch], None]


def commit_before_save(patch: pytest.MonkeyPatch) -> None:
    """The history writer commits how far it is before its rows are durable."""
    write, commit, waiting = SimulatedHistory.write, SimulatedHistory.commit, list[HistoryBatch]()

    def commit_and_write(history: SimulatedHistory, consumer: str, offsets: Mapping[int, int]) -> None:
        commit(history, consumer, offsets)
        write(history, waiting.pop())

    patch.setattr(SimulatedHistory, "write", lambda history, batch: waiting.append(batch))
    patch.setattr(SimulatedHistory, "commit", commit_and_write)


def save_before_append(patch: pytest.MonkeyPatch) -> None:
    """A match saves the state behind its records before it has appended what is to be published of them."""

    def apply(match: MatchSession, records: Sequence[LogRecord]) -> None:
        state, drafts, letters = match._fold(records)
        match.state, match._next_feed = state, records[-1].offset + 1
        match._save()
        if letters:
            match._ports.log.append(session.DEAD_LETTERS, 0, letters)
        match._publish(drafts)

    patch.setattr(MatchSession, "_apply", apply)


def publish_again(patch: pytest.MonkeyPatch) -> None:
    """A new owner does not ask what was published before it."""

    def forgetful(*asked: object) -> Claim:
        found = claim(*asked)  # type: ignore[arg-type]
        return replace(found, published=replace(found.published, seq=NO_SEQ, row_hash=GENESIS, count=0))

    patch.setattr(session, "claim", forgetful)


def unfenced_snapshots(patch: pytest.MonkeyPatch) -> None:
    """The snapshot store takes whatever comes last."""
    patch.setattr(SimulatedSnapshots, "_replaces", lambda store, snapshot: True)


def unfenced_reader(patch: pytest.MonkeyPatch) -> None:
    """A reader takes records of any epoch."""

    def takes_all(state: Accepted, record: Published) -> tuple[Accepted, bool]:
        return accept(replace(state, epoch=NO_EPOCH, owner=None), record)

    patch.setattr(reader, "accept", takes_all)


def save_what_nobody_takes(patch: pytest.MonkeyPatch) -> None:
    """A match saves without a look at whether a newer owner's marker lies before its last forecast."""
    patch.setattr(MatchSession, "_check_published", lambda match: None)


PLANTED: tuple[Plant, ...] = (
    commit_before_save,
    save_before_append,
    publish_again,
    unfenced_snapshots,
    unfenced_reader,
    save_what_nobody_takes,
)
