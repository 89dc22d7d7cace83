"""Distributors agree on the elected replica over the store, and go on without it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from random import Random
from typing import Any

import pytest

from rondel.cluster.election import Settings
from rondel.cluster.ha import Tracker
from rondel.cluster.keys import Keys
from rondel.errors import LimitExceeded, Unavailable
from rondel.kv.memory import MemoryStore
from rondel.kv.store import Committed, Delete, Guard, Put
from rondel.runtime.tasks import TaskOwner
from tests.sim.loop import VirtualLoop


def virtually(work: Coroutine[Any, Any, None]) -> None:
    loop = VirtualLoop()
    try:
        loop.run_until_complete(work)
    finally:
        loop.close()


def now_ms() -> int:
    return round(asyncio.get_running_loop().time() * 1000) + 1


def trackers(store: MemoryStore, tasks: TaskOwner, count: int, **settings: int) -> list[Tracker]:
    made = [
        Tracker(store, Keys("c"), now_ms, Random(number), Settings(**settings)) for number in range(count)
    ]
    for tracker in made:
        tasks.spawn(tracker.run(), name="tracker")
    return made


async def send(tracker: Tracker, replica: str, seconds: int) -> int:
    """A request each second; how many were taken."""
    taken = 0
    for _ in range(seconds):
        taken += await tracker.accepts("t", "prod", replica)
        await asyncio.sleep(1)
    return taken


def test_one_replica_is_taken_and_the_other_when_it_is_gone() -> None:
    async def work() -> None:
        store = MemoryStore(asyncio.get_running_loop().time)
        async with TaskOwner("test") as tasks:
            one, two = trackers(store, tasks, 2)
            await asyncio.sleep(0.1)
            assert await one.accepts("t", "prod", "a")
            await asyncio.sleep(0.1)
            a, b = await asyncio.gather(send(one, "a", 120), send(two, "b", 120))
            assert (a, b) == (120, 0)
            taken = await send(two, "b", 60)
            # The store heard of `a` last up to a refresh before its end.
            assert 28 <= taken <= 44
            await asyncio.sleep(0.1)
            assert one.elected("t", "prod") == "b"
            assert not await one.accepts("t", "prod", "a")

    virtually(work())


def test_while_the_store_is_away_the_last_one_elected_stays() -> None:
    async def work() -> None:
        store = MemoryStore(asyncio.get_running_loop().time)
        async with TaskOwner("test") as tasks:
            one, two = trackers(store, tasks, 2)
            await asyncio.sleep(0.1)
            assert await one.accepts("t", "prod", "a")
            await asyncio.sleep(0.1)
            store.is_down = True
            assert await asyncio.gather(send(one, "a", 300), send(two, "b", 300)) == [300, 0]
            with pytest.raises(Unavailable):
                await one.accepts("t", "new", "a")
            store.bring_up()
            assert await asyncio.gather(send(one, "a", 100), send(two, "b", 100)) == [100, 0]

    virtually(work())


def test_a_store_that_was_wiped_hears_the_same_again() -> None:
    async def work() -> None:
        store = MemoryStore(asyncio.get_running_loop().time)
        async with TaskOwner("test") as tasks:
            one, two = trackers(store, tasks, 2)
            await asyncio.sleep(0.1)
            assert await one.accepts("t", "prod", "a")
            await asyncio.sleep(0.1)
            store.wipe()
            assert await asyncio.gather(send(one, "a", 60), send(two, "b", 60)) == [60, 0]
            assert len((await store.snapshot("/rondel/c/ha/")).items) == 1

    virtually(work())


def test_pairs_of_a_tenant_are_bounded() -> None:
    async def work() -> None:
        store = MemoryStore(asyncio.get_running_loop().time)
        async with TaskOwner("test") as tasks:
            [tracker] = trackers(store, tasks, 1, pairs_max=2)
            for pair in ("one", "two", "one"):
                assert await tracker.accepts("t", pair, "a")
            with pytest.raises(LimitExceeded, match="has 2 pairs of replicas, the limit is 2"):
                await tracker.accepts("t", "three", "a")
            assert await tracker.accepts("other", "three", "a")

    virtually(work())


class SlowStore(MemoryStore):
    """Takes `commit_s` to commit."""

    commit_s = 2.0

    async def commit(self, guards: Sequence[Guard], writes: Sequence[Put | Delete]) -> Committed:
        await asyncio.sleep(self.commit_s)
        return await super().commit(guards, writes)


def test_first_requests_that_come_together_wait_for_one_election() -> None:
    async def work() -> None:
        store = SlowStore(asyncio.get_running_loop().time)
        async with TaskOwner("test") as tasks:
            [tracker] = trackers(store, tasks, 1)
            asked = [tracker.accepts("t", "prod", replica) for replica in "aabba"]
            assert await asyncio.gather(*asked) == [True, True, False, False, True]

    virtually(work())


def test_a_request_of_the_elected_replica_does_not_wait_for_the_store() -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        store = SlowStore(loop.time)
        async with TaskOwner("test") as tasks:
            [tracker] = trackers(store, tasks, 1)
            assert await tracker.accepts("t", "prod", "a")
            before = (await store.snapshot("/rondel/c/ha/")).items
            await asyncio.sleep(15)
            asked_s = loop.time()
            assert await tracker.accepts("t", "prod", "a")
            assert loop.time() == asked_s
            await asyncio.sleep(5)
            assert (await store.snapshot("/rondel/c/ha/")).items != before

    virtually(work())


def test_a_pair_that_is_silent_for_long_makes_room() -> None:
    async def work() -> None:
        store = MemoryStore(asyncio.get_running_loop().time)
        async with TaskOwner("test") as tasks:
            one, two = trackers(store, tasks, 2, pairs_max=2)
            for pair in ("old", "new"):
                assert await one.accepts("a/b", pair, "a")
            for _ in range(4_000):
                assert await two.accepts("a/b", "new", "a")
                await asyncio.sleep(1)
            assert len((await store.snapshot("/rondel/c/ha/")).items) == 1
            for tracker in (one, two):
                assert (tracker.elected("a/b", "old"), tracker.elected("a/b", "new")) == ("", "a")
                assert await tracker.accepts("a/b", "third", "a")
                with pytest.raises(LimitExceeded):
                    await tracker.accepts("a/b", "fourth", "a")

    virtually(work())
