"""Our own keys in the store, for as long as we live and no longer."""

from __future__ import annotations

import asyncio
from typing import Final

from rondel.errors import RondelError, Unavailable
from rondel.kv.store import Delete, Guard, KeyValueStore, Put

__all__ = ["Session", "Taken"]

_ROUNDS: Final = 3
"""keep-alives in the term of a lease"""
_RETRY_S: Final = 0.5


class Taken(RondelError):
    """Another living process holds the key."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} belongs to another process that is alive")


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
        self._changing = asyncio.Lock()

    @property
    def is_held(self) -> bool:
        """Whether the store has confirmed our lease, as far as we know."""
        return self._lease != 0

    async def put(self, key: str, value: bytes) -> None:
        """Sets a key and keeps it. Raises Taken, Unavailable (then it is set as soon as that is possible)."""
        async with self._changing:
            self._values[key] = value
            if not self._lease:
                self._lease = await self._store.grant(self._ttl_s)
            await self._set(key, value)

    async def delete(self, key: str) -> None:
        """Deletes a key that we hold; none is no error."""
        async with self._changing:
            self._values.pop(key, None)
            found = await self._ours(key)
            if found:
                await self._store.commit([Guard(key, found)], [Delete(key)])

    async def run(self) -> None:
        """Keeps the lease until it is cancelled. Raises Taken when somebody took a key while we were away."""
        while True:
            await asyncio.sleep(self._ttl_s / _ROUNDS)
            try:
                async with self._changing:
                    await self._keep()
            except Unavailable:
                await asyncio.sleep(_RETRY_S)

    async def close(self) -> None:
        """Gives everything up, so that nobody has to wait for the lease to end."""
        async with self._changing:
            lease, self._lease = self._lease, 0
            self._values.clear()
            if lease:
                await self._store.revoke(lease)

    async def _keep(self) -> None:
        if self._lease and await self._store.keep_alive(self._lease):
            return
        self._lease = 0
        if not self._values:
            return
        self._lease = await self._store.grant(self._ttl_s)
        for key, value in self._values.items():
            await self._set(key, value)

    async def _set(self, key: str, value: bytes) -> None:
        while True:
            found = await self._ours(key)
            put = Put(key, self._owner + value, self._lease)
            if (await self._store.commit([Guard(key, found)], [put])).done:
                return

    async def _ours(self, key: str) -> int:
        """The revision of our value of a key, 0 where it has none. Raises Taken."""
        snapshot = await self._store.snapshot(key)
        for item in snapshot.items:
            if item.key == key:
                if not item.value.startswith(self._owner):
                    raise Taken(key)
                return item.modified
        return 0
