"""How many members of one replica set can be silent, whatever shard of whatever size it is of.

Which instances are in a shard hangs on its size, and nobody remembers which sizes there were. What all shards
have in common is their shape: of every zone `n` instances, or all where it has no more, and replica
sets that take one of each zone, then a second one of each, until they are full. So of a zone's silent
instances a set has at most as many as it has members there; and with a zone for each replica, what is
silent may be any part of as many zones as may lack.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rondel.ring.instance import Instance
from rondel.ring.shard import Mask

__all__ = ["Zonal", "most_silent"]

_Ints = NDArray[np.int64]


def most_silent(there: _Ints, silent: _Ints, factor: int, needed: int) -> _Ints:
    """int64[rings]: the most silent members that a set of any shard can have; sets with fewer than `needed`
    members have never acknowledged anything, and do not count.

    `there`, `silent`: int64[rings, zones], usable instances of each zone and the silent ones among them.
    """
    worst = np.zeros(len(there), np.int64)
    for count in range(1, factor + 1):  # More of each zone make no other shapes.
        shard = np.minimum(there, count)
        width = np.minimum(shard.sum(axis=1), factor)
        found, filled = np.zeros_like(width), np.zeros_like(width)
        for depth in range(count):
            has = shard > depth
            room = width - filled
            # Which zones the last round takes differs by hash: here those that are silent come first.
            found += np.minimum(room, (has & (silent > depth)).sum(axis=1))
            filled += np.minimum(room, has.sum(axis=1))
        worst = np.maximum(worst, np.where(width >= needed, found, 0))
    return worst


class Zonal:
    """Entries that have not answered, taken away one by one, against rings of several times."""

    def __init__(
        self, entries: Sequence[Instance], masks: Sequence[Mask], silent: Mask, factor: int, needed: int
    ) -> None:
        zones = sorted({one.zone for one in entries})
        self._in_zone = np.array([[one.zone == zone for zone in zones] for one in entries], np.int64)
        self._usable = np.array(masks, np.int64)
        self._there = self._usable @ self._in_zone
        self._silent = (self._usable * np.array(silent, np.int64)) @ self._in_zone
        self._factor = factor
        self._needed = needed

    def most_silent(self) -> _Ints:
        """int64[rings]"""
        return most_silent(self._there, self._silent, self._factor, self._needed)

    def can_spare(self, place: int, allowed: int) -> bool:
        """Whether no set has more than `allowed` silent members with this one silent too; then it is."""
        more = self._silent + self._usable[:, [place]] * self._in_zone[place]
        if most_silent(self._there, more, self._factor, self._needed).max(initial=0) > allowed:
            return False
        self._silent = more
        return True
