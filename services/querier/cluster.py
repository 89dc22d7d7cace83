"""`ClusterReads`: what a querier of a cluster reads, the ingesters of the ring and then the blocks.

Ingesters name the blocks that they have moved samples to, and the blocks are made known before they are
read. An ingester that has left cannot name any: so a ring without it is read by only with listings of blocks
that are younger than its leaving.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from prometheus_client import CollectorRegistry

from rondel.block import BlockStore
from rondel.cluster.asking import Asker, Metrics, Settings, Suspects
from rondel.cluster.config import ClusterConfig
from rondel.cluster.remotes import Remotes
from rondel.cluster.ringview import RingView
from rondel.cluster.storage import ClusterStorage
from rondel.model.merge import MergedStorage
from rondel.ring.instance import Instance
from rondel.ring.ring import Ring
from rondel.rpc.codec import Decoder
from rondel.rpc.meter import Meter
from rondel.runtime.service import Service
from services.querier.config import ReadConfig

__all__ = ["ClusterReads"]


class ClusterReads:
    """One for a process. The constructor wires; `service` starts and stops."""

    def __init__(
        self,
        view: RingView,
        blocks: BlockStore,
        cluster: ClusterConfig,
        config: ReadConfig,
        decoder: Decoder,
        now_ms: Callable[[], int],
        registry: CollectorRegistry,
        name: str,
    ) -> None:
        """`name` is of this process: processes of different names do not all ask the same ingesters."""
        self._view = view
        self._blocks = blocks
        settings = Settings(
            zone=cluster.zone,
            turn=Random(name).randrange(1 << 16),
            hedge_s=config.hedge_s,
            suspect_s=config.suspect_s,
        )
        metrics, suspects = Metrics(registry), Suspects(config.suspect_s)
        self._remotes = Remotes(
            cluster.name,
            decoder,
            cluster.tls_files(),
            timeout_s=config.timeout_s,
            meter=Meter("client", registry),
            on_failure=lambda ingester: asker.failed(ingester),
        )
        asker = Asker(lambda: self.ring, self._remotes.to, settings, suspects, metrics)
        self.ring = view.ring
        """what we read by"""
        self.ingesters = ClusterStorage(asker, now_ms, blocks.ensure)
        self.storage = MergedStorage([self.ingesters, blocks])

    def service(self) -> Service:
        """The part of a process that holds the connections; it starts when the ring is known."""
        return Service("ingesters", start=self._start, stop=self._remotes.close)

    @property
    def waiting(self) -> str:
        """Why nothing can be read; empty where it can."""
        return "" if self.ring.instances else "no ingesters"

    async def _start(self) -> None:
        self._remotes.start()
        self._view.subscribe(self._use)

    def _use(self, ring: Ring) -> None:
        here = {one.id: one for one in ring.instances}
        if any(_may_have_left(one, here.get(one.id)) for one in self.ring.instances):
            self._blocks.expire()
        self.ring = ring
        self._remotes.keep(ring)


def _may_have_left(before: Instance, now: Instance | None) -> bool:
    """Whether an instance has left since; it may have come back, with an empty disk, before we looked."""
    if now is None:
        return True
    return now.epoch != before.epoch and any(end for _, end in now.spans)
