"""Who may begin a ring where the store knows none: once in the life of a cluster.

The object store outlives etcd. The first ingester leaves a note there, under a name that no tenant can have;
an empty store beside that note is one that was wiped.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import quote

import msgspec

from rondel.errors import Corruption
from rondel.objstore import Bucket
from rondel.runtime.tasks import in_thread

__all__ = ["Founding", "Note"]


@dataclass(frozen=True, slots=True)
class Note:
    """What the object says; an operator may add owners to it."""

    owners: list[str] = field(default_factory=list)
    """of the data directories whose ingesters may begin the ring"""


@dataclass(frozen=True, slots=True)
class Founding:
    """The note of one cluster."""

    bucket: Bucket
    cluster: str

    @property
    def key(self) -> str:
        """`~` is in no tenant's name."""
        return f"~cluster/{quote(self.cluster, safe='')}/founded.json"

    async def may_found(self, owner: str) -> bool:
        """True for whoever made the note, now or before, and for those whom it names. Raises Unavailable."""
        return await in_thread(lambda: self._may_found(owner))

    def _may_found(self, owner: str) -> bool:
        if self.bucket.create(self.key, msgspec.json.encode(Note([owner]))):
            return True
        content = self.bucket.get(self.key)
        try:
            return owner in msgspec.json.decode(content, type=Note).owners
        except msgspec.DecodeError as error:
            raise Corruption(f"the note on who founded the cluster is damaged: {error}").at(
                self.key
            ) from error
