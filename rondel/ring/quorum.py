"""Whether answers are enough, judged by replica set.

A write needs `W` members of a set, more than half of the replication factor; a read needs so many that at
least one of them took part in every such write. Series of one set share their fate, but for what a member
refuses: that is counted by series, since replicas may judge differently near a limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rondel.ring.instance import Instance, State
from rondel.ring.ring import NOBODY, Ring, Routes
from rondel.ring.shard import Mask
from rondel.ring.zonal import Zonal

__all__ = [
    "Outcome",
    "PushTally",
    "Refusal",
    "Unanswered",
    "enough",
    "is_fenced",
    "unanswered",
    "write_quorum",
]

_WIDTH: Final = 5
"""members of a set, at most"""
_PLACES: Final = 1 << 12
"""of a ring at most, NOBODY included: so a set is one number"""
SKEW_MS: Final = 15 * 60_000
"""by how much clocks of a cluster may differ before a read looks at too few rings of the past"""


def write_quorum(replication_factor: int) -> int:
    """Members of a set that must have a sample before it counts as written."""
    return replication_factor // 2 + 1


# --- writes -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Refusal:
    """Series of a push that a member refused for good."""

    id: str
    message: str
    series: NDArray[np.int64]
    """their places in the batch"""


class Outcome(Enum):
    OPEN = "open"
    """more answers are needed"""
    WRITTEN = "written"
    """every series is where it must be, or was refused by a quorum"""
    FAILED = "failed"
    """some series cannot get their quorum any more: to be sent again"""


class PushTally:
    """Counts the answers to one batch. Members are places in the ring's instances."""

    def __init__(self, set_of: NDArray[np.int64], sets: NDArray[np.int16], replication_factor: int) -> None:
        # Of a large ring a batch meets few sets: only those are counted.
        used = np.flatnonzero(np.bincount(set_of, minlength=len(sets)))
        place = np.empty(len(sets), np.int64)
        place[used] = np.arange(len(used))
        self._set_of = place[set_of]
        self._sets = sets = sets[used]
        self._needed = write_quorum(replication_factor)
        self._members = (sets != NOBODY).sum(axis=1)
        self._taken = np.zeros(len(sets), np.int64)
        self._lost = np.zeros(len(sets), np.int64)
        self._refused: dict[str, tuple[str, NDArray[np.int64]]] = {}
        self._waiting = set(np.unique(sets[sets != NOBODY]).tolist())

    @property
    def waiting(self) -> frozenset[int]:
        """Members that have not answered."""
        return frozenset(self._waiting)

    def took(self, member: int, refusals: Iterable[Refusal] = ()) -> None:
        """A member has everything of the batch that is its own, but for what it refused."""
        self._waiting.discard(member)
        self._taken += self._has(member)
        for refusal in refusals:
            _, counts = self._refused.setdefault(
                refusal.id, (refusal.message, np.zeros(len(self._set_of), np.int64))
            )
            counts[refusal.series] += 1

    def lost(self, member: int) -> None:
        """A member did not answer, or not in time."""
        self._waiting.discard(member)
        self._lost += self._has(member)

    @property
    def outcome(self) -> Outcome:
        if not self._refused:
            if (self._taken >= self._needed).all():
                return Outcome.WRITTEN
            return Outcome.FAILED if (self._members - self._lost < self._needed).any() else Outcome.OPEN
        refused = self._refusals()
        written = self._taken[self._set_of] - refused
        enough = (written >= self._needed) | (refused >= self._needed)
        if enough.all():
            return Outcome.WRITTEN
        # What the members that are still to answer can add at most.
        hope = (self._members - self._taken - self._lost)[self._set_of]
        best = np.maximum(written, refused) + hope
        return Outcome.FAILED if (best[~enough] < self._needed).any() else Outcome.OPEN

    def refusals(self) -> list[Refusal]:
        """What a quorum refused, by reason; a series with several reasons counts for the most frequent."""
        if not self._refused:
            return []
        stacked = np.stack([counts for _, counts in self._refused.values()])
        final, reason = self._refusals() >= self._needed, np.argmax(stacked, axis=0)
        found = []
        for number, (id, (message, _)) in enumerate(self._refused.items()):
            series = np.flatnonzero(final & (reason == number))
            if len(series):
                found.append(Refusal(id, message, series))
        return found

    def _refusals(self) -> NDArray[np.int64]:
        """How many members refused each series."""
        total = np.zeros(len(self._set_of), np.int64)
        for _, counts in self._refused.values():
            total += counts
        return total

    def _has(self, member: int) -> NDArray[np.bool_]:
        return np.asarray((self._sets == member).any(axis=1))


# --- reads --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Why an answer is not complete."""

    share: float
    """of all hashes, those whose sets did not answer; 1 where tenants may have shards: it may be one's all"""
    members: tuple[str, ...]
    """ids in those sets that did not answer"""


def unanswered(ring: Ring, answered: Iterable[str], since_ms: int) -> Unanswered | None:
    """None where the instances that answered hold all that was written since then and not shipped.

    Series move when the ring changes and their samples do not: so the sets of every ring that may have been
    written by in that time must have answered. Whoever has left counts as one that answered, since what it
    had is in blocks, but not who was forgotten with its disk. An instance that says it is behind, or refuses
    our epoch, has not answered.

    Where tenants may have shards, the sets of all shards of all sizes must have answered (`zonal`).
    """
    if not ring.instances:
        return Unanswered(1.0, ())
    have = frozenset(answered)
    allowed = write_quorum(ring.replication_factor) - 1
    if ring.has_shards:
        return _unanswered_of_shards(ring, ring.masks(since_ms - SKEW_MS), have, allowed)
    for routes in ring.possible(since_ms - SKEW_MS):
        missing = _missing(ring, routes, have, allowed)
        if missing is not None:
            return missing
    return None


def enough(ring: Ring, order: Sequence[str], since_ms: int) -> tuple[str, ...] | None:
    """As few instances as are complete if all of them answer: those of `order`, less one after the other from
    its end. None where not even all of them are."""
    if unanswered(ring, order, since_ms) is not None:
        return None
    allowed = write_quorum(ring.replication_factor) - 1
    places = {one.id: place for place, one in enumerate(ring.entries)}
    if ring.has_shards:
        zonal = _zonal(ring, ring.masks(since_ms - SKEW_MS), frozenset(order))
        spared = {id for id in reversed(order) if zonal.can_spare(places[id], allowed)}
        return tuple(id for id in order if id not in spared)
    # Rings of different times have many more ranges than sets.
    sets = _distinct([routes.sets[_can_write(ring, routes)] for routes in ring.possible(since_ms - SKEW_MS)])
    lacking = _silent(ring, frozenset(order))[sets].sum(axis=1)
    kept = list(order)
    for id in reversed(order):
        more = lacking + (sets == places[id]).any(axis=1)
        if (more <= allowed).all():
            lacking = more
            kept.remove(id)
    return tuple(kept)


def _distinct(parts: Iterable[NDArray[np.int16]]) -> NDArray[np.int16]:
    """int16[sets, WIDTH]: each set of any part once, whatever the order of its members."""
    keys = np.zeros(0, np.int64)
    for sets in parts:
        row = np.full((len(sets), _WIDTH), NOBODY, np.int64)
        row[:, : sets.shape[1]] = np.sort(sets, axis=1)
        packed = row[:, 0]
        for column in range(1, _WIDTH):
            packed = packed * _PLACES + row[:, column]
        keys = np.union1d(keys, packed)
    columns = []
    for _ in range(_WIDTH):
        place = (keys - NOBODY) % _PLACES + NOBODY
        columns.append(place)
        keys = (keys - place) // _PLACES
    return np.stack(columns, axis=1).astype(np.int16)


def _can_write(ring: Ring, routes: Routes) -> NDArray[np.bool_]:
    """A set with fewer members than a quorum has never acknowledged anything."""
    return np.asarray((routes.sets != NOBODY).sum(axis=1) >= write_quorum(ring.replication_factor))


def is_fenced(ring: Ring, applied: Iterable[str]) -> bool:
    """Whether nobody can read or write any more by a ring from before the epoch that these instances have
    applied: they refuse it, and without them no set gets a quorum."""
    factor = ring.replication_factor
    needed = write_quorum(factor)
    allowed = min(needed, factor - needed + 1) - 1
    have = frozenset(applied)
    if ring.has_shards:
        return _unanswered_of_shards(ring, ring.masks(), have, allowed) is None
    return all(_missing(ring, routes, have, allowed) is None for routes in ring.possible())


def _unanswered_of_shards(
    ring: Ring, masks: Sequence[Mask], answered: frozenset[str], allowed: int
) -> Unanswered | None:
    worst = _zonal(ring, masks, answered).most_silent()
    if (worst <= allowed).all():
        return None
    mask, silent = masks[int(np.argmax(worst))], _silent(ring, answered)
    ids = [one.id for place, one in enumerate(ring.entries) if mask[place] and silent[place]]
    return Unanswered(1.0, tuple(ids))


def _zonal(ring: Ring, masks: Sequence[Mask], answered: frozenset[str]) -> Zonal:
    silent = tuple(_silent(ring, answered)[:-1].tolist())
    factor = ring.replication_factor
    return Zonal(ring.entries, masks, silent, factor, write_quorum(factor))


def _missing(ring: Ring, routes: Routes, answered: frozenset[str], allowed: int) -> Unanswered | None:
    entries, silent = ring.entries, _silent(ring, answered)
    bad = _can_write(ring, routes) & (silent[routes.sets].sum(axis=1) > allowed)
    if not bad.any():
        return None
    sizes = np.diff(routes.ends.astype(np.float64), prepend=0.0) / float(1 << 64)
    places = np.unique(routes.sets[bad])
    ids = tuple(entries[place].id for place in places.tolist() if place >= 0 and silent[place])
    return Unanswered(float(sizes[bad].sum()), ids)


def _silent(ring: Ring, answered: frozenset[str]) -> NDArray[np.bool_]:
    """bool[places + 1], the last one of NOBODY: who has not answered, and would have had something to say."""
    return np.array(
        [one.id not in answered and not _is_in_blocks(one) for one in ring.entries] + [False], np.bool_
    )


def _is_in_blocks(one: Instance) -> bool:
    """Whether all that it ever had is."""
    return one.state is State.LEFT and not one.behind_since_ms
