"""The fan-out of bench/push with sse-starlette under uvicorn: a queue and a generator per stream, as its pages show.

`FOLDER PORT`, like bench.push_server; it takes the same clients, sends whole forecasts as they were logged, and neither
resumes nor beats.
"""

import asyncio
import json
import socket
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from actors.adapters.embedded_log import SqliteLog
from actors.domain.forecast import Forecast, decode_published
from actors.domain.ports import FIXTURES, FORECASTS, LogRecord
from bench.push_feed import PARTITIONS
from bench.push_server import LISTENING

MOST_WAITING = 256

Message = dict[str, str]


class Streams:
    """The latest forecast of each match, and the queues of those who watch it."""

    def __init__(self, folder: Path) -> None:
        self._log = SqliteLog(folder / "log", {FORECASTS: PARTITIONS, FIXTURES: 1})
        self._latest: dict[str, str] = {}
        self._queues: dict[str, set[asyncio.Queue[Message]]] = {}

    def follow(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read the log for ever; in a thread of its own."""
        positions = dict.fromkeys(range(PARTITIONS), 0)
        while True:
            records = self._log.read(FORECASTS, positions, 500, 0.5)
            positions |= {record.partition: record.offset + 1 for record in records}
            loop.call_soon_threadsafe(self._take, records)

    def _take(self, records: list[LogRecord]) -> None:
        for record in records:
            value = record.value or b""
            if not isinstance(decode_published(value), Forecast):
                continue
            match_id = record.key or ""
            self._latest[match_id] = value.decode()
            message = {"event": "delta", "data": self._latest[match_id]}
            for queue in self._queues.get(match_id, ()):
                if not queue.full():
                    queue.put_nowait(message)

    async def stream(self, request: Request) -> EventSourceResponse:
        return EventSourceResponse(self._messages(request.query_params["matches"].split(",")), sep="\n")

    async def _messages(self, watched: list[str]) -> AsyncIterator[Message]:
        queue: asyncio.Queue[Message] = asyncio.Queue(MOST_WAITING)
        for match_id in watched:
            self._queues.setdefault(match_id, set()).add(queue)
        try:
            for match_id in watched:
                yield {"event": "image", "data": self._latest[match_id]}
            while True:
                yield await queue.get()
        finally:
            for match_id in watched:
                self._queues[match_id].discard(queue)


async def _serve(folder: Path, port: int) -> None:
    streams = Streams(folder)
    loop = asyncio.get_running_loop()
    threading.Thread(target=streams.follow, args=(loop,), daemon=True).start()
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    app = Starlette(routes=[Route("/v1/stream", streams.stream)])
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", backlog=4_096, timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not (server.started and streams._latest):  # noqa: ASYNC110  nobody tells
        await asyncio.sleep(0.05)
    print(LISTENING, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.should_exit = True
    await serving
    print(json.dumps({}), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), int(sys.argv[2])))
