"""What the real code takes for `threading`, `time`, `datetime` and `uuid`: all of it the hub's."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace

from tests.simulation.hub import Hub

START = datetime(2026, 8, 1, 15, tzinfo=UTC)


class Event:
    """A `threading.Event`; whoever waits for it lets others run."""

    hub: Hub

    def __init__(self) -> None:
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True

    def wait(self, timeout: float | None = None) -> bool:
        task = self.hub.task
        assert task is not None
        task.is_idle = task.name == "pulse"  # which has nothing to do until it is asked again; others try again
        self.hub.wait()
        task.is_idle = False
        return self._is_set


class Lock:
    """A `threading.Lock`; whoever finds it held lets others run until it is not."""

    hub: Hub

    def __init__(self) -> None:
        self._is_held = False

    def __enter__(self) -> None:
        while self._is_held:
            self.hub.wait()
        self._is_held = True

    def __exit__(self, *_: object) -> None:
        self._is_held = False


class Thread:
    """A `threading.Thread` of the process that is being started."""

    hub: Hub

    def __init__(
        self, target: Callable[..., None], name: str, daemon: bool = True, args: tuple[object, ...] = ()
    ) -> None:
        self._name, self._job = name, partial(target, *args)

    def start(self) -> None:
        self.hub.spawn(self._name, self._job)
        del self._job  # else thread and target would hold each other, and only the garbage collector could free them

    def join(self, timeout: float | None = None) -> None:
        pass


def threading_of(hub: Hub) -> SimpleNamespace:
    """Return what stands in for the module `threading`."""
    names = {kind.__name__: type(kind.__name__, (kind,), {"hub": hub}) for kind in (Event, Lock, Thread)}
    return SimpleNamespace(**names)


def time_of(hub: Hub) -> SimpleNamespace:
    """Return what stands in for the module `time`."""
    return SimpleNamespace(monotonic=lambda: hub.now_s)


def datetime_of(hub: Hub) -> SimpleNamespace:
    """Return what stands in for `datetime`: each process has a clock of its own, and they do not agree."""
    clocks = [START + timedelta(seconds=skew) for skew in (7, -7)]

    def now(_: object) -> datetime:
        assert hub.task is not None
        return clocks[hub.task.process.skew]

    return SimpleNamespace(now=now)


def uuid4_of(hub: Hub) -> Callable[[], SimpleNamespace]:
    """Return what stands in for `uuid4`."""

    def uuid4() -> SimpleNamespace:
        hub.named += 1
        return SimpleNamespace(hex=f"owner-{hub.named}")

    return uuid4
