"""What a larger service needs, computed from what one machine was measured to need. Assumptions are fields here."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from bench.goals import figure


class Costs(Struct, frozen=True, kw_only=True):
    """What was measured, on the machine of the benches."""

    match_cores: float  # of its owner, at real speed; the share of the log and the stores is beside it
    match_mb: float
    stores_cores_per_match: float  # of Kafka, Cassandra, Redis and the writers of history
    message_us: float  # of server CPU for one message to one stream
    stream_bytes: float  # of process memory
    forecast_us: float  # of CPU for one what-if over HTTP, whoever spends it
    forecaster_mb: float  # of one replica
    base_mb: float  # what a node takes before its first match


class Demand(Struct, frozen=True, kw_only=True):
    """What is to be carried."""

    matches: int = 1_000  # in play at once
    streams: int = 1_000_000
    messages_per_stream_per_s: float = 1.0
    forecasts_per_s: float = 100_000.0  # what-ifs over HTTP


class Node(Struct, frozen=True, kw_only=True):
    """A machine as it would be rented, its cores as fast as the measured ones."""

    cores: int = 16
    memory_gb: float = 64.0
    busy_share: float = 0.6  # the rest is for rushes, and for taking over when a node of three is lost
    memory_share: float = 0.75
    streams_per_process: int = 17_000  # of 20,000 files
    matches_per_partition: int = 1  # of the event feed: an owner reads no other match's records


class Part(Struct, frozen=True, kw_only=True):
    """What one of the demands takes."""

    name: str
    cores: float
    memory_gb: float
    processes: int


class Plan(Struct, frozen=True, kw_only=True):
    """The whole."""

    parts: tuple[Part, ...]
    nodes: int
    partitions: int


def plan(costs: Costs, demand: Demand, node: Node) -> Plan:
    """Return how many nodes carry a demand, on the measured costs and the node's assumptions."""
    parts = (_matches(costs, demand), _streams(costs, demand, node), _forecasts(costs, demand, node))
    cores, memory = sum(part.cores for part in parts), sum(part.memory_gb for part in parts)
    room_gb = node.memory_gb * node.memory_share - costs.base_mb / 1024
    nodes = max(math.ceil(cores / (node.cores * node.busy_share)), math.ceil(memory / room_gb))
    partitions = _power_of_two(math.ceil(demand.matches / node.matches_per_partition))
    return Plan(parts=parts, nodes=nodes, partitions=partitions)


def _matches(costs: Costs, demand: Demand) -> Part:
    cores = demand.matches * (costs.match_cores + costs.stores_cores_per_match)
    return Part(
        name=f"{demand.matches:,} matches in play",
        cores=round(cores, 1),
        memory_gb=round(demand.matches * costs.match_mb / 1024, 1),
        processes=demand.matches,
    )


def _streams(costs: Costs, demand: Demand, node: Node) -> Part:
    messages_per_s = demand.streams * demand.messages_per_stream_per_s
    return Part(
        name=f"{demand.streams:,} streams, {demand.messages_per_stream_per_s:g} message/s each",
        cores=round(messages_per_s * costs.message_us / 1e6, 1),
        memory_gb=round(demand.streams * costs.stream_bytes / 2**30, 1),
        processes=math.ceil(demand.streams / node.streams_per_process),
    )


def _forecasts(costs: Costs, demand: Demand, node: Node) -> Part:
    cores = demand.forecasts_per_s * costs.forecast_us / 1e6
    replicas = math.ceil(cores / node.busy_share)  # one thread each
    return Part(
        name=f"{demand.forecasts_per_s:,.0f} forecasts/s",
        cores=round(cores, 1),
        memory_gb=round(replicas * costs.forecaster_mb / 1024, 1),
        processes=replicas,
    )


def _power_of_two(least: int) -> int:
    return 1 << max(least - 1, 0).bit_length()


_OF_REQUEST = "cpu_us_per_request"
_STORES = ("kafka", "cassandra", "redis", "HistoryWriter", "FixtureSupervisor")


def costs_of(lines: Sequence[Mapping[str, Any]]) -> Costs:
    """Read the costs from lines of growth, push and what_ifs: the newest of the largest size.

    Raises:
        LookupError: A line that is needed is not there; it says which.
    """
    growth = _largest(lines, "growth", "matches")
    asked = _largest([line for line in lines if figure(line, _OF_REQUEST) is not None], "growth", "matches")
    push = _largest([line for line in lines if "bytes_per_stream" in line], "push", "streams")
    count, kinds = growth["config"]["matches"], growth["kinds"]
    stores = sum(kinds[name]["cpu"] for name in _STORES if name in kinds)
    forecaster = kinds["Forecaster"]
    of_matches_mb = kinds["MatchActor"]["mb"]
    return Costs(
        match_cores=_number(growth, "per_match_actor.cpu"),
        match_mb=_number(growth, "per_match_actor.mb"),
        stores_cores_per_match=round(stores / count, 4),
        message_us=_number(push, "server_cpu_us_per_message"),
        stream_bytes=_number(push, "bytes_per_stream"),
        forecast_us=_number(asked, _OF_REQUEST),  # no such figure where both cores were full before a request came
        forecaster_mb=round(forecaster["mb"] / forecaster["n"], 1),
        base_mb=_number(growth, "total.mb") - of_matches_mb - forecaster["mb"],
    )


def _largest(lines: Sequence[Mapping[str, Any]], bench: str, size: str) -> Mapping[str, Any]:
    found = [line for line in lines if line["bench"] == bench and size in line["config"]]
    if not found:
        raise LookupError(f"no line of {bench} says what is needed: python -m bench {bench}")
    return max(reversed(found), key=lambda line: float(line["config"][size]))


def _number(line: Mapping[str, Any], path: str) -> float:
    value = figure(line, path)
    if value is None:
        raise LookupError(f"a line of {line['bench']} has no {path}")
    return value
