"""Runs match actors on Ray, and has a standby bridge the loss of one until Ray has started it again."""

import contextlib
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError

from actors.domain.fixtures import Fixture
from actors.match import MatchActor, Progress
from actors.standby import Standby
from cluster.wiring import NAMESPACE, Wiring

logger = logging.getLogger("touchline.runner")

_ASK_S = 1.0  # all match actors together have so long to say how far they are
_STOP_S = 5.0  # a match actor has so long to save its snapshot before it is killed
_LOOK_EVERY_S = 0.1  # for deaths
_SLOTS = 5  # of calls at once: one waits for the end all the time


class RayMatchRunner:
    """Starts match actors by name, so that an operator finds `match:<id>` in the Ray dashboard."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._actor = ray.remote(MatchActor)
        self._started: dict[str, Any] = {}
        self._deaths = _Deaths(wiring)

    def start(self, fixture: Fixture) -> None:
        options = self._actor.options(
            name=actor_name(fixture.match_id),
            namespace=NAMESPACE,
            get_if_exists=True,
            lifetime="detached",
            max_restarts=-1,
            max_concurrency=_SLOTS,
            num_cpus=0.01,
            scheduling_strategy="SPREAD",  # so that the loss of a node is that of few matches
        )
        actor = options.remote(fixture, self._wiring.match_ports, self._wiring.match_settings())
        self._started[fixture.match_id] = actor
        self._deaths.watch(fixture, actor)

    def progress(self, match_ids: Sequence[str]) -> dict[str, Progress]:
        asked = {self._started[i].progress.remote(): i for i in match_ids if i in self._started}
        ready, _ = ray.wait(list(asked), num_returns=len(asked), timeout=_ASK_S) if asked else ([], [])
        told: dict[str, Progress] = {}
        for answer in ready:
            with contextlib.suppress(RayError):  # who cannot answer is left out
                told[asked[answer]] = ray.get(answer)
        return told

    def stop(self, match_id: str) -> None:
        self._deaths.forget(match_id)
        self._started.pop(match_id, None)
        try:
            actor = ray.get_actor(actor_name(match_id), namespace=NAMESPACE)
        except ValueError:
            return
        with contextlib.suppress(RayError):  # it may be the one that hangs
            ray.get(actor.stop.remote(), timeout=_STOP_S)
        ray.kill(actor)


@dataclass(frozen=True, slots=True)
class _Watched:
    """A match's actor, and whether it has answered since it was last started: only then its end is news."""

    fixture: Fixture
    actor: Any
    is_up: bool


class _Deaths:
    """Hears of the death of a match's process at once, and gives the match to a standby.

    A new process imports for seconds before it can do anything; a standby has done so. There are few of them: where a
    node with many matches is lost, most wait for Ray.
    """

    def __init__(self, wiring: Wiring) -> None:
        plain = {"num_cpus": 0.01, "max_restarts": -1, "max_concurrency": 4}
        standby = ray.remote(Standby).options(**plain)
        count = wiring.config.supervisor.standbys
        self._standbys = [standby.remote(wiring.match_ports, wiring.match_settings()) for _ in range(count)]
        self._lock = threading.Lock()
        self._watched: dict[Any, _Watched] = {}  # by the call that is waited for
        threading.Thread(target=self._run, name="deaths", daemon=True).start()

    def watch(self, fixture: Fixture, actor: Any, is_up: bool = False) -> None:
        call = actor.until_stopped.remote() if is_up else actor.progress.remote()
        with self._lock:
            self._watched[call] = _Watched(fixture, actor, is_up)

    def forget(self, match_id: str) -> None:
        with self._lock:
            self._watched = {call: each for call, each in self._watched.items() if each.fixture.match_id != match_id}
        for standby in self._standbys:
            standby.release.remote([match_id])

    def _run(self) -> None:
        stop = threading.Event()
        while not stop.wait(_LOOK_EVERY_S):
            try:
                self._look()
            except Exception:  # without a standby a match waits for Ray, no more
                logger.exception("Not bridged")

    def _look(self) -> None:
        with self._lock:
            calls = list(self._watched)
        for call in ray.wait(calls, num_returns=len(calls), timeout=0)[0] if calls else []:
            self._ended(call)

    def _ended(self, call: Any) -> None:
        with self._lock:
            watched = self._watched.pop(call, None)
        if watched is None:
            return
        try:
            ray.get(call)
        except RayError:
            if watched.is_up:
                self._bridge(watched.fixture)
            self.watch(watched.fixture, watched.actor)
        else:
            if not watched.is_up:  # otherwise it stopped by itself: fenced, or told to
                self.watch(watched.fixture, watched.actor, is_up=True)

    def _bridge(self, fixture: Fixture) -> None:
        for standby in self._standbys:
            with contextlib.suppress(RayError):
                if ray.get(standby.bridge.remote(fixture), timeout=_ASK_S):
                    logger.info("Match bridged", extra={"match_id": fixture.match_id})
                    return


def actor_name(match_id: str) -> str:
    """Return the name of a match's actor."""
    return f"match:{match_id}"
