"""Replica sets: for every hash, who writes it, and who may hold it.

Each zone is a ring of its own. A hash has `replication factor` replicas, spread over the zones as evenly as
they allow; in a zone it belongs to the instance whose token comes next. An instance that takes no writes
keeps its place, and the next one in its zone stands in for it, so that no other range moves.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rondel.ring.instance import Instance, State
from rondel.ring.tokens import HASHES

__all__ = ["NOBODY", "Ring", "Routes"]

NOBODY: Final = -1
SLOTS: Final = 1 << 14
"""parts of the hashes that choose zones each for itself, where there are more zones than replicas or fewer"""

GOLDEN: Final = 0x9E3779B97F4A7C15
TRIES: Final = 16
"""places around the ring that are looked at for distinct instances, before any others will do"""

_Sets = NDArray[np.int16]


@dataclass(frozen=True, slots=True, eq=False)
class Routes:
    """Replica sets by hash: that of hash `h` is row `searchsorted(ends, h)`; the last end is 2^64 - 1."""

    ends: NDArray[np.uint64]
    """uint64[ranges], ascending: the last hash of each range"""
    sets: _Sets
    """int16[ranges, width]: places in `Ring.instances`, NOBODY where there are too few"""

    def of(self, hashes: NDArray[np.uint64]) -> _Sets:
        """int16[n, width]"""
        return self.sets[np.searchsorted(self.ends, hashes)]


@dataclass(frozen=True, eq=False)
class Ring:
    """The instances at one revision; immutable."""

    instances: tuple[Instance, ...]
    """sorted by id"""
    replication_factor: int = 3
    revision: int = 0
    _zones: dict[str, _Zone] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not 1 <= self.replication_factor <= 5:
            raise ValueError(f"replication factor {self.replication_factor}, want 1 to 5")
        object.__setattr__(self, "instances", tuple(sorted(self.instances, key=lambda one: one.id)))
        names = sorted({one.zone for one in self.instances})
        zones = {name: _Zone(self.instances, name) for name in names}
        object.__setattr__(self, "_zones", zones)

    @cached_property
    def writes(self) -> Routes:
        """Whom a sample goes to: only instances that are ACTIVE, as many as there are up to the factor."""
        return self._routes([one.state is State.ACTIVE for one in self.instances])

    @cached_property
    def owners(self) -> Routes:
        """Whom a range belongs to once everybody has joined, and nobody who leaves is left."""
        return self._routes([one.state is not State.LEAVING for one in self.instances])

    def at(self, time_ms: int) -> Ring:
        """The ring as it was written by then: without those who were not yet active.

        Who has left since is not missed: it shipped everything before it went.
        """
        then = (one for one in self.instances if 0 < one.active_since_ms <= time_ms)
        active = tuple(replace(one, state=State.ACTIVE) for one in then)
        return Ring(active, self.replication_factor, self.revision)

    def ownership(self) -> dict[str, float]:
        """The share of all hashes that each instance holds a replica of; they add up to the factor."""
        ends = self.owners.ends.astype(np.float64)
        sizes = np.diff(ends, prepend=0.0) / HASHES
        shares = np.zeros(len(self.instances) + 1)
        for column in self.owners.sets.T:
            np.add.at(shares, column, sizes)
        return {one.id: float(share) for one, share in zip(self.instances, shares, strict=False)}

    def _routes(self, usable: list[bool]) -> Routes:
        width = min(self.replication_factor, sum(usable))
        ends = self._ends()
        if not width:
            return Routes(ends, np.full((len(ends), self.replication_factor), NOBODY, np.int16))
        zones = [zone for zone in self._zones.values() if any(usable[i] for i in zone.members)]
        replicas = [zone.replicas(ends, usable, width) for zone in zones]
        slots = (ends // np.uint64(HASHES // SLOTS)).astype(np.int64)
        order = _zone_order([zone.name for zone in zones])[slots]
        return Routes(ends, _pick(replicas, order, width))

    def _ends(self) -> NDArray[np.uint64]:
        """Where ranges end: at every token, as every replica sees it, and where zones take turns."""
        parts = [np.array([HASHES - 1], dtype=np.uint64)]
        depth = -(-self.replication_factor // max(1, len(self._zones)))
        parts += [zone.tokens - turn for zone in self._zones.values() for turn in _turns(depth)]
        if len(self._zones) > 1 and len(self._zones) != self.replication_factor:
            parts.append(np.arange(1, SLOTS + 1, dtype=np.uint64) * np.uint64(HASHES // SLOTS) - np.uint64(1))
        return np.unique(np.concatenate(parts))


def _turns(count: int) -> list[np.uint64]:
    """How far around the ring the replicas of a zone are looked for: multiples of the golden ratio."""
    return [np.uint64(turn * GOLDEN % HASHES) for turn in range(count)]


class _Zone:
    """The ring of one zone."""

    def __init__(self, instances: Iterable[Instance], name: str) -> None:
        self.name = name
        own = [(place, one) for place, one in enumerate(instances) if one.zone == name]
        self.members = [place for place, _ in own]
        tokens = np.concatenate([one.tokens() for _, one in own])
        places = np.repeat(np.array(self.members, np.int16), [len(one.tokens()) for _, one in own])
        order = np.lexsort((places, tokens))
        self.tokens: NDArray[np.uint64] = tokens[order]
        self._places: NDArray[np.int16] = places[order]

    def replicas(self, ends: NDArray[np.uint64], usable: list[bool], width: int) -> _Sets:
        """int16[ranges, width]: instances of the zone that are usable, each once, NOBODY behind the last."""
        kept = np.array([usable[place] for place in self._places], dtype=np.bool_)
        tokens, places = self.tokens[kept], self._places[kept]
        distinct = min(width, len(set(places.tolist())))
        found = np.full((len(ends), width), NOBODY, np.int16)
        known = np.zeros(len(ends), np.int64)
        rows = np.arange(len(ends))
        for turn in _turns(TRIES):
            owner = places[np.searchsorted(tokens, ends + turn) % len(tokens)]
            fresh = (known < distinct) & ~(found == owner[:, None]).any(axis=1)
            found[rows[fresh], known[fresh]] = owner[fresh]
            known += fresh
            if (known == distinct).all():
                break
        for row in np.flatnonzero(known < distinct).tolist():
            others = [place for place in sorted(set(places.tolist())) if place not in found[row]]
            found[row, known[row] : distinct] = others[: distinct - int(known[row])]
        return found


def _zone_order(names: list[str]) -> NDArray[np.int64]:
    """int64[slots, zones]: by rendezvous, so that a new zone takes its turns from all others alike."""
    weights = np.empty((SLOTS, len(names)), np.uint64)
    for column, name in enumerate(names):
        seed = np.frombuffer(name.encode().ljust(8, b"\0")[:8], "<u8")[0] ^ np.uint64(hash_of(name))
        weights[:, column] = _mixed(np.arange(SLOTS, dtype=np.uint64) ^ seed)
    return np.argsort(weights, axis=1, kind="stable")


def hash_of(text: str) -> int:
    """FNV-1a of 64 bits: the same in every process."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % HASHES
    return value


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of splitmix64."""
    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _pick(replicas: list[_Sets], order: NDArray[np.int64], width: int) -> _Sets:
    """One of each zone in the order of the range, then a second one of each, until the set is full."""
    stacked = np.stack(replicas)
    ranges = np.arange(len(order))
    rounds = [
        stacked[order[:, turn], ranges, depth] for depth in range(width) for turn in range(order.shape[1])
    ]
    candidates = np.stack(rounds, axis=1)
    # Those that are there come first, in their order.
    front = np.argsort(candidates == NOBODY, axis=1, kind="stable")[:, :width]
    return np.take_along_axis(candidates, front, axis=1)
