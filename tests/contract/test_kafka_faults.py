"""What Kafka and its client library do wrong, and what our log makes of it. Real broker, real kills, real bad disks."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import crc32c
import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.record import util

from actors.adapters.kafka_client import MOST_BYTES, client_options
from actors.adapters.kafka_log import KafkaLog
from actors.adapters.kafka_reader import DAMAGED, STUCK_S, KafkaReader
from actors.adapters.kafka_topics import ensure_topics, retention
from actors.domain.errors import SetupError, StoreError, StoreUnavailable
from actors.domain.ports import DEAD_LETTERS, FEED, FIXTURES, FORECASTS, LogRecord, NewRecord
from bench.running import free_ports
from cluster.services.kafka.server import Kafka
from cluster.services.servers import Services
from conf.services import KafkaServiceConfig, ServicesConfig
from conf.stores import KafkaFeedConfig
from tests.conftest import eventually
from tests.contract import children, real_kafka
from tests.contract.twins import spawned

pytestmark = pytest.mark.real_store
TOPICS = {FEED: 2, FIXTURES: 1}


@pytest.fixture
def namespace(tmp_path: Path) -> str:
    return f"f{abs(hash(tmp_path)):x}"


@pytest.fixture
def log(namespace: str) -> Iterator[KafkaLog]:
    config = real_kafka.configured(namespace)
    config.delivery_timeout_s = config.connect_timeout_s = 3.0  # how long a test waits for a broker that is away
    ensure_topics(config, TOPICS)
    log = KafkaLog(config, TOPICS)
    yield log
    log.close()


@pytest.fixture
def broker(services: Services) -> Iterator[Kafka]:
    """The run's broker, which runs again afterwards whatever was done to it."""
    kafka = services.named("kafka")
    assert isinstance(kafka, Kafka)
    yield kafka
    kafka.start(180)


def values(*texts: str) -> list[NewRecord]:
    return [NewRecord(key="m", value=text.encode()) for text in texts]


def read_all(log: KafkaLog, partition: int = 0, position: int = 0) -> list[LogRecord]:
    found: list[LogRecord] = []
    while records := log.read(FEED, {partition: position}, 1_000, wait_s=0):
        found += records
        position = records[-1].offset + 1
    return found


def segment(broker: Kafka, namespace: str, partition: int = 0) -> Path:
    return broker.folder / "data" / f"{namespace}.{FEED}-{partition}" / f"{0:020d}.log"


def flip(path: Path, text: bytes) -> None:
    """Change one bit of the first place where a file holds these bytes, as a bad disk does."""
    content = path.read_bytes()
    at = content.index(text)
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes([content[at] ^ 1]))


class TestDamage:
    def test_a_record_with_a_bad_checksum_is_told_and_stepped_over(
        self, log: KafkaLog, broker: Kafka, namespace: str
    ) -> None:
        """The library raises once and then hangs at that offset, ignoring its timeout."""
        for text in ("before", "broken goal", "after"):
            log.append(FEED, 0, values(text))
        log.append(FEED, 1, values("another partition"))
        flip(segment(broker, namespace), b"broken goal")
        found = read_all(log)
        assert [(r.offset, r.value, r.problem) for r in found] == [
            (0, b"before", None),
            (1, None, DAMAGED),
            (2, b"after", None),
        ]
        positions, both = {0: 1, 1: 0}, set[bytes | None]()
        while records := log.read(FEED, positions, 10, wait_s=1.0):
            both |= {record.value for record in records}
            positions |= {record.partition: record.offset + 1 for record in records}
        assert both == {None, b"after", b"another partition"}

    def test_every_record_of_a_damaged_batch_is_told_however_few_are_asked_for(
        self, log: KafkaLog, broker: Kafka, namespace: str
    ) -> None:
        log.append(FEED, 0, values("first"))
        batch = log.append(FEED, 0, values(*(f"of one batch {number}" for number in range(20))))
        log.append(FEED, 0, values("last"))
        flip(segment(broker, namespace), b"of one batch 10")
        found, position = list[LogRecord](), 0
        while records := log.read(FEED, {0: position}, 3, wait_s=0):
            found += records
            position = records[-1].offset + 1
        assert [r.offset for r in found] == list(range(22))
        lost = [r.offset for r in found if r.problem]
        assert lost and lost[-1] == batch[-1] and batch[10] in lost
        assert (found[0].value, found[-1].value) == (b"first", b"last")

    def test_bytes_that_are_no_message_of_ours_come_as_they_are(self, log: KafkaLog) -> None:
        """A deserializer that raises would hang the library: there is none, whatever the bytes are."""
        odd = [b"", b"\x00", b"\xff\xfe", b"{not json", b"\x1f\x8b" + b"0" * 100]
        log.append(FEED, 0, [NewRecord(key="m", value=value) for value in odd])
        assert [r.value for r in read_all(log)] == odd

    def test_a_record_that_is_too_large_is_one_sentence_and_not_tried_again(self, log: KafkaLog) -> None:
        with pytest.raises(StoreError, match=f"records of at most {MOST_BYTES} bytes") as refused:
            log.append(FEED, 0, [NewRecord(key="m", value=b"x" * (MOST_BYTES + 1))])
        assert not isinstance(refused.value, StoreUnavailable)
        log.append(FEED, 0, values("what comes after it"))
        assert [r.value for r in read_all(log)] == [b"what comes after it"]


class TestStanding:
    def test_a_consumer_that_no_longer_moves_is_noticed_and_built_anew(self, log: KafkaLog, namespace: str) -> None:
        reader = KafkaReader(real_kafka.configured(namespace), FEED, [0], follows=True)
        assert reader.read({0: 0}, 10, wait_s=0.1) == []
        reader._consumer.pause(*reader._consumer.assignment())  # as one that hangs: connected, and nothing comes
        log.append(FEED, 0, values("waits"))
        found, deadline = list[LogRecord](), time.monotonic() + 4 * STUCK_S
        while not found and time.monotonic() < deadline:
            found = reader.read({0: 0}, 10, wait_s=1.0)
        assert ([r.value for r in found], reader.rebuilt) == ([b"waits"], 1)
        reader.close()

    def test_nothing_belongs_to_a_consumer_group(self, log: KafkaLog, namespace: str) -> None:
        log.append(FEED, 0, values("a"))
        assert read_all(log)
        admin = KafkaAdminClient(**client_options(real_kafka.configured(namespace)))
        assert admin.list_groups() == []
        admin.close()

    def test_checksums_are_computed_in_c(self) -> None:
        """In Python they cost ten times the rest of decoding."""
        assert util._crc32c is crc32c.crc32c

    def test_topics_keep_their_records_as_stated(self, log: KafkaLog, namespace: str) -> None:
        config = real_kafka.configured(namespace)
        stated = {topic: retention(config, topic) for topic in (FEED, FORECASTS, FIXTURES, DEAD_LETTERS)}
        assert stated[FEED] == stated[FORECASTS]
        assert stated[FEED]["retention.ms"] == str(72 * 3_600_000)
        assert stated[FIXTURES]["cleanup.policy"] == "compact"
        assert stated[DEAD_LETTERS]["retention.ms"] == "-1"
        admin = KafkaAdminClient(**client_options(config))
        for topic in TOPICS:
            eventually(lambda topic=topic: _configured(admin, f"{namespace}.{topic}").items() >= stated[topic].items())
        admin.close()


class TestAway:
    def test_a_broker_killed_under_load_loses_nothing_acknowledged_and_reads_go_on_in_order(
        self, log: KafkaLog, broker: Kafka, namespace: str, tmp_path: Path
    ) -> None:
        notes = tmp_path / "acknowledged"
        notes.touch()
        with ThreadPoolExecutor(1) as pool, spawned(children.append_stubbornly, namespace, str(notes), TOPICS):
            done = pool.submit(self._follow, log, lambda: (tmp_path / "enough").exists())
            eventually(lambda: notes.stat().st_size > 3_000, timeout_s=60)
            broker.kill()
            broker.start(180)
            noted = notes.stat().st_size
            eventually(lambda enough=noted + 3_000: notes.stat().st_size > enough, timeout_s=60)
            (tmp_path / "enough").touch()
            seen = done.result(timeout=60)
        acknowledged = {int(line.split()[0]): line.split()[1] for line in notes.read_text().splitlines()}
        stored = {r.offset: (r.value or b"").decode() for r in read_all(log)}
        assert acknowledged.items() <= stored.items() and len(acknowledged) > 500
        assert list(acknowledged) == sorted(acknowledged), "in the order in which they were appended"
        offsets = [r.offset for r in seen]
        assert offsets == list(range(len(offsets))), "each once and in order, also across the kills"

    @staticmethod
    def _follow(log: KafkaLog, is_enough: Callable[[], bool]) -> list[LogRecord]:
        found: list[LogRecord] = []
        while not is_enough():
            try:
                found += log.read(FEED, {0: found[-1].offset + 1 if found else 0}, 500, wait_s=0.5)
            except StoreUnavailable:
                time.sleep(0.1)
        return found

    def test_while_it_is_away_everything_fails_in_a_bounded_time_and_works_again_afterwards(
        self, log: KafkaLog, broker: Kafka
    ) -> None:
        log.append(FEED, 0, values("before"))
        assert read_all(log)
        broker.kill()
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            log.append(FEED, 0, values("meanwhile"))
        with pytest.raises(StoreUnavailable):
            log.read(FEED, {0: 0}, 10, wait_s=0)
        with pytest.raises(StoreUnavailable):
            eventually(lambda: log.read(FEED, {0: 1}, 10, wait_s=5.0), timeout_s=30)
        with pytest.raises(StoreUnavailable):
            log.end_offsets(FEED)
        assert time.monotonic() - began < 60, "nothing hangs"
        broker.start(180)
        eventually(lambda: _appended(log, "after"), timeout_s=30)
        texts = [r.value for r in read_all(log)]
        assert texts[0] == b"before" and texts[-1] == b"after"


class TestStart:
    @pytest.mark.parametrize(
        ("server", "said"),
        [
            ("127.0.0.1:1", "127.0.0.1:1: Connection refused"),
            ("nowhere.invalid:9092", "nowhere.invalid:9092: Name or service not known"),
        ],
    )
    def test_a_wrong_address_is_one_sentence(self, server: str, said: str) -> None:
        with pytest.raises(SetupError) as refused:
            ensure_topics(KafkaFeedConfig(servers=[server], connect_timeout_s=2.0), TOPICS)
        assert str(refused.value) == f"feed.servers={server}: Kafka did not answer within 2 s; {said}"

    def test_a_server_that_is_another_one_is_named(self, services: Services) -> None:
        redis = services.named("redis")
        with pytest.raises(SetupError, match=f"what listens on 127.0.0.1:{redis.port} is not Kafka 4"):
            ensure_topics(KafkaFeedConfig(servers=[f"127.0.0.1:{redis.port}"], connect_timeout_s=2.0), TOPICS)

    def test_credentials_that_are_refused_are_one_sentence_without_the_secret(self, tmp_path: Path) -> None:
        password = tmp_path / "password"
        password.write_text("not-the-secret-7261")
        port, controller = free_ports(2)
        guarded = _Guarded(port, controller, tmp_path)
        guarded.start(180)
        try:
            asked = KafkaFeedConfig(
                servers=[f"127.0.0.1:{port}"],
                security_protocol="SASL_PLAINTEXT",
                sasl_mechanism="PLAIN",
                username="desk",
                password_file=str(password),
                connect_timeout_s=10.0,
            )
            with pytest.raises(SetupError) as refused:
                ensure_topics(asked, TOPICS)
            assert "or it refuses the user 'desk'" in str(refused.value)
            assert "7261" not in str(refused.value)
            password.write_text("secret")
            assert ensure_topics(asked, {FIXTURES: 1}) == [FIXTURES]
        finally:
            guarded.stop(20)

    def test_a_password_file_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        config = KafkaFeedConfig(
            security_protocol="SASL_PLAINTEXT", username="desk", password_file=str(tmp_path / "none")
        )
        with pytest.raises(SetupError, match=r"feed\.password_file=.* cannot be read: No such file"):
            ensure_topics(config, TOPICS)


class _Guarded(Kafka):
    """A broker that asks who is there."""

    def __init__(self, port: int, controller: int, folder: Path) -> None:
        jars = str(Path(__file__).resolve().parents[2] / ".jars")
        kafka = KafkaServiceConfig(port=port, controller_port=controller)
        super().__init__(ServicesConfig(folder=str(folder), jars=jars, kafka=kafka))

    def command(self) -> list[str]:
        command = list(super().command())
        properties = self.folder / "server.properties"
        jaas = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_desk="secret";'
        guarded = (
            properties.read_text()
            .replace("PLAINTEXT://", "SASL_PLAINTEXT://")
            .replace("map=PLAINTEXT:PLAINTEXT", "map=SASL_PLAINTEXT:SASL_PLAINTEXT")
        )
        properties.write_text(
            f"{guarded}sasl.enabled.mechanisms=PLAIN\ninter.broker.listener.name=SASL_PLAINTEXT\n"
            "sasl.mechanism.inter.broker.protocol=PLAIN\n"
            f"listener.name.sasl_plaintext.plain.sasl.jaas.config={jaas[:-1]} username=desk password=secret;\n"
        )
        return command

    def answer(self) -> str:
        return "it listens"


def _appended(log: KafkaLog, text: str) -> bool:
    try:
        return bool(log.append(FEED, 0, values(text)))
    except StoreUnavailable:
        return False


def _configured(admin: KafkaAdminClient, name: str) -> dict[str, str]:
    found = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)], config_filter="all")
    return {key: said["value"] for key, said in found["topic"][name].items()}
