"""What-ifs by BentoML: its example, with adaptive batching and two workers. A body is a list of one what-if then."""

import sys
from typing import Any

import bentoml
import msgspec

from bench.peers.work import BATCH_ROWS, MATCH_ID, Work
from serve_app.messages import WhatIf


@bentoml.service(workers=2, traffic={"timeout": 30})
class WhatIfs:
    """One worker."""

    def __init__(self) -> None:
        self._work = Work()

    @bentoml.api(  # type: ignore[untyped-decorator]
        batchable=True, max_batch_size=BATCH_ROWS, max_latency_ms=10_000, route=f"/v1/matches/{MATCH_ID}/forecast"
    )
    def forecast(self, what_ifs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Answer a batch."""
        inputs = [self._work.inputs(msgspec.convert(each, WhatIf)) for each in what_ifs]
        return [msgspec.json.decode(answer) for answer in self._work.answers(inputs)]


if __name__ == "__main__":
    bentoml.serve("bench.peers.with_bentoml:WhatIfs", host="127.0.0.1", port=int(sys.argv[1]), blocking=True)
