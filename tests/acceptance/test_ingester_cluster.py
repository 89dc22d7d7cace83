"""Ingesters of one ring in one process, with a real etcd: they join, restart, lose disks, leave."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from rondel.block import BlockStore
from rondel.cluster.config import ClusterConfig
from rondel.errors import ConfigError, Unavailable
from rondel.kv.etcd import EtcdConfig
from rondel.kv.session import Taken
from rondel.model.labels import Matchers
from rondel.objstore import open_bucket
from rondel.ring.instance import EVER_MS, State
from rondel.rpc.answer import PushAnswer
from rondel.runtime import http
from rondel.storage import Select
from services.ingester.clusterconfig import Config, GrpcConfig, MembershipConfig, RepairConfig
from services.ingester.process import IngesterProcess
from tests.support.asgi import call
from tests.support.etcd import EtcdCluster
from tests.support.ingesters import EVER, Samples, contents, samples_of
from tests.support.ring_client import RingClient, ring_client
from tests.support.rpc import eventually


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdCluster]:
    with EtcdCluster(tmp_path / "etcd") as cluster:
        yield cluster


def points(step: int, names: int = 30) -> Samples:
    """A sample each, within the last seconds."""
    return {f"m{name}": [(BEGAN_MS + step, float(name))] for name in range(names)}


BEGAN_MS = int(time.time() * 1000)


class World:
    """Ingesters by id: their zone is the letter before the number."""

    def __init__(self, etcd: EtcdCluster, folder: Path, client: RingClient) -> None:
        self.client = client
        self.folder = folder
        self.running: dict[str, IngesterProcess] = {}
        self._etcd = etcd

    @property
    def bucket(self) -> str:
        return (self.folder / "bucket").as_uri()

    def config(self, id: str) -> Config:
        return Config(
            data_dir=str(self.folder / id),
            objstore=self.bucket,
            instance_id=id,
            http=http.Config(listen="127.0.0.1:0"),
            grpc=GrpcConfig(listen="127.0.0.1:0", drain_s=1.0),
            etcd=EtcdConfig(self._etcd.endpoints),
            cluster=ClusterConfig(name="c", zone=id[0], lease_s=4, patience_s=5),
            ingester=MembershipConfig(leave_timeout_s=60),
            repair=RepairConfig(note_interval_s=0.2, margin_s=3600, series_per_batch=7),
        )

    def at_port(self, id: str, port: int) -> Config:
        """Where it listened before."""
        return replace(self.config(id), grpc=GrpcConfig(listen=f"127.0.0.1:{port}", drain_s=1.0))

    async def start(self, *ids: str) -> IngesterProcess:
        for id in ids:
            self.running[id] = IngesterProcess(self.config(id))
            await self.running[id].start()
        return self.running[ids[-1]]

    async def stop(self, *ids: str) -> None:
        for id in ids or list(self.running):
            await self.running.pop(id).stop()

    async def push(self, step: int) -> None:
        """What every member must take."""
        answers = await self.client.push(points(step))
        for id, answer in answers.items():
            assert isinstance(answer, PushAnswer), (id, answer)
            assert not answer.result.rejections

    def held(self, id: str) -> Samples:
        return samples_of(self.running[id].ingester, "a")


@asynccontextmanager
async def world(etcd: EtcdCluster, folder: Path, *ids: str) -> AsyncIterator[World]:
    async with ring_client(etcd.endpoints, folder) as client:
        one = World(etcd, folder, client)
        await one.start(*ids)
        await client.until(**{id.replace("-", "_"): State.ACTIVE for id in ids})
        try:
            yield one
        finally:
            await one.stop()


async def test_three_join_take_pushes_and_answer(etcd: EtcdCluster, tmp_path: Path) -> None:
    async with world(etcd, tmp_path, "a-0", "b-0", "c-0") as one:
        await one.push(0)
        assert {id: one.held(id) for id in one.running} == dict.fromkeys(one.running, points(0))
        assert await one.client.read() == points(0)
        await eventually(lambda: not one.running["a-0"].waiting())
        old = await one.client.push(points(1), epoch=0)
        assert {getattr(answer, "id", "") for answer in old.values()} == {"ring-epoch"}
        assert await one.client.read() == points(0)


async def test_a_restart_changes_nothing_in_the_ring_and_brings_what_was_missed(
    etcd: EtcdCluster, tmp_path: Path
) -> None:
    async with world(etcd, tmp_path, "a-0", "b-0", "c-0") as one:
        await one.push(0)
        before = one.client.instance("a-0")
        await one.stop("a-0")
        answers = await one.client.push(points(1))
        assert isinstance(answers["a-0"], Unavailable)
        assert await one.client.read() == {name: points(0)[name] + points(1)[name] for name in points(0)}
        process = await one.start("a-0")
        assert one.held("a-0") == points(0)
        after = one.client.instance("a-0")
        assert (after.state, after.epoch) == (before.state, before.epoch)
        await eventually(lambda: one.held("a-0") == {n: points(0)[n] + points(1)[n] for n in points(0)})
        await eventually(lambda: not process.waiting())
        assert not (tmp_path / "bucket" / "a").exists()


async def test_all_may_restart_together(etcd: EtcdCluster, tmp_path: Path) -> None:
    async with world(etcd, tmp_path, "a-0", "b-0", "c-0") as one:
        await one.push(0)
        await one.stop()
        await one.start("a-0", "b-0", "c-0")
        await eventually(lambda: not any(process.waiting() for process in one.running.values()))
        await eventually(lambda: not any(p.recovery._catchup._is_lacking for p in one.running.values()))
        assert {id: one.held(id) for id in one.running} == dict.fromkeys(one.running, points(0))
        assert await one.client.read() == points(0)


async def test_a_log_that_is_gone_is_noticed_though_the_directory_is_there(
    etcd: EtcdCluster, tmp_path: Path
) -> None:
    async with world(etcd, tmp_path, "a-0", "b-0", "c-0") as one:
        await one.push(0)
        await asyncio.sleep(1)
        await one.stop("a-0")
        shutil.rmtree(tmp_path / "a-0" / "ingester" / "wal")
        process = await one.start("a-0")
        assert process.membership.behind_since_ms
        await eventually(lambda: one.held("a-0") == points(0))
        await one.client.until_complete("a-0")


async def test_a_restart_without_etcd_serves_by_the_ring_that_it_remembers(
    etcd: EtcdCluster, tmp_path: Path
) -> None:
    async with world(etcd, tmp_path, "a-0", "b-0", "c-0") as one:
        await one.push(0)
        port = one.running["a-0"].rpc.port
        await one.stop("a-0")
        etcd.freeze(0)
        try:
            process = IngesterProcess(one.at_port("a-0", port))
            await process.start()
            one.running["a-0"] = process
            await eventually(lambda: not process.waiting())
            await one.push(1)
            assert await one.client.read() == {n: points(0)[n] + points(1)[n] for n in points(0)}
            note = process.recovery._catchup._note
            await asyncio.sleep(2)  # How far it is it does not claim to know.
            assert process.recovery._catchup._note == note
        finally:
            etcd.thaw(0)
        await eventually(lambda: process.recovery._catchup._note.whole_ms > note.whole_ms)
        assert one.client.states == dict.fromkeys(("a-0", "b-0", "c-0"), State.ACTIVE)


async def test_a_lost_disk_is_behind_until_it_is_repaired(etcd: EtcdCluster, tmp_path: Path) -> None:
    async with world(etcd, tmp_path, "a-0", "b-0", "c-0") as one:
        await one.push(0)
        await one.stop("a-0", "b-0")
        shutil.rmtree(tmp_path / "a-0")
        await one.start("a-0")
        await eventually(lambda: one.client.instance("a-0").behind_since_ms == EVER_MS)
        with pytest.raises(Unavailable):  # Of three, one is away and one does not count.
            await one.client.read()
        assert isinstance((await one.client.push(points(1)))["a-0"], PushAnswer)
        await one.start("b-0")
        await one.client.until_complete("a-0")
        both = {name: points(0)[name] + points(1)[name] for name in points(0)}
        assert one.held("a-0") == both
        await one.stop("b-0")
        assert await one.client.read() == both


async def test_two_lost_disks_are_given_up_by_an_operator_and_have_what_the_third_has(
    etcd: EtcdCluster, tmp_path: Path
) -> None:
    async with world(etcd, tmp_path, "a-0", "b-0", "c-0") as one:
        await one.push(0)
        await one.stop("a-0", "b-0")
        for id in ("a-0", "b-0"):
            shutil.rmtree(tmp_path / id)
            await one.start(id)
        await eventually(lambda: all(one.client.instance(id).behind_since_ms for id in ("a-0", "b-0")))
        with pytest.raises(Unavailable):
            await one.client.read()
        for id in ("a-0", "b-0"):
            app = one.running[id]._router
            refused = await call(app, "/ingester/behind", method="GET")
            assert refused.text == json.dumps({"behind_since_ms": EVER_MS})
            done = await call(app, "/ingester/behind", method="DELETE", query="accept_loss=true")
            assert (done.status, done.text) == (200, json.dumps({"behind_since_ms": 0}))
        await eventually(lambda: one.held("a-0") == one.held("b-0") == points(0), 60)
        assert await one.client.read() == points(0)


async def test_who_was_told_to_leaves_with_everything_in_blocks(etcd: EtcdCluster, tmp_path: Path) -> None:
    async with world(etcd, tmp_path, "a-0", "b-0", "c-0", "a-1") as one:
        await one.push(0)
        own = one.held("a-1")
        assert 0 < len(own) < 30
        one.running["a-1"].membership.marker.set(1)
        await one.stop("a-1")
        assert one.client.states["a-1"] is State.LEFT
        assert shipped(one.bucket) == own
        await one.push(1)
        assert set(one.held("a-0")) == set(points(0))
        await one.start("a-1")
        await one.client.until(a_1=State.ACTIVE)
        assert not one.running["a-1"].membership.behind_since_ms


async def test_who_was_killed_in_the_middle_of_leaving_goes_on_with_it_and_ends(
    etcd: EtcdCluster, tmp_path: Path
) -> None:
    async with world(etcd, tmp_path, "a-0", "b-0", "c-0", "a-1") as one:
        await one.push(0)
        own = one.held("a-1")
        first = one.running.pop("a-1")
        first.membership.marker.set(1)
        first.membership._ship = asyncio.Event().wait  # The object store takes its time.
        leaving = asyncio.ensure_future(first.membership.leave())
        await one.client.until(a_1=State.LEAVING)
        leaving.cancel()
        await first.parts.stop()
        await first.server.stop()
        ended = asyncio.Event()
        second = one.running["a-1"] = IngesterProcess(one.config("a-1"), end=ended.set)
        await second.start()
        await asyncio.wait_for(ended.wait(), 30)
        assert one.client.states["a-1"] is State.LEFT
        await one.stop("a-1")
        assert shipped(one.bucket) == own
        assert second.membership.marker.since_ms() is None


def shipped(bucket: str) -> Samples:
    storage = BlockStore(open_bucket(bucket))
    selection = storage.select(Select("a", Matchers([("job", "=", "test")]), *EVER))
    return contents(selection.read(0, len(selection.labels)))["floats"]


async def test_what_a_newcomer_takes_over_is_shipped_and_its_blocks_are_named(
    etcd: EtcdCluster, tmp_path: Path
) -> None:
    async with world(etcd, tmp_path, "a-0", "b-0", "c-0") as one:
        await one.push(0)
        await one.start("a-1")
        await one.client.until(a_1=State.ACTIVE)
        first = one.running["a-0"]
        [(_, head)] = first.ingester.tenants.heads()
        await eventually(lambda: head.owned_count < 30)
        owned = head.owned_count
        first.owned._due_s = 0.0  # A few minutes later.
        await first.owned.ship_unowned()
        await one.push(1)
        assert {name: of_series for name, of_series in one.held("a-0").items() if len(of_series) > 1} == {}
        assert len(one.held("a-0")) == head.series_count == owned
        assert shipped(one.bucket) == points(0)
        assert len(first.ingester.ledger.blocks("a", *EVER)) == 1


async def test_a_second_process_of_the_name_ends_and_says_why(etcd: EtcdCluster, tmp_path: Path) -> None:
    async with world(etcd, tmp_path, "a-0") as one:
        second = IngesterProcess(replace(one.config("a-0"), data_dir=str(tmp_path / "other")))
        await second.start()
        failure = await second.failure()
        assert isinstance(failure, Taken)
        assert "another process" in str(failure)
        await second.stop()
        assert one.client.states == {"a-0": State.ACTIVE}


async def test_another_number_under_a_known_name_is_refused(etcd: EtcdCluster, tmp_path: Path) -> None:
    async with world(etcd, tmp_path, "a-0") as one:
        await one.stop("a-0")
        moved = replace(one.config("a-0"), ingester=MembershipConfig(ordinal=3))
        second = IngesterProcess(moved)
        await second.start()
        assert isinstance(await second.failure(), ConfigError)
        await second.stop()


async def test_damage_of_the_log_is_repaired_from_the_replicas(etcd: EtcdCluster, tmp_path: Path) -> None:
    async with world(etcd, tmp_path, "a-0", "b-0", "c-0") as one:
        for step in range(3):
            await one.push(step)
        await one.stop("a-0")
        [segment] = (tmp_path / "a-0" / "ingester" / "wal").glob("*.wal")
        content = bytearray(segment.read_bytes())
        content[len(content) // 2] ^= 0xFF
        segment.write_bytes(content)
        process = await one.start("a-0")
        assert len(process.ingester.replayed.damages) == 1
        await eventually(lambda: one.held("a-0") == one.held("b-0"))
        await one.client.until_complete("a-0")
        await one.stop("a-0")
        again = await one.start("a-0")  # The damage is still there, and known.
        assert len(again.ingester.replayed.damages) == 1
        await again.membership.prepared()
        assert not again.membership.behind_since_ms
