"""What befalls the servers of the cluster profile while matches are played, and what a reader saw of it."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import redis

from actors.adapters.redis_view import RedisView
from actors.domain.errors import StoreUnavailable
from bench.running import System
from cluster.services.servers import Services
from conf.stores import RedisViewConfig
from tests.conftest import eventually

ENOUGH_S = 120.0  # that Cassandra is away
_LOOK_EVERY_S = 0.4
_ANSWERS_WITHIN_S = 5.0

Span = tuple[datetime, datetime]


@dataclass(frozen=True)
class Look:
    """One answer of the API: when it came, and what it said of each match in play."""

    at: datetime
    states: dict[str, str]  # freshness by match
    seqs: dict[str, int]


class Watch:
    """A reader that looks at all matches every 0.4 s; it never tries again, so each failure counts."""

    def __init__(self, base: str) -> None:
        self._base = base
        self.looks: list[Look] = []
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=10.0)

    def during(self, span: Span) -> list[Look]:
        """Return what was seen in a span."""
        return [look for look in self.looks if span[0] <= look.at <= span[1]]

    def _run(self) -> None:
        with httpx.Client(timeout=_ANSWERS_WITHIN_S) as client:
            while not self._stop.wait(_LOOK_EVERY_S):
                try:
                    answer = client.get(f"{self._base}/v1/matches").raise_for_status()
                    self.looks.append(_look(answer.json()["matches"]))
                except httpx.HTTPError as error:
                    self.failures.append(f"{datetime.now(UTC)} {error!r}")


def _look(matches: list[dict[str, Any]]) -> Look:
    live = [match for match in matches if match["phase"] == "live" and match.get("freshness")]
    return Look(
        at=datetime.now(UTC),
        states={match["match_id"]: match["freshness"]["state"] for match in live},
        seqs={match["match_id"]: match["seq"] for match in live},
    )


@dataclass
class Storm:
    """The faults, each with when it began and ended."""

    system: System
    services: Services
    watch: Watch
    spans: dict[str, Span] = field(default_factory=dict)
    refilled_s: dict[str, float] = field(default_factory=dict)

    def lose_cassandra(self) -> threading.Thread:
        """Kill Cassandra now and start it again once it was away for long enough; return what waits for that."""
        cassandra, began = self.services.named("cassandra"), datetime.now(UTC)
        cassandra.kill()

        def restart() -> None:
            back_at = began + timedelta(seconds=ENOUGH_S)
            time.sleep(max(0.0, (back_at - datetime.now(UTC)).total_seconds()))
            self.spans["cassandra"] = (began, datetime.now(UTC))
            cassandra.start(300)

        waiting = threading.Thread(target=restart, name="restart", daemon=True)
        waiting.start()
        return waiting

    def trouble_redis(self) -> None:
        """Flush it, stop it for a while, kill it; each time note how long it takes to know the live matches again."""
        server = self.services.named("redis")
        with self._span("redis"):
            with redis.Redis(host=server.host, port=server.port) as client:
                client.flushall()
            self._time_refill("flushed")
            process = server.process()
            assert process is not None
            process.suspend()
            time.sleep(4.0)
            process.resume()
            self._time_refill("stopped")
            server.kill()
            time.sleep(1.0)
            server.start(120)
            self._time_refill("killed")

    def lose_kafka(self) -> None:
        """Kill the broker until every match shows SUSPENDED, start it, and wait until every match is fresh again."""
        kafka = self.services.named("kafka")
        self.wait_until_fresh()
        with self._span("kafka"):
            kafka.kill()
            eventually(lambda: self._all_live_are("SUSPENDED"), timeout_s=120)
        kafka.start(180)
        with self._span("kafka back"):
            self.wait_until_fresh()

    def wait_until_fresh(self) -> None:
        """Wait until every match in play has caught up with its feed."""
        eventually(lambda: self._all_live_are("FRESH"), timeout_s=300)

    def _all_live_are(self, state: str) -> bool:
        states = self.watch.looks[-1].states.values() if self.watch.looks else ()
        return bool(states) and all(each == state for each in states)

    @contextmanager
    def _span(self, name: str) -> Iterator[None]:
        began = datetime.now(UTC)
        yield
        self.spans[name] = (began, datetime.now(UTC))

    def _time_refill(self, what: str) -> None:
        """Wait until Redis has a forecast of every live match that is not older than what was seen before."""
        expected, began = dict(self.watch.looks[-1].seqs), time.monotonic()
        config = self.system.config.view
        assert isinstance(config, RedisViewConfig)
        with closing(RedisView(config)) as view:
            eventually(lambda: all(_knows(view, match_id, seq) for match_id, seq in expected.items()), timeout_s=90)
        self.refilled_s[what] = time.monotonic() - began


def _knows(view: RedisView, match_id: str, seq: int) -> bool:
    try:
        entry = view.latest(match_id)
    except StoreUnavailable:
        return False
    return entry is not None and entry.seq >= seq
