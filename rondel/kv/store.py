"""What is asked of a key-value store: etcd's model, the part of it that Rondel uses.

Every change has a revision, one number for the whole store. A snapshot tells its revision, and a watch from
the next one sees every later change, in order, once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from rondel.errors import RondelError

__all__ = [
    "Change",
    "Changes",
    "Committed",
    "Compacted",
    "Delete",
    "Guard",
    "Item",
    "KeyValueStore",
    "Put",
    "Snapshot",
]


@dataclass(frozen=True, slots=True)
class Item:
    """A key with its value."""

    key: str
    value: bytes
    created: int
    """revision at which the key came to be; 0 in no store"""
    modified: int
    """revision of this value"""
    lease: int = 0
    """the lease that the key goes with; 0 for none"""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Keys as they were at one revision."""

    cluster: int
    """which store this is: it changes when the store was wiped and made anew"""
    revision: int
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """A key that was set, or deleted (`item` is None)."""

    key: str
    item: Item | None


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes in order; after them the watcher knows everything up to `revision`."""

    revision: int
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Guard:
    """Holds when the key was last modified at this revision; 0: when there is no such key."""

    key: str
    modified: int


@dataclass(frozen=True, slots=True)
class Put:
    key: str
    value: bytes
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    key: str


@dataclass(frozen=True, slots=True)
class Committed:
    """What became of a transaction: `done` where every guard held, at `revision`."""

    done: bool
    revision: int


class Compacted(RondelError):
    """The store does not have the changes that a watch asked for, because it has forgotten them or is another
    store than before: take a snapshot, then watch from there."""

    def __init__(self, revision: int, oldest: int) -> None:
        super().__init__(
            f"changes from revision {revision} on are asked for, the store has those after {oldest}"
        )
        self.oldest = oldest


class KeyValueStore(Protocol):
    """Raises Unavailable where the store does not answer in time; a write may then have happened or not."""

    async def snapshot(self, prefix: str) -> Snapshot:
        """All keys that start so, ascending, as they are now; never an older state than one seen before."""

    async def commit(self, guards: Sequence[Guard], writes: Sequence[Put | Delete]) -> Committed:
        """All writes at once, or none where a guard does not hold."""

    async def grant(self, ttl_s: int) -> int:
        """A new lease: keys put under it go when nobody has kept it alive for that long."""

    async def keep_alive(self, lease: int) -> bool:
        """Keeps a lease for another whole term; False where it has ended."""

    async def revoke(self, lease: int) -> None:
        """Ends a lease and deletes its keys; one that has ended already is no error."""

    def watch(self, prefix: str, revision: int, cluster: int = 0) -> AsyncIterator[Changes]:
        """Changes from `revision` on, without end, over lost connections and members. Raises Compacted, also
        where it is not that cluster (0: any) that answers."""
