"""The app as it is served everywhere: uvicorn, two workers, each with a model of its own. See bench/doors.py."""

import os
import sys
import time

import torch
import uvicorn
from starlette.applications import Starlette

from actors.domain.distribution import ForecastInputs, Prediction
from cluster.live_models import LiveModels
from cluster.wiring import Wiring
from conf.run import load
from serve_app.app import build_app
from serve_app.batcher import Batcher

_COMMITTED_WITHIN_S = 60.0


def build() -> Starlette:
    """Return the app of one worker; it predicts as a forecaster replica does."""
    torch.set_num_threads(1)
    wiring = Wiring(load(os.environ["BENCH_OPTIONS"].splitlines()))
    model = wiring.load_model(_live(wiring))
    batcher: list[Batcher] = []

    async def predict(inputs: list[ForecastInputs]) -> list[Prediction]:
        if not batcher:  # it belongs to the loop, which does not run yet when this is built
            batcher.append(Batcher(model.predict_rows, wiring.config.serve.batch_requests))
        return await batcher[0].predict(inputs)

    async def predict_as(version: str, inputs: list[ForecastInputs]) -> list[Prediction]:
        return await predict(inputs)

    return build_app(wiring.hosted_deps("uvicorn", f"uvicorn-{os.getpid()}", predict, predict_as))


def _live(wiring: Wiring) -> str:
    stores = wiring.stores
    models = LiveModels(stores.log(), stores.history())
    models.start()
    deadline = time.monotonic() + _COMMITTED_WITHIN_S
    while (live := models.current().live) is None:
        if time.monotonic() > deadline:
            raise AssertionError("no model is committed")
        time.sleep(0.1)
    return live


if __name__ == "__main__":
    uvicorn.run(
        "bench.bare_uvicorn:build",
        factory=True,
        port=int(sys.argv[1]),
        workers=2,
        log_level="warning",
        timeout_worker_healthcheck=60,
    )
