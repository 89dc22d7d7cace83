"""`rondel ingester`: the ingester as a process of a cluster.

Start: HTTP, so that readiness can be asked for; replay of the WAL; calls, which are refused until we know
what we have; then the ring. SIGTERM is a restart: pushes inside get their answers, our entry in the ring
stays, nothing is shipped. After `prepare-shutdown` it means: leave, ship everything, then end.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final

from rondel.block import BlockWriter, Meta, new_ulid
from rondel.cluster import page
from rondel.cluster.ringmetrics import RingMetrics
from rondel.kv.etcd import EtcdStore
from rondel.objstore import open_bucket
from rondel.rpc.identity import Identity
from rondel.rpc.meter import Meter
from rondel.rpc.server import Server as RpcServer
from rondel.rpc.wire import WireEncoder
from rondel.runtime import logs, pages
from rondel.runtime.clock import Clock, SystemClock
from rondel.runtime.edge import Edge
from rondel.runtime.http import Server
from rondel.runtime.router import Router
from rondel.runtime.service import Group, Service
from rondel.runtime.telemetry import new_registry
from services.ingester.alive import AliveFile, boot_id, damages_of, lost_since_ms
from services.ingester.clusterconfig import Config
from services.ingester.http import leave_routes, loss_routes, routes
from services.ingester.intake import ClusterIntake
from services.ingester.membership import Membership
from services.ingester.owned import Owned
from services.ingester.push import Ingester
from services.ingester.read import HeadStorage
from services.ingester.recovery import Recovery
from services.ingester.ship import Shipper
from services.ingester.standing import HeadStandings

__all__ = ["IngesterProcess"]

_ALIVE: Final = "alive.json"
_log = logs.get(__name__)


def _end() -> None:
    """As whoever supervises the process would end it."""
    signal.raise_signal(signal.SIGTERM)


class IngesterProcess:
    """One ingester. The constructor wires; `start` starts, and returns before the ring has been joined. `end`
    is called where there is nothing left to do."""

    def __init__(self, config: Config, clock: Clock | None = None, end: Callable[[], None] = _end) -> None:
        self.config = config
        self.clock = clock or SystemClock()
        self.registry = new_registry("ingester")
        self._scratch = Path(config.data_dir) / "scratch"
        self._alive = AliveFile(config.folder / _ALIVE)
        self._ending = ""
        self._random = Random()
        self.bucket = open_bucket(config.objstore)
        self.store = EtcdStore(config.etcd)
        self.ingester = Ingester(
            config.parts(),
            config.folder,
            clock=self.clock,
            registry=self.registry,
            instance_id=config.id,
            on_failure=lambda error: self.parts.fail("ingester", error),
        )
        self.shipper = Shipper(
            self.ingester,
            self.ingester.config,
            open_sink=self._open_sink,
            announce=_announce,
            clock=self.clock,
        )
        self.owned = Owned(
            self.ingester.tenants,
            config.id,
            self.shipper.flush,
            self.clock,
            delay_s=config.ingester.unowned_ship_s,
            pause_s=config.ship.pin_timeout_ms / 1000,
            random=self._random,
            sizes=config.sizes,
        )
        self.membership = Membership(
            config,
            self.store,
            self.bucket,
            self.clock,
            ship=self.shipper.empty,
            on_ring=self.owned.follow,
            on_left=end,
            on_failure=lambda error: self.parts.fail("membership", error),
        )
        self.registry.register(RingMetrics(lambda: node.view if (node := self.membership.node) else None))
        self.recovery = Recovery(
            config,
            self.ingester,
            self.membership,
            self._alive,
            self.clock,
            self.registry,
            self._random,
            on_failure=lambda error: self.parts.fail("recovery", error),
        )
        self.rpc = self._rpc_server()
        self.parts = Group(self._services())
        self._router = self._pages()
        self.server = Server(Edge(self._router, self.registry), config.http)

    async def start(self) -> None:
        """Returns when the WAL is replayed and calls are taken; `/-/ready` tells when we are a member."""
        logs.setup(self.config.log)
        await self.server.start()
        await self.parts.start()
        _log.info("the ingester is up", id=self.config.id, http=self.server.address, rpc=self.rpc.port)

    async def failure(self) -> BaseException:
        """Returns why only a restart helps: a failed sync, or another process that has our name."""
        return await self.parts.failure()

    async def stop(self) -> None:
        """Leaves for good where that was asked for, and ends in any case."""
        if self.membership.marker.since_ms() is not None:
            await self._leave()
        self._ending = "stopping"
        await self.parts.stop()
        await self.server.stop()

    def waiting(self) -> list[str]:
        """What keeps the process from being ready."""
        parts = {"shipper": self.shipper.failure, "owned": self.owned.failure}
        failures = [f"{name}: {failure}" for name, failure in parts.items() if failure is not None]
        ending = [self._ending] if self._ending else []
        return [*ending, *failures, *(self.parts.waiting or self.membership.waiting)]

    async def _leave(self) -> None:
        if self.parts.waiting:
            _log.error("not left: the ingester was not running", parts=self.parts.waiting)
            return
        self._ending = "leaving"
        _log.info("leaving the ring", id=self.config.id)
        if not self.membership.behind_since_ms:
            await self.recovery.stop()  # What is missing here the others have.
        if await self.membership.leave():
            self._alive.clear()
            _log.info("left the ring, everything is in blocks", id=self.config.id)
        else:
            _log.error("the ring was not left in time", seconds=self.config.ingester.leave_timeout_s)

    # --- parts ---

    def _services(self) -> list[Service]:
        """In the order in which they start."""
        return [
            Service("ingester", start=self.ingester.start, stop=self._close_log),
            Service("shipper", start=self._start_shipper, stop=self.shipper.stop),
            Service("rpc", start=self.rpc.start, stop=self.rpc.stop),
            Service("membership", start=self._join, stop=self._part),
            Service("owned", start=self.owned.start, stop=self.owned.stop),
            Service("recovery", start=self.recovery.start, stop=self.recovery.stop),
        ]

    def _rpc_server(self) -> RpcServer:
        config, member = self.config, self.membership
        return RpcServer(
            Identity(config.cluster.name, config.id),
            ClusterIntake(self.ingester, config.id, member.ring),
            HeadStorage(self.ingester.tenants),
            HeadStandings(self.ingester, config.id, member.ring, self._behind_since_ms),
            WireEncoder(),
            _on_bug,
            config.server(),
            Meter("server", self.registry),
        )

    async def _start_shipper(self) -> None:
        self._scratch.mkdir(parents=True, exist_ok=True)
        self.shipper.start()

    async def _join(self) -> None:
        """What the last life left is judged before anybody is served."""
        config, report = self.config, self.ingester.replayed
        before, boot = self._alive.load(), boot_id()
        shipped = self.ingester.ledger.newest_shipped
        lost_ms = lost_since_ms(before, report, shipped, config.wal, boot)
        if lost_ms:
            _log.error("the disk lacks what was acknowledged: it comes from the replicas", since_ms=lost_ms)
        node = self.membership.start(config.address(self.rpc.port), lost_ms)
        self.recovery.begin(before, boot, damages_of(report))
        self._router.include("", page.routes(node, self.clock.now_ms, lambda: self.membership.waits_for))

    async def _part(self) -> None:
        await self.membership.stop()
        await self.store.close()

    async def _close_log(self) -> None:
        await self.ingester.stop()
        if self.ingester.failure is None and not self.membership.has_left:
            self.recovery.closed()

    def _open_sink(self, tenant: str) -> BlockWriter:
        return BlockWriter(self.bucket, tenant, new_ulid(self.clock.now_ms()), scratch=self._scratch)

    def _behind_since_ms(self) -> int:
        return self.membership.behind_since_ms

    def _pages(self) -> Router:
        router = Router(pages.routes(self.waiting, self.registry, self.config))
        router.include("", routes(self.shipper))
        router.include("", leave_routes(self.membership.marker, self.clock.now_ms))
        router.include("", loss_routes(self._behind_since_ms, self.recovery.give_up))
        return router


def _announce(block: Meta) -> None:
    """Nothing to do: whoever reads from us is told of the block (`HeadStandings.shipped`)."""


def _on_bug(method: str, error: BaseException) -> None:
    _log.error("a call failed", method=method, error=error)
