"""Shards of tenants: the few instances of each zone that one tenant's samples go to.

In every zone as many instances, chosen by rendezvous: each has a weight that follows from the tenant and its
own id, and the heaviest are taken. So all processes choose the same ones without a word, and one that joins
or leaves changes at most one of them, in its own zone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import numpy as np

from rondel.ring.hashes import hash_of, mixed
from rondel.ring.instance import Instance

__all__ = ["UNSHARDED", "Mask", "Sizes", "chosen", "per_zone", "rank_of"]

Mask = tuple[bool, ...]
"""which entries of a ring are usable"""

_IDS: Final = 4_096


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many instances the samples of a tenant go to; 0 for all of them."""

    everybody: int = 0
    own: Mapping[str, int] = field(default_factory=dict)
    """of tenants that differ"""

    def of(self, tenant: str) -> int:
        return self.own.get(tenant, self.everybody)

    @property
    def are_used(self) -> bool:
        """Whether any tenant has a shard."""
        return bool(self.everybody) or any(self.own.values())


UNSHARDED: Final = Sizes()
"""all tenants go to all instances"""


def per_zone(entries: Sequence[Instance], usable: Mask, size: int, factor: int) -> int:
    """Instances of a shard in each zone: the zones take equal parts, rounded up, and more where a replica set
    would lack members otherwise."""
    counts = list(_counts(entries, usable).values())
    if not counts:
        return 0
    wanted = min(factor, sum(counts))
    count = -(-size // len(counts))
    while sum(min(count, there) for there in counts) < wanted:
        count += 1
    return count


def chosen(entries: Sequence[Instance], usable: Mask, tenant: str, count: int) -> Mask:
    """Of those that are usable, `count` of each zone; all of a zone that has no more."""
    taken: Counter[str] = Counter()
    found = [False] * len(entries)
    for place in _ranking(entries, usable, tenant):
        zone = entries[place].zone
        found[place] = taken[zone] < count
        taken[zone] += 1
    return tuple(found)


def rank_of(entries: Sequence[Instance], usable: Mask, tenant: str, place: int) -> int:
    """From how many instances of each zone on it is among them; it must be usable."""
    rank = 0
    for other in _ranking(entries, usable, tenant):
        rank += entries[other].zone == entries[place].zone
        if other == place:
            break
    return rank


def _counts(entries: Sequence[Instance], usable: Mask) -> Counter[str]:
    return Counter(one.zone for one, is_usable in zip(entries, usable, strict=True) if is_usable)


def _ranking(entries: Sequence[Instance], usable: Mask, tenant: str) -> list[int]:
    """Places of those that are usable, the heaviest first; of equals the first by its place."""
    ids = np.array([_hash(one.id) for one in entries], np.uint64)
    weights = mixed(mixed(ids) ^ np.uint64(hash_of(tenant)))
    order = np.argsort(~weights, kind="stable")
    return [place for place in order.tolist() if usable[place]]


_hash = lru_cache(_IDS)(hash_of)
