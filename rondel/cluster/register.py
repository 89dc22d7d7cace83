"""The ring's entries in the store: read together, written one step at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from rondel.cluster.keys import Keys
from rondel.errors import InvalidData
from rondel.kv.session import payload
from rondel.kv.store import Guard, Item, KeyValueStore, Put
from rondel.ring.instance import Instance, State, decode, encode
from rondel.ring.membership import Situation, entered

__all__ = ["Page", "Register"]

_BATCH: Final = 50
"""entries in one transaction: etcd takes 128 operations"""


@dataclass(frozen=True, slots=True)
class Page:
    """What the store says now; with the revisions that a change must find unchanged."""

    items: Mapping[str, Item]
    applied: Mapping[str, int]
    """epoch that each living process has applied"""

    def modified(self, key: str) -> int:
        item = self.items.get(key)
        return item.modified if item else 0


class Register:
    """Reads pages and writes entries."""

    def __init__(self, store: KeyValueStore, keys: Keys) -> None:
        self.keys = keys
        self._store = store

    async def read(self) -> Page:
        """Raises Unavailable."""
        readers = await self._store.snapshot(self.keys.readers)
        ring = await self._store.snapshot(f"{self.keys.root}ring/")
        prefix = len(self.keys.readers)
        applied = {unquote(item.key[prefix:]): _number(payload(item.value)) for item in readers.items}
        return Page({item.key: item for item in ring.items}, applied)

    def entry(self, page: Page, id: str) -> Instance | None:
        """None where there is none, or one that cannot be read."""
        item = page.items.get(self.keys.ingester(id))
        if item is None:
            return None
        try:
            return decode(item.value)
        except InvalidData:
            return None

    async def enter(
        self, page: Page, now: Situation, state: State, held: Iterable[str], now_ms: int
    ) -> Instance | None:
        """Takes a step if nothing has changed since the page was read, the held keys among it; None
        otherwise."""
        epoch = 1 + max(self._epoch(page), now.ring.epoch, now.own.epoch if now.own else 0)
        entry = entered(now, state, epoch, now_ms)
        writes = [Put(self.keys.ingester(entry.id), encode(entry)), Put(self.keys.epoch, b"%d" % epoch)]
        return entry if await self._commit(page, writes, held) else None

    async def amend(self, page: Page, entry: Instance, held: Iterable[str]) -> bool:
        """Changes something of an entry that is no step."""
        return await self._commit(page, [Put(self.keys.ingester(entry.id), encode(entry))], held)

    async def put_back(self, page: Page, lost: Sequence[Instance]) -> None:
        """Entries that the store lost, the oldest first: whoever reads half of them sees that it is late."""
        for start in range(0, len(lost), _BATCH):
            some = lost[start : start + _BATCH]
            older = [one for one in some if self.is_older(page, one)]
            epoch = max(self._epoch(page), *(one.epoch for one in some))
            writes = [Put(self.keys.ingester(one.id), encode(one)) for one in older]
            if not older or not await self._commit(page, [*writes, Put(self.keys.epoch, b"%d" % epoch)], ()):
                return
            page = await self.read()

    def is_older(self, page: Page, one: Instance) -> bool:
        """Whether the page knows less of an instance."""
        known = self.entry(page, one.id)
        return known is None or known.epoch < one.epoch

    def _epoch(self, page: Page) -> int:
        item = page.items.get(self.keys.epoch)
        return _number(item.value) if item else 0

    async def _commit(self, page: Page, writes: Sequence[Put], held: Iterable[str]) -> bool:
        guards = {key: Guard(key, page.modified(key)) for key in (*(one.key for one in writes), *held)}
        return (await self._store.commit(tuple(guards.values()), writes)).done


def _number(text: bytes) -> int:
    return int(text) if text.isdigit() else 0
