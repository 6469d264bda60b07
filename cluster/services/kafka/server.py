"""Kafka 4 in KRaft mode: one node that is broker and controller."""

from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from cluster.services.jars import class_path, need_java
from cluster.services.server import Server
from conf.services import ServicesConfig

_LOGGING = Path(__file__).resolve().parent / "log4j2.properties"
_FORMAT_WITHIN_S = 60.0
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
# One node: internal topics have one replica. What is acknowledged survives the death of the process, since the page
# cache is the kernel's; that of the machine it survives only where topics have replicas elsewhere.
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
log.cleaner.threads=1
"""


class Kafka(Server):
    """One Kafka node."""

    name = "kafka"

    def __init__(self, config: ServicesConfig) -> None:
        super().__init__(Path(config.folder).resolve(), config.host, config.kafka.port)
        self._config, self._jars, self._options = config.kafka, Path(config.jars), config.java_options
        self._properties, self._data = self.folder / "server.properties", self.folder / "data"

    def command(self) -> Sequence[str]:
        ports = {"port": self.port, "controller_port": self._config.controller_port}
        self._properties.write_text(_PROPERTIES.format(host=self.host, data=self._data, **ports))
        if not (self._data / "meta.properties").exists():
            self._format()
        heap = (f"-Xmx{self._config.heap_mb}m", f"-Xms{self._config.heap_mb // 2}m")
        return [*self._java(*heap, *self._options), "kafka.Kafka", str(self._properties)]

    def _format(self) -> None:
        """Make the data folder one of KRaft's, once."""
        tool = ["kafka.tools.StorageTool", "format", "-t", uuid4().hex[:22], "-c", str(self._properties)]
        self.run_once([*self._java("-Xmx128m", "-XX:TieredStopAtLevel=1"), *tool], "formatting", _FORMAT_WITHIN_S)

    def answer(self) -> str:
        from kafka import KafkaAdminClient  # here, since only whoever waits for the server needs it

        client = KafkaAdminClient(
            bootstrap_servers=f"{self.host}:{self.port}", bootstrap_timeout_ms=2_000, request_timeout_ms=2_000
        )
        try:
            client.list_topics()
            return "4.3.1"
        finally:
            client.close()

    def _java(self, *options: str) -> list[str]:
        logging = f"-Dlog4j2.configurationFile={_LOGGING}"
        return [need_java(), *options, "-XX:+ExitOnOutOfMemoryError", logging, "-cp", class_path(self._jars, "kafka")]
