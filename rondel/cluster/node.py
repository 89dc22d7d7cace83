"""`Node`: what every process of a cluster has of it: the store, our session there, and the ring."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from rondel.cluster import peers
from rondel.cluster.config import ClusterConfig
from rondel.cluster.keys import Keys
from rondel.cluster.ringview import OnDisk, RingView, Settings
from rondel.errors import Unavailable
from rondel.kv.session import Session
from rondel.kv.store import KeyValueStore
from rondel.runtime.tasks import TaskOwner

__all__ = ["INGESTER", "Node"]

INGESTER: Final = "ingester"


class Node:
    """One process. `start` follows the ring and returns when there is one, from the store or from disk.

    `owner` tells two processes with one name apart; an ingester's comes from its data directory.
    """

    def __init__(
        self,
        store: KeyValueStore,
        config: ClusterConfig,
        role: str,
        id: str,
        memory: Path,
        now_ms: Callable[[], int],
        *,
        owner: str = "",
        on_failure: Callable[[str, BaseException], None] | None = None,
    ) -> None:
        self.role = role
        self.id = id
        self.config = config
        self.store = store
        self.keys = Keys(config.name)
        self.session = Session(store, config.lease_s, owner or secrets.token_hex(8))
        # Readers of all roles stand beside each other in the store; ingesters go by their bare ids there.
        reader = id if role == INGESTER else f"{role}/{id}"
        settings = Settings(reader, config.replication_factor, config.shuffle_sharding)
        self.view = RingView(store, self.keys, self.session, OnDisk(memory), settings, now_ms)
        self._tasks = TaskOwner("cluster", on_failure)

    async def start(self) -> None:
        self._tasks.spawn(self.session.run(), name="session")
        self._tasks.spawn(self.view.run(), name="ring")
        await self.view.ready()

    def announce(self, address: str) -> None:
        """Tells, from now on and for as long as we live, where we listen."""
        self._tasks.spawn(
            peers.announce(self.session, self.keys, self.role, self.id, address), name="announce"
        )

    async def stop(self) -> None:
        """Ends the session, so that nobody waits for our lease to end. The caller closes the store."""
        await self._tasks.close()
        with suppress(Unavailable):  # Then it ends by itself.
            await self.session.close()
