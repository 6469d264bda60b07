"""Which model version is committed, and which replicas serve it. A thin shell."""

import logging

from actors.domain.errors import NoModel
from actors.domain.models import CommittedModel, ReplicaModel

logger = logging.getLogger("touchline.models")


class ModelRegistry:
    """Holds the committed version; every replica asks it at its start, verifies what it loads, and acknowledges."""

    def __init__(self, version: str, folder: str) -> None:
        self._committed = CommittedModel(version=version, folder=folder, epoch=1)
        self._replicas: dict[str, ReplicaModel] = {}

    def committed(self) -> CommittedModel:
        """Return the committed model."""
        return self._committed

    def acknowledge(self, replica: ReplicaModel) -> None:
        """Note that a replica loaded and verified a version.

        Raises:
            NoModel: It loaded another version than the committed one; it must not serve.
        """
        if replica.version != self._committed.version:
            raise NoModel(f"replica {replica.replica} loaded {replica.version}, committed is {self._committed.version}")
        self._replicas[replica.replica] = replica
        logger.info("Replica serves model", extra={"replica": replica.replica, "version": replica.version})

    def replicas(self) -> list[ReplicaModel]:
        """Return the replicas that acknowledged; those that ended may still be among them."""
        return list(self._replicas.values())
