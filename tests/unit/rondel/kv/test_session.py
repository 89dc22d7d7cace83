"""What a session was asked for happens, however often the store fails in between."""

from __future__ import annotations

import asyncio

import pytest

from rondel.errors import Unavailable
from rondel.kv.memory import MemoryStore
from rondel.kv.session import Session, Taken
from rondel.kv.view import Known, View
from rondel.runtime.tasks import TaskOwner
from tests.unit.rondel.cluster.test_ha import virtually


async def keys(store: MemoryStore) -> list[str]:
    return [item.key for item in (await store.snapshot("/")).items]


def test_a_put_and_a_delete_that_failed_are_made_up_for() -> None:
    async def work() -> None:
        store = MemoryStore(asyncio.get_running_loop().time)
        session = Session(store, 9, "me")
        async with TaskOwner("test") as tasks:
            tasks.spawn(session.run(), name="session")
            await session.put("/a", b"1")
            store.is_down = True
            with pytest.raises(Unavailable):
                await session.put("/b", b"2")
            with pytest.raises(Unavailable):
                await session.delete("/a")
            store.bring_up()
            await asyncio.sleep(4)
            assert await keys(store) == ["/b"]

    virtually(work())


def test_a_lease_is_held_while_the_store_confirms_it_and_one_that_ended_is_another_term() -> None:
    async def work() -> None:
        store = MemoryStore(asyncio.get_running_loop().time)
        session = Session(store, 9, "me")
        assert not session.is_held
        async with TaskOwner("test") as tasks:
            tasks.spawn(session.run(), name="session")
            await session.put("/a", b"1")
            await asyncio.sleep(30)
            assert (session.is_held, session.terms) == (True, 1)
            store.is_down = True
            await asyncio.sleep(5)
            assert session.is_held
            await asyncio.sleep(5)
            assert not session.is_held
            store.bring_up()
            store.wipe()
            await asyncio.sleep(4)
            assert (session.is_held, session.terms) == (True, 2)

    virtually(work())


def test_keys_come_back_after_the_store_was_wiped() -> None:
    async def work() -> None:
        store = MemoryStore(asyncio.get_running_loop().time)
        session = Session(store, 9, "me")
        async with TaskOwner("test") as tasks:
            tasks.spawn(session.run(), name="session")
            await session.put("/a", b"1")
            store.wipe()
            await asyncio.sleep(4)
            assert await keys(store) == ["/a"]

    virtually(work())


def test_a_key_that_was_never_ours_is_not_claimed_later() -> None:
    async def work() -> None:
        store = MemoryStore(asyncio.get_running_loop().time)
        other, session = Session(store, 9, "other"), Session(store, 9, "me")
        await other.put("/a", b"1")
        async with TaskOwner("test") as tasks:
            tasks.spawn(session.run(), name="session")
            with pytest.raises(Taken):
                await session.put("/a", b"2")
            await other.close()
            await asyncio.sleep(20)
            assert tasks.failure is None
            assert await keys(store) == []

    virtually(work())


def test_a_view_notices_that_the_store_is_another_one() -> None:
    async def work() -> None:
        store = MemoryStore(asyncio.get_running_loop().time)
        session = Session(store, 9, "me")
        for number in range(5):
            await session.put(f"/{number}", b"")
        seen: list[Known] = []
        view = View(store, "/", seen.append)
        async with TaskOwner("test") as tasks:
            tasks.spawn(view.run(), name="view")
            await view.ready()
            assert len(view.known.items) == 5
            store.wipe()
            await asyncio.sleep(1)
            assert len(view.known.items) == 0

    virtually(work())
