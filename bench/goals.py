"""What we set out to reach, and whether lines of benches say that we did."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

Line = Mapping[str, Any]


class Goal(Struct, frozen=True, kw_only=True):
    """A bound on one figure of one line of a bench; `where` is what its config says."""

    bench: str
    says: str
    figure: str  # a dotted path, such as age.p99_ms
    where: Mapping[str, Any] = {}
    at_least: float | None = None
    at_most: float | None = None
    times: Mapping[str, Any] | None = None  # the bound is a multiple of the same figure of this other line


class Verdict(Struct, frozen=True, kw_only=True):
    """What was measured of a goal; None where it was not."""

    goal: Goal
    value: float | None
    reached: bool | None


GOALS = (
    Goal(bench="what_ifs", says="8,000 what-ifs/s (the claim)", where={"way": "listener"}, figure="achieved_per_s",
         at_least=8_000),
    Goal(bench="what_ifs", says="25,000 what-ifs/s", where={"way": "listener"}, figure="achieved_per_s",
         at_least=25_000),
    Goal(bench="what_ifs", says="p99 < 50 ms", where={"way": "listener"}, figure="p99_ms", at_most=50),
    Goal(bench="what_ifs", says="1.5 times the same app under uvicorn", where={"way": "listener"},
         figure="achieved_per_s", at_least=1.5, times={"way": "uvicorn"}),
    Goal(bench="what_ifs", says="no answer that comes out otherwise", where={"way": "listener"}, figure="wrong",
         at_most=0),
    Goal(bench="what_ifs", says="every answer recorded", where={"way": "listener"}, figure="not_recorded", at_most=0),
    *(
        Goal(bench="what_if_peers", says=f"faster than {peer}", where={"way": "ours"}, figure="achieved_per_s",
             at_least=1.0, times={"way": peer})
        for peer in ("uvicorn", "litserve", "bentoml", "serve")
    ),
    Goal(bench="reads", says="60,000 reads/s", where={"way": "listener", "read": "whole"}, figure="achieved_per_s",
         at_least=60_000),
    Goal(bench="reads", says="60,000 answers 304/s", where={"way": "listener", "read": "not modified"},
         figure="achieved_per_s", at_least=60_000),
    Goal(bench="batch", says="100,000 forecasts/s on two cores, ensemble and markets as values",
         where={"system": "arrays", "processes": 2}, figure="forecasts_per_s", at_least=100_000),
    Goal(bench="batch", says="the same with their JSON", where={"system": "ours", "processes": 2},
         figure="forecasts_per_s", at_least=100_000),
    Goal(bench="push", says="100,000 streams: event to client p99 < 100 ms", figure="ticks.p99_ms", at_most=100,
         where={"phase": "steady", "streams": 100_000}),
    Goal(bench="push", says="100,000 streams: the goal p99 < 300 ms", figure="goal.p99_ms", at_most=300,
         where={"phase": "steady", "streams": 100_000}),
    Goal(bench="push", says="100,000 streams: < 2 KB of process memory a stream", figure="bytes_per_stream",
         at_most=2_048, where={"phase": "steady", "streams": 100_000}),
    Goal(bench="push", says="reconnects without an error", figure="errors", at_most=0, where={"phase": "storm"}),
    Goal(bench="recover", says="next forecast of a match whose process was killed: p99 < 3 s", figure="p99_ms",
         at_most=3_000),
    Goal(bench="matches", says="100 matches under 10 GB", where={"matches": 100}, figure="total.mb", at_most=10_240),
    Goal(bench="ingest", says="25 MB/s of 1 KB records, with forecasts", figure="mb_per_s", at_least=25,
         where={"way": "ours", "size": 1_000, "forecasts": True}),
    Goal(bench="ingest", says="50,000 records/s of 300 B", figure="records_per_s", at_least=50_000,
         where={"way": "ours", "size": 300, "forecasts": False}),
    *(
        Goal(bench="ingest", says=f"ahead of {other}, {size} B", figure="records_per_s", at_least=1.0,
             where={"way": "ours", "size": size, "forecasts": False}, times={"way": other, "size": size})
        for other in ("quix", "bytewax") for size in (300, 1_000)
    ),
    Goal(bench="autoscale", says="no failed request", figure="failed", at_most=0),
    Goal(bench="autoscale", says="no stream cut", figure="cut", at_most=0),
    Goal(bench="autoscale", says="a replica more within 30 s", figure="grew_after_s", at_most=30),
    Goal(bench="autoscale", says="a replica less within 120 s", figure="shrank_after_s", at_most=120),
    Goal(bench="overload", says="goodput above 90 % of capacity", where={"door": "listener"}, figure="goodput_share",
         at_least=0.9),
    Goal(bench="overload", says="429 in under 50 ms (p99)", where={"door": "listener"}, figure="refused_ms_p99",
         at_most=50),
    Goal(bench="overload", says="live forecasts under 1 s old (p99)", where={"door": "listener"}, figure="age.p99_ms",
         at_most=1_000),
    Goal(bench="overload", says="normal within 5 s", where={"door": "listener"}, figure="normal_after_s", at_most=5),
)  # fmt: skip


def figure(line: Line, path: str) -> float | None:
    """Return a number of a line by its dotted path, None if it has none.

    >>> figure({"age": {"p99_ms": 3.5}}, "age.p99_ms")
    3.5
    """
    found: Any = line
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return float(found) if isinstance(found, int | float) else None


def judge(goal: Goal, lines: Sequence[Line]) -> Verdict:
    """Say whether the newest line that the goal speaks of reached it; one without the figure did not."""
    found = _newest(goal.bench, goal.where, lines)
    other = _newest(goal.bench, goal.times, lines) if goal.times is not None else None
    if found is None or (goal.times is not None and other is None):
        return Verdict(goal=goal, value=None, reached=None)
    value, bound = figure(found, goal.figure), 1.0 if other is None else figure(other, goal.figure)
    if value is None or bound is None:
        return Verdict(goal=goal, value=value, reached=False)
    is_enough = goal.at_least is None or value >= goal.at_least * bound
    is_little = goal.at_most is None or value <= goal.at_most * bound
    return Verdict(goal=goal, value=value, reached=is_enough and is_little)


def _newest(bench: str, where: Mapping[str, Any], lines: Sequence[Line]) -> Line | None:
    fitting = [
        line
        for line in lines
        if line["bench"] == bench and all(line["config"].get(key) == value for key, value in where.items())
    ]
    return fitting[-1] if fitting else None
