"""What happens at ten times the load that what-ifs can be carried at? Goodput, refusals, live forecasts, memory, after.

Four matches at real speed, two replicas from the start, so that capacity stays what it is. Capacity is what wrk gets in
a closed loop, on the same cores. Then h2load offers ten times of it at a constant rate over many connections, each of
which waits for its answer: `sent_per_s` says what of it could be sent. Forecast age is that of the live forecasts on an
SSE stream, from when their event was due. Before and after, a light load (a tenth of capacity) says what is normal: it
is normal again behind the last request that failed or took three times as long as 99 % did before. h2load sends one
body, to the matches in turn; nothing caches answers.
"""

import time

from bench.doors import two_replicas
from bench.generators import h2load_rows, need, wrk
from bench.harness import Line, cpu_split, report, spread_ms
from bench.loaded import Watch, answers, live_system, normal_after_s
from bench.running import System

TIMES, SECONDS, CONNECTIONS = 10, 20.0, 2_000
CALIBRATE_S, LIGHT_S, WARM_UP_S = 10.0, 15.0, 5.0
LIGHT_SHARE, LIGHT_LEAST_PER_S, LIGHT_CONNECTIONS, BUSY_CONNECTIONS = 0.1, 20.0, 8, 128
BODY = b'{"score":[1,0],"clock":{"period":2,"ms":1200000}}'


def run(times: float = TIMES, seconds: float = SECONDS, connections: int = CONNECTIONS) -> None:
    """Print one line for each door of the system."""
    need("wrk")
    need("h2load")
    with live_system(two_replicas()) as (system, matches):
        for door, url in (("listener", system.fast), ("serve", system.base)):
            result = _overload(system, url, matches, times, seconds, connections)
            config = {"door": door, "times": times, "seconds": seconds, "connections": connections}
            report("overload", config | {"matches": len(matches)}, result)


def _overload(system: System, url: str, matches: list[str], times: float, seconds: float, connections: int) -> Line:
    urls = [f"{url}/v1/matches/{match_id}/forecast" for match_id in matches]
    wrk(url, seconds=WARM_UP_S, connections=BUSY_CONNECTIONS, ids=matches)
    capacity = wrk(url, seconds=CALIBRATE_S, connections=BUSY_CONNECTIONS, ids=matches).achieved_per_s
    light = max(LIGHT_SHARE * capacity, LIGHT_LEAST_PER_S)
    with Watch(system.base, system.pid) as watch:
        before = time.monotonic()
        quiet = answers(
            h2load_rows(urls, rate=light, seconds=LIGHT_S, connections=LIGHT_CONNECTIONS, body=BODY), LIGHT_S
        )
        began = time.monotonic()
        with cpu_split() as cpu_s:
            rows = h2load_rows(urls, rate=times * capacity, seconds=seconds, connections=connections, body=BODY)
        ended = time.monotonic()
        after = h2load_rows(urls, rate=light, seconds=LIGHT_S, connections=LIGHT_CONNECTIONS, body=BODY)
    under = answers(rows, seconds)
    ages, memory = watch.between(began, ended)
    quiet_ages, quiet_memory = watch.between(before, began)
    return {
        "capacity_per_s": capacity,
        "offered_per_s": round(times * capacity, 1),
        "sent_per_s": round(len(rows) / seconds, 1),
        "achieved_per_s": under.good_per_s,
        "goodput_share": round(under.good_per_s / capacity, 3),
        "good_ms_p99": under.good_ms_p99,
        "refused_share": under.refused_share,
        "refused_ms_p50": under.refused_ms_p50,
        "refused_ms_p99": under.refused_ms_p99,
        "errors": under.errors,
        "age": {"n": len(ages), **(spread_ms(ages) if ages else {})},
        "age_before": {"n": len(quiet_ages), **(spread_ms(quiet_ages) if quiet_ages else {})},
        "streams_lost": watch.lost,
        "memory_mb": max(memory, default=0.0),
        "memory_before_mb": max(quiet_memory, default=0.0),
        "normal_ms_p99": quiet.good_ms_p99,
        "normal_after_s": normal_after_s(after, 3 * quiet.good_ms_p99),
        "cpu_s": cpu_s,
    }
