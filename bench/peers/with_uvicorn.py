"""What-ifs by a Starlette handler under uvicorn, two workers. What waits when the loop comes round makes one batch."""

import asyncio
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from actors.domain.distribution import ForecastInputs
from bench.peers.work import BATCH_ROWS, Work


class Batches:
    """Puts requests together without a window: the first one to wait asks the loop for its next turn."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._waiting: list[tuple[ForecastInputs, asyncio.Future[bytes]]] = []

    def ask(self, inputs: ForecastInputs) -> asyncio.Future[bytes]:
        """Return what will be the answer."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._run)
        answer: asyncio.Future[bytes] = loop.create_future()
        self._waiting.append((inputs, answer))
        return answer

    def _run(self) -> None:
        now, self._waiting = self._waiting[:BATCH_ROWS], self._waiting[BATCH_ROWS:]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._run)
        for (_, future), answer in zip(now, self._work.answers([inputs for inputs, _ in now]), strict=True):
            if not future.done():
                future.set_result(answer)


def build() -> Starlette:
    """Return the app of one worker."""
    work = Work()
    batches = Batches(work)

    async def what_if(request: Request) -> Response:
        answer = await batches.ask(work.inputs(await request.body()))
        return Response(answer, media_type="application/json")

    return Starlette(routes=[Route("/v1/matches/{match_id}/forecast", what_if, methods=["POST"])])


if __name__ == "__main__":
    uvicorn.run(
        "bench.peers.with_uvicorn:build", factory=True, port=int(sys.argv[1]), workers=2, log_level="warning",
        timeout_worker_healthcheck=60,
    )  # fmt: skip
