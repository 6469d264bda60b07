"""The work of a what-if as every peer does it: body checked, network run, markets derived, answer encoded.

Less than ours, in the peers' favour: nothing is recorded for audit, and no change is listed. Inputs are those of a
recorded match of the demo; which ones follows from the body, so that the answer does too.
"""

from collections.abc import Sequence

import msgspec
import torch
from msgspec import Struct

from actors.domain.distribution import ForecastInputs, Intervals, Prediction, Runtime
from actors.domain.events import encode_record
from actors.domain.markets_json import markets_json
from bench.pieces import MATCH, inputs_of, match_of
from cluster.audit import MODELS
from serve_app.messages import WhatIf
from serve_app.what_if import changed_inputs
from training.network import load_model

MODEL = "touchline-all"
BATCH_ROWS = 32
MATCH_ID = "peer"  # of the URL; one for all


class Answer(Struct, frozen=True, kw_only=True):
    """A forecast of what would be."""

    model_version: str
    basis: str
    inputs: ForecastInputs
    markets: msgspec.Raw
    intervals: Intervals | None
    runtime: Runtime


class Work:
    """One copy of the network with its inputs, for one thread of one process."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self._model = load_model(MODELS / MODEL, batch_rows=BATCH_ROWS)
        fixture, records = match_of(MATCH)
        self._stored = inputs_of(fixture, [encode_record(record) for record in records])

    def inputs(self, body: bytes | WhatIf) -> ForecastInputs:
        """Return the stored inputs as the body wants them; raises msgspec.ValidationError."""
        what_if = msgspec.json.decode(body, type=WhatIf) if isinstance(body, bytes) else body
        number = what_if.clock.ms if what_if.clock else 0
        return changed_inputs(self._stored[number % len(self._stored)], what_if)

    def answers(self, inputs: Sequence[ForecastInputs]) -> list[bytes]:
        """Return an encoded answer for each of the inputs."""
        predictions = self._model.predict(list(inputs))
        markets = markets_json([prediction.distribution for prediction in predictions])
        return [msgspec.json.encode(_answer(*each)) for each in zip(inputs, predictions, markets, strict=True)]


def _answer(inputs: ForecastInputs, prediction: Prediction, markets: bytes) -> Answer:
    return Answer(
        model_version=prediction.model_version,
        basis=prediction.basis,
        inputs=inputs,
        markets=msgspec.Raw(markets),
        intervals=prediction.intervals,
        runtime=prediction.runtime,
    )
