"""What an undisturbed owner makes of a feed: the yardstick of every schedule that plays it."""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from actors.domain.assemble import Draft, Place, assemble
from actors.domain.fixtures import Fixture
from actors.domain.forecast import GENESIS
from actors.domain.letters import dead_letter
from actors.domain.markets import derive_markets
from actors.domain.match import MatchState, forecast_inputs, new_match, state_hash
from actors.domain.ports import FEED, LogRecord
from actors.machines.match import DeadLetter, Entry, Reforecast, step
from actors.machines.status import feed_status
from tests.simulation.threads import START
from tests.unit.fakes import predict


class ExpectedRow(Struct, frozen=True, kw_only=True):
    """A forecast as it must be published."""

    seq: int
    row_hash: str
    may_be_left_out: bool  # by an owner that is behind


class Expected(Struct, frozen=True, kw_only=True):
    """The undisturbed fold of one feed."""

    rows: tuple[ExpectedRow, ...]
    letters: dict[str, bytes | None]
    letter_places: tuple[tuple[int, str], ...]  # (offset of the refused record, key of its letter)
    hashes: tuple[str, ...]  # of the state behind each offset
    final_offset: int  # of the last record that is the match's


def undisturbed(fixture: Fixture, records: Sequence[LogRecord]) -> Expected:
    """Fold a feed record by record, with nothing in between; on a shared partition others' records are passed over."""
    is_shared = fixture.lease is not None and fixture.lease.shared
    state, prev_hash = new_match(fixture), GENESIS
    rows, letters, places, hashes = list[ExpectedRow](), dict[str, bytes | None](), list[tuple[int, str]](), list[str]()
    for record in records:
        if record.key == fixture.match_id or not is_shared:
            state, effects = step(state, Entry(offset=record.offset, key=record.key, value=record.value))
            for effect in effects:
                match effect:
                    case DeadLetter():
                        letter = dead_letter(FEED, record, effect.reason, effect.detail)
                        letters[letter.key] = letter.value
                        places.append((record.offset, letter.key))
                    case Reforecast():
                        rows.append(_row(state, effect.trigger, prev_hash))
                        prev_hash = rows[-1].row_hash
        hashes.append(state_hash(state))
    return Expected(
        rows=tuple(_last_stays(rows)),
        letters=letters,
        letter_places=tuple(places),
        hashes=tuple(hashes),
        final_offset=state.offset,
    )


def _row(state: MatchState, trigger: str, prev_hash: str) -> ExpectedRow:
    status, reasons = feed_status(state)
    inputs = forecast_inputs(state)
    draft = Draft(
        state=state,
        inputs=inputs,
        trigger=trigger,
        status=status,
        reasons=reasons,
        occurred=START,
        received=START,
        logged=START,
    )
    [prediction] = predict([inputs])
    markets = derive_markets(prediction.distribution)
    forecast = assemble(draft, prediction, markets, Place(epoch=0, prev_hash=prev_hash), START, START)
    return ExpectedRow(seq=state.offset, row_hash=forecast.row_hash, may_be_left_out=trigger == "tick")


def _last_stays(rows: Sequence[ExpectedRow]) -> Iterator[ExpectedRow]:
    """The newest forecast is never left out."""
    yield from rows[:-1]
    for row in rows[-1:]:
        yield ExpectedRow(seq=row.seq, row_hash=row.row_hash, may_be_left_out=False)
