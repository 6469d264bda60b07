"""The feed of bench/push: fifteen matches with an update a second, and one that is silent until its goal."""

import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from actors.domain.events import Score
from actors.domain.forecast import Forecast, Stamps
from tests.unit.api_world import World, a_forecast, a_price, a_pulse, opened

MATCHES = [f"bench:{number}" for number in range(15)]
SILENT = "bench:goal"
PARTITIONS = len(MATCHES) + 1


class Feed:
    """Writes each record at the time at which it is due, whatever the readers do; the stamp says when that was."""

    def __init__(self, folder: Path) -> None:
        self._world = World(folder, partitions=PARTITIONS)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._is_goal, self._goals = False, 0
        self.late_ms = 0.0  # the most that a record was written behind its time
        for partition, match_id in enumerate([*MATCHES, SILENT]):
            first = self._forecast(match_id, 1, datetime.now(UTC))
            self._world.publish(opened(match_id), first, a_pulse(match_id, offset=1), partition=partition)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._world.close()

    def goal(self) -> None:
        """Let the silent match have a goal now."""
        self._is_goal = True

    def _run(self) -> None:
        began, step = datetime.now(UTC), 0
        while not self._stop.is_set():
            step += 1
            due = began + timedelta(seconds=step / PARTITIONS)
            seq, partition = 2 + (step - 1) // PARTITIONS, step % PARTITIONS
            self._wait_until(due)
            if partition < len(MATCHES):
                match_id = MATCHES[partition]
                forecast = self._forecast(match_id, seq, due)
                self._world.publish(forecast, a_pulse(match_id, offset=seq), partition=partition)
            else:
                self._of_the_silent(seq, due)
            self.late_ms = max(self.late_ms, (datetime.now(UTC) - due) / timedelta(milliseconds=1))

    def _of_the_silent(self, seq: int, due: datetime) -> None:
        pulse = a_pulse(SILENT, offset=seq)
        if not self._is_goal:
            self._world.publish(pulse, partition=len(MATCHES))
            return
        self._is_goal, self._goals = False, self._goals + 1
        goal = self._forecast(SILENT, seq, due, Score(self._goals, 0))
        self._world.publish(goal, pulse, partition=len(MATCHES))

    def _forecast(self, match_id: str, seq: int, due: datetime, score: Score = Score()) -> Forecast:  # noqa: B008
        stamps = Stamps(occurred=due, received=due, logged=due, inferred=due, published=due)
        return a_forecast(match_id, seq, stamps=stamps, score=score, price=a_price())

    def _wait_until(self, due: datetime) -> None:
        time.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()))
