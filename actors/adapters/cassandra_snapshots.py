"""The snapshot store in Cassandra."""

from actors.adapters.cassandra_requests import reading, writing
from actors.adapters.cassandra_session import CassandraConnection
from actors.adapters.cassandra_timestamps import fence
from actors.domain.ports import MatchSnapshot
from conf.stores import CassandraStoreConfig

_SAVE = (
    "INSERT INTO {keyspace}.snapshots (match_id, epoch, offset, state, state_hash, code_version) "
    "VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
)
_LOAD = "SELECT epoch, offset, state, state_hash, code_version FROM {keyspace}.snapshots WHERE match_id = ?"


class CassandraSnapshots:
    """A SnapshotStore. Of two saves the one of the higher (epoch, offset) stays, by its write timestamp."""

    def __init__(self, config: CassandraStoreConfig) -> None:
        self._connection = CassandraConnection(config, (_SAVE, _LOAD))

    def load(self, match_id: str) -> MatchSnapshot | None:
        [rows] = self._connection.run("load", [reading(self._connection.bound(_LOAD, match_id))])
        if not rows:
            return None
        epoch, offset, state, state_hash, code_version = rows[0]
        return MatchSnapshot(
            match_id=match_id,
            epoch=epoch,
            offset=offset,
            state=state,
            state_hash=state_hash,
            code_version=code_version,
        )

    def save(self, snapshot: MatchSnapshot) -> None:
        saving = self._connection.bound(
            _SAVE,
            snapshot.match_id,
            snapshot.epoch,
            snapshot.offset,
            snapshot.state,
            snapshot.state_hash,
            snapshot.code_version,
            fence(snapshot.epoch, snapshot.offset),
        )
        self._connection.run("save", [writing([saving])])

    def close(self) -> None:
        self._connection.close()
