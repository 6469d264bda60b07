"""Redis killed, stopped, emptied, too small: no read fails, no put waits, and all that memory holds is put back."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from actors.adapters.layered_view import LayeredView, open_layered_view
from actors.adapters.redis_view import RedisView
from actors.domain.ports import ViewEntry
from tests.conftest import eventually
from tests.contract.redis_server import RedisServer, running

pytestmark = pytest.mark.real_store
MATCHES, PARTITIONS, TAIL = 24, 4, 50
REFILL_S = 5.0  # promised, with the configuration's own refresh and break
ANSWER_S = 4.0  # of Redis in the tests that stop it: who waits for an answer at all waits longer than the next
PUT_S = 3.0  # most that a put may take on a busy machine


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with running(tmp_path) as server:
        yield server


class Replica:
    """A replica's view that is fed from a log which never ends."""

    def __init__(self, view: LayeredView) -> None:
        self.view, self.log, self.longest_put_s = view, list[ViewEntry](), 0.0

    def read_on(self, count: int, value_bytes: int = 100) -> None:
        """Put the next records, and read what a replica reads meanwhile."""
        for offset in range(len(self.log), len(self.log) + count):
            entry = an_entry(offset, value_bytes)
            began_s = time.monotonic()
            assert self.view.put(entry)
            self.longest_put_s = max(self.longest_put_s, time.monotonic() - began_s)
            self.log.append(entry)
            self.assert_it_serves()

    def assert_it_serves(self) -> None:
        newest = self.log[-1]
        assert self.view.latest(newest.match_id) == newest
        assert self.view.latest("never:1") is None
        assert self.view.tail(newest.partition, newest.offset - 1) == [newest]
        assert self.view.tail(newest.partition, newest.offset) == []
        behind = self.view.tail(newest.partition, -1)  # memory let it go long ago
        assert behind is None or behind == self.tail(newest.partition)
        assert len(self.view.matches()) == min(MATCHES, len(self.log))

    def latest(self) -> dict[str, ViewEntry]:
        return {entry.match_id: entry for entry in self.log}

    def tail(self, partition: int) -> list[ViewEntry]:
        return [entry for entry in self.log if entry.partition == partition]


def an_entry(offset: int, value_bytes: int) -> ViewEntry:
    number = offset % MATCHES
    return ViewEntry(
        match_id=f"wyscout:{number}",
        epoch=1,
        seq=offset,
        partition=number % PARTITIONS,
        offset=offset,
        value=f"{offset} ".encode().ljust(value_bytes, b"."),
    )


def a_replica(stack: ExitStack, server: RedisServer, **options: object) -> Replica:
    config = server.configured(tail_per_partition=TAIL, **options)
    return Replica(stack.enter_context(closing(open_layered_view(config, TAIL))))


def is_filled(server: RedisServer, replica: Replica) -> bool:
    """Say whether Redis itself has all that the replica's memory has, and nothing wrong."""
    with closing(RedisView(server.configured(tail_per_partition=TAIL, timeout_s=10.0))) as redis:
        latest = {match_id: redis.latest(match_id) for match_id in replica.latest()}
        full = [redis.tail(p, tail[-TAIL - 1].offset) == tail[-TAIL:] for p, tail in tails(replica)]
        return latest == replica.latest() and redis.matches() == sorted(latest) and all(full)


def assert_nothing_is_hidden(server: RedisServer, replica: Replica) -> None:
    """Check that Redis vouches for nothing that it has not got, whatever it lost."""
    with closing(RedisView(server.configured(tail_per_partition=TAIL, timeout_s=10.0))) as redis:
        for partition, tail in tails(replica):
            for entry in tail[::7]:
                found = redis.tail(partition, entry.offset)
                end = found[-1].offset if found else entry.offset
                assert found is None or found == [e for e in tail if entry.offset < e.offset <= end]


def tails(replica: Replica) -> list[tuple[int, list[ViewEntry]]]:
    return [(partition, replica.tail(partition)) for partition in range(PARTITIONS)]


def filled_within(limit_s: float, server: RedisServer, *replicas: Replica) -> None:
    eventually(lambda: all(is_filled(server, replica) for replica in replicas), timeout_s=limit_s, every_s=0.1)


ENOUGH = PARTITIONS * (TAIL + 5)


def test_a_killed_redis_that_comes_back_empty_is_filled_again(server: RedisServer) -> None:
    with ExitStack() as stack:
        replica = a_replica(stack, server)
        replica.read_on(ENOUGH)
        filled_within(REFILL_S, server, replica)
        server.kill()
        replica.read_on(300)
        eventually(lambda: not replica.view.stats().is_available)
        replica.read_on(300)
        server.start()
        filled_within(REFILL_S, server, replica)
        assert replica.view.stats().is_available
        assert replica.longest_put_s < PUT_S
        replica.read_on(50)
        filled_within(REFILL_S, server, replica)


def test_a_stopped_redis_holds_nobody_up_and_catches_up(server: RedisServer) -> None:
    with ExitStack() as stack:
        replica = a_replica(stack, server, timeout_s=ANSWER_S)
        replica.read_on(ENOUGH)
        filled_within(REFILL_S, server, replica)
        with server.stopped():
            began_s = time.monotonic()
            while time.monotonic() - began_s < 3 * ANSWER_S + 1:  # it is asked, given up, and then left alone
                assert replica.view.put(an_entry(len(replica.log), 100))
                replica.log.append(an_entry(len(replica.log), 100))
                newest, took_s = replica.log[-1], time.monotonic()
                assert replica.view.latest(newest.match_id) == newest
                assert replica.view.tail(newest.partition, newest.offset - 1) == [newest]
                assert time.monotonic() - took_s < PUT_S
            assert not replica.view.stats().is_available
            replica.read_on(100)
            assert replica.longest_put_s < PUT_S
        filled_within(REFILL_S, server, replica)


def test_reads_behind_memory_are_bounded_while_redis_is_stopped(server: RedisServer) -> None:
    with ExitStack() as stack:
        replica = a_replica(stack, server)
        replica.read_on(ENOUGH)
        filled_within(REFILL_S, server, replica)
        with server.stopped():
            began_s = time.monotonic()
            for _ in range(1000):
                assert replica.view.latest("never:1") is None
                assert replica.view.tail(0, -1) is None
            assert time.monotonic() - began_s < 20.0  # 2,000 answers of 0.2 s would take 400 s
        filled_within(REFILL_S, server, replica)


def test_an_emptied_redis_is_filled_again(server: RedisServer) -> None:
    with ExitStack() as stack:
        replica = a_replica(stack, server)
        replica.read_on(ENOUGH)
        filled_within(REFILL_S, server, replica)
        for command in ("flushall", "flushdb"):
            server.client.execute_command(command)
            replica.read_on(30)
            assert_nothing_is_hidden(server, replica)
            filled_within(REFILL_S, server, replica)
        assert replica.view.stats().refills >= 1


@pytest.mark.parametrize("lost", ["tl:match:wyscout:3", "tl:matches", "tl:tail:1", "tl:entries:1"])
def test_a_single_key_that_is_lost_is_put_back(server: RedisServer, lost: str) -> None:
    with ExitStack() as stack:
        replica = a_replica(stack, server)
        replica.read_on(ENOUGH)
        filled_within(REFILL_S, server, replica)
        assert server.client.delete(lost) == 1
        assert_nothing_is_hidden(server, replica)
        replica.read_on(3)
        filled_within(REFILL_S, server, replica)


def test_a_script_that_redis_forgot_costs_nothing(server: RedisServer) -> None:
    with ExitStack() as stack:
        replica = a_replica(stack, server)
        replica.read_on(ENOUGH)
        filled_within(REFILL_S, server, replica)
        refills = replica.view.stats().refills
        server.client.script_flush()
        replica.read_on(20)
        filled_within(REFILL_S, server, replica)
        assert replica.view.stats().is_available
        assert replica.view.stats().refills == refills


@pytest.mark.parametrize("policy", ["allkeys-lfu", "allkeys-random", "volatile-ttl", "noeviction"])
def test_a_redis_that_is_too_small_hides_nothing_and_fails_no_read(tmp_path: Path, policy: str) -> None:
    with running(tmp_path, "--maxmemory", "3mb", "--maxmemory-policy", policy) as server, ExitStack() as stack:
        replica = a_replica(stack, server, refresh_s=0.1)
        for _ in range(10):
            replica.read_on(60, value_bytes=20_000)
            if policy != "noeviction":  # there the script is not run at all
                assert_nothing_is_hidden(server, replica)
        if policy == "noeviction":
            eventually(lambda: not replica.view.stats().is_available)
        else:
            eventually(lambda: server.client.info("stats")["evicted_keys"] > 0)
            assert_nothing_is_hidden(server, replica)
        server.client.config_set("maxmemory", "200mb")
        filled_within(REFILL_S, server, replica)


def test_every_key_has_a_time_to_live_that_a_replica_renews(server: RedisServer) -> None:
    with ExitStack() as stack:
        replica = a_replica(stack, server, refresh_s=0.2)
        replica.read_on(ENOUGH)
        filled_within(REFILL_S, server, replica)
        assert len(server.all_keys()) == MATCHES + 1 + 2 * PARTITIONS
        assert all(server.client.ttl(key) > 0 for key in server.all_keys())
        for key in server.all_keys():
            server.client.expire(key, 60)
        eventually(lambda: all(server.client.ttl(key) > 3600 for key in server.all_keys()), timeout_s=REFILL_S)


def test_replicas_that_fill_an_emptied_redis_at_once_agree(server: RedisServer) -> None:
    with ExitStack() as stack:
        replicas = [a_replica(stack, server) for _ in range(3)]
        for replica, ahead in zip(replicas, (0, 7, 23), strict=True):
            replica.read_on(ENOUGH + ahead)
        filled_within(REFILL_S, server, replicas[-1])
        server.client.flushall()
        for replica in replicas:
            replica.read_on(ENOUGH + 30 - len(replica.log))
        filled_within(REFILL_S, server, *replicas)
        assert all(replica.view.stats().refused == 0 for replica in replicas)


def test_a_replica_without_a_redis_starts_and_fills_it_when_it_comes(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    with ExitStack() as stack:
        stack.callback(server.client.close)
        stack.callback(server.kill)
        replica = a_replica(stack, server)
        replica.read_on(ENOUGH)
        assert not replica.view.stats().is_available
        server.start()
        filled_within(REFILL_S, server, replica)


def test_a_replica_that_starts_resumes_from_what_another_one_left_in_redis(server: RedisServer) -> None:
    with ExitStack() as stack:
        old = a_replica(stack, server)
        old.read_on(ENOUGH)
        filled_within(REFILL_S, server, old)
        new = open_layered_view(server.configured(tail_per_partition=TAIL), TAIL)
        stack.enter_context(closing(new))
        started_at = len(old.log)
        old.read_on(20)
        for entry in old.log[started_at:]:
            new.put(entry)
        position = old.tail(0)[-15].offset
        assert position < started_at
        eventually(lambda: new.tail(0, position) is not None, timeout_s=REFILL_S)
        assert new.tail(0, position) == old.tail(0)[-14:]


def test_a_wrong_password_costs_the_shared_view_and_nothing_else(server: RedisServer, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("wrong")
    with ExitStack() as stack:
        server.client.config_set("requirepass", "right")
        replica = a_replica(stack, server, password_file=str(tmp_path / "password"))
        replica.read_on(100)
        assert not replica.view.stats().is_available
        server.client.config_set("requirepass", "")
