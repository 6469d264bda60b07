"""Audit: what is kept of a prediction, and whether it comes out the same when it is made again."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from actors.domain.distribution import ForecastInputs, Prediction
from actors.domain.errors import Unknown
from actors.domain.markets import derive_markets
from actors.domain.ports import History, PredictionRow
from actors.domain.replay_check import Recorded, ReplayResult, compare, read_inputs, read_recorded
from serve_app.deps import PredictAs, ServedModels
from serve_app.messages import WhatIfRecord
from serve_app.problem import Problem
from serve_app.what_if import WhatIfRecorder, is_what_if

_encoder = msgspec.json.Encoder()


class Predictions:
    """Records of published forecasts and of what-ifs, by prediction id."""

    def __init__(
        self,
        history: History,
        what_ifs: WhatIfRecorder,
        predict: Callable[[list[ForecastInputs]], Awaitable[list[Prediction]]],
        models: Callable[[], ServedModels],
        predict_as: PredictAs | None,
    ) -> None:
        self._history, self._what_ifs, self._models = history, what_ifs, models
        self._predict, self._predict_as = predict, predict_as

    async def record(self, prediction_id: str) -> bytes:
        """Return the encoded audit record; raises Unknown, StoreUnavailable."""
        if is_what_if(prediction_id):
            return _encoder.encode(await self._what_if(prediction_id))
        row = await self._row(prediction_id)
        inputs = await asyncio.to_thread(self._history.feature_snapshot, row.feature_snapshot_id)
        return _encoder.encode(_record_of(row, inputs))

    async def replay(self, prediction_id: str) -> ReplayResult:
        """Make a prediction again from the stored inputs and compare.

        Raises:
            Unknown: No such prediction.
            Problem: 409 if the model version is not held, the inputs are gone, or somebody changed them.
        """
        recorded, inputs = await self._stored(prediction_id)
        self._check_held(recorded.model_version)
        version, predict_as = recorded.model_version, self._predict_as
        [prediction] = await (predict_as(version, [inputs]) if predict_as else self._predict([inputs]))
        if prediction.model_version != recorded.model_version:
            raise self._not_held(recorded.model_version)
        return compare(recorded, prediction, derive_markets(prediction.distribution))

    async def _stored(self, prediction_id: str) -> tuple[Recorded, ForecastInputs]:
        if is_what_if(prediction_id):
            return _recorded_of(await self._what_if(prediction_id))
        row = await self._row(prediction_id)
        encoded = await asyncio.to_thread(self._history.feature_snapshot, row.feature_snapshot_id)
        if encoded is None:
            raise Problem(409, f"history does not hold the inputs {row.feature_snapshot_id} of this prediction")
        try:
            return read_recorded(row.forecast), read_inputs(row.feature_snapshot_id, encoded)
        except ValueError as error:  # of msgspec too
            raise Problem(409, f"the stored record cannot be replayed: {error}") from error

    async def _row(self, prediction_id: str) -> PredictionRow:
        row = await asyncio.to_thread(self._history.prediction, prediction_id)
        if row is None:
            raise Unknown("prediction", prediction_id)
        return row

    async def _what_if(self, prediction_id: str) -> WhatIfRecord:
        record = await self._what_ifs.find(prediction_id)
        if record is None:
            raise Unknown("prediction", prediction_id)
        return record

    def _check_held(self, version: str) -> None:
        if version not in self._models().versions:
            raise self._not_held(version)

    def _not_held(self, version: str) -> Problem:
        held = tuple(sorted(self._models().versions))
        names = ", ".join(held) or "none"
        return Problem(409, f"model version {version!r} cannot be run here; versions held: {names}", held=held)


def _record_of(row: PredictionRow, inputs: bytes | None) -> dict[str, object]:
    return {
        "kind": "published",
        "prediction_id": row.prediction_id,
        "match_id": row.match_id,
        "seq": row.seq,
        "model_version": row.model_version,
        "feature_snapshot_id": row.feature_snapshot_id,
        "prev_hash": row.prev_hash,
        "row_hash": row.row_hash,
        "forecast": msgspec.Raw(row.forecast),
        "inputs": None if inputs is None else msgspec.Raw(inputs),
    }


def _recorded_of(record: WhatIfRecord) -> tuple[Recorded, ForecastInputs]:
    answer = record.what_if
    recorded = Recorded(
        prediction_id=record.prediction_id,
        model_version=answer.model_version,
        feature_snapshot_id=answer.feature_snapshot_id,
        basis=answer.basis,
        markets=answer.markets,
        intervals=answer.intervals,
        runtime=answer.runtime,
    )
    return recorded, answer.inputs
