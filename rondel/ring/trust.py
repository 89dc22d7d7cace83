"""What of the store's word is believed.

An instance holds data, so nobody forgets it before it says that it has left (`LEFT`). An entry that is
missing, or older than one seen before, means that the store is sick: wiped, restored from a backup, edited
by hand. What was known before is kept, and told (`lacking`) so that it can be put back.
"""

from __future__ import annotations

from collections.abc import Iterable

from rondel.ring.instance import Instance

__all__ = ["Trust"]


class Trust:
    """Remembers of every instance the entry with the highest epoch."""

    def __init__(self, remembered: Iterable[Instance] = ()) -> None:
        self.lacking: tuple[Instance, ...] = ()
        """entries that the store lacks or has only older, the oldest first"""
        self._best = {one.id: one for one in remembered}

    @property
    def suspicion(self) -> str:
        """Why the store's word is not all that is believed; empty where it is."""
        if not self.lacking:
            return ""
        return f"the store lacks {len(self.lacking)} of {len(self._best)} entries that were seen before"

    def consider(self, said: Iterable[Instance]) -> tuple[Instance, ...]:
        """What to believe after the store said this: all of it. By id, those that have left among them."""
        named = {one.id: one for one in said}
        for id, one in named.items():
            known = self._best.get(id)
            if known is None or one.epoch >= known.epoch:
                self._best[id] = one
        lacking = [one for id, one in self._best.items() if id not in named or named[id].epoch < one.epoch]
        self.lacking = tuple(sorted(lacking, key=lambda one: one.epoch))
        return tuple(self._best[id] for id in sorted(self._best))

    def believe(self, said: Iterable[Instance]) -> tuple[Instance, ...]:
        """An operator's word: the cluster is what the store says."""
        self._best.clear()
        return self.consider(said)
