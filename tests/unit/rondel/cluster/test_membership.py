"""An ingester joins, restarts, loses its disk and leaves, with the processes of the simulator."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import Random

from rondel.errors import ConfigError
from rondel.kv.memory import MemoryStore
from rondel.kv.session import Taken
from rondel.ring.instance import Instance, State
from tests.sim.network import Network
from tests.sim.nodes import Disk, Ingester, Shared
from tests.unit.rondel.cluster.test_ha import virtually

ME = {id: Instance(id, id[0], f"{id}:1", int(id[1]), State.JOINING) for id in ("a0", "b0", "c0", "a1")}


def disk(id: str, owner: str = "one") -> Disk:
    return Disk("sim", id, f"{id}-{owner}")


class Cluster:
    """Ingesters by id, each with the disk of its last life."""

    def __init__(self) -> None:
        random = Random(1)
        store = MemoryStore(asyncio.get_running_loop().time)
        self.shared = Shared(random, store, Network(random), 3)
        self.disks = {id: disk(id) for id in ME}
        self.running: list[Ingester] = []

    def start(self, *ids: str, **changes: object) -> Ingester:
        for id in ids:
            me = replace(ME[id], **changes)  # type: ignore[arg-type]
            self.running.append(Ingester(self.shared, me, self.disks[id], 0))
            self.running[-1].start()
        return self.running[-1]


def in_cluster(work: Callable[[Cluster], Awaitable[None]]) -> None:
    async def whole() -> None:
        cluster = Cluster()
        ticking = asyncio.ensure_future(_tick(cluster.shared.store))
        cluster.start("a0", "b0", "c0")
        await asyncio.sleep(10)
        try:
            await work(cluster)
        finally:
            ticking.cancel()
            for ingester in cluster.running:
                await ingester.kill()

    virtually(whole())


async def _tick(store: MemoryStore) -> None:
    while True:
        await asyncio.sleep(0.5)
        store.tick()


def states(one: Ingester) -> dict[str, State]:
    return {entry.id: entry.state for entry in one.view.ring.entries}


def test_three_that_start_together_become_a_ring_and_a_fourth_joins() -> None:
    async def work(cluster: Cluster) -> None:
        first = cluster.running[0]
        assert states(first) == dict.fromkeys(("a0", "b0", "c0"), State.ACTIVE)
        cluster.start("a1")
        await asyncio.sleep(5)
        assert states(first)["a1"] is State.ACTIVE

    in_cluster(work)


def test_a_restart_takes_no_step_and_may_change_the_address() -> None:
    async def work(cluster: Cluster) -> None:
        first, other = cluster.running[:2]
        epoch = other.view.ring.epoch
        await first.kill()
        await asyncio.sleep(30)
        assert states(other)["a0"] is State.ACTIVE
        cluster.start("a0", address="new:1")
        await asyncio.sleep(5)
        assert other.view.ring.epoch == epoch
        assert other.view.ring.instances[0].address == "new:1"

    in_cluster(work)


def test_one_that_leaves_ships_and_is_gone() -> None:
    async def work(cluster: Cluster) -> None:
        cluster.start("a1")
        await asyncio.sleep(5)
        first, other = cluster.running[:2]
        first.disk.samples.add((1, 1))
        first.member.leave()
        await asyncio.sleep(10)
        assert states(other)["a0"] is State.LEFT
        assert cluster.shared.blocks == {(1, 1)}

    in_cluster(work)


def test_a_second_process_of_one_id_is_refused() -> None:
    async def work(cluster: Cluster) -> None:
        cluster.disks["a0"] = disk("a0", "another")
        second = cluster.start("a0")
        await asyncio.sleep(30)
        assert isinstance(second.tasks.failure, Taken)
        assert cluster.running[0].tasks.failure is None

    in_cluster(work)


def test_a_disk_that_was_lost_is_behind_until_it_is_repaired() -> None:
    async def work(cluster: Cluster) -> None:
        for ingester in cluster.running:
            ingester.disk.samples.add((1, 1))
        first, other = cluster.running[:2]
        await first.kill()
        cluster.disks["a0"] = disk("a0", "new")
        again = cluster.start("a0")
        assert again.member.behind_since_ms == 1
        await asyncio.sleep(25)
        assert again.member.behind_since_ms == 0
        assert again.disk.samples == {(1, 1)}
        assert other.view.ring.instances[0].behind_since_ms == 0

    in_cluster(work)


def test_another_place_under_the_same_id_is_refused() -> None:
    async def work(cluster: Cluster) -> None:
        await cluster.running[0].kill()
        again = cluster.start("a0", ordinal=3)
        await asyncio.sleep(5)
        assert isinstance(again.tasks.failure, ConfigError)

    in_cluster(work)


def test_a_wiped_store_gets_its_ring_back_and_newcomers_wait_for_that() -> None:
    async def work(cluster: Cluster) -> None:
        before = cluster.running[0].view.ring.instances
        for ingester in cluster.running:
            await ingester.kill()
        cluster.shared.store.wipe()
        newcomer = cluster.start("a1")
        await asyncio.sleep(20)
        assert newcomer.member.waits_for.startswith("the store has lost the ring")
        cluster.start("b0")
        await asyncio.sleep(5)
        assert {one.id for one in newcomer.view.ring.instances} >= {one.id for one in before}

    in_cluster(work)
