"""Clients of a running server's stream that are cut at random moments and come back with what they remember."""

import itertools
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

import httpx
import msgspec
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import connect

from tests.unit.push_client import Client, events

AGAIN_AFTER_S = 0.2
SILENT_AFTER_S = 10.0  # heartbeats come every second
NOT_READY = 503


@dataclass
class Trader(Client):
    """Remembers too what it was told when: heartbeats with their time, and edges that it must not act on."""

    heard_at: list[datetime] = field(default_factory=list)
    edges: int = 0
    unwarranted: list[str] = field(default_factory=list)

    @property
    def last(self) -> dict[str, int]:
        """The seq that each match was told with last."""
        return {match_id: seqs[-1] for match_id, seqs in list(self.seqs.items())}

    def take(self, event: str, cursor: str | None, data: Any) -> None:
        super().take(event, cursor, data)
        if event == "heartbeat":
            self.heard_at.append(datetime.now(UTC))
        elif event in ("image", "delta"):
            self._look_at_edge(self.bodies[data["match_id"]])

    def _look_at_edge(self, body: dict[str, Any]) -> None:
        price = body["price"]
        if price is None or price["edge"] is None:
            return
        self.edges += 1
        if body["status"] != "OK" or body["freshness"]["state"] != "FRESH" or price["suspended"]:
            self.unwarranted.append(body["prediction_id"])


class Reader(ABC):
    """Reads in a thread of its own until it is stopped; `patience` bounds what it takes before it hangs up."""

    def __init__(self, base: str, seed: int | None = None, patience: int = 600, query: str = "") -> None:
        """Read from `base`; with a seed, hang up each time after 1 to `patience` pieces, even within a message."""
        self.base, self.query, self.trader = base, query, Trader()
        self.began_at = datetime.now(UTC)
        self.connections = 0
        self.refused: list[tuple[datetime, str]] = []  # other answers than the stream, or than being asked to wait
        self.cut: list[tuple[datetime, str]] = []  # by whom, where it was not ourselves
        self.failure: Exception | None = None
        self._random, self._patience = None if seed is None else Random(seed), patience
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)

    def __str__(self) -> str:
        told = Counter(self.trader.events[-100:])
        return (
            f"{self.connections} connections, refused {self.refused[-3:]}, last heard {told}, last {self.trader.last}"
        )

    def start(self) -> None:
        self._thread.start()

    def stay(self) -> None:
        """Hang up no more after this line."""
        self._random = None

    def stop(self) -> None:
        """Stop reading; raise what went wrong."""
        self._stop.set()
        self._thread.join(timeout=SILENT_AFTER_S + 5.0)
        self.check()

    def check(self) -> None:
        """Raise what went wrong, if anything did."""
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                if not self._connect():
                    self._stop.wait(AGAIN_AFTER_S)
        except Exception as failure:  # noqa: BLE001 - told by `check`, in the thread that can do something about it
            self.failure = failure

    @abstractmethod
    def _connect(self) -> bool:
        """Read until the line is cut, by whomever; say whether to come back at once."""

    def _pieces(self) -> Iterator[int]:
        """Count pieces until it is time to hang up."""
        most = self._random.randint(1, self._patience) if self._random else None
        return itertools.takewhile(
            lambda _: not self._stop.is_set(), itertools.count() if most is None else range(most)
        )

    def _was_cut(self, error: Exception) -> bool:
        self.cut.append((datetime.now(UTC), repr(error)))
        return False

    def _refuse(self, status: int, answer: str) -> bool:
        if status != NOT_READY:
            self.refused.append((datetime.now(UTC), f"{status} {answer}"))
        return False


class SseReader(Reader):
    """Server-sent events; a piece is a line."""

    def _connect(self) -> bool:
        headers = {"Last-Event-ID": self.trader.cursor} if self.trader.cursor else {}
        try:
            address = f"{self.base}/v1/stream{self.query}"
            with httpx.stream("GET", address, headers=headers, timeout=SILENT_AFTER_S, verify=False) as answer:
                if answer.status_code != 200:
                    return self._refuse(answer.status_code, answer.read().decode())
                self.connections += 1
                lines = (line for line, _ in zip(answer.iter_lines(), self._pieces(), strict=False))
                for event, cursor, data in events(lines):
                    self.trader.take(event, cursor, data)
        except httpx.HTTPError as error:
            return self._was_cut(error)
        return True


class WsReader(Reader):
    """WebSocket, the position in the query; a piece is a message."""

    def _connect(self) -> bool:
        after = f"?after={self.trader.cursor}" if self.trader.cursor else ""
        address = f"{self.base.replace('http', 'ws', 1)}/v1/ws{after}"
        try:
            with connect(address, open_timeout=SILENT_AFTER_S, close_timeout=0.2, max_size=None) as socket:
                self.connections += 1
                for _ in self._pieces():
                    message = msgspec.json.decode(socket.recv(timeout=SILENT_AFTER_S))
                    self.trader.take(message["event"], message["id"], message["data"])
        except InvalidStatus as refused:
            body = refused.response.body or b""
            return self._refuse(refused.response.status_code, body.decode())
        except (OSError, WebSocketException) as error:  # TimeoutError is an OSError
            return self._was_cut(error)
        return True
