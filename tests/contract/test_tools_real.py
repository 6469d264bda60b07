"""Operators' tools on real Kafka and Cassandra: audit, dead letters, and backups that move between the profiles."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cassandra.query import SimpleStatement

from actors.adapters.cassandra_connect import connect
from actors.adapters.cassandra_history import CassandraHistory
from actors.adapters.kafka_log import KafkaLog
from actors.domain.ports import FEED, FORECASTS, MODELS, EventRow, HistoryBatch, NewRecord
from actors.history_writer import EventCopier, ForecastCopier
from cluster import audit
from cluster.backup.__main__ import main as run_backup
from cluster.dlq.__main__ import main as run_dlq
from tests.contract import real_cassandra, real_kafka, twins
from tests.servers import port_of
from tests.unit.audited import MATCH, TOPICS, a_feed, a_fixture, announce, open_history, play, send

OTHER = "fake:2"
KEYSPACE = "touchline_test"
GONE = 2**62  # the timestamp of a delete, see 001_history.cql
Tool = Callable[..., tuple[int, list[str], str]]
Rows = tuple[list[Any], ...]
MAINS = {"audit": audit.main, "backup": run_backup, "dlq": run_dlq}


@pytest.mark.parametrize("twin", twins.HISTORIES)
def test_history_says_where_the_feed_records_are_that_it_keeps(twin: str, tmp_path: Path) -> None:
    history: Any = twins.open_history(twin, str(tmp_path))
    assert history.event_places() == []
    places = [("wyscout:1", 4), ("wyscout:1", 40), ("a:1", 2), ("", 0), *((f"m:{n}", n % 7) for n in range(1_100))]
    events = [
        EventRow(match_id=match_id, partition=partition, offset=3 * number + again, value=b"x")
        for number, (match_id, partition) in enumerate(places)
        for again in (0, 1)
    ]
    history.write(HistoryBatch(events=tuple(events)))
    assert history.event_places() == sorted(places)
    history.close()


@pytest.fixture
def namespace(tmp_path: Path) -> str:
    return "t" + sha256(str(tmp_path).encode()).hexdigest()[:12]


@pytest.fixture
def log(namespace: str) -> Iterator[KafkaLog]:
    log = real_kafka.open_log(namespace, TOPICS)
    yield log
    log.close()


@pytest.fixture
def history(namespace: str) -> Iterator[CassandraHistory]:
    history = real_cassandra.open_history(namespace)
    yield history
    history.close()


@pytest.fixture
def cluster(namespace: str) -> list[str]:
    """The options that name both, as an operator would give them."""
    return [
        "profile=cluster",
        f"feed.servers=[127.0.0.1:{port_of('kafka')}]",
        f"feed.topic_prefix={namespace}.",
        f"feed.partitions={TOPICS[FEED]}",
        "feed.shared_partitions=1",
        f"store.port={port_of('cassandra')}",
        f"store.keyspace={KEYSPACE}",
        "store.request_timeout_s=10",  # asked to be right here, not to be fast
    ]


@pytest.fixture
def played(log: KafkaLog, history: CassandraHistory) -> None:
    """Two matches that were played, with a record of garbage on the first one's partition and one that is not its."""
    announce(log, a_fixture(MATCH, 0), a_fixture(OTHER, 2))
    send(log, a_fixture(MATCH, 0), [b"{not json \x1b[2J", *a_feed(MATCH)])
    log.append(FEED, 0, [NewRecord(key=OTHER, value=a_feed(OTHER)[0])])
    send(log, a_fixture(OTHER, 2), a_feed(OTHER))
    for fixture in (a_fixture(MATCH, 0), a_fixture(OTHER, 2)):
        play(log, fixture)
    copy_all(log, history)


def copy_all(log: KafkaLog, history: CassandraHistory) -> None:
    """Do what the history writer does."""
    for copier in (EventCopier(log, history), ForecastCopier(log, history)):
        while copier.copy(0.0):
            pass


@pytest.fixture
def tool(capsys: pytest.CaptureFixture[str]) -> Tool:
    """Run a command line; return its exit code, the lines of stdout, and stderr."""

    def run(name: str, *words: object) -> tuple[int, list[str], str]:
        capsys.readouterr()
        code = MAINS[name]([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err

    return run


def rows_in(history: Any) -> Rows:
    """Return all that a backup takes of a history, by asking for it."""
    matches, places = history.matches(), history.event_places()
    predictions = [row for match_id in matches for row in history.predictions(match_id, -1, 10_000)]
    return (
        predictions,
        [history.feature_snapshot(row.feature_snapshot_id) for row in predictions],
        [head for match_id in matches for head in history.heads(match_id)],
        [event for place in places for event in history.events(*place, -1, 10_000)],
        [history.model(version) for version in history.model_versions()],
    )


def execute(*statements: str) -> None:
    """Do to Cassandra what no store of ours does."""
    driver, session = connect(real_cassandra.configured(), 60.0, lambda *_: None)
    for cql in statements:
        session.execute(SimpleStatement(cql), timeout=60.0)
    driver.shutdown()


def truncate(*tables: str) -> None:
    execute(*(f"TRUNCATE {KEYSPACE}.{table}" for table in tables))


@contextmanager
def deleted(*rows: str) -> Iterator[None]:
    """Delete rows for the length of the block; then their tables are emptied, since such a delete hides later rows."""
    execute(*(f"DELETE FROM {KEYSPACE}.{row.replace(' WHERE', f' USING TIMESTAMP {GONE} WHERE', 1)}" for row in rows))
    try:
        yield
    finally:
        truncate(*{row.split()[0] for row in rows})


@pytest.mark.real_store
@pytest.mark.usefixtures("played")
class TestAudit:
    def test_chains_are_walked_where_the_options_say(self, tool: Tool, cluster: list[str]) -> None:
        code, lines, err = tool("audit", "verify", *cluster)
        assert (code, err) == (0, "")
        assert [line.split(": ")[0] for line in lines[:2]] == [MATCH, OTHER]
        assert lines[-1].endswith("forecasts hold, 0 chains are broken")

    def test_a_row_that_is_gone_is_named_by_the_one_behind_it_and_a_tail_by_the_log(
        self, tool: Tool, cluster: list[str], history: CassandraHistory
    ) -> None:
        rows, last = history.predictions(MATCH, -1, 100), history.predictions(OTHER, -1, 100)[-1]
        with deleted(
            f"predictions WHERE match_id = '{MATCH}' AND bucket = 0 AND seq = {rows[2].seq}",
            f"predictions WHERE match_id = '{OTHER}' AND bucket = 0 AND seq = {last.seq}",
            f"chain_heads WHERE match_id = '{OTHER}'",
        ):
            code, lines, _ = tool("audit", "verify", *cluster)
        assert code == 1
        assert lines[0].startswith(f"{MATCH}: {rows[3].prediction_id}: a row before it was removed")
        assert lines[1].startswith(f"{OTHER}: {last.prediction_id}: removed: the log says")

    def test_a_log_that_lacks_a_topic_is_no_log_to_check_against(
        self, tool: Tool, cluster: list[str], namespace: str
    ) -> None:
        real_kafka.remove(namespace, MODELS)
        code, lines, err = tool("audit", "verify", *cluster)
        assert (code, lines) == (2, [])
        assert f"has no topic {namespace}.models.v1; the next start of Touchline makes it" in err

    def test_a_model_that_is_not_held_is_one_sentence(self, tool: Tool, cluster: list[str], tmp_path: Path) -> None:
        code, _, err = tool("audit", "replay", "--models", tmp_path, *cluster)
        assert (code, err) == (2, "model 'fake-1' is not held, only none; see --models\n")


@pytest.mark.real_store
@pytest.mark.usefixtures("played")
class TestDeadLetters:
    def test_they_are_listed_shown_and_replayed_to_the_partition_that_is_leased_now(
        self, tool: Tool, cluster: list[str], log: KafkaLog
    ) -> None:
        code, lines, err = tool("dlq", "list", *cluster)
        assert (code, err) == (0, "")
        assert [line.split()[1:4:2] for line in lines[:2]] == [
            ["feed.v1/0/0", "malformed"],
            [f"feed.v1/0/{len(a_feed()) + 1}", "wrong_partition"],
        ]
        assert tool("dlq", "inspect", "feed.v1/0/0", *cluster)[1][-1] == "{not json \\x1b[2J"
        end = log.end_offsets(FEED)[2]
        code, lines, _ = tool("dlq", "replay", "--all", *cluster)
        assert (code, lines[-1]) == (1, "1 replayed, 1 not")
        [record] = log.read(FEED, {2: end}, 10, 5.0)
        assert (record.key, record.value) == (OTHER, a_feed(OTHER)[0])
        assert tool("dlq", "list", *cluster)[1][-1] == "2 letters: 1 malformed, 1 wrong_partition (1 replayed)"

    def test_where_there_are_no_topics_one_sentence_says_so_and_none_are_made(
        self, tool: Tool, cluster: list[str], namespace: str
    ) -> None:
        for _ in range(2):
            code, lines, err = tool("dlq", "list", *cluster, "feed.topic_prefix=none.")
            assert (code, lines, err.count("\n")) == (2, [], 1)
            assert err.endswith("has no topic none.feed.dlq\n")


@pytest.mark.real_store
@pytest.mark.usefixtures("played")
class TestBackup:
    def test_it_moves_to_the_other_profile_and_back(
        self, tool: Tool, cluster: list[str], history: CassandraHistory, namespace: str, tmp_path: Path
    ) -> None:
        history.write_model("net-1", b'{"seed": 1}', bytes(range(256)) * 9_000)  # more than one part of weights
        before = rows_in(history)
        assert all(before)
        assert tool("backup", "save", tmp_path / "cluster.zip", *cluster)[0] == 0
        code, lines, err = tool("backup", "restore", tmp_path / "cluster.zip", "--data", tmp_path / "data")
        assert (code, err, lines[-1].endswith("0 chains are broken")) == (0, "", True)
        embedded = open_history(tmp_path / "data")
        assert rows_in(embedded) == before
        embedded.close()
        assert tool("backup", "save", tmp_path / "embedded.zip", "--data", tmp_path / "data")[0] == 0
        emptied = real_cassandra.open_history(f"{namespace}_emptied")
        assert rows_in(emptied) == ([], [], [], [], [])
        for _ in range(2):  # again: nothing changes
            code, lines, _ = tool("backup", "restore", tmp_path / "embedded.zip", *cluster)
            assert (code, lines[-1].endswith("0 chains are broken")) == (0, True)
            assert rows_in(emptied) == before
        assert emptied.offsets(FEED) == emptied.offsets(FORECASTS) == {}
        emptied.close()

    def test_what_came_after_it_is_copied_from_the_log_again(
        self, tool: Tool, cluster: list[str], log: KafkaLog, history: CassandraHistory, tmp_path: Path
    ) -> None:
        assert tool("backup", "save", tmp_path / "b.zip", *cluster)[0] == 0
        announce(log, third := a_fixture("fake:3", 1))
        send(log, third, a_feed("fake:3"))
        play(log, third)
        copy_all(log, history)
        before, far = rows_in(history), history.offsets(FORECASTS)
        truncate("predictions", "matches", "chain_heads", "events", "event_buckets")
        assert rows_in(history) != before
        code, lines, _ = tool("backup", "restore", tmp_path / "b.zip", *cluster)
        assert code == 0, lines
        assert history.offsets(FORECASTS) != far, "put back: what lies behind was lost"
        copy_all(log, history)
        assert rows_in(history) == before
        assert tool("audit", "verify", *cluster)[0] == 0

    def test_a_keyspace_that_is_not_there_yet_is_made(self, tool: Tool, cluster: list[str], tmp_path: Path) -> None:
        tool("backup", "save", tmp_path / "b.zip", *cluster)
        keyspace = "touchline_restored"
        execute(f"DROP KEYSPACE IF EXISTS {keyspace}")
        try:
            code, lines, err = tool("backup", "restore", tmp_path / "b.zip", *cluster, f"store.keyspace={keyspace}")
            assert (code, err, lines[-1].endswith("0 chains are broken")) == (0, "", True)
        finally:
            execute(f"DROP KEYSPACE IF EXISTS {keyspace}")

    def test_a_keyspace_that_is_not_there_has_no_history_to_save(
        self, tool: Tool, cluster: list[str], tmp_path: Path
    ) -> None:
        code, _, err = tool("backup", "save", tmp_path / "b.zip", *cluster, "store.keyspace=touchline_none")
        assert (code, err.count("\n"), "has no keyspace 'touchline_none'" in err) == (2, 1, True)
        assert not (tmp_path / "b.zip").exists()
