"""The standalone server: the composition root that wires all roles in one process.

The HTTP server starts first, so that readiness can be asked for while the WAL is replayed, and stops first,
so that what is acknowledged below it is complete when the parts stop.
"""

from __future__ import annotations

from pathlib import Path

from starlette.types import ASGIApp

from rondel.block import BlockStore, BlockWriter, new_ulid
from rondel.cluster.keys import Keys
from rondel.kv.memory import MemoryStore
from rondel.model.merge import MergedStorage
from rondel.objstore import open_bucket
from rondel.runtime import logs, machine, pages
from rondel.runtime.clock import Clock, SystemClock
from rondel.runtime.edge import Edge
from rondel.runtime.health import ReadyGate
from rondel.runtime.http import Server
from rondel.runtime.router import Router
from rondel.runtime.service import Group, Service
from rondel.runtime.telemetry import new_registry
from rondel.runtime.units import duration_text
from services.compactor.main import service as compactor_service
from services.distributor.http import WriteApp
from services.distributor.main import mount as mount_writes
from services.distributor.main import write_app
from services.distributor.replicas import service as ha_service
from services.distributor.replicas import tracker_of
from services.ingester.config import Config as IngesterConfig
from services.ingester.http import routes as ingester_routes
from services.ingester.push import Ingester
from services.ingester.read import HeadStorage
from services.ingester.ship import Shipper
from services.querier.api.mount import mount
from services.querier.api.status import Facts
from services.querier.main import Querier, Sources, block_facts
from services.standalone import landing
from services.standalone.config import Config
from services.standalone.selfscrape import SelfScrape

__all__ = ["Standalone"]

_log = logs.get(__name__)
_INGESTER = "rondel"
"""The ingester's identity where none is given; its data directory remembers it."""


class Standalone:
    """Everything in one process. The constructor wires; `start` starts."""

    def __init__(self, config: Config, clock: Clock | None = None) -> None:
        self.config = config
        self.clock = clock or SystemClock()
        self.registry = new_registry("standalone")
        self._scratch = Path(config.data_dir) / "scratch"
        self.bucket = open_bucket(config.objstore_url)
        self.blocks = BlockStore(
            self.bucket,
            config.store,
            registry=self.registry,
            cache_bytes_max=machine.memory_bytes() // 16,
        )
        self.ingester = Ingester(
            IngesterConfig(
                head=config.head,
                wal=config.wal,
                ship=config.ship,
                creation_grace_period_ms=config.distributor.limits.creation_grace_period_ms,
            ),
            Path(config.data_dir) / "ingester",
            clock=self.clock,
            registry=self.registry,
            instance_id=config.instance_id or _INGESTER,
            on_failure=lambda error: self.parts.fail("ingester", error),
        )
        self.shipper = Shipper(
            self.ingester,
            self.ingester.config,
            open_sink=self._open_sink,
            announce=self.blocks.announce,
            clock=self.clock,
        )
        self.head = HeadStorage(self.ingester.tenants)
        # The head first: a range leaves it only after blocks have it, so nothing is missed between the two.
        self.querier = Querier(
            Sources(MergedStorage([self.head, self.blocks]), self.head),
            config.query,
            Path(config.data_dir) / "querier",
            self.clock,
            self.registry,
            tenancy=config.tenancy.enabled,
            tenants={tenant: config.query_of(tenant) for tenant in config.tenants},
        )
        self._own_writes = {tenant: config.distributor_of(tenant) for tenant in config.tenants}
        store = MemoryStore(self.clock.monotonic_s)
        self.replicas = tracker_of(config.distributor, self._own_writes, store, Keys("alone"), self.clock)
        self.parts = Group(self._services())
        self.server = Server(self._app(), config.http)
        self._draining = False

    async def start(self) -> None:
        """Returns when everything is ready; raises what keeps a part from starting."""
        logs.setup(self.config.log)
        await self.server.start()
        await self.parts.start()
        base = f"http://{self.server.address}"
        print(f"Rondel is ready at {base}", flush=True)
        print(f"  write  {base}/api/v1/write", flush=True)
        print(f"  query  {base}/api/v1/query?query=up", flush=True)

    async def failure(self) -> BaseException:
        """Returns why a part failed: a sync of the WAL, after which only a replay knows what is on disk."""
        return await self.parts.failure()

    async def stop(self) -> None:
        """Not ready any more, then requests finish, then the parts stop."""
        self._draining = True
        self.querier.stopping()
        await self.server.stop()
        await self.parts.stop()

    def waiting(self) -> list[str]:
        """What keeps the process from being ready."""
        broken = {"shipper": self.shipper.failure}
        failures = [f"{name}: {failure}" for name, failure in broken.items() if failure is not None]
        return [*(["stopping"] if self._draining else []), *failures, *self.parts.waiting]

    def _services(self) -> list[Service]:
        """In the order in which they start."""
        config, clock, registry = self.config, self.clock, self.registry
        scrape = SelfScrape(registry, self.ingester, clock, config.self_scrape, instance=config.instance_id)
        return [
            Service("ingester", start=self.ingester.start, stop=self.ingester.stop),
            Service("shipper", start=self._start_shipper, stop=self.shipper.stop),
            self.querier.service(),
            compactor_service(
                self.bucket,
                config.compactor,
                clock,
                registry,
                announce=self.blocks.announce,
                scratch=self._scratch,
            ),
            *([ha_service(self.replicas)] if self.replicas else []),
            Service("self-scrape", start=scrape.start, stop=scrape.stop),
        ]

    async def _start_shipper(self) -> None:
        self._scratch.mkdir(parents=True, exist_ok=True)
        self.shipper.start()

    def _open_sink(self, tenant: str) -> BlockWriter:
        return BlockWriter(self.bucket, tenant, new_ulid(self.clock.now_ms()), scratch=self._scratch)

    def _app(self) -> ASGIApp:
        config = self.config
        router = Router(pages.routes(self.waiting, self.registry, config))
        router.include("", landing.routes())
        router.include("", ingester_routes(self.shipper))
        direct = mount_writes(router, self._write_app())
        mount(router, self.querier.context, self._facts())
        gate = ReadyGate(router, self.waiting)
        http = config.http
        return Edge(
            gate,
            self.registry,
            cors_origin=http.cors_origin,
            requests_max=http.requests_max,
            direct=direct,
        )

    def _write_app(self) -> WriteApp:
        config = self.config
        return write_app(
            self.ingester,
            config.distributor,
            self.clock,
            self.registry,
            tenancy=config.tenancy.enabled,
            tenants=self._own_writes,
            replicas=self.replicas,
        )

    def _facts(self) -> Facts:
        retention_s = self.config.compactor.retention_s
        return Facts(
            registry=self.registry,
            config=self.config,
            started_ms=self.clock.now_ms(),
            retention=duration_text(retention_s * 1000) if retention_s else "forever",
            head=self.head.head,
            blocks=lambda tenant: [block_facts(one) for one in self.blocks.blocks(tenant)],
            replay=self._replay,
        )

    def _replay(self) -> tuple[int, int, int]:
        report = self.ingester.replayed
        return report.first_segment, report.last_segment, report.current_segment
