"""Tenants with a shard of the ring: their batches go to its ingesters alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from rondel.errors import ConfigError, Unavailable
from rondel.ring.ring import Ring
from rondel.ring.shard import Sizes
from rondel.ring.tokens import TOKENS
from rondel.runtime import config
from rondel.runtime.tasks import TaskOwner
from services.distributor.plan import Plan
from services.distributor.process import Config
from services.distributor.shardplans import ShardPlans
from tests.support.fanout import World, batch_of, fanning, ring_of

SIZES = Sizes(own={"small": 3, "middle": 6})


def shard(ring: Ring, tenant: str) -> set[str]:
    routes = ring.writes_of(tenant, SIZES.of(tenant))
    return {ring.entries[place].id for place in np.unique(routes.sets).tolist()}


def asked(world: World, tenant: str) -> set[str]:
    return {id for id, one in world.targets.items() if any(who == tenant for who, _, _ in one.pushes)}


async def test_a_batch_goes_to_the_shard_of_its_tenant_and_to_nobody_else() -> None:
    ring = ring_of(12)
    async with fanning(ring, sizes=SIZES) as world:
        for tenant in ("small", "middle", "large"):
            result = await world.fanout.push(tenant, batch_of(300))
            assert result.accepted.samples == 300
        await asyncio.sleep(0)
        assert asked(world, "small") == shard(ring, "small")
        assert asked(world, "middle") == shard(ring, "middle")
        assert asked(world, "large") == set(world.targets)
    assert (len(shard(ring, "small")), len(shard(ring, "middle"))) == (3, 6)


async def test_a_shard_follows_the_ring() -> None:
    old, new = ring_of(6), ring_of(24, epoch=2)
    async with fanning(old, sizes=SIZES) as world:
        await world.fanout.push("small", batch_of(50))
        world.rings.change(new)
        await world.fanout.push("small", batch_of(50))
        await asyncio.sleep(0)
        epochs = {id: epoch for id, one in world.targets.items() for _, _, epoch in one.pushes}
    assert shard(old, "small") != shard(new, "small")
    assert {id for id, epoch in epochs.items() if epoch == 2} == shard(new, "small")


async def test_a_quorum_of_the_shard_decides() -> None:
    ring = ring_of(12)
    async with fanning(ring, sizes=SIZES) as world:
        first, second, _ = sorted(shard(ring, "small"))
        world.targets[first].down = "nobody listens"
        await world.fanout.push("small", batch_of(10))
        world.targets[second].down = "nobody listens"
        with pytest.raises(Unavailable, match="fewer than 2 of 3 replicas have it"):
            await world.fanout.push("small", batch_of(10))


async def test_plans_of_shards_are_made_once_and_the_oldest_are_forgotten() -> None:
    ring = ring_of(12)
    whole = Plan(ring)
    async with TaskOwner("test") as tasks:
        plans = ShardPlans(Sizes(everybody=3), tasks, ranges_max=2 * 3 * TOKENS)
        first, again = await asyncio.gather(plans.of(whole, "a"), plans.of(whole, "a"))
        assert first is again
        second = await plans.of(whole, "b")
        assert await plans.of(whole, "a") is first
        await plans.of(whole, "c")
        assert len(plans) == 2
        assert await plans.of(whole, "a") is first
        assert await plans.of(whole, "b") is not second
        assert len(plans) == 2
        newer = Plan(ring_of(12, epoch=2))
        assert (await plans.of(newer, "a")).ring is newer.ring
        assert len(plans) == 1
    with pytest.raises(RuntimeError):
        await plans.of(newer, "d")


async def test_who_waits_for_a_plan_when_the_distributor_stops_may_try_again() -> None:
    tasks = TaskOwner("test")
    plans = ShardPlans(Sizes(everybody=3), tasks)
    waiting = asyncio.ensure_future(plans.of(Plan(ring_of(12)), "a"))
    await asyncio.sleep(0)
    await tasks.close()
    with pytest.raises(Unavailable, match="stopping"):
        await waiting


def loaded(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "rondel.yaml"
    path.write_text("etcd: {endpoints: [127.0.0.1:1]}\n" + text)
    return config.load(Config, file=path, environ={}, options={"data_dir": str(tmp_path)})


def test_sizes_are_those_of_all_and_of_single_tenants(tmp_path: Path) -> None:
    tree = loaded(
        tmp_path,
        """
cluster: {shuffle_sharding: true}
distributor: {ingestion_tenant_shard_size: 9}
tenants:
  a: {distributor: {ingestion_tenant_shard_size: 3}}
  b: {distributor: {ingestion_rate: 5}}
  c: {distributor: {ingestion_tenant_shard_size: 0}}
""",
    )
    assert [tree.sizes.of(tenant) for tenant in "abcd"] == [3, 9, 0, 9]


@pytest.mark.parametrize(
    "text",
    [
        "distributor: {ingestion_tenant_shard_size: 3}",
        "tenants: {a: {distributor: {ingestion_tenant_shard_size: 3}}}",
    ],
)
def test_shards_that_reads_do_not_reckon_with_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"ingestion_tenant_shard_size needs cluster\.shuffle_sharding"):
        loaded(tmp_path, text)
