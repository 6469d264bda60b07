"""One process of bench/push: the app with its push listener, as a push replica runs it, on an embedded log.

`python -m bench.push_server FOLDER PORT`: says LISTENING, serves until its input ends, then says what it counted.
"""

import asyncio
import gc
import json
import sys
from pathlib import Path

import uvloop

from bench.push_feed import PARTITIONS
from serve_app.app import build_app
from serve_app.deps import Limits, PushAddress
from tests.unit.api_world import World
from tests.unit.tally import Tally

LISTENING = "listening"
MOST_STREAMS = 18_000  # as conf/serve/streams.yaml


async def _serve(folder: Path, port: int) -> None:
    tally, limits = Tally(), Limits(streams=MOST_STREAMS)
    world = World(folder, limits=limits, partitions=PARTITIONS)
    app = build_app(world.deps(counters=tally, push=PushAddress(host="127.0.0.1", port=port, api_port=1)))
    async with app.router.lifespan_context(app):
        while not app.state.api.push.port:  # noqa: ASYNC110  its own work sets it
            await asyncio.sleep(0.02)
        gc.collect()
        print(LISTENING, flush=True)
        await asyncio.to_thread(sys.stdin.read)
    print(json.dumps(tally.events), flush=True)
    world.close()


if __name__ == "__main__":
    uvloop.run(_serve(Path(sys.argv[1]), int(sys.argv[2])))
