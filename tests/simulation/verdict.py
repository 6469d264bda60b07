"""What must be left when everything has come to rest, whatever happened before."""

from actors.domain.chain import check_chain
from actors.domain.forecast import Forecast, decode_published
from actors.domain.ports import FEED, FORECASTS
from actors.domain.published import read_all
from tests.simulation.hub import Violation
from tests.simulation.reader import Kept
from tests.simulation.stores import SimulatedHistory
from tests.simulation.world import World


def judge(world: World) -> None:
    """See that what is left is what an undisturbed owner would have left.

    Raises:
        Violation: It is not.
    """
    _judge_log(world)
    _judge_snapshot(world)
    if world.plan.has_history:
        _judge_history(world, world.history)
    if world.plan.has_reader:
        _judge_view(world, world.kept)


def _judge_log(world: World) -> None:
    witness, expected = world.witness, world.plan.feed.expected
    if (due := witness.due()) is not None:
        raise Violation(f"seq {due} was never published")
    _, counted = read_all([decode_published(record.value or b"") for record in world.log.forecasts])
    forecasts = [(each.seq, each.row_hash) for each in counted if isinstance(each, Forecast)]
    if forecasts != [(forecast.seq, forecast.row_hash) for _, forecast, _ in witness.counted]:
        raise Violation("by the readers' rule other forecasts count")
    if witness.letters != expected.letters:
        raise Violation(f"dead letters are {sorted(witness.letters)}, not {sorted(expected.letters)}")
    if not world.log.has_all_that_was_acknowledged():
        raise Violation("an acknowledged append is not in the log")


def _judge_snapshot(world: World) -> None:
    kept, expected = world.snapshots.kept, world.plan.feed.expected
    if kept is None or kept.offset != expected.final_offset or kept.state_hash != expected.hashes[-1]:
        raise Violation("the last snapshot is not the undisturbed fold of the whole feed")


def _judge_history(world: World, history: SimulatedHistory) -> None:
    counted = {forecast.seq: value for _, forecast, value in world.witness.counted}
    rows = [history.rows[seq] for seq in sorted(history.rows)]
    if {row.seq: row.forecast for row in rows} != counted:
        raise Violation(f"history has rows of seq {[row.seq for row in rows]}, the log counts {sorted(counted)}")
    heads = [history.chain_heads[seq] for seq in sorted(history.chain_heads)]
    count, fault = check_chain(rows, heads, history.inputs.get)
    if fault is not None or count != len(counted):
        raise Violation(f"the chain holds for {count} of {len(counted)} rows: {fault}")
    if {head.seq for head in heads} != {head.seq for _, head in world.witness.heads}:
        raise Violation("history has not the chain heads that the log has")
    if [event.value for _, event in sorted(history.events.items())] != [
        r.value or b"" for r in world.plan.feed.records
    ]:
        raise Violation("history has not the events that the feed has")
    ends = {FEED: len(world.plan.feed.records), FORECASTS: len(world.log.forecasts)}
    if any(offsets[0] > ends[consumer] for consumer, offsets in history.committed.items()):
        raise Violation(f"history committed {history.committed}, the log ends at {ends}")


def _judge_view(world: World, kept: Kept) -> None:
    latest = kept.view.latest(world.plan.feed.fixture.match_id)
    shown = None if latest is None else (latest.offset, latest.value)
    last = next(((offset, value) for offset, _, value in reversed(world.witness.counted)), None)
    if shown != last:
        raise Violation("the view does not show the last forecast that counts")
