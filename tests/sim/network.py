"""Between processes, and from each to the store: late, lost, cut, frozen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from random import Random
from typing import Any, TypeVar

from rondel.errors import Unavailable
from rondel.kv.memory import MemoryStore
from rondel.kv.store import Changes, Committed, Compacted, Delete, Guard, Put, Snapshot

__all__ = ["STORE", "Line", "Network"]

STORE = "etcd"
TIMEOUT_S = 2.0
_T = TypeVar("_T")


class Network:
    """What can be reached from where. A frozen process neither sends nor answers, until it thaws."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.cuts: set[tuple[str, str]] = set()
        """(from, to): messages of that direction are lost"""
        self.loss = 0.0
        self.slow_s = 0.0
        self._frozen: dict[str, asyncio.Event] = {}

    def heal(self) -> None:
        self.cuts.clear()
        self.loss = self.slow_s = 0.0
        for id in list(self._frozen):
            self.thaw(id)

    def freeze(self, id: str) -> None:
        self._frozen.setdefault(id, asyncio.Event())

    def thaw(self, id: str) -> None:
        event = self._frozen.pop(id, None)
        if event:
            event.set()

    async def awake(self, id: str) -> None:
        while id in self._frozen:
            await self._frozen[id].wait()

    async def carry(self, start: str, end: str) -> None:
        """One message on its way. Raises Unavailable, late, where it is lost."""
        await self.awake(start)
        delay_s = self.random.uniform(0.001, 0.01) + self.random.random() * self.slow_s
        await asyncio.sleep(delay_s)
        if (start, end) in self.cuts or self.random.random() < self.loss:
            await asyncio.sleep(TIMEOUT_S)
            raise Unavailable(f"{end} does not answer {start}")
        await self.awake(end)

    async def call(self, start: str, end: str, work: Callable[[], Awaitable[_T]]) -> _T:
        """A request and its answer; the work may be done and the answer lost."""
        await self.carry(start, end)
        result = await work()
        await self.carry(end, start)
        return result


class Line:
    """The store as one process reaches it. Implements `rondel.kv.store.KeyValueStore`."""

    def __init__(self, network: Network, id: str, store: MemoryStore) -> None:
        self._network = network
        self._id = id
        self._store = store

    async def _ask(self, work: Callable[[], Awaitable[_T]]) -> _T:
        try:
            async with asyncio.timeout(TIMEOUT_S * 2):
                return await self._network.call(self._id, STORE, work)
        except TimeoutError as error:
            raise Unavailable("the store is slow") from error

    async def snapshot(self, prefix: str) -> Snapshot:
        return await self._ask(lambda: self._store.snapshot(prefix))

    async def commit(self, guards: Sequence[Guard], writes: Sequence[Put | Delete]) -> Committed:
        return await self._ask(lambda: self._store.commit(guards, writes))

    async def grant(self, ttl_s: int) -> int:
        return await self._ask(lambda: self._store.grant(ttl_s))

    async def keep_alive(self, lease: int) -> bool:
        return await self._ask(lambda: self._store.keep_alive(lease))

    async def revoke(self, lease: int) -> None:
        return await self._ask(lambda: self._store.revoke(lease))

    async def watch(self, prefix: str, revision: int, cluster: int = 0) -> AsyncIterator[Changes]:
        following = revision
        while True:
            try:
                watch: Any = self._store.watch(prefix, following, cluster)
                async with aclosing(watch):
                    async for changes in watch:
                        await self._arrive()
                        yield changes
                        following = changes.revision + 1
            except Compacted:
                await self._arrive()
                raise

    async def _arrive(self) -> None:
        """A watch is made anew until what it has to say gets through."""
        while True:
            try:
                return await self._network.carry(STORE, self._id)
            except Unavailable:
                continue
