"""Audit: what is kept of a prediction, and whether it comes out the same when it is made again."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from actors.domain.distribution import ForecastInputs, Prediction
from actors.domain.errors import Unknown
from actors.domain.forecast import NO_ENSEMBLE, feature_snapshot
from actors.domain.markets import Markets, derive_markets
from actors.domain.ports import History, PredictionRow
from actors.domain.replay_check import (
    Digest,
    Recorded,
    ReplayResult,
    compare,
    compare_digest,
    read_inputs,
    read_recorded,
    values_hash,
)
from serve_app.deps import PredictAs, ServedModels
from serve_app.messages import WhatIfAnswer, WhatIfRecord
from serve_app.problem import Problem
from serve_app.what_if import differences
from serve_app.what_if_recorder import WhatIfRecorder, is_what_if
from serve_app.what_if_rows import KeptWhatIf

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
        """Return the encoded audit record.

        Raises:
            Unknown: No such prediction.
            StoreUnavailable: History does not answer.
            Problem: 409 if it is a what-if whose model version is not held, as in `replay`.
        """
        if is_what_if(prediction_id):
            kept = await self._what_if(prediction_id)
            return _encoder.encode(kept if isinstance(kept, WhatIfRecord) else await self._made_again(kept))
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
        prediction = await self._again(recorded.model_version, inputs)
        markets = derive_markets(prediction.distribution)
        if isinstance(recorded, Digest):
            return compare_digest(recorded, prediction, markets)
        return compare(recorded, prediction, markets)

    async def _again(self, version: str, inputs: ForecastInputs) -> Prediction:
        """Predict by the version of a record; raises Problem (409) if it is not held."""
        if version not in self._models().versions:
            raise self._not_held(version)
        predict_as = self._predict_as
        [prediction] = await (predict_as(version, [inputs]) if predict_as else self._predict([inputs]))
        if prediction.model_version != version:
            raise self._not_held(version)
        return prediction

    async def _made_again(self, kept: KeptWhatIf) -> WhatIfRecord:
        """Return the whole record, its values made again; raises Problem (409)."""
        prediction = await self._again(kept.made.model_version, kept.inputs)
        markets = derive_markets(prediction.distribution)
        return WhatIfRecord(
            prediction_id=kept.prediction_id,
            match_id=kept.based_on.match_id,
            at=kept.at,
            what_if=_answer_of(kept, prediction, markets),
            identical=values_hash(_encoder.encode(markets), prediction.intervals) == kept.values_hash,
        )

    async def _stored(self, prediction_id: str) -> tuple[Recorded | Digest, ForecastInputs]:
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

    async def _what_if(self, prediction_id: str) -> KeptWhatIf | WhatIfRecord:
        try:
            record = await self._what_ifs.find(prediction_id)
        except ValueError as error:  # of msgspec too
            raise Problem(409, f"the stored record cannot be read: {error}") from error
        if record is None:
            raise Unknown("prediction", prediction_id)
        return record

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


def _recorded_of(record: KeptWhatIf | WhatIfRecord) -> tuple[Recorded | Digest, ForecastInputs]:
    if isinstance(record, KeptWhatIf):
        return _digest_of(record), record.inputs
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


def _digest_of(kept: KeptWhatIf) -> Digest:
    return Digest(
        prediction_id=kept.prediction_id,
        model_version=kept.made.model_version,
        basis=kept.made.basis,
        result=kept.result,
        values_hash=kept.values_hash,
        runtime=kept.made.runtime,
    )


def _answer_of(kept: KeptWhatIf, prediction: Prediction, markets: Markets) -> WhatIfAnswer:
    """Return the answer as it was given, but for the values: those are of the prediction that was made again."""
    base = kept.based_on
    return WhatIfAnswer(
        prediction_id=kept.prediction_id,
        match_id=base.match_id,
        based_on=base.prediction_id,
        seq=base.seq,
        as_of=base.as_of,
        model_version=kept.made.model_version,
        basis=kept.made.basis,
        feature_snapshot_id=feature_snapshot(kept.inputs)[0],
        changed=differences(base.inputs, kept.inputs),
        inputs=kept.inputs,
        markets=markets,
        intervals=prediction.intervals,
        intervals_reason="" if prediction.intervals else NO_ENSEMBLE,
        runtime=kept.made.runtime,
        freshness=kept.freshness,
    )
