"""Schedules: a seed says which feed is played, by whom, in what order, what goes wrong; then all is well again."""

from actors.session import MatchSettings
from tests.simulation.fates import drawn
from tests.simulation.feeds import FEEDS, feed_of
from tests.simulation.hub import Hub, Violation
from tests.simulation.verdict import judge
from tests.simulation.world import HISTORY, MEDDLINGS, OWNER, READER, Plan, World, stop

_HEADER = 4  # drawn bytes that say what kind of schedule it is
_SHORTEST, _SPREAD = 4, 40  # drawn bytes behind them: one for each operation and each choice of who runs next
_TIMES_UP = 208  # from this byte on, who waits for records has waited long enough: it goes on without
_ENOUGH = 300  # rounds: a calm world that takes more never comes to rest
_SETTINGS = {
    (batch, every, is_behind): MatchSettings(
        read_batch=(1, 2, 4, 8)[batch],
        snapshot_every_records=(1, 3, 5, 8)[every],
        conflate_behind_records=2 if is_behind else 1_000,
    )
    for batch in range(4)
    for every in range(4)
    for is_behind in (False, True)
}


def play(hub: Hub, seed: int) -> World:
    """Play the schedule of a seed to its end.

    Raises:
        Violation: A promise was broken.
    """
    draw = drawn(seed, _HEADER + _SHORTEST + _SPREAD)
    kind, cast, length, start = draw[:_HEADER]
    is_conflating = cast & 0b1110000 == 0
    plan = Plan(
        feed=feed_of(seed % FEEDS),
        settings=_SETTINGS[kind >> 2 & 3, kind >> 4 & 3, is_conflating],
        is_conflating=is_conflating,
        has_history=cast & 3 == 0,
        has_reader=cast & 12 == 0,
    )
    hub.begin(draw[_HEADER : _HEADER + _SHORTEST + length % _SPREAD], temper=kind & 3)
    try:
        world = World(hub, plan)
        world.log.grow(start % (len(plan.feed.records) + 1))
        world.tend()
        _disturb(world)
        _calm(world)
        judge(world)
    finally:
        hub.end()
    return world


def _disturb(world: World) -> None:
    """Let a drawn task run, or meddle, until the drawn bytes are used up."""
    hub, log = world.hub, world.log
    for byte in hub.draw:
        if byte & 1:
            log.grow()
        if byte < MEDDLINGS:
            world.meddle(byte)
        elif hub.ready:
            task = hub.ready[(byte >> 1) % len(hub.ready)]
            if not task.is_idle or byte >= _TIMES_UP:
                hub.run(task)
        if hub.is_changed:
            world.tend()


def _calm(world: World) -> None:
    """Let all go on, the paused ones too, to the end of the feed; then stop the owners and let the others catch up."""
    hub = world.hub
    world.log.grow(len(world.plan.feed.records))
    for process in hub.processes:
        process.is_paused = False
    world.tend()
    _settle_ownership(world)
    world.needs_owner = False
    for process in world.owners():
        stop(process)
    for role in (OWNER, HISTORY, READER):
        _rest(world, role)


def _settle_ownership(world: World) -> None:
    """Let owners fold the feed to its end, and pulse where the newest one is no more, so that the others notice."""
    for _ in range(_ENOUGH):
        _rest(world, OWNER)
        if world.has_owner():
            return
        for task in world.hub.pulses:
            world.hub.run(task)
        for task in world.hub.ready:
            task.is_idle = False  # to see whether it was told to stop
    raise Violation("nobody comes to own the match")


def _rest(world: World, role: str) -> None:
    """Let all tasks of a role run until they wait for records that will not come, or end."""
    hub = world.hub
    for _ in range(_ENOUGH):
        if hub.is_changed:
            world.tend()
        busy = [task for task in hub.ready + hub.pulses if task.process.role == role and not task.is_idle]
        if not busy:
            return
        for task in busy:
            hub.run(task)
    raise Violation(f"the {role} never comes to rest")
