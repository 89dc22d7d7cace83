"""A key-value store in this process: for a server that is alone, for tests and simulation.

It forgets and fails when told to.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from rondel.errors import Unavailable
from rondel.kv.store import Change, Changes, Committed, Compacted, Delete, Guard, Item, Put, Snapshot

__all__ = ["MemoryStore"]


@dataclass(slots=True)
class _Lease:
    ttl_s: int
    ends_s: float
    keys: set[str] = field(default_factory=set)


class MemoryStore:
    """Implements `rondel.kv.store.KeyValueStore`. `now_s` is a monotonic clock; leases end by it.

    Up to `changes_max` changes are kept for watches; one that is further behind reads anew.
    """

    def __init__(self, now_s: Callable[[], float], changes_max: int = 10_000) -> None:
        self._now_s = now_s
        self._changes_max = changes_max
        self._items: dict[str, Item] = {}
        self._leases: dict[int, _Lease] = {}
        self._log: list[tuple[int, Change]] = []
        self._revision = 1
        self._compacted = 0
        self._changed = asyncio.Event()
        self._cluster = 1
        self._granted = 0
        self.is_down = False
        """calls raise Unavailable, watches stand still"""

    # --- what a process asks ---

    async def snapshot(self, prefix: str) -> Snapshot:
        self._check()
        found = tuple(self._items[key] for key in sorted(self._items) if key.startswith(prefix))
        return Snapshot(self._cluster, self._revision, found)

    async def commit(self, guards: Sequence[Guard], writes: Sequence[Put | Delete]) -> Committed:
        self._check()
        for guard in guards:
            item = self._items.get(guard.key)
            if guard.modified != (item.modified if item else 0):
                return Committed(False, self._revision)
        for write in writes:
            if isinstance(write, Put) and write.lease and write.lease not in self._leases:
                raise Unavailable(f"lease {write.lease} has ended")
        self._apply(writes)
        return Committed(True, self._revision)

    async def grant(self, ttl_s: int) -> int:
        self._check()
        # A number is never used twice, not even by the store that takes this one's place.
        self._granted += 1
        lease = self._granted
        self._leases[lease] = _Lease(ttl_s, self._now_s() + ttl_s)
        return lease

    async def keep_alive(self, lease: int) -> bool:
        self._check()
        held = self._leases.get(lease)
        if held is None:
            return False
        held.ends_s = self._now_s() + held.ttl_s
        return True

    async def revoke(self, lease: int) -> None:
        self._check()
        self._end(lease)

    async def watch(self, prefix: str, revision: int, cluster: int = 0) -> AsyncIterator[Changes]:
        at, cluster = revision, cluster or self._cluster
        if at > self._revision + 1:
            raise Compacted(at, self._revision)
        while True:
            while self.is_down or (at > self._revision and cluster == self._cluster):
                self._changed.clear()
                await self._changed.wait()
            if cluster != self._cluster:
                raise Compacted(at, self._revision)
            if at <= self._compacted:
                raise Compacted(at, self._compacted)
            new = tuple(change for made, change in self._log if made >= at and change.key.startswith(prefix))
            at = self._revision + 1
            if new:
                yield Changes(self._revision, new)

    # --- what a test does to it ---

    def tick(self) -> None:
        """Ends the leases whose time has come. While the store is down their clocks stand still, as in etcd
        after an election."""
        if self.is_down:
            return
        for lease in [one for one, held in self._leases.items() if held.ends_s <= self._now_s()]:
            self._end(lease)

    def bring_up(self) -> None:
        """Ends an outage; leases get another whole term."""
        self.is_down = False
        for held in self._leases.values():
            held.ends_s = self._now_s() + held.ttl_s
        self._changed.set()

    def compact(self) -> None:
        """Forgets every change so far."""
        self._log.clear()
        self._compacted = self._revision

    def wipe(self) -> None:
        """Another, empty store takes this one's place."""
        self._items.clear()
        self._leases.clear()
        self._log.clear()
        self._revision, self._compacted = 1, 0
        self._cluster += 1
        self._changed.set()

    def backup(self) -> tuple[Item, ...]:
        """What a backup has: keys without leases."""
        return tuple(item for item in self._items.values() if not item.lease)

    def restore(self, items: Sequence[Item]) -> None:
        """A store made of a backup takes this one's place; its revisions start anew."""
        self.wipe()
        self._apply([Put(item.key, item.value) for item in items])

    def _check(self) -> None:
        if self.is_down:
            raise Unavailable("the key-value store does not answer")
        self.tick()

    def _end(self, lease: int) -> None:
        held = self._leases.pop(lease, None)
        if held is not None and held.keys:
            self._apply([Delete(key) for key in sorted(held.keys)])

    def _apply(self, writes: Sequence[Put | Delete]) -> None:
        self._revision += 1
        for write in writes:
            before = self._items.pop(write.key, None)
            if before is not None and before.lease in self._leases:
                self._leases[before.lease].keys.discard(write.key)
            if isinstance(write, Put):
                created = before.created if before else self._revision
                item = Item(write.key, write.value, created, self._revision, write.lease)
                self._items[write.key] = item
                if write.lease:
                    self._leases[write.lease].keys.add(write.key)
                self._log.append((self._revision, Change(write.key, item)))
            elif before is not None:
                self._log.append((self._revision, Change(write.key, None)))
        if len(self._log) > self._changes_max:
            gone = len(self._log) - self._changes_max // 2
            self._compacted = self._log[gone - 1][0]
            del self._log[:gone]
        self._changed.set()
