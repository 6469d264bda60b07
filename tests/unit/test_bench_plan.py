"""What a larger service needs, from what was measured."""

from typing import Any

import pytest

from bench.plan import Costs, Demand, Node, costs_of, plan

COSTS = Costs(
    match_cores=0.01,
    match_mb=64.0,
    stores_cores_per_match=0.01,
    message_us=10.0,
    stream_bytes=1024.0,
    forecast_us=100.0,
    forecaster_mb=512.0,
    base_mb=2048.0,
)
NODE = Node(cores=10, memory_gb=64.0, busy_share=0.5, memory_share=0.5, streams_per_process=10_000)


def growth(matches: int, **more: Any) -> dict[str, Any]:
    kinds = {
        "MatchActor": {"n": matches, "mb": 60 * matches, "cpu": 0.02 * matches},
        "Forecaster": {"n": 1, "mb": 500, "cpu": 0.1},
        "kafka": {"n": 1, "mb": 400, "cpu": 0.16},
        "cassandra": {"n": 1, "mb": 900, "cpu": 0.16},
    }
    return {
        "bench": "growth",
        "config": {"matches": matches, "replicas": 1},
        "kinds": kinds,
        "per_match_actor": {"mb": 60.0, "cpu": 0.02},
        "total": {"mb": 5000, "cpu": 1.0},
        "cpu_us_per_request": 90.0,
        **more,
    }


PUSH = {
    "bench": "push",
    "config": {"streams": 100_000},
    "bytes_per_stream": 900,
    "server_cpu_us_per_message": 9.5,
}


def test_each_demand_takes_its_cores_and_memory() -> None:
    needed = plan(COSTS, Demand(matches=1_000, streams=1_000_000, forecasts_per_s=100_000), NODE)
    assert [part.cores for part in needed.parts] == [20.0, 10.0, 10.0]
    assert [part.memory_gb for part in needed.parts] == [62.5, 1.0, 10.0]
    assert [part.processes for part in needed.parts] == [1_000, 100, 20]


def test_nodes_follow_from_what_is_scarce() -> None:
    by_cores = plan(COSTS, Demand(matches=1_000, streams=1_000_000, forecasts_per_s=100_000), NODE)
    assert by_cores.nodes == 8  # 40 cores, of which a node gives 5
    by_memory = plan(COSTS, Demand(matches=1_000, streams=0, forecasts_per_s=0), Node(cores=64, memory_gb=16.0))
    assert by_memory.nodes == 7  # 62.5 GB, of which a node gives 12 less its own 2


def test_matches_have_partitions_of_their_own_up_to_a_power_of_two() -> None:
    assert plan(COSTS, Demand(matches=1_000), NODE).partitions == 1_024
    assert plan(COSTS, Demand(matches=1_024), NODE).partitions == 1_024
    assert plan(COSTS, Demand(matches=1), NODE).partitions == 1


def test_costs_are_those_of_the_newest_line_of_the_largest_size() -> None:
    costs = costs_of([growth(16, cpu_us_per_request=80.0), growth(1), growth(16), PUSH])
    assert (costs.match_cores, costs.match_mb, costs.forecast_us) == (0.02, 60.0, 90.0)
    assert costs.stores_cores_per_match == 0.02
    assert (costs.message_us, costs.stream_bytes, costs.forecaster_mb) == (9.5, 900.0, 500.0)
    assert costs.base_mb == 5000 - 16 * 60 - 500


def test_a_request_costs_what_it_did_where_there_was_room_for_it() -> None:
    costs = costs_of([growth(4, cpu_us_per_request=70.0), growth(16, cpu_us_per_request=None), PUSH])
    assert (costs.forecast_us, costs.base_mb) == (70.0, 5000 - 16 * 60 - 500)


def test_what_was_not_measured_is_said() -> None:
    with pytest.raises(LookupError, match="python -m bench push"):
        costs_of([growth(16)])
