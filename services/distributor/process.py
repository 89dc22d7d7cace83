"""`rondel distributor`: the distributor as a process of a cluster, or as several that share a port."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Final

import msgspec

from rondel.cluster import page as ring_page
from rondel.cluster.config import ClusterConfig
from rondel.cluster.node import Node
from rondel.cluster.peers import Peers
from rondel.cluster.ringmetrics import RingMetrics
from rondel.errors import ConfigError
from rondel.kv.etcd import EtcdConfig, EtcdStore
from rondel.model.tenant import TenancyConfig, check_tenants
from rondel.ring.instance import Instance
from rondel.ring.shard import Sizes
from rondel.rpc.channel import Channel
from rondel.rpc.identity import Identity
from rondel.rpc.meter import Meter
from rondel.runtime import http, logs, pages
from rondel.runtime.clock import Clock, SystemClock
from rondel.runtime.config import overridden
from rondel.runtime.edge import Edge
from rondel.runtime.health import ReadyGate
from rondel.runtime.router import Router
from rondel.runtime.service import Group, Service
from rondel.runtime.siblings import Siblings, Worker
from rondel.runtime.tasks import TaskOwner
from rondel.runtime.telemetry import new_registry
from services.distributor.config import Config as DistributorConfig
from services.distributor.config import FanoutConfig, Overrides
from services.distributor.destination import Destination, Sent
from services.distributor.fanout import Fanout
from services.distributor.fanoutmetrics import FanoutMetrics
from services.distributor.main import mount, write_app
from services.distributor.replicas import service as ha_service
from services.distributor.replicas import tracker_of

__all__ = ["Config", "DistributorProcess", "TenantConfig"]

ROLE: Final = "distributor"


@dataclass(frozen=True, slots=True)
class TenantConfig:
    """Settings of one tenant; what is not given is as for all."""

    distributor: Overrides = field(default_factory=Overrides)


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set on `rondel distributor`."""

    data_dir: str = "data"
    """Directory in which the process remembers the ring."""
    instance_id: str = ""
    """Name of this process, unique among the distributors; empty for the host's name."""
    advertise: str = ""
    """`host:port` under which others reach our HTTP; empty where that is `http.listen`."""
    workers: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1
    """Processes that share the HTTP port, each with `-0`, `-1`, ... behind its name."""
    etcd: EtcdConfig = field(default_factory=EtcdConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    http: http.Config = field(default_factory=http.Config)
    log: logs.Config = field(default_factory=logs.Config)
    tenancy: TenancyConfig = field(default_factory=TenancyConfig)
    distributor: DistributorConfig = field(default_factory=DistributorConfig)
    fanout: FanoutConfig = field(default_factory=FanoutConfig)
    tenants: Mapping[str, TenantConfig] = field(default_factory=dict)
    """What single tenants have otherwise, by their names; only the file can say it."""

    def __post_init__(self) -> None:
        check_tenants(self.tenants)
        if not self.etcd.endpoints:
            raise ConfigError("etcd.endpoints: name the members of etcd, for example --etcd etcd-0:2379")
        self.cluster.check_shards(self.sizes)

    @property
    def id(self) -> str:
        """`instance_id`, resolved."""
        return self.instance_id or socket.gethostname()

    @property
    def folder(self) -> Path:
        """Where all files of the distributor are."""
        return Path(self.data_dir) / ROLE

    def distributor_of(self, tenant: str) -> DistributorConfig:
        """`distributor` of one tenant."""
        own = self.tenants.get(tenant)
        return self.distributor if own is None else overridden(self.distributor, own.distributor)

    @property
    def sizes(self) -> Sizes:
        """Of the shards of tenants."""
        own = {tenant: self.distributor_of(tenant).ingestion_tenant_shard_size for tenant in self.tenants}
        return Sizes(self.distributor.ingestion_tenant_shard_size, own)

    def of_worker(self, number: int) -> Config:
        """What one of several workers has."""
        return replace(self, instance_id=f"{self.id}-{number}")

    def address(self, bound: str) -> str:
        """What others are told, where we listen there."""
        return self.advertise or http.reachable(bound)


class DistributorProcess:
    """Takes writes over HTTP and hands them to the ingesters of the ring."""

    def __init__(self, config: Config, worker: Worker | None = None, clock: Clock | None = None) -> None:
        self.config = config if worker is None else config.of_worker(worker.number)
        self.clock = clock or SystemClock()
        self.registry = new_registry(ROLE)
        self.store = EtcdStore(config.etcd)
        self.node = Node(
            self.store,
            config.cluster,
            ROLE,
            self.config.id,
            config.folder / (f"ring-{worker.number}.json" if worker else "ring.json"),
            self.clock.now_ms,
            on_failure=lambda task, error: self.parts.fail("cluster", error),
        )
        self.registry.register(RingMetrics(lambda: self.node.view))
        self._meter = Meter("client", self.registry)
        self._own = {tenant: config.distributor_of(tenant) for tenant in config.tenants}
        self.replicas = tracker_of(config.distributor, self._own, self.store, self.node.keys, self.clock)
        metrics = FanoutMetrics(self.registry)
        self.fanout = Fanout(self.node.view, config.fanout, self.clock, metrics, self._target, config.sizes)
        self._siblings = Siblings(self.registry, config.folder, worker) if worker else None
        self.peers = Peers(self.store, self.node.keys, ROLE, self._share_rates)
        self._following = TaskOwner("peers", lambda _, error: self.parts.fail("peers", error))
        self.parts = Group(self._services())
        self.server = http.Server(self._app(), config.http, is_shared=worker is not None)
        self._draining = False

    async def start(self) -> None:
        """Returns when the ring is known; ready is the process once it has a write quorum."""
        logs.setup(self.config.log)
        await self.server.start_with(self.parts)
        self.node.announce(self.config.address(self.server.address))
        print(f"Rondel distributor {self.config.id} writes at http://{self.server.address}", flush=True)

    async def failure(self) -> BaseException:
        return await self.parts.failure()

    async def stop(self) -> None:
        """Not ready any more, then requests finish, then the parts stop."""
        self._draining = True
        await self.server.stop()
        await self.parts.stop()

    def waiting(self) -> list[str]:
        """What keeps the process from being ready."""
        stopping = ["stopping"] if self._draining else []
        lack = self.fanout.waiting
        return [*stopping, *self.parts.waiting, *([f"ring: {lack}"] if lack else [])]

    def _services(self) -> list[Service]:
        """In the order in which they start."""
        services = [
            Service("etcd", stop=self.store.close),
            Service("cluster", start=self.node.start, stop=self.node.stop),
            Service("peers", start=self._follow, stop=self._following.close),
            Service("fanout", start=self.fanout.start, stop=self.fanout.stop),
        ]
        if self.replicas is not None:
            services.append(ha_service(self.replicas))
        if self._siblings is not None:
            services.insert(0, Service("siblings", start=self._siblings.start, stop=self._siblings.stop))
        return services

    async def _follow(self) -> None:
        """While the store is away, rates are shared as they were last."""
        self._following.spawn(self.peers.run(), name="run")

    def _share_rates(self, addresses: Mapping[str, str]) -> None:
        # We may not be told of ourselves yet, or any more.
        self.write.distributor.share_rates(len(addresses.keys() | {self.config.id}))

    def _target(self, instance: Instance, sent: Sent) -> Destination:
        cluster = self.config.cluster
        channel = Channel(instance.address, cluster.tls_files(), self._meter)
        return Destination(Identity(cluster.name, instance.id), channel, self.config.fanout, sent)

    def _app(self) -> Edge:
        config = self.config
        router = Router(pages.routes(self.waiting, self.registry, config, self._siblings))
        router.include("", ring_page.routes(self.node, self.clock.now_ms))
        self.write = write_app(
            self.fanout,
            config.distributor,
            self.clock,
            self.registry,
            tenancy=config.tenancy.enabled,
            tenants=self._own,
            replicas=self.replicas,
        )
        direct = mount(router, self.write)
        return Edge(
            ReadyGate(router, self.waiting),
            self.registry,
            cors_origin=config.http.cors_origin,
            requests_max=config.http.requests_max,
            direct=direct,
        )
