"""Joins what is asked of the model in one turn of the event loop into one call of it, on the loop itself.

No thread: the model is small, so a batch takes a millisecond or two, and a thread would hand the interpreter's lock to
and fro with the loop for longer than that. Only what is larger than a batch goes to a thread.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from actors.domain.distribution import ForecastInputs, Prediction, Predictions

Predict = Callable[[list[ForecastInputs]], Predictions]  # of one row or more; reads the model once: one version for all
Done = Callable[[Predictions | Exception], None]


class _Job(NamedTuple):
    inputs: list[ForecastInputs]
    done: Done


class Batcher:
    """Matches first, then requests: what matches ask goes into the next batch, whoever else waits."""

    def __init__(self, predict: Predict, most_rows: int) -> None:
        """Take the model's call and the rows of a batch."""
        self._predict, self._most_rows = predict, most_rows
        self._of_matches: deque[_Job] = deque()
        self._of_requests: deque[_Job] = deque()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="predict")
        self._loop = asyncio.get_running_loop()
        self._is_due = False

    def ask(self, inputs: list[ForecastInputs], done: Done, *, is_match: bool = False) -> None:
        """Have `done` called with a prediction per input, one or more, or with what the model raised."""
        (self._of_matches if is_match else self._of_requests).append(_Job(inputs, done))
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._turn)

    async def predict(self, inputs: list[ForecastInputs], *, is_match: bool = False) -> list[Prediction]:
        """Return a prediction per input, all by one version; raises what the model raises."""
        if not inputs:
            return []
        if len(inputs) > self._most_rows:
            return await self._loop.run_in_executor(self._thread, lambda: self._predict(inputs).each())
        answer: asyncio.Future[Predictions] = self._loop.create_future()

        def done(result: Predictions | Exception) -> None:
            if answer.done():  # whoever asked went away
                return
            if isinstance(result, Exception):
                answer.set_exception(result)
            else:
                answer.set_result(result)

        self.ask(inputs, done, is_match=is_match)
        return (await answer).each()

    def close(self) -> None:
        self._thread.shutdown(wait=False)

    def _turn(self) -> None:
        jobs = self._take()
        self._is_due = bool(self._of_matches or self._of_requests)
        if self._is_due:
            self._loop.call_soon(self._turn)
        try:
            predictions = self._predict([row for job in jobs for row in job.inputs])
        except Exception as error:  # noqa: BLE001  whatever it was, those who wait must hear of it
            for job in jobs:
                job.done(error)
            return
        start = 0
        for job in jobs:
            job.done(predictions.rows(start, start + len(job.inputs)))
            start += len(job.inputs)

    def _take(self) -> list[_Job]:
        """Take as many jobs as make a batch, at least one."""
        jobs, rows = list[_Job](), 0
        for queue in (self._of_matches, self._of_requests):
            while queue and (not jobs or rows + len(queue[0].inputs) <= self._most_rows):
                jobs.append(queue.popleft())
                rows += len(jobs[-1].inputs)
        return jobs
