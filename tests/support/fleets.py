"""Several ingesters behind real servers in one process, and a storage over their ring."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from prometheus_client import CollectorRegistry

from rondel.cluster.asking import Asker, Metrics, Settings, Suspects
from rondel.cluster.remotes import Remotes
from rondel.cluster.storage import ClusterStorage
from rondel.ring.ring import Ring
from rondel.rpc.identity import Identity
from rondel.rpc.wire import WireDecoder
from tests.support.rpc import Served, Settled, serving
from tests.unit.rondel.ring.test_ring import fleet

__all__ = ["Fleet", "running_fleet"]

CLUSTER = "test"


@dataclass
class Fleet:
    """Ingesters a0, b0, ... in as many zones; their servers, standings and a storage over all of them."""

    ring: Ring
    sources: dict[str, Any]
    served: dict[str, Served]
    standings: dict[str, Settled]
    remotes: Remotes
    asker: Asker
    storage: ClusterStorage
    registry: CollectorRegistry


@asynccontextmanager
async def running_fleet(
    sources: Sequence[Any],
    *,
    ensure: Callable[[str, Any], None] = lambda tenant, ulids: None,
    settings: Settings = Settings(zone="a", hedge_s=0.3, patience_s=0.3),  # noqa: B008
    timeout_s: float = 30.0,
) -> AsyncIterator[Fleet]:
    """One ingester in a zone of its own for each source."""
    ring = fleet(*[1] * len(sources))
    ids = [one.id for one in ring.instances]
    standings = {id: Settled() for id in ids}
    registry = CollectorRegistry()
    async with AsyncExitStack() as stack:
        served = {
            id: await stack.enter_async_context(
                serving(source, identity=Identity(CLUSTER, id), standings=standings[id])
            )
            for id, source in zip(ids, sources, strict=True)
        }
        ring = Ring(tuple(replace(one, address=served[one.id].endpoint) for one in ring.instances))
        suspects = Suspects(settings.suspect_s)
        remotes = Remotes(CLUSTER, WireDecoder(), None, timeout_s=timeout_s, on_failure=suspects.add)
        remotes.start()
        stack.push_async_callback(remotes.close)
        asker = Asker(lambda: made.ring, remotes.to, settings, suspects, Metrics(registry))
        storage = ClusterStorage(asker, lambda: 0, ensure)
        by_id = dict(zip(ids, sources, strict=True))
        made = Fleet(ring, by_id, served, standings, remotes, asker, storage, registry)
        yield made
        await asyncio.sleep(0)
