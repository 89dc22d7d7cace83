"""Where the processes of a role listen: each tells so while it lives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from rondel.cluster.keys import Keys
from rondel.errors import Unavailable
from rondel.kv.session import Session, Taken, payload
from rondel.kv.store import KeyValueStore
from rondel.kv.view import Known, View

__all__ = ["Peers", "announce"]

_RETRY_S: Final = 1.0


async def announce(session: Session, keys: Keys, role: str, id: str, address: str) -> None:
    """Returns when it is told where we listen; the session keeps it told. A process of our name that has died
    is waited for, until its lease ends."""
    while True:
        try:
            return await session.put(keys.peer(role, id), address.encode())
        except (Unavailable, Taken):
            await asyncio.sleep(_RETRY_S)


class Peers:
    """Follows the processes of one role."""

    def __init__(
        self,
        store: KeyValueStore,
        keys: Keys,
        role: str,
        on_change: Callable[[Mapping[str, str]], None] = lambda _: None,
    ) -> None:
        self.addresses: Mapping[str, str] = MappingProxyType({})
        """host:port by id. While the store is away, those that were there last."""
        self._view = View(store, keys.peers(role), self._apply)
        self._on_change = on_change

    async def ready(self) -> None:
        """Returns when the store has been read once."""
        await self._view.ready()

    async def run(self) -> None:
        """Follows until it is cancelled."""
        await self._view.run()

    def _apply(self, known: Known) -> None:
        prefix = len(self._view.prefix)
        found = {
            key[prefix:]: payload(item.value).decode(errors="replace") for key, item in known.items.items()
        }
        if found != self.addresses:
            self.addresses = MappingProxyType(found)
            self._on_change(self.addresses)
