"""The forecaster deployment: PyTorch inference, batched inside the replica, on the committed model only."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from ray import serve

from actors.domain.distribution import ForecastInputs, Prediction
from actors.domain.errors import ModelRejected
from actors.domain.models import CommittedModel, ReplicaModel
from training.network import TorchForecaster, load_model


class Forecaster:
    """One replica. Loads the committed model, checks its golden vectors, acknowledges; then answers."""

    async def __init__(  # type: ignore[misc]  # Serve awaits constructors
        self, registry: Any, batch_rows: int, most_requests: int, window_s: float
    ) -> None:
        torch.set_num_threads(1)
        self._predict_many.set_max_batch_size(most_requests)
        self._predict_many.set_batch_wait_timeout_s(window_s)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="predict")
        committed: CommittedModel = await registry.committed.remote()
        self._model = await asyncio.to_thread(_load, committed, batch_rows)
        replica = ReplicaModel(
            replica=serve.get_replica_context().replica_tag,
            version=self._model.model_version,
            weights_sha256=self._model.manifest.weights_sha256,
        )
        await registry.acknowledge.remote(replica)

    async def predict(self, inputs: list[ForecastInputs]) -> list[Prediction]:
        """Return one prediction per input, the same whatever else is in the batch."""
        answer: list[Prediction] = await self._predict_many(inputs)
        return answer

    @serve.batch(  # type: ignore[untyped-decorator]
        max_batch_size=64, batch_wait_timeout_s=0.001
    )
    async def _predict_many(self, requests: list[list[ForecastInputs]]) -> list[list[Prediction]]:
        rows = [row for inputs in requests for row in inputs]
        loop = asyncio.get_running_loop()
        predictions = iter(await loop.run_in_executor(self._thread, self._model.predict, rows))
        return [[next(predictions) for _ in inputs] for inputs in requests]


def _load(committed: CommittedModel, batch_rows: int) -> TorchForecaster:
    model = load_model(Path(committed.folder), batch_rows=batch_rows)
    model.verify()
    if model.model_version != committed.version:
        raise ModelRejected(committed.folder, f"holds {model.model_version}, committed is {committed.version}")
    return model
