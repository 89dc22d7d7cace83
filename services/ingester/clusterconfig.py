"""Settings of `rondel ingester`, the ingester as a process of a cluster."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import msgspec

from rondel.cluster.config import ClusterConfig
from rondel.errors import ConfigError
from rondel.kv.etcd import EtcdConfig
from rondel.model.tenant import check_tenants
from rondel.ring.quorum import SKEW_MS
from rondel.ring.shard import Sizes
from rondel.ring.tokens import ORDINAL_MAX
from rondel.rpc.server import ServerConfig
from rondel.runtime import http, logs
from rondel.runtime.http import EVERYWHERE, listen_address
from services.ingester.config import Config as IngesterConfig
from services.ingester.config import HeadConfig, ShipConfig, WalConfig

__all__ = ["Config", "GrpcConfig", "MembershipConfig", "Overrides", "RepairConfig", "TenantConfig"]

_FROM_ID: Final = -1
_Positive = Annotated[int, msgspec.Meta(ge=1)]
_Seconds = Annotated[float, msgspec.Meta(ge=0)]
_Time = Annotated[float, msgspec.Meta(gt=0)]


@dataclass(frozen=True, slots=True)
class GrpcConfig:
    """Calls of distributors and queriers."""

    listen: str = "127.0.0.1:9095"
    """Host and port to listen on; port 0 takes a free one, an empty host all addresses."""
    calls_max: _Positive = 1_024
    """Calls at once; a select is one for as long as it is read."""
    read_threads: _Positive = 8
    """Reads that compute at once."""
    read_timeout_s: _Time = 120.0
    """How long one call may read."""
    push_bytes_max: _Positive = 64 << 20
    """Of pushes of one distributor that are worked on; more wait in the connection."""
    drain_s: _Seconds = 10.0
    """How long calls may go on after a stop was asked for."""


@dataclass(frozen=True, slots=True)
class MembershipConfig:
    """Our place in the ring."""

    ordinal: Annotated[int, msgspec.Meta(ge=_FROM_ID, le=ORDINAL_MAX)] = _FROM_ID
    """Our number in the zone, from 0; -1 for the number at the end of `instance_id`, as in a StatefulSet."""
    leave_timeout_s: _Time = 3_600.0
    """How long a process that is to leave for good may take after the signal: what its supervisor grants."""
    unowned_ship_s: _Seconds = 180.0
    """Series that others take over after a change of the ring are shipped this long after it."""
    ingestion_tenant_shard_size: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Ingesters that the series of a tenant go to, as the distributors have it (`distributor`); 0 for all."""

    def number(self, id: str) -> int:
        """The ordinal of an instance. Raises ConfigError."""
        if self.ordinal != _FROM_ID:
            return self.ordinal
        found = re.search(r"\d+$", id)
        if found is None or int(found[0]) > ORDINAL_MAX:
            raise ConfigError(
                f"ingester.ordinal: the instance id {id!r} does not end in a number up to {ORDINAL_MAX}, "
                "so the number of this ingester in its zone must be set"
            )
        return int(found[0])


@dataclass(frozen=True, slots=True)
class Overrides:
    """Settings of `ingester` that one tenant has for itself; what is not given is as for all."""

    ingestion_tenant_shard_size: Annotated[int, msgspec.Meta(ge=0)] | None = None


@dataclass(frozen=True, slots=True)
class TenantConfig:
    """Settings of one tenant; what is not given is as for all."""

    ingester: Overrides = field(default_factory=Overrides)


@dataclass(frozen=True, slots=True)
class RepairConfig:
    """Catching up from replicas with what was missed."""

    note_interval_s: _Time = 5.0
    """Time between notes of how far we are; a restart asks for what came after the last one."""
    margin_s: _Seconds = 300.0
    """How far before the last note it asks."""
    series_per_batch: _Positive = 500
    """Series asked for and written at a time."""
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    """Of its time that a repair works; the rest is left to pushes."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set on `rondel ingester`."""

    data_dir: str = "data"
    """Directory of the write-ahead log, and of what this ingester remembers of the ring."""
    objstore: str = ""
    """Object store of the blocks: `file:///dir`, `s3://bucket/prefix`, `gs://`, `az://`. Required."""
    instance_id: str = ""
    """Name of this ingester, for as long as its data lives; empty for the host's name."""
    advertise: str = ""
    """`host:port` under which other processes reach it; empty where that is `grpc.listen`."""
    http: http.Config = field(default_factory=http.Config)
    grpc: GrpcConfig = field(default_factory=GrpcConfig)
    log: logs.Config = field(default_factory=logs.Config)
    etcd: EtcdConfig = field(default_factory=EtcdConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    ingester: MembershipConfig = field(default_factory=MembershipConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    wal: WalConfig = field(default_factory=WalConfig)
    ship: ShipConfig = field(default_factory=ShipConfig)
    repair: RepairConfig = field(default_factory=RepairConfig)
    creation_grace_period_ms: Annotated[int, msgspec.Meta(ge=0)] = 10 * 60_000
    """How far a sample may lie ahead of the clock: 15 minutes at most, since reads look at the rings of so
    long before the times that they ask for."""
    tenants: Mapping[str, TenantConfig] = field(default_factory=dict)
    """What single tenants have otherwise, by their names; only the file can say it."""

    def __post_init__(self) -> None:
        check_tenants(self.tenants)
        self.cluster.check_shards(self.sizes)
        if not self.objstore:
            raise ConfigError("objstore: name the object store, for example --objstore s3://bucket/prefix")
        if self.creation_grace_period_ms > SKEW_MS:
            raise ConfigError(
                f"creation_grace_period_ms: {self.creation_grace_period_ms} is more than {SKEW_MS}: reads "
                "would miss samples that were written long before their time, by a ring from before a change"
            )
        if not self.etcd.endpoints:
            raise ConfigError("etcd.endpoints: name the members of etcd, for example --etcd etcd-0:2379")
        host = listen_address(self.grpc.listen, "grpc.listen")[0]
        if self.advertise and not listen_address(self.advertise, "advertise")[0]:
            raise ConfigError(f"advertise: {self.advertise!r} names no host")
        if not self.advertise and host in EVERYWHERE:
            raise ConfigError(
                f"grpc.listen is {self.grpc.listen!r}, every address of this machine: "
                "say with --advertise HOST:PORT which one others reach"
            )

    @property
    def id(self) -> str:
        """`instance_id`, resolved."""
        return self.instance_id or socket.gethostname()

    def address(self, port: int) -> str:
        """What others are told, where we listen on that port."""
        host = listen_address(self.grpc.listen)[0]
        return self.advertise or (f"[{host}]:{port}" if ":" in host else f"{host}:{port}")

    @property
    def sizes(self) -> Sizes:
        """Of the shards of tenants."""
        everybody = self.ingester.ingestion_tenant_shard_size
        own = {name: one.ingester.ingestion_tenant_shard_size for name, one in self.tenants.items()}
        return Sizes(everybody, {name: size for name, size in own.items() if size is not None})

    @property
    def folder(self) -> Path:
        """Where all files of the ingester are."""
        return Path(self.data_dir) / "ingester"

    def server(self) -> ServerConfig:
        """For calls that we take."""
        grpc, cluster = self.grpc, self.cluster
        return ServerConfig(
            listen=grpc.listen if listen_address(grpc.listen)[0] else f"[::]{grpc.listen}",
            tls_ca_file=cluster.tls_ca_file,
            tls_cert_file=cluster.tls_cert_file,
            tls_key_file=cluster.tls_key_file,
            calls_max=grpc.calls_max,
            read_threads=grpc.read_threads,
            read_timeout_s=grpc.read_timeout_s,
            push_bytes_max=grpc.push_bytes_max,
            drain_s=grpc.drain_s,
        )

    def parts(self) -> IngesterConfig:
        """For the ingester itself."""
        return IngesterConfig(self.head, self.wal, self.ship, self.creation_grace_period_ms)
