"""The ring as this process knows it: what the store says, what it said before, and what of it is believed.

What is believed is kept on disk, so that a process can start while the store is away, and one that has
confirmed an epoch never forgets it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import msgspec

from rondel.cluster import files
from rondel.cluster.keys import Keys
from rondel.errors import InvalidData, Unavailable
from rondel.kv.session import Session, Taken
from rondel.kv.store import KeyValueStore
from rondel.kv.view import Known, View
from rondel.ring.instance import Instance, State, decode
from rondel.ring.ring import Ring
from rondel.ring.trust import Trust
from rondel.runtime import logs
from rondel.runtime.tasks import TaskOwner

__all__ = ["Memory", "OnDisk", "RingView", "Settings"]

GONE_MS: Final = 48 * 3_600_000
"""how long those that have left are still thought of when reads look at past rings"""
_RETRY_S: Final = 1.0

_log = logs.get(__name__)
_entries = msgspec.json.Decoder(list[Instance])


class Memory(Protocol):
    """Where the believed entries outlive the process."""

    def load(self) -> tuple[Instance, ...]:
        """Empty where there are none, or what is there cannot be read."""

    def store(self, entries: tuple[Instance, ...]) -> None:
        """Raises OSError."""


@dataclass(frozen=True, slots=True)
class OnDisk:
    """A file, replaced whole."""

    path: Path

    def load(self) -> tuple[Instance, ...]:
        content = files.read(self.path)
        if content is None:
            return ()
        try:
            return tuple(_entries.decode(content))
        except msgspec.DecodeError as error:
            _log.warning("the ring on disk cannot be read", path=str(self.path), reason=str(error))
            return ()

    def store(self, entries: tuple[Instance, ...]) -> None:
        files.replace(self.path, msgspec.json.encode(entries))


@dataclass(frozen=True, slots=True)
class Settings:
    """Of one process."""

    id: str
    """unique among all that read or write the ring"""
    replication_factor: int = 3
    has_shards: bool = False
    """whether tenants may have shards"""


class RingView:
    """Follows the ring. `run` does the work; `ring` is what to use now."""

    def __init__(
        self,
        store: KeyValueStore,
        keys: Keys,
        session: Session,
        memory: Memory,
        settings: Settings,
        now_ms: Callable[[], int],
    ) -> None:
        self.malformed = 0
        """entries of the store that cannot be read"""
        self._keys = keys
        self._session = session
        self._memory = memory
        self._settings = settings
        self._now_ms = now_ms
        self._kept = memory.load()
        self._trust = Trust(self._kept)
        self._view = View(store, keys.ingesters, self._apply)
        self._subscribers: list[Callable[[Ring], None]] = []
        self._ready = asyncio.Event()
        self._moved = asyncio.Event()
        self.ring = self._made(self._kept, 0)
        if self.ring.instances:
            self._ready.set()

    @property
    def lacking(self) -> tuple[Instance, ...]:
        """Entries that the store has lost; whoever is a member puts them back."""
        return self._trust.lacking

    @property
    def suspicion(self) -> str:
        """Why the store's word is not all that is believed; empty where it is."""
        return self._trust.suspicion

    def subscribe(self, on_ring: Callable[[Ring], None]) -> None:
        """Told of every ring from now on, the present one first."""
        self._subscribers.append(on_ring)
        on_ring(self.ring)

    async def ready(self) -> None:
        """Returns when there is a ring, from the store or from disk."""
        await self._ready.wait()

    async def run(self) -> None:
        """Follows the store and tells it how far we are, until cancelled."""
        async with TaskOwner("ring") as tasks:
            both = [
                tasks.spawn(self._view.run(), name="view"),
                tasks.spawn(self._publish(), name="publish"),
            ]
            done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()

    def believe(self) -> None:
        """An operator's word: the ring is what the store says. Raises Unavailable before it said anything."""
        if not self._view.known.cluster:
            raise Unavailable("the store has not been read yet")
        said = self._decoded(self._view.known)
        self._use(self._trust.believe(said), self._view.known.revision)

    def _apply(self, known: Known) -> None:
        self._use(self._trust.consider(self._decoded(known)), known.revision)

    def _use(self, entries: tuple[Instance, ...], revision: int) -> None:
        self._keep(entries)
        self.ring = self._made(entries, revision)
        self._ready.set()
        self._moved.set()
        for on_ring in self._subscribers:
            on_ring(self.ring)

    def _keep(self, entries: tuple[Instance, ...]) -> None:
        """On disk before anybody is told that we know it."""
        if entries == self._kept:
            return
        try:
            self._memory.store(entries)
        except OSError as error:
            _log.error("the ring cannot be kept on disk", error=error)
            return
        self._kept = entries

    def _made(self, entries: tuple[Instance, ...], revision: int) -> Ring:
        oldest_ms = self._now_ms() - GONE_MS
        kept = (one for one in entries if one.state is not State.LEFT or one.settled_ms > oldest_ms)
        epoch = max((one.epoch for one in entries), default=0)
        fence = max((one.fence for one in entries), default=0)
        settings = self._settings
        return Ring(tuple(kept), settings.replication_factor, revision, epoch, fence, settings.has_shards)

    def _decoded(self, known: Known) -> Iterable[Instance]:
        for item in known.items.values():
            try:
                one = decode(item.value)
            except InvalidData as error:
                self.malformed += 1
                _log.warning("an entry of the ring is left out", key=item.key, reason=str(error))
                continue
            if self._keys.ingester(one.id) == item.key:
                yield one
            else:
                self.malformed += 1
                _log.warning("an entry of the ring is left out", key=item.key, reason=f"it names {one.id}")

    async def _publish(self) -> None:
        await self.ready()
        while True:
            self._moved.clear()
            epoch = max((one.epoch for one in self._kept), default=0)
            try:
                await self._session.put(self._keys.reader(self._settings.id), b"%d" % epoch)
            except (Unavailable, Taken):
                # One of our name that has died is thought alive until its lease ends.
                await asyncio.sleep(_RETRY_S)
                continue
            await self._moved.wait()
