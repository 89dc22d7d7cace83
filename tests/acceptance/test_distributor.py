"""A distributor as a process, over HTTP, with a real etcd and real ingesters behind their calls."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from rondel.cluster.config import ClusterConfig
from rondel.cluster.keys import Keys
from rondel.kv.etcd import EtcdConfig, EtcdStore
from rondel.ring.ring import Ring
from rondel.runtime import http
from services.distributor.process import Config, DistributorProcess
from services.ingester.config import Config as IngesterConfig
from services.ingester.config import HeadConfig
from tests.support.etcd import EtcdCluster
from tests.support.nodes import Node, nodes_of, publish
from tests.support.remote_write import HEADERS, body_of, write_request
from tests.support.rpc import eventually

pytestmark = pytest.mark.e2e

NAMES = (f"cluster-{number}" for number in itertools.count())
SERIES = [f"m{number}" for number in range(50)]


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    with EtcdCluster(tmp_path_factory.mktemp("etcd")) as cluster:
        yield cluster


@dataclass
class World:
    nodes: list[Node]
    process: DistributorProcess
    store: EtcdStore
    keys: Keys
    client: httpx.AsyncClient
    sent: int = 0

    async def publish(self, epoch: int) -> None:
        await publish(self.store, self.keys, [node.entry(epoch) for node in self.nodes])

    async def write(self, *, age_ms: int = 0, names: list[str] = SERIES) -> httpx.Response:
        """A sample of each series, whose value is new."""
        self.sent += 1
        time_ms = time.time_ns() // 1_000_000 - age_ms
        series = [({"__name__": name, "job": "test"}, [(time_ms, float(self.sent))]) for name in names]
        body = body_of(write_request(series))
        return await self.client.post("/api/v1/write", content=body, headers=HEADERS)

    def value(self, name: str, **labels: str) -> float:
        return self.process.registry.get_sample_value(f"rondel_distributor_{name}", labels) or 0.0

    async def until_all_have_it(self) -> None:
        wanted = dict.fromkeys(SERIES, float(self.sent))
        await eventually(lambda: all(node.last() == wanted for node in self.nodes))
        await eventually(lambda: self.value("background_bytes") == 0)  # Their answers are here, too.


@asynccontextmanager
async def running(etcd: EtcdCluster, folder: Path, count: int = 3) -> AsyncIterator[World]:
    cluster = ClusterConfig(name=next(NAMES), replication_factor=3, lease_s=5)
    nodes = nodes_of(cluster.name, folder, count)
    store, keys = EtcdStore(EtcdConfig(etcd.endpoints)), Keys(cluster.name)
    await publish(store, keys, [node.entry(1) for node in nodes])
    for node in nodes:
        await node.start()
    process = DistributorProcess(
        Config(
            data_dir=str(folder / "distributor"),
            instance_id="d-0",
            etcd=EtcdConfig(etcd.endpoints),
            cluster=cluster,
            http=http.Config(listen="127.0.0.1:0", drain_s=1),
        )
    )
    try:
        await process.start()
        async with httpx.AsyncClient(base_url=f"http://{process.server.address}", timeout=30) as client:
            yield World(nodes, process, store, keys, client)
    finally:
        await process.stop()
        for node in nodes:
            await node.kill()
        await store.close()


async def test_what_is_acknowledged_is_in_every_ingester_and_labels_go_once(
    etcd: EtcdCluster, tmp_path: Path
) -> None:
    async with running(etcd, tmp_path) as world:
        for _ in range(3):
            assert (await world.write()).status_code == 204
            await world.until_all_have_it()
        assert [world.value("labelled_series_total", ingester=f"i-{at}") for at in range(3)] == [50] * 3
        assert [world.value("known_series", ingester=f"i-{at}") for at in range(3)] == [50] * 3
        ready, ring = await world.client.get("/-/ready"), await world.client.get("/ring")
        assert (ready.status_code, ring.status_code) == (200, 200)
        assert all(f"i-{at}" in ring.text for at in range(3))
        metrics = (await world.client.get("/metrics")).text
        assert 'rondel_distributor_sent_bytes_total{ingester="i-0"}' in metrics
        assert "password" in (await world.client.get("/config")).text


async def test_one_of_three_may_be_killed_and_two_may_not(etcd: EtcdCluster, tmp_path: Path) -> None:
    async with running(etcd, tmp_path) as world:
        assert (await world.write()).status_code == 204
        await world.nodes[0].kill()
        for _ in range(3):
            assert (await world.write()).status_code == 204
        await world.nodes[1].kill()
        answer = await world.write()
        assert answer.status_code == 503
        assert 1 <= int(answer.headers["retry-after"]) <= 8
        assert answer.text.startswith("fewer than 2 of 3 replicas have it: i-0: ")
        assert "; i-1: " in answer.text
        assert answer.text.endswith("(err-rondel-distributor-write-quorum)")
        await world.nodes[1].start()

        await eventually(lambda: world.value("ingester_up", ingester="i-1"))
        assert (await world.write()).status_code == 204


async def test_one_that_is_frozen_slows_nobody_and_gets_it_all_once_it_goes_on(
    etcd: EtcdCluster, tmp_path: Path
) -> None:
    async with running(etcd, tmp_path) as world:
        world.nodes[2].thawed.clear()
        async with asyncio.timeout(5):  # Far less than an ingester may take to answer.
            for _ in range(20):
                assert (await world.write()).status_code == 204
        assert world.value("background_bytes") > 0
        assert world.value("ingester_inflight_bytes", ingester="i-2") > 0
        world.nodes[2].thawed.set()
        await world.until_all_have_it()
        await eventually(lambda: world.value("background_bytes") == 0)


async def test_one_that_has_lost_its_disk_gets_the_labels_again(etcd: EtcdCluster, tmp_path: Path) -> None:
    async with running(etcd, tmp_path) as world:
        assert (await world.write()).status_code == 204
        await world.until_all_have_it()
        old = world.nodes[1].ingester
        await world.nodes[1].begin()  # Behind the same stream: the distributor has no reason to suspect it.
        assert (await world.write()).status_code == 204
        await world.until_all_have_it()
        assert world.value("unknown_series_total", ingester="i-1") == 50
        assert world.value("labelled_series_total", ingester="i-1") == 100
        assert world.value("unknown_series_total", ingester="i-0") == 0
        assert old is not None
        await old.stop()


async def test_400_is_the_word_of_a_quorum(etcd: EtcdCluster, tmp_path: Path) -> None:
    async with running(etcd, tmp_path) as world:
        assert (await world.write()).status_code == 204
        answer = await world.write(age_ms=10 * 24 * 3_600_000)
        assert answer.status_code == 400
        assert "samples left out: 50 sample-timestamp-too-old; samples written: 0" in answer.text
        old = world.nodes[0].ingester
        limited = IngesterConfig(head=HeadConfig(max_global_series_per_user=10))
        await world.nodes[0].begin(limited)
        assert (await world.write()).status_code == 204
        assert old is not None
        await old.stop()


async def test_a_batch_by_a_ring_that_is_too_old_waits_for_the_new_one(
    etcd: EtcdCluster, tmp_path: Path
) -> None:
    async with running(etcd, tmp_path) as world:
        assert (await world.write()).status_code == 204
        rings = world.nodes[0].rings
        rings.append(Ring(tuple(node.entry(2) for node in world.nodes), 3, fence=2))
        writing = asyncio.ensure_future(world.write())
        await asyncio.sleep(0.2)
        assert not writing.done()
        await world.publish(2)
        assert (await writing).status_code == 204
        assert world.value("rerouted_pushes_total") == 1
        rings.append(replace(rings[-1], fence=3))
        answer = await world.write()
        assert answer.status_code == 503
        assert "the ring has moved on: routed by epoch 2" in answer.text


async def test_a_ring_without_a_write_quorum_is_not_ready(etcd: EtcdCluster, tmp_path: Path) -> None:
    async with running(etcd, tmp_path, count=1) as world:
        ready = await world.client.get("/-/ready")
        assert ready.status_code == 503
        assert "ring: the ring has 1 ingesters that take writes" in ready.text
        answer = await world.write()
        assert (answer.status_code, "(err-rondel-distributor-ring-too-small)" in answer.text) == (503, True)
        assert (await world.client.get("/ring")).status_code == 200


async def test_writes_go_on_while_etcd_is_away_and_a_distributor_starts_without_it(tmp_path: Path) -> None:
    with EtcdCluster(tmp_path / "etcd") as own:
        async with running(own, tmp_path) as world:
            assert (await world.write()).status_code == 204
            own.close()
            for _ in range(3):
                assert (await world.write()).status_code == 204
            second = DistributorProcess(replace(world.process.config, instance_id="d-1"))
            await second.start()
            async with httpx.AsyncClient(base_url=f"http://{second.server.address}") as client:
                assert (await client.get("/-/ready")).status_code == 200
            await second.stop()


async def test_distributors_that_are_alive_share_the_rate_of_a_tenant(tmp_path: Path) -> None:
    with EtcdCluster(tmp_path / "etcd") as own:
        async with running(own, tmp_path) as world:
            rate = world.process.write.distributor._rate
            second = DistributorProcess(replace(world.process.config, instance_id="d-1"))
            await second.start()
            await eventually(lambda: rate.parts == second.write.distributor._rate.parts == 2)
            await second.stop()
            await eventually(lambda: rate.parts == 1)
