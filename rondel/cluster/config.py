"""Settings that every process of a cluster has: which cluster, where in it, and how calls are secured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import msgspec

from rondel.errors import ConfigError
from rondel.ring.shard import Sizes
from rondel.rpc.channel import TlsFiles

__all__ = ["ClusterConfig"]

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]*$")]


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """What a process must know to belong."""

    name: _Text = "rondel"
    """Name of the cluster: several may share an etcd."""
    zone: _Text = "default"
    """Failure domain of this process. Replicas of a series are spread over the zones."""
    replication_factor: Annotated[int, msgspec.Meta(ge=1, le=5)] = 3
    """Ingesters that hold each series; the same in all processes, and for the life of a cluster."""
    shuffle_sharding: bool = False
    """Whether tenants may have shards (`ingestion_tenant_shard_size`); the same in all processes. Say it in
    all of them before the first tenant gets a shard, and for two days after the last one had one. With it
    reads, joins and leaves bear absent ingesters in fewer zones than a write quorum has members, and in no
    more."""
    lease_s: Annotated[int, msgspec.Meta(ge=2)] = 15
    """After so long without a word a process counts as gone."""
    patience_s: Annotated[float, msgspec.Meta(ge=0)] = 60.0
    """How long an ingester that joins or leaves waits for a process that is alive and late."""
    tls_ca_file: str = ""
    """Who signs the certificates of this cluster's processes; with it, ingesters ask callers for one."""
    tls_cert_file: str = ""
    """Our certificate, for calls that we take and calls that we make. With it, calls are encrypted."""
    tls_key_file: str = ""
    """Its key."""
    tls_server_name: str = ""
    """The name in the certificates of ingesters, where it is not the host of their address."""

    def __post_init__(self) -> None:
        if bool(self.tls_cert_file) != bool(self.tls_key_file):
            raise ConfigError("cluster: tls_cert_file and tls_key_file go together: one of them is missing")

    def check_shards(self, sizes: Sizes) -> None:
        """Raises ConfigError for shards that reads would not reckon with."""
        if sizes.are_used and not self.shuffle_sharding:
            raise ConfigError(
                "ingestion_tenant_shard_size needs cluster.shuffle_sharding, in all processes of a cluster: "
                "reads would take incomplete answers for complete ones"
            )

    def tls_files(self) -> TlsFiles | None:
        """For calls to ingesters; None where they are not encrypted."""
        if not (self.tls_ca_file or self.tls_cert_file):
            return None
        return TlsFiles(self.tls_ca_file, self.tls_cert_file, self.tls_key_file, self.tls_server_name)
