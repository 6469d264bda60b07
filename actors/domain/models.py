"""What is said about model versions between the registry and the replicas."""

from msgspec import Struct


class CommittedModel(Struct, frozen=True, kw_only=True):
    """The one version that may answer, and where its files are."""

    version: str
    folder: str
    epoch: int


class ReplicaModel(Struct, frozen=True, kw_only=True):
    """What one replica serves, after it loaded and verified it."""

    replica: str
    version: str
    weights_sha256: str
