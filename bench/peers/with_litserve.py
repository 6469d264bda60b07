"""What-ifs by LitServe: its example, with batching, two workers, and the answer as bytes that it only passes on."""

import sys
from typing import Any

import litserve
import msgspec
from starlette.responses import Response

from actors.domain.distribution import ForecastInputs
from bench.peers.work import BATCH_ROWS, MATCH_ID, Work
from serve_app.messages import WhatIf


class WhatIfs(litserve.LitAPI):  # type: ignore[misc]
    """The steps of one request."""

    def setup(self, device: str) -> None:
        """Load what a worker needs."""
        self._work = Work()

    def decode_request(self, request: dict[str, Any]) -> ForecastInputs:
        """Check a body, which is decoded already."""
        return self._work.inputs(msgspec.convert(request, WhatIf))

    def batch(self, inputs: list[ForecastInputs]) -> list[ForecastInputs]:
        """Leave a batch a list."""
        return inputs

    def predict(self, inputs: list[ForecastInputs]) -> list[bytes]:
        """Answer a batch."""
        return self._work.answers(inputs)

    def unbatch(self, output: list[bytes]) -> list[bytes]:
        """Leave the answers a list."""
        return output

    def encode_response(self, output: bytes) -> Response:
        """Wrap one answer."""
        return Response(output, media_type="application/json")


if __name__ == "__main__":
    path = f"/v1/matches/{MATCH_ID}/forecast"
    api = WhatIfs(max_batch_size=BATCH_ROWS, batch_timeout=0.01, api_path=path)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=2)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", generate_client_file=False)
