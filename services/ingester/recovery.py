"""`Recovery`: repair as a part of the process: the connections to the other ingesters, and who uses them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from prometheus_client import CollectorRegistry

from rondel.cluster.asking import Asker, Metrics, Settings, Suspects
from rondel.cluster.remotes import Remotes
from rondel.cluster.storage import ClusterStorage
from rondel.rpc.meter import Meter
from rondel.rpc.wire import WireDecoder
from rondel.runtime.clock import Clock
from services.ingester.alive import Alive, AliveFile
from services.ingester.catchup import CatchUp
from services.ingester.clusterconfig import Config
from services.ingester.membership import Membership
from services.ingester.owned import Share, share_ever, share_since
from services.ingester.push import Ingester
from services.ingester.repair import Repair, RepairMetrics

__all__ = ["Recovery"]

_HEDGE_S: Final = 2.0
"""Nobody waits for a repair."""


class Recovery:
    """`begin` after the replay, `start` and `stop` with the process, `closed` after the log."""

    def __init__(
        self,
        config: Config,
        ingester: Ingester,
        membership: Membership,
        file: AliveFile,
        clock: Clock,
        registry: CollectorRegistry,
        random: Random,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._membership = membership
        self._id = config.id
        self._sizes = config.sizes
        suspects = Suspects(Settings().suspect_s)
        self._remotes = Remotes(
            config.cluster.name,
            WireDecoder(),
            config.cluster.tls_files(),
            timeout_s=config.grpc.read_timeout_s,
            meter=Meter("client", registry),
            on_failure=suspects.add,
        )
        settings = Settings(
            config.cluster.zone, random.getrandbits(16), hedge_s=_HEDGE_S, without=frozenset({config.id})
        )
        asker = Asker(membership.ring, self._remotes.to, settings, suspects, Metrics(registry))
        metrics = RepairMetrics(registry)
        self._repair = Repair(
            ingester,
            ClusterStorage(asker, clock.now_ms),
            self._share,
            config.repair,
            clock,
            metrics,
        )
        self._catchup = CatchUp(
            membership,
            self._repair,
            file,
            clock,
            metrics,
            segment=lambda: ingester.ledger.newest,
            refused=lambda: ingester.wal.refused,
            interval_s=config.repair.note_interval_s,
            margin_ms=round(config.repair.margin_s * 1000),
            ahead_ms=config.creation_grace_period_ms,
            frozen_s=config.cluster.lease_s + config.repair.note_interval_s,
            random=random,
            on_failure=on_failure,
        )
        self._has_begun = False

    def _share(self, tenant: str, since_ms: int) -> Share:
        ring, size = self._membership.ring(), self._sizes.of(tenant)
        # What we missed we never acknowledged. What we lost we may have acknowledged as one of another shard.
        is_ever = ring.has_shards and self._membership.behind_since_ms
        return (share_ever if is_ever else share_since)(ring, self._id, since_ms, tenant, size)

    def begin(self, before: Alive | None, boot: str, damages: tuple[tuple[int, int], ...]) -> None:
        """With what the last life left. Raises OSError."""
        self._catchup.begin(before, boot, damages)
        self._has_begun = True

    async def start(self) -> None:
        self._remotes.start()
        if self._membership.node is not None:
            self._membership.node.view.subscribe(self._remotes.keep)
        await self._catchup.start()

    async def stop(self) -> None:
        """Gives up what is under way; a second call does nothing."""
        self._repair.end()
        await self._catchup.stop()
        await self._remotes.close()

    async def give_up(self) -> None:
        """What is lost stays lost."""
        await self._catchup.give_up()

    def closed(self) -> None:
        """The log is synced and closed."""
        if self._has_begun:
            self._catchup.closed()
