"""What is believed of the ring outlives outages, wiped stores and the process itself."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from rondel.cluster.keys import Keys
from rondel.cluster.peers import Peers, announce
from rondel.cluster.ringview import OnDisk, RingView, Settings
from rondel.kv.memory import MemoryStore
from rondel.kv.session import Session, payload
from rondel.kv.store import Put
from rondel.ring.instance import Instance, encode
from rondel.runtime.tasks import TaskOwner
from tests.unit.rondel.cluster.test_ha import virtually
from tests.unit.rondel.ring.test_ring import fleet

KEYS = Keys("c")
ENTRIES = tuple(replace(one, epoch=number + 1) for number, one in enumerate(fleet(1, 1, 1).instances))


def store_of(*entries: Instance) -> MemoryStore:
    store = MemoryStore(asyncio.get_running_loop().time)
    store.restore([])
    store._apply([Put(KEYS.ingester(one.id), encode(one)) for one in entries])
    return store


def view_of(store: MemoryStore, path: Path) -> RingView:
    session = Session(store, 10, "me")
    return RingView(store, KEYS, session, OnDisk(path), Settings("me"), lambda: 0)


def test_a_ring_is_followed_kept_and_confirmed(tmp_path: Path) -> None:
    async def work() -> None:
        store = store_of(*ENTRIES)
        view = view_of(store, tmp_path / "ring.json")
        seen: list[int] = []
        view.subscribe(lambda ring: seen.append(ring.epoch))
        async with TaskOwner("test") as tasks:
            tasks.spawn(view.run(), name="view")
            await view.ready()
            await asyncio.sleep(0.1)
            moved = replace(ENTRIES[0], epoch=9)
            await store.commit([], [Put(KEYS.ingester(moved.id), encode(moved))])
            await asyncio.sleep(0.1)
            assert seen == [0, 3, 9]
            [item] = (await store.snapshot(KEYS.reader("me"))).items
            assert payload(item.value) == b"9"
        store.is_down = True
        again = view_of(store, tmp_path / "ring.json")
        await asyncio.wait_for(again.ready(), 1)
        assert again.ring.epoch == 9
        assert again.ring.instances == view.ring.instances

    virtually(work())


def test_entries_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    async def work() -> None:
        store = store_of(*ENTRIES)
        store._apply([Put(KEYS.ingester("bad"), b"?"), Put(KEYS.ingester("liar"), encode(ENTRIES[0]))])
        view = view_of(store, tmp_path / "ring.json")
        async with TaskOwner("test") as tasks:
            tasks.spawn(view.run(), name="view")
            await view.ready()
        assert [one.id for one in view.ring.instances] == ["a0", "b0", "c0"]
        assert view.malformed == 2

    virtually(work())


def test_a_wiped_store_changes_nothing_until_an_operator_says_so(tmp_path: Path) -> None:
    async def work() -> None:
        store = store_of(*ENTRIES)
        view = view_of(store, tmp_path / "ring.json")
        async with TaskOwner("test") as tasks:
            tasks.spawn(view.run(), name="view")
            await view.ready()
            await asyncio.sleep(0.1)
            store.wipe()
            await asyncio.sleep(0.1)
            assert view.lacking == ENTRIES
            assert len(view.ring.instances) == 3
            view.believe()
            assert view.ring.instances == ()

    virtually(work())


def test_a_ring_on_disk_that_is_damaged_is_as_none(tmp_path: Path) -> None:
    (tmp_path / "ring.json").write_bytes(b"[{")
    assert OnDisk(tmp_path / "ring.json").load() == ()


def test_peers_are_found_while_they_live() -> None:
    async def work() -> None:
        store = MemoryStore(asyncio.get_running_loop().time)
        peers = Peers(store, KEYS, "querier")
        session = Session(store, 10, "q1")
        async with TaskOwner("test") as tasks:
            tasks.spawn(peers.run(), name="peers")
            await announce(session, KEYS, "querier", "q/1", "10.0.0.1:9095")
            await announce(session, KEYS, "ruler", "r1", "10.0.0.2:9095")
            await asyncio.sleep(0.1)
            assert peers.addresses == {"q%2F1": "10.0.0.1:9095"}
            await session.close()
            await asyncio.sleep(0.1)
            assert peers.addresses == {}

    virtually(work())
