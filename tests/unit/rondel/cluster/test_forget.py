"""An ingester that is gone with its disk leaves the ring, and nobody takes it for one that shipped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from rondel.cluster.config import ClusterConfig
from rondel.cluster.forget import Forgotten, forget
from rondel.cluster.node import Node
from rondel.errors import Conflict, NotFound
from rondel.kv.store import Put
from rondel.ring.instance import EVER_MS, State, encode
from tests.sim.nodes import Querier
from tests.unit.rondel.cluster.test_ha import virtually
from tests.unit.rondel.cluster.test_membership import Cluster, _tick, disk

Work = Callable[[Cluster, Node], Awaitable[None]]


def with_four(tmp_path: Path, work: Work) -> None:
    """Ingesters a0, a1, b0, c0, and a node that forgets."""

    async def whole() -> None:
        cluster = Cluster()
        ticking = asyncio.ensure_future(_tick(cluster.shared.store))
        cluster.start("a0", "b0", "c0", "a1")
        config = ClusterConfig(name="sim", lease_s=6, patience_s=10)
        node = Node(
            cluster.shared.store, config, "querier", "q", tmp_path / "ring.json", cluster.shared.now_ms
        )
        await node.start()
        await asyncio.sleep(20)
        try:
            await work(cluster, node)
        finally:
            ticking.cancel()
            await node.stop()
            for ingester in cluster.running:
                await ingester.kill()

    virtually(whole())


async def gone(cluster: Cluster, *ids: str) -> None:
    """Killed, and their leases have ended."""
    for ingester in cluster.running:
        if ingester.id in ids:
            await ingester.kill()
    await asyncio.sleep(10)


async def forgotten(cluster: Cluster, node: Node, id: str, **how: bool) -> Forgotten:
    return await forget(node, id, cluster.shared.now_ms, **how)


def hash_of_a0(node: Node) -> int:
    """One that a0 is a replica of."""
    routes = node.view.ring.writes
    place = next(number for number, one in enumerate(node.view.ring.entries) if one.id == "a0")
    return int(routes.ends[np.flatnonzero((routes.sets == place).any(axis=1))[0]])


def reader(cluster: Cluster) -> Querier:
    querier = Querier(cluster.shared, "reader", disk("reader"), 0)
    querier.start()
    return querier


def test_one_that_lives_is_not_forgotten(tmp_path: Path) -> None:
    async def work(cluster: Cluster, node: Node) -> None:
        with pytest.raises(Conflict, match="is alive"):
            await forgotten(cluster, node, "a0", accept_loss=True)
        with pytest.raises(NotFound):
            await forgotten(cluster, node, "z9")

    with_four(tmp_path, work)


def test_what_it_acknowledged_with_one_other_is_still_read_or_the_read_fails(tmp_path: Path) -> None:
    async def work(cluster: Cluster, node: Node) -> None:
        sample = (hash_of_a0(node), 1)
        for ingester in cluster.running:
            if ingester.id in ("a0", "b0"):
                ingester.disk.samples.add(sample)
        await gone(cluster, "a0")
        done = await forgotten(cluster, node, "a0")
        assert done == Forgotten("a0", State.LEFT)
        assert [one.id for one in node.view.ring.instances] == ["a1", "b0", "c0"]
        [left] = node.view.ring.gone
        assert left.behind_since_ms == EVER_MS
        querier = reader(cluster)
        await asyncio.sleep(1)
        assert await querier.read(0) == {sample}
        await gone(cluster, "b0")
        assert await querier.read(0) is None
        await querier.kill()

    with_four(tmp_path, work)


def test_what_may_be_lost_is_told_first_and_then_given_up(tmp_path: Path) -> None:
    async def work(cluster: Cluster, node: Node) -> None:
        await gone(cluster, "a0", "b0")
        with pytest.raises(Conflict, match=r"without a0, of \d+\.\d% of all series .* a0, b0 may be"):
            await forgotten(cluster, node, "a0")
        done = await forgotten(cluster, node, "a0", accept_loss=True)
        assert done.state is State.LEFT
        assert node.view.ring.gone[0].behind_since_ms == 0

    with_four(tmp_path, work)


@pytest.mark.parametrize("is_disk_lost", [True, False])
def test_one_that_comes_back_after_all_joins_again(is_disk_lost: bool, tmp_path: Path) -> None:
    async def work(cluster: Cluster, node: Node) -> None:
        await gone(cluster, "a0")
        await forgotten(cluster, node, "a0")
        if is_disk_lost:
            cluster.disks["a0"] = disk("a0", "new")
        for ingester in cluster.running[1:]:
            ingester.disk.samples.add((1, 1))
        again = cluster.start("a0")
        await asyncio.sleep(30)
        assert again.state is State.ACTIVE
        assert again.member.behind_since_ms == 0
        assert next(one for one in node.view.ring.instances if one.id == "a0").behind_since_ms == 0
        assert (1, 1) in again.disk.samples or not is_disk_lost

    with_four(tmp_path, work)


def test_nobody_is_forgotten_while_the_store_lacks_entries(tmp_path: Path) -> None:
    async def work(cluster: Cluster, node: Node) -> None:
        await gone(cluster, "a0", "a1", "b0", "c0")
        entry = node.view.ring.instances[0]
        cluster.shared.store.wipe()
        await cluster.shared.store.commit([], [Put(node.keys.ingester(entry.id), encode(entry))])
        await asyncio.sleep(2)
        with pytest.raises(Conflict, match="lacks 3 of 4"):
            await forgotten(cluster, node, "a0", accept_loss=True)

    with_four(tmp_path, work)
