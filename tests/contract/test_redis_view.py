"""What the live view in Redis promises beyond LiveView: whoever writes, and whatever Redis loses."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.adapters.breaker import Breaker
from actors.adapters.memory_view import MemoryView
from actors.adapters.redis_view import PIECE_BYTES, RedisView
from actors.adapters.shared_view import Held, Kept, Outcome
from actors.adapters.view_filler import Filler
from actors.domain.errors import SetupError, StoreUnavailable
from actors.domain.ports import ViewEntry
from tests.contract.redis_server import RedisServer, running

pytestmark = pytest.mark.real_store
SIZE = 4
PATIENT_S = 10.0  # these tests ask what is answered, not how fast


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def view(server: RedisServer) -> Iterator[RedisView]:
    server.client.flushall()
    with closing(a_view(server)) as view:
        yield view


def a_view(server: RedisServer, size: int = SIZE) -> RedisView:
    return RedisView(server.configured(tail_per_partition=size, timeout_s=PATIENT_S))


def an_entry(
    offset: int, match_id: str = "a:1", epoch: int = 1, seq: int | None = None, partition: int = 0
) -> ViewEntry:
    return ViewEntry(
        match_id=match_id,
        epoch=epoch,
        seq=offset if seq is None else seq,
        partition=partition,
        offset=offset,
        value=f"{match_id} {epoch} {offset}\0\xff".encode("latin-1"),
    )


def test_entries_come_back_as_they_were_put_whatever_the_numbers(view: RedisView) -> None:
    big = 2**52
    entry = an_entry(big, "kloppy:ü:1", epoch=big + 1, seq=big + 2)
    assert view.put(entry)
    assert view.latest(entry.match_id) == entry
    assert view.tail(0, big - 1) == [entry]
    assert view.put(after := an_entry(big + 1, entry.match_id, epoch=big + 1, seq=big + 3))
    assert view.tail(0, big) == [after]
    assert view.matches() == [entry.match_id]


def test_a_zombie_is_refused_whichever_replica_met_the_new_owner(server: RedisServer, view: RedisView) -> None:
    with closing(a_view(server)) as other:
        assert view.put(an_entry(1, epoch=2))
        assert not other.put(an_entry(2, epoch=1))
        assert other.put_all([(an_entry(3, epoch=1), 1)]) == [Outcome.REFUSED]
        other.restore([Held(entry=an_entry(4, epoch=1), fence=1)])
        assert view.latest("a:1") == an_entry(1, epoch=2)
        assert view.tail(0, 0) == [an_entry(1, epoch=2)]


def test_an_entry_that_another_replica_put_is_known(server: RedisServer, view: RedisView) -> None:
    with closing(a_view(server)) as other:
        assert other.put_all([(an_entry(1), 0), (an_entry(2), 1)]) == [Outcome.TAKEN, Outcome.TAKEN]
        assert view.put_all([(an_entry(1), 0), (an_entry(2), 1)]) == [Outcome.KNOWN, Outcome.KNOWN]
        assert view.put_all([(an_entry(3, seq=2), 2)]) == [Outcome.REFUSED]


def test_an_entry_whose_predecessor_never_came_ends_what_is_vouched_for(view: RedisView) -> None:
    view.put_all([(an_entry(1), 0), (an_entry(4), 3)])
    assert view.tail(0, 2) is None
    assert view.tail(0, 3) == [an_entry(4)]


def test_a_writer_that_starts_later_in_the_log_does_not_hide_what_lies_between(
    server: RedisServer, view: RedisView
) -> None:
    assert view.put(an_entry(1))
    with closing(a_view(server)) as other:
        assert other.put(an_entry(7))
        assert other.put(an_entry(9))
    assert view.tail(0, 0) is None
    assert view.tail(0, 6) == [an_entry(7), an_entry(9)]


def test_a_put_that_may_have_been_lost_is_not_vouched_for(view: RedisView, monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(_: object) -> list[Outcome]:
        raise StoreUnavailable("Redis", "put", "lost")

    view.put(an_entry(1))
    with monkeypatch.context() as patch:
        patch.setattr(view, "put_all", lose)
        with pytest.raises(StoreUnavailable):
            view.put(an_entry(2))
    view.put(an_entry(3))
    assert view.tail(0, 0) is None
    assert view.tail(0, 2) == [an_entry(3)]


@pytest.mark.parametrize(
    ("first", "second", "floor", "expected"),
    [
        ((3, 6), (6, 9), 3, [4, 5, 6, 7, 8, 9]),  # (floor, newest]: these touch, whichever comes first
        ((6, 9), (3, 6), 3, [4, 5, 6, 7, 8, 9]),
        ((3, 7), (5, 9), 3, [4, 5, 6, 7, 8, 9]),
        ((3, 9), (5, 7), 3, [4, 5, 6, 7, 8, 9]),
        ((5, 7), (3, 9), 3, [4, 5, 6, 7, 8, 9]),
        ((3, 5), (7, 9), 7, [8, 9]),  # and these do not
        ((7, 9), (3, 5), 7, [8, 9]),
    ],
)
def test_pieces_of_a_tail_are_united_if_they_touch_and_else_the_newer_one_stays(
    server: RedisServer, first: tuple[int, int], second: tuple[int, int], floor: int, expected: list[int]
) -> None:
    server.client.flushall()
    with closing(a_view(server, size=10)) as view:
        for piece in (first, second):
            view.restore_tail(0, a_piece(*piece))
        assert view.tail(0, floor) == [an_entry(offset) for offset in expected]
        assert view.tail(0, floor - 1) is None


def a_piece(floor: int, newest: int) -> Kept:
    entries = tuple(an_entry(offset) for offset in range(floor + 1, newest + 1))
    return Kept(floor=floor, newest=newest, sound_from=-1, taken=len(entries), entries=entries)


@pytest.mark.parametrize("lost", ["tl:tail:0", "tl:entries:0"])
def test_a_tail_of_which_a_part_is_gone_vouches_only_for_what_comes_after(
    server: RedisServer, view: RedisView, lost: str
) -> None:
    view.put(an_entry(1))
    view.put(an_entry(2))
    server.client.delete(lost)
    assert view.tail(0, 0) is None
    assert view.tail(0, 1) is None
    view.put(an_entry(5))
    assert view.tail(0, 1) is None
    assert view.tail(0, 4) == [an_entry(5)]


def test_a_match_whose_key_is_gone_is_not_listed_and_can_be_restored_without_touching_the_tail(
    server: RedisServer, view: RedisView
) -> None:
    entries = [an_entry(1), an_entry(2, "b:2"), an_entry(3, "b:2")]
    for entry in entries:
        view.put(entry)
    server.client.delete("tl:match:a:1")
    assert view.matches() == ["b:2"]
    view.restore([Held(entry=entries[0], fence=6)])
    assert view.matches() == ["a:1", "b:2"]
    assert view.latest("a:1") == entries[0]
    assert view.tail(0, 0) == entries
    assert not view.put(an_entry(4, epoch=5))


def test_a_long_tail_is_restored_in_pieces(server: RedisServer) -> None:
    server.client.flushall()
    memory, size = MemoryView(10), 10
    for offset in range(10, 50, 2):
        memory.put(msgspec.structs.replace(an_entry(offset), value=bytes(PIECE_BYTES // 3)))
    kept = memory.kept(0)
    assert kept is not None
    with closing(a_view(server, size)) as view:
        view.restore_tail(0, kept)
        assert view.tail(0, kept.floor) == list(kept.entries)
        assert view.tail(0, kept.floor - 1) is None


@pytest.mark.parametrize("losing", ["script flush", "flushall and script flush"])
def test_a_script_that_redis_no_longer_knows_is_sent_again(server: RedisServer, view: RedisView, losing: str) -> None:
    for number, word in enumerate(losing.split(" and ")):
        assert view.put(an_entry(number + 1))
        server.client.execute_command(*word.upper().split())
    assert view.put_all([(an_entry(8), 7), (an_entry(9), 8)]) == [Outcome.TAKEN, Outcome.TAKEN]
    server.client.script_flush()
    assert view.tail(0, 7) == [an_entry(8), an_entry(9)]


def test_every_key_has_a_time_to_live_that_writing_and_looking_renew(server: RedisServer, view: RedisView) -> None:
    view.put(an_entry(1))
    view.put(an_entry(2, "b:2", partition=1))
    view.restore_tail(2, a_piece(3, 5))
    assert {server.client.ttl(key) > 3600 for key in server.all_keys()} == {True}
    for key in server.all_keys():
        server.client.expire(key, 60)
    view.look(["a:1", "b:2"], [0, 1, 2])
    assert {server.client.ttl(key) > 3600 for key in server.all_keys()} == {True}
    view.forget("a:1")
    assert "tl:match:a:1" not in server.all_keys()


def test_views_with_another_prefix_or_database_are_apart(server: RedisServer, view: RedisView) -> None:
    with (
        closing(RedisView(server.configured(prefix="other", timeout_s=PATIENT_S))) as prefixed,
        closing(RedisView(server.configured(db=1, timeout_s=PATIENT_S))) as numbered,
    ):
        view.put(an_entry(1))
        assert prefixed.latest("a:1") is None
        assert numbered.latest("a:1") is None
        assert numbered.matches() == prefixed.matches() == []


def test_keys_that_somebody_else_wrote_are_unavailable_and_not_believed(server: RedisServer, view: RedisView) -> None:
    view.put(an_entry(1))
    server.client.hset("tl:match:a:1", "offset", "one")
    with pytest.raises(StoreUnavailable, match="something else"):
        view.latest("a:1")
    server.client.set("tl:entries:0", "no stream")
    with pytest.raises(StoreUnavailable, match=r"WRONGTYPE|wrong kind"):
        view.tail(0, 0)


PUTS = st.tuples(
    st.sampled_from(["a:1", "b:2"]), st.integers(0, 3), st.integers(0, 12), st.integers(0, 1), st.booleans()
)


@settings(max_examples=40, deadline=None)
@given(puts=st.lists(PUTS, max_size=20))
def test_it_answers_as_the_view_in_memory_does(
    server: RedisServer, puts: list[tuple[str, int, int, int, bool]]
) -> None:
    server.client.flushall()
    memory = MemoryView(SIZE)
    with closing(a_view(server)) as view:
        for offset, (match_id, epoch, seq, partition, forgets) in enumerate(puts):
            entry = an_entry(offset, match_id, epoch, seq, partition)
            assert view.put(entry) is memory.put(entry)
            if forgets:
                view.forget(match_id)
                memory.forget(match_id)
            assert view.matches() == memory.matches()
            assert [view.latest(m) for m in ("a:1", "b:2")] == [memory.latest(m) for m in ("a:1", "b:2")]
            assert [view.tail(partition, o) for o in range(-1, offset + 1)] == [
                memory.tail(partition, o) for o in range(-1, offset + 1)
            ]


class Writer:
    """A replica that has read the log from some record on, up to where it is."""

    def __init__(self, server: RedisServer, start: int) -> None:
        self.at, self.now_s = start, 0.0
        self.memory, self.view = MemoryView(SIZE), a_view(server)
        breaker = Breaker(1_000, 1.0, lambda: self.now_s)
        self.filler = Filler(self.memory, self.view, breaker, refresh_s=1.0, monotonic=lambda: self.now_s)

    def read(self, log: list[ViewEntry], count: int) -> None:
        for entry in log[self.at : self.at + count]:
            self.memory.put(entry)
        self.at += count

    def step(self, looks: bool) -> None:
        self.now_s += 1.0 if looks else 0.0
        self.filler.step()


LOG = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from("ab"), st.integers(1, 3)), min_size=1, max_size=20
)  # partition, match, distance to the record before
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(0, 1), st.integers(1, 6)),
        st.tuples(st.just("step"), st.integers(0, 1), st.integers(0, 1)),
        st.tuples(st.just("lose"), st.integers(0, 12), st.just(0)),
        st.tuples(st.sampled_from(["flush", "remember", "fall back"]), st.just(0), st.just(0)),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(drawn=LOG, start=st.integers(0, 8), operations=OPERATIONS)
def test_replicas_that_fill_it_together_never_vouch_for_what_is_missing(
    server: RedisServer, drawn: list[tuple[int, str, int]], start: int, operations: list[tuple[str, int, int]]
) -> None:
    log = written(drawn)
    server.client.flushall()
    writers, remembered = [Writer(server, 0), Writer(server, start)], {}
    with closing(writers[0].view), closing(writers[1].view):
        for kind, number, count in operations:
            match kind:
                case "read":
                    writers[number].read(log, count)
                case "step":
                    writers[number].step(looks=count == 1)
                case "lose":
                    lose(server, number)
                case "flush":
                    server.client.flushall()
                case "remember":
                    remembered = dump(server)
                case "fall back":  # as a failover does to a replica that lagged
                    restore(server, remembered)
            assert_nothing_is_hidden(writers[0].view, log)
        for writer in writers * 2:
            writer.read(log, len(log))
            writer.step(looks=True)
        assert_it_has_all(writers[0], log)


def written(drawn: list[tuple[int, str, int]]) -> list[ViewEntry]:
    log, offsets = [], [0, 0]
    for partition, match_id, distance in drawn:
        offsets[partition] += distance
        log.append(an_entry(offsets[partition], f"{match_id}:{partition}", partition=partition))
    return log


def lose(server: RedisServer, number: int) -> None:
    if keys := server.all_keys():
        server.client.delete(keys[number % len(keys)])


def dump(server: RedisServer) -> dict[str, bytes]:
    return {key: server.client.dump(key) for key in server.all_keys()}  # type: ignore[misc]


def restore(server: RedisServer, remembered: dict[str, bytes]) -> None:
    server.client.flushall()
    for key, value in remembered.items():
        server.client.restore(key, 3_600_000, value)


def assert_nothing_is_hidden(view: RedisView, log: list[ViewEntry]) -> None:
    for partition, tail in view.look([], [0, 1]).tails.items():
        expected = [e for e in log if e.partition == partition and tail.floor < e.offset <= tail.newest]
        assert view.tail(partition, tail.floor) == expected
        assert view.tail(partition, tail.floor - 1) is None


def assert_it_has_all(writer: Writer, log: list[ViewEntry]) -> None:
    newest = {entry.match_id: entry for entry in log}
    assert {match_id: writer.view.latest(match_id) for match_id in newest} == newest
    assert writer.view.matches() == sorted(newest)
    for partition in {entry.partition for entry in log}:
        kept = writer.memory.kept(partition)
        assert kept is not None
        assert writer.view.tail(partition, kept.entries[0].offset - 1) == list(kept.entries)


def test_a_redis_that_will_do_passes_the_check(view: RedisView) -> None:
    view.check()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--requirepass", "right"), "it refused us"),
        (("--cluster-enabled", "yes"), "Redis Cluster"),
        (("--replicaof", "127.0.0.1 1"), "its role is slave"),
        (("--databases", "1"), "no database view.db=3"),
    ],
)
def test_what_no_retry_would_cure_is_one_sentence(tmp_path: Path, options: tuple[str, str], expected: str) -> None:
    (tmp_path / "password").write_text("wr0ng-secret\n")
    with running(tmp_path, *(word for option in options for word in option.split(" ", 1))) as server:
        config = server.configured(
            password_file=str(tmp_path / "password"), db=3 if "--databases" in options else 0, timeout_s=PATIENT_S
        )
        with closing(RedisView(config)) as view, pytest.raises(SetupError) as caught:
            view.check()
    said = str(caught.value)
    assert expected in said
    assert f"127.0.0.1:{server.port}" in said
    assert "once, for at most 10 s" in said
    assert "secret" not in said
    assert "\n" not in said


def test_a_user_who_may_not_run_scripts_is_told_at_the_start(server: RedisServer, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("right")
    server.client.execute_command("ACL", "SETUSER", "modeller", "on", ">right", "~*", "+info", "+hello", "+client")
    config = server.configured(username="modeller", password_file=str(tmp_path / "password"), timeout_s=PATIENT_S)
    with closing(RedisView(config)) as view, pytest.raises(SetupError, match="refused the user 'modeller'"):
        view.check()


def test_a_redis_that_is_not_there_is_unavailable_and_no_mistake(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    with closing(server.client), closing(RedisView(server.configured())) as view:
        for ask in (view.check, view.matches, lambda: view.put(an_entry(1)), lambda: view.tail(0, 0)):
            with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{server.port}"):
                ask()


def test_a_password_file_that_is_not_there_is_told_by_its_key(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    with closing(server.client), pytest.raises(SetupError, match=r"view\.password_file=.*none cannot be read"):
        RedisView(server.configured(password_file=str(tmp_path / "none")))
