"""The live view on the Redis that runs for the tests; a namespace of its own for each place."""

from actors.adapters.layered_view import LayeredView
from actors.adapters.layered_view import open_layered_view as open_layered
from actors.adapters.redis_view import RedisView
from conf.stores import RedisViewConfig
from tests.servers import port_of


def configured(namespace: str, tail_per_partition: int) -> RedisViewConfig:
    """Return how to reach it. It is asked to be right here, not to be fast: the machine does other things too."""
    port = port_of("redis")
    return RedisViewConfig(
        port=port, prefix=namespace, tail_per_partition=tail_per_partition, timeout_s=5.0, refresh_s=0.2
    )


def open_view(namespace: str, tail_per_partition: int) -> RedisView:
    return RedisView(configured(namespace, tail_per_partition))


def open_layered_view(namespace: str, tail_per_partition: int) -> LayeredView:
    return open_layered(configured(namespace, tail_per_partition), tail_per_partition)
