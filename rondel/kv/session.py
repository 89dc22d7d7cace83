"""Our own keys in the store, for as long as we live and no longer."""

from __future__ import annotations

import asyncio
import math
from typing import Final

from rondel.errors import RondelError, Unavailable
from rondel.kv.store import Delete, Guard, Item, KeyValueStore, Put

__all__ = ["Session", "Taken", "payload"]

_ROUNDS: Final = 3
"""keep-alives in the term of a lease"""
_LOOK_ROUNDS: Final = 12
"""keep-alives after which our keys are looked at: a store from a backup may have the lease and not the
keys"""
_RETRY_S: Final = 0.5


class Taken(RondelError):
    """Another living process holds the key."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} belongs to another process that is alive")
        self.key = key


def payload(value: bytes) -> bytes:
    """What a session was asked to put there, without the line that names its owner."""
    return value.partition(b"\n")[2]


class Session:
    """A lease and the keys under it. When the lease ends although we live (the store was away, we were
    frozen), a new one takes its place and the keys come back as they were.

    `owner` tells our keys from those of another process that claims the same name; it is the first line of
    each value.
    """

    def __init__(self, store: KeyValueStore, ttl_s: int, owner: str) -> None:
        self._store = store
        self._ttl_s = ttl_s
        self._owner = owner.encode() + b"\n"
        self._lease = 0
        self._values: dict[str, bytes] = {}
        # Keys of which the store may hold something else than we want, because a write of ours failed.
        self._unsure: set[str] = set()
        self._held: set[str] = set()
        self._changing = asyncio.Lock()
        self._rounds = 0
        self._confirmed_s = -math.inf
        self.terms = 0
        """leases that we had: one more for each that ended although we live"""

    def owns(self, item: Item) -> bool:
        """Whether a key is ours."""
        return item.value.startswith(self._owner)

    @property
    def is_held(self) -> bool:
        """Whether the store has confirmed our lease within its term; if not, it may have ended. On the event
        loop."""
        return self._lease != 0 and asyncio.get_running_loop().time() - self._confirmed_s < self._ttl_s

    async def put(self, key: str, value: bytes) -> None:
        """Sets a key and keeps it. Raises Taken, and then it is not ours; Unavailable, and then it is set as
        soon as that is possible."""
        async with self._changing:
            self._values[key] = value
            self._unsure.add(key)
            if not self._lease:
                await self._begin()
            await self._settle(key)

    async def delete(self, key: str) -> None:
        """Deletes a key that we hold; none is no error. Where it raises Unavailable, it goes as soon as
        possible."""
        async with self._changing:
            self._values.pop(key, None)
            self._unsure.add(key)
            await self._settle()

    async def run(self) -> None:
        """Keeps the lease until it is cancelled. Raises Taken when somebody took a key while we were away."""
        pause_s = self._ttl_s / _ROUNDS
        while True:
            await asyncio.sleep(pause_s)
            pause_s = self._ttl_s / _ROUNDS
            try:
                async with self._changing:
                    await self._keep()
            except Unavailable:
                pause_s = _RETRY_S

    async def close(self) -> None:
        """Gives everything up, so that nobody has to wait for the lease to end."""
        async with self._changing:
            lease, self._lease = self._lease, 0
            self._values.clear()
            self._unsure.clear()
            self._held.clear()
            if lease:
                await self._store.revoke(lease)

    async def _keep(self) -> None:
        self._rounds += 1
        if self._rounds % _LOOK_ROUNDS == 0:
            self._unsure |= self._values.keys()
        asked_s = asyncio.get_running_loop().time()
        if self._lease and await self._store.keep_alive(self._lease):
            self._confirmed_s = asked_s
        else:
            self._lease = 0
            if self._values:
                await self._begin()
        await self._settle()

    async def _begin(self) -> None:
        asked_s = asyncio.get_running_loop().time()
        self._lease = await self._store.grant(self._ttl_s)
        self._confirmed_s = asked_s
        self.terms += 1
        self._unsure |= self._values.keys()

    async def _settle(self, new: str = "") -> None:
        """Makes the store hold what we want. Raises Taken for the new key, and for one that was ours before;
        one that never was is not ours to claim behind the back of whoever asked for it."""
        for key in sorted(self._unsure):
            if key in self._values:
                if not self._lease:
                    continue  # It would stay for ever; it is set with the next lease.
                try:
                    await self._set(key, self._values[key])
                    self._held.add(key)
                except Taken:
                    was_ours = key in self._held
                    self._forget(key)
                    if was_ours or key == new:
                        raise
            else:
                await self._remove(key)
                self._held.discard(key)
            self._unsure.discard(key)

    async def _remove(self, key: str) -> None:
        try:
            found = await self._ours(key)
        except Taken:
            return
        if found:
            await self._store.commit([Guard(key, found.modified)], [Delete(key)])

    def _forget(self, key: str) -> None:
        self._values.pop(key, None)
        self._unsure.discard(key)
        self._held.discard(key)

    async def _set(self, key: str, value: bytes) -> None:
        put = Put(key, self._owner + value, self._lease)
        while True:
            found = await self._ours(key)
            if found and (found.value, found.lease) == (put.value, put.lease):
                return
            if (await self._store.commit([Guard(key, found.modified if found else 0)], [put])).done:
                return

    async def _ours(self, key: str) -> Item | None:
        """Our item of a key, None where it has none. Raises Taken."""
        snapshot = await self._store.snapshot(key)
        for item in snapshot.items:
            if item.key == key:
                if not self.owns(item):
                    raise Taken(key)
                return item
        return None
