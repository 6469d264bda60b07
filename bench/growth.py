"""What do a match and a request cost as matches and replicas become more? From 1 to 16 matches, from 1 to 4 replicas.

On the cluster profile, at real speed. Lines hold CPU in seconds per second and memory (PSS) in play, first at rest,
then with what-ifs at a constant rate through the replicas' listener (h2load): the difference is what a request costs,
whoever pays it. Kafka, Cassandra and Redis are counted, the generator is not. bench/matches goes on to 100 matches,
as this does with `matches=1,16,100`.
"""

import time

from bench.doors import match_ids
from bench.generators import Load, h2load, need
from bench.harness import Line, report
from bench.matches import in_play, per_match, recorded, total, used
from bench.running import System, servers_of_its_own
from cluster.services.servers import Services

MATCHES, REPLICAS = (1, 4, 16), (1, 2, 4)
MATCHES_OF_REPLICAS = 4
RATE_PER_S, MEASURE_S, CONNECTIONS = 500.0, 20.0, 16
_ROOM = 0.95  # of the rate must be achieved
BODY = b'{"score":[1,0],"clock":{"period":2,"ms":1200000}}'


def run(matches: tuple[int, ...] = MATCHES, replicas: tuple[int, ...] = REPLICAS, rate: float = RATE_PER_S) -> None:
    """Print one line per number of matches with one replica, and per number of replicas with four matches."""
    need("h2load")
    names = recorded(max(*matches, MATCHES_OF_REPLICAS))
    points = {(count, 1) for count in matches} | {(MATCHES_OF_REPLICAS, count) for count in replicas}
    with servers_of_its_own() as services:
        for match_count, replica_count in sorted(points):
            options = [f"serve.forecaster_{end}_replicas={replica_count}" for end in ("min", "max")]
            with in_play(services, names[:match_count], options) as system:
                result = _costs(system, services, rate)
            config = {"matches": match_count, "replicas": replica_count, "rate_per_s": rate, "speed": 1}
            report("growth", config, result)


def _costs(system: System, services: Services, rate: float) -> Line:
    urls = [f"{system.fast}/v1/matches/{match_id}/forecast" for match_id in match_ids(system.base)]
    loads: list[Load] = []

    def load() -> None:
        loads.append(h2load(urls, rate=rate, seconds=MEASURE_S, warm_up_s=0.0, connections=CONNECTIONS, body=BODY))

    at_rest = used(system, services, lambda: time.sleep(MEASURE_S))
    loaded = used(system, services, load)
    extra_cpu, achieved = total(loaded)["cpu"] - total(at_rest)["cpu"], loads[0].achieved_per_s
    is_full = achieved < _ROOM * rate  # no processor was left: what requests got was taken from others
    return loads[0].line() | {
        "cpu_us_per_request": None if is_full else round(extra_cpu / achieved * 1e6, 1),
        "per_match_actor": per_match(at_rest),
        "total": total(at_rest),
        "total_loaded": total(loaded),
        "kinds": at_rest,
    }
