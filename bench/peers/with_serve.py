"""What-ifs by Ray Serve with default settings: its example of batching, two replicas, Ray's own proxy."""

import sys
import time

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from actors.domain.distribution import ForecastInputs
from bench.peers.work import BATCH_ROWS, Work


@serve.deployment(num_replicas=2, max_ongoing_requests=2 * BATCH_ROWS)  # or no batch is larger than 5
class WhatIfs:
    """One replica."""

    def __init__(self) -> None:
        self._work = Work()

    @serve.batch(max_batch_size=BATCH_ROWS)  # type: ignore[untyped-decorator]
    async def _answers(self, inputs: list[ForecastInputs]) -> list[bytes]:
        return self._work.answers(inputs)

    async def __call__(self, request: Request) -> Response:
        answer = await self._answers(self._work.inputs(await request.body()))
        return Response(answer, media_type="application/json")


if __name__ == "__main__":
    ray.init("local", num_cpus=4, include_dashboard=False, logging_level="WARNING", log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(WhatIfs.bind())  # type: ignore[attr-defined]
    while True:
        time.sleep(1.0)
