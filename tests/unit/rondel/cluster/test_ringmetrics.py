"""What a process knows of the ring, as metrics."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from prometheus_client import CollectorRegistry

from rondel.cluster.ringmetrics import RingMetrics
from rondel.cluster.ringview import RingView
from rondel.kv.store import Put
from rondel.ring.instance import State, encode
from rondel.runtime.tasks import TaskOwner
from tests.unit.rondel.cluster.test_ha import virtually
from tests.unit.rondel.cluster.test_ringview import ENTRIES, KEYS, store_of, view_of


def test_members_are_counted_by_state_and_what_the_store_lost_is_told(tmp_path: Path) -> None:
    async def work() -> None:
        views: list[RingView] = []
        registry = CollectorRegistry()
        registry.register(RingMetrics(lambda: views[0] if views else None))
        assert registry.get_sample_value("rondel_ring_members", {"state": "ACTIVE"}) == 0
        store = store_of(*ENTRIES)
        views.append(view_of(store, tmp_path / "ring.json"))
        async with TaskOwner("test") as tasks:
            tasks.spawn(views[0].run(), name="view")
            await views[0].ready()
            left = replace(ENTRIES[0], state=State.LEFT, epoch=9, settled_ms=1, behind_since_ms=1)
            await store.commit([], [Put(KEYS.ingester(left.id), encode(left)), Put(KEYS.ingester("x"), b"?")])
            await asyncio.sleep(0.1)
            assert registry.get_sample_value("rondel_ring_members", {"state": "ACTIVE"}) == 2
            assert registry.get_sample_value("rondel_ring_members_behind") == 1
            assert registry.get_sample_value("rondel_ring_epoch") == 9
            assert registry.get_sample_value("rondel_ring_lacking_entries") == 0
            assert registry.get_sample_value("rondel_ring_malformed_entries_total") == 1
            store.wipe()
            await asyncio.sleep(2)
            assert registry.get_sample_value("rondel_ring_lacking_entries") == 3

    virtually(work())
