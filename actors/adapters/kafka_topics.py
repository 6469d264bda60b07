"""The topics: made once, with the reasons for how long each keeps what, and looked at ever after."""

from collections.abc import Mapping

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import TopicAlreadyExistsError

from actors.adapters.kafka_client import MOST_BYTES, client_options, reached
from actors.domain.errors import SetupError
from actors.domain.ports import DEAD_LETTERS, FIXTURES, MODELS
from conf.stores import KafkaFeedConfig

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_DLQ_BYTES = 1024**3


def ensure_topics(config: KafkaFeedConfig, partitions: Mapping[str, int]) -> list[str]:
    """Make the topics that are missing, set how they keep records, and return the names of those made.

    Doing it again changes nothing; of several processes that come at once, each finds the topics made.

    Raises:
        SetupError: Kafka does not answer or refuses us, or a topic has another number of partitions.
    """
    names = {config.topic_prefix + topic: topic for topic in partitions}
    with reached(config):
        admin = KafkaAdminClient(**client_options(config))
        try:
            made = _make_missing(admin, config, {name: partitions[topic] for name, topic in names.items()})
            _check_counts(admin, config, {name: partitions[topic] for name, topic in names.items()})
            admin.alter_configs([_resource(config, name, topic) for name, topic in names.items()])
        finally:
            admin.close()
    return made


def has_topics(config: KafkaFeedConfig, partitions: Mapping[str, int]) -> bool:
    """Say whether the topics are there, without making any: a client of a missing one would only wait.

    Raises:
        SetupError: Kafka does not answer or refuses us, some of them are missing, or a topic has another number of
            partitions.
    """
    counts = {config.topic_prefix + topic: count for topic, count in partitions.items()}
    with reached(config):
        admin = KafkaAdminClient(**client_options(config))
        try:
            missing = counts.keys() - set(admin.list_topics())
            if missing == counts.keys():
                return False
            if missing:  # half a log is none to check anything against
                servers, names = ", ".join(config.servers), ", ".join(sorted(missing))
                raise SetupError(f"Kafka at {servers} has no topic {names}; the next start of Touchline makes it")
            _check_counts(admin, config, counts)
        finally:
            admin.close()
    return True


def retention(config: KafkaFeedConfig, topic: str) -> dict[str, str]:
    """Return how a topic keeps its records.

    - Feed and forecasts: for `feed.retention_h`. A match is leased a day before kick-off and folded again from its
      lease on after a loss of snapshots; history has the rest. Rolled every hour: only closed segments are removed.
    - Fixtures: compacted, the last record of a match counts and there are few. Kept a day as they came, so that a
      reader that is behind sees each step.
    - Models: for ever. What is committed is the last of them, and there are a few a day.
    - Dead letters: until an operator has dealt with them; beyond a gigabyte the oldest go.
    Records carry the broker's time: `appended_at` is of the log's clock, whatever the writers' clocks say.
    """
    common = {
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(MOST_BYTES),
        "min.insync.replicas": str(config.min_insync_replicas),
    }
    match topic:
        case t if t == FIXTURES:
            return common | {"cleanup.policy": "compact", "min.compaction.lag.ms": str(_DAY_MS)}
        case t if t == MODELS:
            return common | {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
        case t if t == DEAD_LETTERS:
            return common | {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": str(_DLQ_BYTES)}
    kept_ms = round(config.retention_h * _HOUR_MS)
    return common | {"cleanup.policy": "delete", "retention.ms": str(kept_ms), "segment.ms": str(_HOUR_MS)}


def _make_missing(admin: KafkaAdminClient, config: KafkaFeedConfig, counts: Mapping[str, int]) -> list[str]:
    known = set(admin.list_topics())
    missing = [name for name in counts if name not in known]
    if not missing:
        return []
    wanted = {
        name: {"num_partitions": counts[name], "replication_factor": config.replication_factor} for name in missing
    }
    try:
        admin.create_topics(wanted)
    except TopicAlreadyExistsError:  # another process was faster with some of them
        for name in missing:
            _make(admin, name, wanted[name])
    admin.wait_for_topics(missing)
    return missing


def _make(admin: KafkaAdminClient, name: str, how: Mapping[str, int]) -> None:
    try:
        admin.create_topics({name: dict(how)})
    except TopicAlreadyExistsError:
        return


def _check_counts(admin: KafkaAdminClient, config: KafkaFeedConfig, counts: Mapping[str, int]) -> None:
    for described in admin.describe_topics(list(counts)):
        name, found = described["name"], len(described["partitions"])
        if found != counts[name]:
            where = ", ".join(config.servers)
            raise SetupError(
                f"Kafka at {where} holds {name} with {found} partitions, not {counts[name]}; "
                "set feed.partitions back or choose another feed.topic_prefix"
            )


def _resource(config: KafkaFeedConfig, name: str, topic: str) -> ConfigResource:
    return ConfigResource(ConfigResourceType.TOPIC, name, configs=retention(config, topic))
