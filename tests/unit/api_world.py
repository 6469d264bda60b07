"""A small world for tests of the app: a real embedded log, real stores, a hand-written forecaster, a set clock."""

import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import httpx2 as httpx
import msgspec
import numpy as np
import uvicorn
from starlette.testclient import TestClient

from actors.adapters.embedded_log import SqliteLog
from actors.adapters.embedded_stores import SqliteHistory
from actors.adapters.memory_view import MemoryView
from actors.domain.distribution import MAX_REMAINING, ForecastInputs, Prediction, Runtime, ScoreDistribution
from actors.domain.events import Clock, Score
from actors.domain.fixtures import Fixture, Lease, Team, encode_fixture
from actors.domain.forecast import (
    GENESIS,
    AsOf,
    ChainHead,
    EpochOpen,
    Forecast,
    Offsets,
    PriceView,
    Published,
    Pulse,
    Stamps,
    encode_published,
    feature_snapshot,
    prediction_id,
    row_hash,
)
from actors.domain.markets import derive_markets
from actors.domain.ports import FIXTURES, FORECASTS, ChainHeadRow, HistoryBatch, NewRecord, PredictionRow
from serve_app.app import build_app
from serve_app.deps import AppDeps, Limits, PushAddress, ServedModels
from tests.conftest import eventually

MODEL = "baseline-1"
HERE = Runtime(torch="2.13.0", cpu_capability="TEST")
KICK_OFF = datetime(2026, 5, 30, 19, 0, tzinfo=UTC)
MATCH = "wyscout:2499841"
OTHER = "wyscout:2500089"
WEB = Path(__file__).resolve().parents[2] / "serve_app" / "web"


def predict_one(inputs: ForecastInputs) -> Prediction:
    """Independent Poisson goals, less likely the later it is; enough to be a distribution that depends on inputs."""
    left = max(0.0, 1 - (max(0, inputs.period - 1) * 45 + inputs.clock_ms / 60_000) / 95)
    home = 1.5 * left * (0.7**inputs.home_reds) + 1e-9
    away = 1.1 * left * (0.7**inputs.away_reds) + 1e-9
    if inputs.anchor_1x2 is not None:
        home *= 2 * inputs.anchor_1x2[2] / (inputs.anchor_1x2[0] + inputs.anchor_1x2[2])
    grid = np.outer(_poisson(home), _poisson(away))
    grid /= grid.sum()
    none = float(grid[0, 0])
    return Prediction(
        distribution=ScoreDistribution(
            score=Score(inputs.home_goals, inputs.away_goals),
            remaining=grid,
            next_home=(1 - none) * home / (home + away),
            next_away=(1 - none) * away / (home + away),
        ),
        model_version=MODEL,
        basis="league",
        home_rate=home,
        away_rate=away,
        runtime=HERE,
    )


def _poisson(rate: float) -> "np.ndarray":
    return np.array([math.exp(-rate) * rate**k / math.factorial(k) for k in range(MAX_REMAINING + 1)])


async def predict(inputs: list[ForecastInputs]) -> list[Prediction]:
    return [predict_one(each) for each in inputs]


def a_price(*, suspended: bool = False, edge: tuple[float, float, float] | None = (0.05, -0.1, -0.1)) -> PriceView:
    return PriceView(
        provider="betfair",
        bookmaker="exchange",
        prices=(2.1, 3.4, 3.9),
        fair=(0.46, 0.285, 0.255),
        method="power",
        overround=0.027,
        suspended=suspended,
        in_play=True,
        occurred_at=KICK_OFF,
        match_ms_at=Clock(1, 0),
        edge=None if suspended else edge,
    )


def a_forecast(match_id: str = MATCH, seq: int = 0, *, prev_hash: str = GENESIS, **changes: object) -> Forecast:
    """A forecast of a match under way; the clock moves with seq."""
    minute = min(seq, 44)
    inputs = ForecastInputs(period=1, clock_ms=minute * 60_000)
    score = changes.get("score", Score())
    assert isinstance(score, Score)
    inputs = msgspec.structs.replace(inputs, home_goals=score.home, away_goals=score.away)
    prediction = predict_one(inputs)
    at = KICK_OFF + timedelta(minutes=minute)
    forecast = Forecast(
        match_id=match_id,
        epoch=1,
        seq=seq,
        prediction_id=prediction_id(match_id, seq),
        home="Athletic",
        away="Rovers",
        competition="Cup",
        as_of=AsOf(clock=Clock(1, minute * 60_000), occurred_at=at),
        phase="live",
        status="OK",
        reasons=(),
        trigger="tick",
        score=score,
        extra_time=None,
        shoot_out=None,
        cards={"yellow": Score(), "sent_off": Score()},
        model_version=MODEL,
        basis="league",
        feature_snapshot_id=feature_snapshot(inputs)[0],
        inputs=inputs,
        markets=derive_markets(prediction.distribution),
        offsets=Offsets(feed=seq, odds=None),
        stamps=Stamps(occurred=at, received=at, logged=at, inferred=at, published=at),
        runtime=HERE,
        prev_hash=prev_hash,
        row_hash="",
    )
    forecast = msgspec.structs.replace(forecast, **changes)
    return msgspec.structs.replace(forecast, row_hash=row_hash(prev_hash, forecast))


def a_pulse(match_id: str = MATCH, *, offset: int, epoch: int = 1, **changes: object) -> Pulse:
    pulse = Pulse(
        match_id=match_id,
        epoch=epoch,
        offset=offset,
        clock=Clock(1, min(offset, 44) * 60_000),
        phase="live",
        feed_silent_s=0.1,
        own_lag_s=0.0,
    )
    return msgspec.structs.replace(pulse, **changes)


def a_fixture(match_id: str = MATCH, *, partition: int = 0, retired: bool = False) -> Fixture:
    return Fixture(
        match_id=match_id,
        kick_off=KICK_OFF,
        home=Team(name="Athletic"),
        away=Team(name="Rovers"),
        competition="Cup",
        lease=Lease(partition=partition, start_offset=0),
        status="retired" if retired else "scheduled",
    )


@dataclass
class Clockwork:
    """A monotonic clock that runs, and can be moved ahead."""

    ahead_s: float = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_s


@dataclass
class World:
    """Dependencies of one app, and the pen that writes its log."""

    folder: Path
    limits: Limits = field(default_factory=Limits)
    clock: Clockwork = field(default_factory=Clockwork)
    partitions: int = 4

    def __post_init__(self) -> None:
        self.log = SqliteLog(self.folder / "log", {FORECASTS: self.partitions, FIXTURES: 1})
        self.view = MemoryView(tail_per_partition=500)
        self.history = SqliteHistory(self.folder / "history.db")
        self.models = ServedModels(live=MODEL, versions={MODEL: {"metrics": {"rps": 0.19}}})

    def deps(self, **changes: object) -> AppDeps:
        values: dict[str, object] = {
            "log": self.log,
            "view": self.view,
            "history": self.history,
            "what_ifs": self.history,
            "activity": self.history,
            "predict": predict,
            "models": lambda: self.models,
            "replica": "test#1",
            "monotonic": self.clock,
            "now": lambda: datetime.now(UTC),
            "web": WEB,
            "limits": self.limits,
        }
        return AppDeps(**{**values, **changes})  # type: ignore[arg-type]

    def publish(self, *records: Published, partition: int = 0) -> None:
        """Append to forecasts.v1."""
        self.log.append(
            FORECASTS, partition, [NewRecord(key=each.match_id, value=encode_published(each)) for each in records]
        )

    def announce(self, *fixtures: Fixture) -> None:
        """Append to fixtures.v1."""
        self.log.append(FIXTURES, 0, [NewRecord(key=each.match_id, value=encode_fixture(each)) for each in fixtures])

    def keep(self, *forecasts: Forecast, snapshots: bool = True) -> None:
        """Write to history what the history writer would."""
        rows = tuple(map(prediction_row, forecasts))
        inputs = tuple(feature_snapshot(each.inputs) for each in forecasts) if snapshots else ()
        last = forecasts[-1]
        head = ChainHeadRow(match_id=last.match_id, seq=last.seq, count=len(forecasts), row_hash=last.row_hash)
        self.history.write(HistoryBatch(predictions=rows, feature_snapshots=inputs, heads=(head,)))

    def close(self) -> None:
        self.log.close()
        self.history.close()


@contextmanager
def a_world(folder: Path, **settings: object) -> Iterator[World]:
    world = World(folder, **settings)  # type: ignore[arg-type]
    try:
        yield world
    finally:
        world.close()


def opened(match_id: str = MATCH, epoch: int = 1) -> EpochOpen:
    return EpochOpen(match_id=match_id, epoch=epoch, owner=f"owner-{epoch}")


def a_head(forecast: Forecast, count: int = 1) -> ChainHead:
    return ChainHead(
        match_id=forecast.match_id, epoch=forecast.epoch, seq=forecast.seq, count=count, row_hash=forecast.row_hash
    )


@contextmanager
def serving(world: World, **changes: object) -> Iterator[TestClient]:
    """Run the app in process and wait until it has read what the log holds."""
    with TestClient(build_app(world.deps(**changes)), raise_server_exceptions=False) as client:
        eventually(lambda: client.get("/readyz").status_code == 200 or not world.models.live)
        yield client


def beat_until(world: World, condition: Callable[[], object], *pulses: Pulse) -> None:
    """Publish pulses as an owner would, again and again, until a condition is true."""

    def met() -> object:
        world.publish(*pulses)
        return condition()

    eventually(met, every_s=0.1)


class Doors(NamedTuple):
    """Where a served app is: everything behind ASGI, and the listener of streams."""

    api: str
    push: str


@contextmanager
def both_doors(world: World, **changes: object) -> Iterator[Doors]:
    """Run the app behind a real server, and its own listener; give their addresses once it is ready."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    app = build_app(world.deps(push=PushAddress(host="127.0.0.1", port=0, api_port=port), **changes))
    config = uvicorn.Config(app, log_level="error", ws_max_size=4096, timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    address, push = f"http://127.0.0.1:{port}", app.state.api.push
    try:
        eventually(lambda: server.started and httpx.get(f"{address}/readyz").status_code == 200 and push.port)
        yield Doors(api=address, push=f"http://127.0.0.1:{push.port}")
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


@contextmanager
def listening(world: World, **changes: object) -> Iterator[str]:
    """Run the app behind a real server; give its address once it is ready."""
    with both_doors(world, **changes) as doors:
        yield doors.api


def prediction_row(forecast: Forecast) -> PredictionRow:
    """Return what the history writer keeps of a forecast."""
    return PredictionRow(
        prediction_id=forecast.prediction_id,
        match_id=forecast.match_id,
        seq=forecast.seq,
        model_version=forecast.model_version,
        feature_snapshot_id=forecast.feature_snapshot_id,
        prev_hash=forecast.prev_hash,
        row_hash=forecast.row_hash,
        forecast=encode_published(forecast),
    )
