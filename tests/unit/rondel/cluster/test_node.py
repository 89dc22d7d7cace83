"""A process follows the ring, says where it listens, and takes its word back when it ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rondel.cluster.config import ClusterConfig
from rondel.cluster.node import INGESTER, Node
from rondel.errors import ConfigError
from rondel.kv.memory import MemoryStore
from rondel.kv.session import payload
from tests.unit.rondel.cluster.test_ha import virtually
from tests.unit.rondel.cluster.test_ringview import ENTRIES, store_of


def node_of(store: MemoryStore, path: Path, role: str, id: str) -> Node:
    return Node(store, ClusterConfig(name="c"), role, id, path / "ring.json", lambda: 0)


def test_a_process_is_known_from_start_to_stop(tmp_path: Path) -> None:
    async def work() -> None:
        store = store_of(*ENTRIES)
        node = node_of(store, tmp_path, "querier", "q-0")
        await node.start()
        node.announce("127.0.0.1:1")
        await asyncio.sleep(1)
        assert node.view.ring.instances
        known = {item.key: payload(item.value) for item in (await store.snapshot(node.keys.root)).items}
        assert known[node.keys.peer("querier", "q-0")] == b"127.0.0.1:1"
        assert known[node.keys.reader("querier/q-0")] == b"3"
        await node.stop()
        left = [item.key for item in (await store.snapshot(node.keys.root)).items]
        assert left == [node.keys.ingester(one.id) for one in ENTRIES]

    virtually(work())


def test_an_ingester_confirms_the_ring_under_its_bare_id(tmp_path: Path) -> None:
    async def work() -> None:
        store = store_of(*ENTRIES)
        node = node_of(store, tmp_path, INGESTER, "i-0")
        await node.start()
        await asyncio.sleep(1)
        assert [item.key for item in (await store.snapshot(node.keys.readers)).items] == [
            node.keys.reader("i-0")
        ]
        await node.stop()

    virtually(work())


def test_a_process_stops_while_the_store_is_away(tmp_path: Path) -> None:
    async def work() -> None:
        store = store_of(*ENTRIES)
        node = node_of(store, tmp_path, "querier", "q-0")
        await node.start()
        store.is_down = True
        await asyncio.wait_for(node.stop(), 5)

    virtually(work())


def test_a_certificate_without_its_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="one of them is missing"):
        ClusterConfig(tls_cert_file="x.pem")


def test_the_ring_knows_whether_tenants_may_have_shards(tmp_path: Path) -> None:
    async def work() -> None:
        config = ClusterConfig(name="c", shuffle_sharding=True)
        path = tmp_path / "ring.json"
        node = Node(store_of(*ENTRIES), config, "querier", "q-0", path, lambda: 0)
        await node.start()
        assert node.view.ring.has_shards
        await node.stop()
        # What is kept on disk is believed before the store has said anything.
        assert Node(MemoryStore(lambda: 0.0), config, "querier", "q-0", path, lambda: 0).view.ring.has_shards

    virtually(work())
