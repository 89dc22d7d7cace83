"""Whether a change of the ring is to be believed.

A cluster does not shrink by a third within a minute unless it says so: members that leave are LEAVING
first. So a sudden loss means that the store is sick (wiped, restored from a backup, its leases ended while it
was away), and those who were there before are better kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from rondel.ring.instance import Instance, State
from rondel.ring.ring import Ring

__all__ = ["Trust"]

WINDOW_MS: Final = 60_000
LOST_SHARE: Final = 1 / 3


@dataclass(slots=True)
class Trust:
    """Remembers members for a minute after they were seen, and as long as too many of them are missing."""

    suspicion: str = ""
    """why members are kept that the store does not name; empty while none are"""
    _seen: dict[str, tuple[Instance, int]] = field(default_factory=dict)
    """each with the last time at which the store named it"""

    def consider(self, said: Ring, now_ms: int) -> Ring:
        """The ring to use after the store said this one."""
        self._seen.update({one.id: (one, now_ms) for one in said.instances})
        named = {one.id for one in said.instances}
        missing = {
            id: one
            for id, (one, seen_ms) in self._seen.items()
            if id not in named
            and one.state is not State.LEAVING
            and (self.suspicion or now_ms - seen_ms <= WINDOW_MS)
        }
        if len(missing) > 1 and len(missing) >= LOST_SHARE * (len(named) + len(missing)):
            self.suspicion = (
                f"{len(missing)} of {len(named) + len(missing)} members are gone at once: "
                f"{', '.join(sorted(missing))}"
            )
            return Ring((*said.instances, *missing.values()), said.replication_factor, said.revision)
        self.suspicion = ""
        self._seen = {id: seen for id, seen in self._seen.items() if id in named or id in missing}
        return said

    def believe(self, said: Ring) -> Ring:
        """An operator's word: the cluster is what the store says."""
        self._seen.clear()
        self.suspicion = ""
        return self.consider(said, 0)
