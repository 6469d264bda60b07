"""What the app is a function of."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from msgspec import Struct

from actors.domain.distribution import ForecastInputs, Prediction
from actors.domain.errors import SetupError
from actors.domain.features import Extracted
from actors.domain.fixtures import Fixture
from actors.domain.health import HealthReport
from actors.domain.past import PastStates
from actors.domain.ports import ActivityStore, EventLog, History, LiveView, WhatIfStore
from serve_app.counters import Counters, NoCounters


class ServedModels(Struct, frozen=True, kw_only=True):
    """The model versions that are held, as their manifests say, and which one is live (None: none committed yet)."""

    live: str | None
    versions: dict[str, dict[str, Any]]  # version -> manifest
    epoch: int = 0  # of the last commit
    previous: str | None = None  # what a rollback goes back to
    committed: dict[str, datetime] = {}  # version -> when it was last committed


Predict = Callable[[list[ForecastInputs]], Awaitable[list[Prediction]]]  # by the live model; NoModel, Overloaded
PredictAs = Callable[[str, list[ForecastInputs]], Awaitable[list[Prediction]]]  # by a version that is held, for replays
MatchInputs = Callable[[Fixture, int], Extracted | None]  # of a match as of a feed offset; None: not to be had any more


async def no_health() -> HealthReport | None:
    """Stand in where nobody looks at how models do."""
    return None


def no_match_inputs(fixture: Fixture, seq: int) -> None:
    """Stand in where nobody folds the log for a replica."""


def no_past_states(until: date) -> PastStates:
    """Stand in where there are no past matches."""
    raise SetupError("no past matches were handed in")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Every bound of the app, each with what happens when it is reached."""

    body_bytes: int = 64 * 1024  # 413
    batch_body_bytes: int = 1024 * 1024  # 413
    body_timeout_s: float = 10.0  # 408: a body that never ends
    batch_items: int = 1_000  # 422
    page_items: int = 1_000  # 422
    what_ifs_waiting: int = 32_000  # 429; 1 KB each: a store may be away for 4 s at 8,000 a second
    what_if_batch: int = 1_000
    what_if_flush_s: float = 0.2
    activity_flush_s: float = 10.0  # what a killed replica loses of its counts
    activity_rows: int = 5_000  # that wait for the store; the oldest are dropped
    streams: int = 10_000  # 429
    stream_matches: int = 100  # 422
    queue: int = 256  # messages that wait for a slow reader before it is served from the log instead
    buffer_bytes: int = 64 * 1024  # the same on a bare connection, beyond what the kernel holds of it
    slow_s: float = 30.0  # a reader that takes nothing for so long is dropped
    stream_bytes: int = 16 * 1024 * 1024  # then a stream ends and its client resumes: Serve queues without a bound
    heartbeat_s: float = 1.0
    message_bytes: int = 4 * 1024  # of a WebSocket client: 1009
    backlog_records: int = 10_000  # per partition of forecasts.v1: read at the start, held for resuming
    forget_after_s: float = 600.0  # a retired match leaves the view
    retired_matches: int = 5_000  # remembered after they left it: history has the others


@dataclass(frozen=True, slots=True, kw_only=True)
class PushAddress:
    """Where a replica's own listener of streams is, and the port of everything else. Port 0: any (in tests)."""

    host: str
    port: int
    api_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerSettings:
    """Where a replica listens, and the bound of everything that it takes."""

    host: str
    port: int
    requests: int  # of one connection, then it is ended, so that load moves to new replicas
    connections: int  # beyond: 429
    waiting: int  # what-ifs that wait for the model; beyond: 429
    window_s: float  # that the first what-if of a batch waits for others
    tasks: int  # requests under way in the app, streams apart; beyond: 429
    idle_s: float = 75.0  # as long as common clients keep a connection that they do not use, and some more
    linger_s: float = 1.0  # while closing, an idle connection may still send its last request
    drain_s: float = 10.0  # then what is left is cut


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecasterSettings:
    """How a replica joins requests, and where it listens."""

    batch_rows: int  # computed in one go, and so the longest that a match waits for requests
    sockets: Path  # the folder in which the replicas of a machine answer its matches
    listener: ListenerSettings | None  # None: it has none of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class AppDeps:
    """Everything the app needs, handed in. `predict` raises NoModel or Overloaded; `models` never fails."""

    log: EventLog
    view: LiveView
    history: History
    what_ifs: WhatIfStore
    activity: ActivityStore
    predict: Predict
    models: Callable[[], ServedModels]
    replica: str  # unique for each start of a replica: it is part of the ids of what-ifs
    monotonic: Callable[[], float]  # seconds
    now: Callable[[], datetime]  # aware UTC
    web: Path  # folder of the page
    limits: Limits = field(default_factory=Limits)
    predict_as: PredictAs | None = None  # raises as `predict` does; None: only the live model can be asked
    counters: Counters = field(default_factory=NoCounters)
    health: Callable[[], Awaitable[HealthReport | None]] = no_health  # None: not known now; raises nothing
    match_inputs: MatchInputs = no_match_inputs  # blocks; raises StoreUnavailable
    past_states: Callable[[date], PastStates] = no_past_states  # of matches before a day; blocks; raises SetupError
    push: PushAddress | None = None  # None: streams come through ASGI alone
    allowed_origins: tuple[str, ...] = ()  # of WebSocket clients, beside the page's own host
