"""A prefix of the store in memory: a snapshot, then every change, for as long as the process lives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from rondel.errors import Unavailable
from rondel.kv.store import Changes, Compacted, Item, KeyValueStore, Snapshot

__all__ = ["Known", "View"]

_RETRY_S: Final = 1.0
_AGAIN_S: Final = 300.0
"""after which all is read again: a store from a backup may look like the one before"""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a prefix at one revision."""

    cluster: int = 0
    """which store said so; 0 before any did"""
    revision: int = 0
    items: Mapping[str, Item] = field(default_factory=lambda: MappingProxyType({}))


class View:
    """Follows a prefix. While the store is away, what was known last stays."""

    def __init__(self, store: KeyValueStore, prefix: str, on_change: Callable[[Known], None]) -> None:
        self.prefix = prefix
        self.known = Known()
        self._store = store
        self._on_change = on_change
        self._first = asyncio.Event()

    async def ready(self) -> None:
        """Returns when the store has been read once."""
        await self._first.wait()

    async def run(self) -> None:
        """Follows until it is cancelled."""
        while True:
            try:
                self._apply(_of(await self._store.snapshot(self.prefix)))
                self._first.set()
                await self._follow()
            except (Compacted, TimeoutError):
                continue
            except Unavailable:
                await asyncio.sleep(_RETRY_S)

    async def _follow(self) -> None:
        watch: Any = self._store.watch(self.prefix, self.known.revision + 1, self.known.cluster)
        async with asyncio.timeout(_AGAIN_S), aclosing(watch):
            async for changes in watch:
                self._apply(_after(self.known, changes))

    def _apply(self, known: Known) -> None:
        self.known = known
        self._on_change(known)


def _of(snapshot: Snapshot) -> Known:
    items = {item.key: item for item in snapshot.items}
    return Known(snapshot.cluster, snapshot.revision, MappingProxyType(items))


def _after(known: Known, changes: Changes) -> Known:
    """A key never goes back: a change that is older than what is known of it is one that came twice."""
    items = dict(known.items)
    for change in changes.changes:
        before = items.get(change.key)
        if change.item is None:
            items.pop(change.key, None)
        elif before is None or change.item.modified >= before.modified:
            items[change.key] = change.item
    return Known(known.cluster, max(known.revision, changes.revision), MappingProxyType(items))
