"""`rondel querier`: the querier as a process of a cluster, or as several that share a port."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Final

import msgspec

from rondel.block import BlockStore
from rondel.block.store import Config as StoreConfig
from rondel.cluster import page as ring_page
from rondel.cluster.config import ClusterConfig
from rondel.cluster.node import Node
from rondel.cluster.ringmetrics import RingMetrics
from rondel.errors import ConfigError
from rondel.kv.etcd import EtcdConfig, EtcdStore
from rondel.model.labels import Matchers
from rondel.model.tenant import TenancyConfig, check_tenants
from rondel.objstore import open_bucket
from rondel.rpc.wire import WireDecoder
from rondel.runtime import http, logs, machine, pages
from rondel.runtime.clock import Clock, SystemClock
from rondel.runtime.config import overridden
from rondel.runtime.edge import Edge
from rondel.runtime.health import ReadyGate
from rondel.runtime.router import Router
from rondel.runtime.service import Group, Service
from rondel.runtime.siblings import Siblings, Worker
from rondel.runtime.telemetry import new_registry
from services.querier.api.mount import mount
from services.querier.api.status import Facts
from services.querier.cardinality import Cardinality
from services.querier.cluster import ClusterReads
from services.querier.config import Config as QueryConfig
from services.querier.config import Overrides, ReadConfig
from services.querier.main import Querier, Sources, block_facts

__all__ = ["Config", "QuerierProcess", "TenantConfig"]

ROLE = "querier"
_RECENT_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class TenantConfig:
    """Settings of one tenant; what is not given is as for all."""

    query: Overrides = field(default_factory=Overrides)


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set on `rondel querier`."""

    data_dir: str = "data"
    """Directory in which the process remembers the ring, and queries that did harm."""
    objstore: str = ""
    """Object store of the blocks: `file:///dir`, `s3://bucket/prefix`, `gs://`, `az://`. Required."""
    instance_id: str = ""
    """Name of this process, unique among the queriers; empty for the host's name."""
    advertise: str = ""
    """`host:port` under which others reach our HTTP; empty where that is `http.listen`."""
    workers: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1
    """Processes that share the HTTP port, each with `-0`, `-1`, ... behind its name."""
    etcd: EtcdConfig = field(default_factory=EtcdConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    http: http.Config = field(default_factory=http.Config)
    log: logs.Config = field(default_factory=logs.Config)
    tenancy: TenancyConfig = field(default_factory=TenancyConfig)
    read: ReadConfig = field(default_factory=ReadConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    query: QueryConfig = field(default_factory=QueryConfig)
    tenants: Mapping[str, TenantConfig] = field(default_factory=dict)
    """What single tenants have otherwise, by their names; only the file can say it."""

    def __post_init__(self) -> None:
        check_tenants(self.tenants)
        if not self.etcd.endpoints:
            raise ConfigError("etcd.endpoints: name the members of etcd, for example --etcd etcd-0:2379")
        if not self.objstore:
            raise ConfigError("objstore: name the object store, for example --objstore s3://bucket/prefix")

    @property
    def id(self) -> str:
        """`instance_id`, resolved."""
        return self.instance_id or socket.gethostname()

    def query_of(self, tenant: str) -> QueryConfig:
        """`query` of one tenant."""
        own = self.tenants.get(tenant)
        return self.query if own is None else overridden(self.query, own.query)

    def of_worker(self, number: int) -> Config:
        """What one of several workers has."""
        return replace(self, instance_id=f"{self.id}-{number}")

    def address(self, bound: str) -> str:
        """What others are told, where we listen there."""
        return self.advertise or http.reachable(bound)


class QuerierProcess:
    """Answers queries over HTTP, from the ingesters of the ring and from blocks."""

    def __init__(self, config: Config, worker: Worker | None = None, clock: Clock | None = None) -> None:
        self.config = config if worker is None else config.of_worker(worker.number)
        self.clock = clock or SystemClock()
        self.registry = new_registry(ROLE)
        self._started_ms = self.clock.now_ms()
        folder = Path(config.data_dir) / ROLE
        own = folder / f"worker-{worker.number}" if worker else folder
        self.store = EtcdStore(config.etcd)
        self.node = Node(
            self.store,
            config.cluster,
            ROLE,
            self.config.id,
            own / "ring.json",
            self.clock.now_ms,
            on_failure=lambda task, error: self.parts.fail("cluster", error),
        )
        self.registry.register(RingMetrics(lambda: self.node.view))
        self.blocks = BlockStore(
            open_bucket(config.objstore),
            config.store,
            registry=self.registry,
            # Workers of one querier share the memory of one container.
            cache_bytes_max=machine.memory_bytes() // (16 * config.workers),
        )
        self.reads = ClusterReads(
            self.node.view,
            self.blocks,
            config.cluster,
            config.read,
            WireDecoder(),
            self.clock.now_ms,
            self.registry,
            self.config.id,
        )
        self.querier = Querier(
            Sources(self.reads.storage, self.reads.ingesters),
            config.query,
            own,
            self.clock,
            self.registry,
            tenancy=config.tenancy.enabled,
            tenants={tenant: config.query_of(tenant) for tenant in config.tenants},
        )
        self._siblings = Siblings(self.registry, folder, worker) if worker else None
        self.parts = Group(self._services())
        self.server = http.Server(self._app(), config.http, is_shared=worker is not None)
        self._draining = False

    async def start(self) -> None:
        """Returns when the ring is known; ready is the process once there are ingesters in it."""
        logs.setup(self.config.log)
        await self.server.start_with(self.parts)
        self.node.announce(self.config.address(self.server.address))
        print(f"Rondel querier {self.config.id} answers at http://{self.server.address}", flush=True)

    async def failure(self) -> BaseException:
        return await self.parts.failure()

    async def stop(self) -> None:
        """Not ready any more, then requests finish, then the parts stop."""
        self._draining = True
        self.querier.stopping()
        await self.server.stop()
        await self.parts.stop()

    def waiting(self) -> list[str]:
        """What keeps the process from being ready."""
        stopping = ["stopping"] if self._draining else []
        lack = self.reads.waiting
        return [*stopping, *self.parts.waiting, *([f"ring: {lack}"] if lack else [])]

    def _services(self) -> list[Service]:
        """In the order in which they start."""
        services = [
            Service("etcd", stop=self.store.close),
            Service("cluster", start=self.node.start, stop=self.node.stop),
            self.reads.service(),
            self.querier.service(),
        ]
        if self._siblings is not None:
            services.insert(0, Service("siblings", start=self._siblings.start, stop=self._siblings.stop))
        return services

    def _app(self) -> Edge:
        config = self.config
        router = Router(pages.routes(self.waiting, self.registry, config, self._siblings))
        router.include("", ring_page.routes(self.node, self.clock.now_ms))
        mount(router, self.querier.context, self._facts())
        return Edge(
            ReadyGate(router, self.waiting),
            self.registry,
            cors_origin=config.http.cors_origin,
            requests_max=config.http.requests_max,
        )

    def _facts(self) -> Facts:
        return Facts(
            registry=self.registry,
            config=self.config,
            started_ms=self._started_ms,
            retention="as the compactors of the cluster are set",
            head=self._cardinality,
            blocks=lambda tenant: [block_facts(one) for one in self.blocks.blocks(tenant)],
            replay=lambda: (0, 0, 0),
        )

    def _cardinality(self, tenant: str) -> Cardinality:
        """Of the series that the ingesters have samples of the last hour of."""
        now_ms = self.clock.now_ms()
        mint_ms = now_ms - _RECENT_MS
        return Cardinality(
            self.reads.ingesters.series(tenant, [Matchers([])], mint_ms, now_ms), mint_ms, now_ms
        )
