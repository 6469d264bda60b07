"""Opens the log on the test run's Kafka: each namespace has topics of its own."""

from collections.abc import Mapping

from kafka import KafkaAdminClient, TopicPartition

from actors.adapters.kafka_client import client_options
from actors.adapters.kafka_log import KafkaLog
from actors.adapters.kafka_topics import ensure_topics
from conf.stores import KafkaFeedConfig
from tests.servers import port_of


def configured(namespace: str) -> KafkaFeedConfig:
    """Return where the log of a namespace is."""
    return KafkaFeedConfig(servers=[f"127.0.0.1:{port_of('kafka')}"], topic_prefix=f"{namespace}.")


def open_log(namespace: str, partitions: Mapping[str, int]) -> KafkaLog:
    """Make the topics unless they are there, and open the log."""
    ensure_topics(configured(namespace), partitions)
    return KafkaLog(configured(namespace), partitions)


def remove(namespace: str, topic: str) -> None:
    """Remove a topic with all that is in it."""
    admin = KafkaAdminClient(**client_options(configured(namespace)))
    admin.delete_topics([f"{namespace}.{topic}"])
    admin.close()


def expire(namespace: str, topic: str, partition: int, before_offset: int) -> None:
    """Remove the records below an offset, as retention does."""
    admin = KafkaAdminClient(**client_options(configured(namespace)))
    admin.delete_records({TopicPartition(f"{namespace}.{topic}", partition): before_offset})
    admin.close()
