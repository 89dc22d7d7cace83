"""What every key-value store does: the one in memory and a real etcd pass the same claims."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from rondel.errors import Unavailable
from rondel.kv.etcd import EtcdConfig, EtcdStore
from rondel.kv.memory import MemoryStore
from rondel.kv.session import Session, Taken
from rondel.kv.store import Change, Changes, Compacted, Delete, Guard, KeyValueStore, Put
from rondel.kv.view import Known, View
from rondel.rpc.channel import Call, Channel
from rondel.rpc.pb import etcd_pb2 as pb
from tests.support.etcd import EtcdCluster

COMPACT = Call("/etcdserverpb.KV/Compact", pb.CompactionResponse)
PREFIXES = (f"/claim/{number}/" for number in itertools.count())


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    with EtcdCluster(tmp_path_factory.mktemp("etcd")) as cluster:
        yield cluster


@pytest.fixture(params=["memory", pytest.param("etcd", marks=pytest.mark.e2e)])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[KeyValueStore]:
    if request.param == "memory":
        yield MemoryStore(time.monotonic)
        return
    cluster: EtcdCluster = request.getfixturevalue("etcd")
    found = EtcdStore(EtcdConfig(cluster.endpoints))
    yield found
    await found.close()


@pytest.fixture
def prefix() -> str:
    """Keys of one test: the etcd is shared."""
    return next(PREFIXES)


async def compact(store: KeyValueStore, revision: int) -> None:
    if isinstance(store, MemoryStore):
        store.compact()
        return
    assert isinstance(store, EtcdStore)
    channel = Channel(store.endpoint)
    await channel.call(COMPACT, pb.CompactionRequest(revision=revision, physical=True), timeout_s=5)
    await channel.close()


async def put(store: KeyValueStore, key: str, value: bytes, lease: int = 0) -> int:
    return (await store.commit([], [Put(key, value, lease)])).revision


async def values(store: KeyValueStore, prefix: str) -> dict[str, bytes]:
    return {item.key: item.value for item in (await store.snapshot(prefix)).items}


async def eventually(holds: Callable[[], Any], timeout_s: float = 15.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not holds():  # noqa: ASYNC110 (what is waited for happens in other processes)
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running(coro: Any) -> AsyncIterator[asyncio.Task[Any]]:
    task = asyncio.ensure_future(coro)
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_snapshot_has_the_keys_of_the_prefix_in_order(store: KeyValueStore, prefix: str) -> None:
    revision = 0
    for key in ("b", "a", "ä", "a/deeper"):
        revision = await put(store, prefix + key, key.encode())
    await put(store, prefix[:-1] + "other", b"")
    snapshot = await store.snapshot(prefix)
    assert [item.key.removeprefix(prefix) for item in snapshot.items] == ["a", "a/deeper", "b", "ä"]
    assert snapshot.items[-1].value == "ä".encode()
    assert snapshot.revision == revision + 1
    assert {item.created for item in snapshot.items} == {item.modified for item in snapshot.items}


async def test_a_snapshot_of_many_keys_is_of_one_revision(store: KeyValueStore, prefix: str) -> None:
    for start in range(0, 2_500, 100):
        writes = [Put(f"{prefix}{number:05d}", b"x") for number in range(start, start + 100)]
        await store.commit([], writes)
    snapshot = await store.snapshot(prefix)
    assert [item.key for item in snapshot.items] == [f"{prefix}{number:05d}" for number in range(2_500)]


async def test_guards_make_a_write_happen_once(store: KeyValueStore, prefix: str) -> None:
    key = prefix + "one"
    assert (await store.commit([Guard(key, 0)], [Put(key, b"first")])).done
    refused = await store.commit([Guard(key, 0)], [Put(key, b"second"), Put(prefix + "two", b"")])
    assert not refused.done
    assert await values(store, prefix) == {key: b"first"}
    [item] = (await store.snapshot(prefix)).items
    assert (await store.commit([Guard(key, item.modified)], [Delete(key)])).done
    assert await values(store, prefix) == {}


async def test_a_watch_sees_every_change_from_its_revision_on_once(store: KeyValueStore, prefix: str) -> None:
    first = await put(store, prefix + "a", b"1")
    await put(store, prefix + "a", b"2")
    await put(store, "/elsewhere" + prefix, b"no")
    await store.commit([], [Put(prefix + "b", b"3"), Delete(prefix + "a")])
    seen: list[Change] = []
    async with asyncio.timeout(10), aclosing(_watch(store, prefix, first)) as watch:
        async for changes in watch:
            seen += changes.changes
            if len(seen) == 4:
                await put(store, prefix + "c", b"4")
            if len(seen) == 5:
                break
    assert [(one.key.removeprefix(prefix), one.item and one.item.value) for one in seen[:2]] == [
        ("a", b"1"),
        ("a", b"2"),
    ]
    together = {(one.key.removeprefix(prefix), one.item and one.item.value) for one in seen[2:4]}
    assert together == {("b", b"3"), ("a", None)}
    assert seen[4].item is not None
    assert seen[4].item.value == b"4"


def _watch(store: KeyValueStore, prefix: str, revision: int) -> Any:
    watch: AsyncIterator[Changes] = store.watch(prefix, revision)
    return watch


async def test_a_watch_from_before_a_compaction_says_so(store: KeyValueStore, prefix: str) -> None:
    first = await put(store, prefix + "a", b"1")
    last = await put(store, prefix + "a", b"2")
    await compact(store, last)
    with pytest.raises(Compacted):
        async with asyncio.timeout(10):
            await anext(aiter(store.watch(prefix, first)))


async def test_keys_of_a_lease_go_with_it(store: KeyValueStore, prefix: str) -> None:
    lease = await store.grant(60)
    await put(store, prefix + "a", b"1", lease)
    await put(store, prefix + "b", b"1")
    assert await store.keep_alive(lease)
    await store.revoke(lease)
    assert await values(store, prefix) == {prefix + "b": b"1"}
    assert not await store.keep_alive(lease)
    await store.revoke(lease)
    with pytest.raises(Unavailable, match="lease"):
        await put(store, prefix + "c", b"1", lease)


async def test_a_view_follows_its_prefix_over_a_compaction(store: KeyValueStore, prefix: str) -> None:
    await put(store, prefix + "a", b"1")
    states: list[Known] = []
    view = View(store, prefix, states.append)
    async with running(view.run()):
        await view.ready()
        assert {key: item.value for key, item in view.known.items.items()} == {prefix + "a": b"1"}
        last = await put(store, prefix + "b", b"2")
        await compact(store, last)
        await store.commit([], [Delete(prefix + "a"), Put(prefix + "c", b"3")])
        await eventually(lambda: view.known.items.keys() == {prefix + "b", prefix + "c"})
    revisions = [known.revision for known in states]
    assert revisions == sorted(revisions)


async def test_a_session_keeps_its_keys_and_gives_them_up_at_the_end(
    store: KeyValueStore, prefix: str
) -> None:
    session = Session(store, 2, "one")
    async with running(session.run()):
        await session.put(prefix + "me", b"here")
        await asyncio.sleep(3)
        assert await values(store, prefix) == {prefix + "me": b"one\nhere"}
        with pytest.raises(Taken, match="belongs to another process"):
            await Session(store, 2, "other").put(prefix + "me", b"mine")
    await session.close()
    assert await values(store, prefix) == {}


async def test_a_session_whose_lease_ended_brings_its_keys_back(store: KeyValueStore, prefix: str) -> None:
    session = Session(store, 2, "one")
    async with running(session.run()):
        await session.put(prefix + "me", b"here")
        [item] = (await store.snapshot(prefix)).items
        await store.revoke(item.lease)
        assert await values(store, prefix) == {}
        back: dict[str, bytes] = {}
        async with asyncio.timeout(10):
            while not back:
                await asyncio.sleep(0.05)
                back = await values(store, prefix)
        assert back == {prefix + "me": b"one\nhere"}
    await session.close()


@pytest.mark.e2e
async def test_a_view_misses_nothing_while_members_die_and_freeze(tmp_path: Path) -> None:
    with EtcdCluster(tmp_path, 3) as cluster:
        writer, reader = EtcdStore(EtcdConfig(cluster.endpoints)), EtcdStore(EtcdConfig(cluster.endpoints))
        view = View(reader, "/n/", lambda known: None)
        async with running(view.run()):
            await view.ready()
            for number in range(90):
                if number == 30:
                    cluster.members[0].kill()
                if number == 60:
                    cluster.members[0].start()
                    cluster.freeze(1)
                await _insist(writer, f"/n/{number}")
            await eventually(lambda: len(view.known.items) == 90, timeout_s=40)
            cluster.thaw(1)
        await writer.close()
        await reader.close()


async def _insist(store: EtcdStore, key: str) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await store.commit([], [Put(key, b"")])
                return
            except Unavailable:
                await asyncio.sleep(0.1)
