"""Cassandra 5: one node."""

from collections.abc import Sequence
from pathlib import Path

from cluster.services.jars import class_path, need_java
from cluster.services.server import Server
from conf.services import ServicesConfig

_HERE = Path(__file__).resolve().parent
_EXPORTS = (
    "java.base/jdk.internal.misc java.base/java.lang.ref java.management.rmi/com.sun.jmx.remote.internal.rmi "
    "java.rmi/sun.rmi.registry java.rmi/sun.rmi.server java.rmi/sun.rmi.transport.tcp java.sql/java.sql "
    "jdk.unsupported/sun.misc jdk.attach/sun.tools.attach"
)
_OPENS = (
    "java.base/java.lang.module java.base/jdk.internal.loader java.base/jdk.internal.ref "
    "java.base/jdk.internal.reflect java.base/jdk.internal.math java.base/jdk.internal.module "
    "java.base/jdk.internal.util.jar jdk.management/com.sun.management.internal java.base/sun.nio.ch java.base/java.io "
    "java.base/java.lang "
    "java.base/java.lang.reflect java.base/java.util java.base/java.util.concurrent "
    "java.base/java.util.concurrent.atomic java.base/java.nio"
)
_MODULES = [
    *(f"--add-exports={name}=ALL-UNNAMED" for name in _EXPORTS.split()),
    *(f"--add-opens={name}=ALL-UNNAMED" for name in _OPENS.split()),
]


class Cassandra(Server):
    """One Cassandra node."""

    name = "cassandra"

    def __init__(self, config: ServicesConfig) -> None:
        super().__init__(Path(config.folder).resolve(), config.host, config.cassandra.port)
        self._config, self._jars, self._options = config.cassandra, Path(config.jars), config.java_options

    def command(self) -> Sequence[str]:
        yaml, logging = self.folder / "cassandra.yaml", _HERE / "logback.xml"
        template = (_HERE / "cassandra.yaml").read_text()
        values = {"host": self.host, "port": self.port, "storage_port": self._config.storage_port}
        yaml.write_text(template.format(folder=self.folder, **values))
        [agent] = (self._jars.resolve() / "cassandra").glob("jamm-*.jar")
        properties = {
            "cassandra.config": f"file://{yaml}",
            "cassandra.storagedir": self.folder,
            "logback.configurationFile": logging,
            "jdk.attach.allowAttachSelf": "true",
            # One node has nobody to gossip with, and nothing to wait for.
            "cassandra.ring_delay_ms": 100,
            "cassandra.skip_wait_for_gossip_to_settle": 0,
        }
        return [
            need_java(),
            f"-Xmx{self._config.heap_mb}m",
            f"-Xms{self._config.heap_mb // 2}m",
            "-XX:+UseG1GC",
            "-XX:+ExitOnOutOfMemoryError",
            *self._options,
            f"-javaagent:{agent}",
            *_MODULES,
            *(f"-D{name}={value}" for name, value in properties.items()),
            "-cp",
            class_path(self._jars, "cassandra"),
            "org.apache.cassandra.service.CassandraDaemon",
        ]

    def answer(self) -> str:
        from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
        from cassandra.policies import WhiteListRoundRobinPolicy

        profile = ExecutionProfile(load_balancing_policy=WhiteListRoundRobinPolicy([self.host]), request_timeout=2.0)
        profiles = {EXEC_PROFILE_DEFAULT: profile}
        cluster = Cluster(
            [self.host],
            self.port,
            protocol_version=5,
            execution_profiles=profiles,
            connect_timeout=2.0,
            control_connection_timeout=2.0,
        )
        try:
            row = cluster.connect().execute("SELECT release_version FROM system.local").one()
            return str(row.release_version)
        finally:
            cluster.shutdown()
