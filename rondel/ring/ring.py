"""Replica sets: for every hash, who writes it, and who may hold it.

Each zone is a ring of its own. A hash has `replication factor` replicas, spread over the zones as evenly as
they allow; in a zone it belongs to the instance whose token comes next. An instance that takes no writes
keeps its place, and the next one in its zone stands in for it, so that no other range moves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rondel.ring.hashes import hash_of, mixed
from rondel.ring.instance import Instance, State
from rondel.ring.shard import Mask, chosen, per_zone, rank_of
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

    def merged(self) -> Routes:
        """The same in as few ranges as there can be, members in the order of their places."""
        sets = np.sort(self.sets.view(np.uint16), axis=1).view(np.int16)  # So NOBODY comes last.
        last = np.append((sets[1:] != sets[:-1]).any(axis=1), True)
        return Routes(self.ends[last], sets[last])


@dataclass(frozen=True, eq=False)
class Ring:
    """The instances at one revision; immutable."""

    instances: tuple[Instance, ...]
    """sorted by id; those that have left are not among them but in `gone`"""
    replication_factor: int = 3
    revision: int = 0
    """of the store, when it said so"""
    epoch: int = 0
    """number of the last step that is applied here; at least that of every entry"""
    fence: int = 0
    """who has not applied this epoch is not to be listened to"""
    has_shards: bool = False
    """whether tenants may have shards, now or at any time that reads look back to"""
    gone: tuple[Instance, ...] = field(init=False)
    """those that have left: once they were written, and what they had is in blocks"""
    _zones: dict[str, _Zone] = field(init=False, repr=False)
    _known: dict[Mask, Routes] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not 1 <= self.replication_factor <= 5:
            raise ValueError(f"replication factor {self.replication_factor}, want 1 to 5")
        entries = sorted(self.instances, key=lambda one: one.id)
        self._set("instances", tuple(one for one in entries if one.state is not State.LEFT))
        self._set("gone", tuple(one for one in entries if one.state is State.LEFT))
        self._set("epoch", max([self.epoch, *(one.epoch for one in entries)]))
        self._set("fence", max([self.fence, *(one.fence for one in entries)]))
        names = sorted({one.zone for one in entries})
        self._set("_zones", {name: _Zone(self.entries, name) for name in names})
        self._set("_known", {})

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @property
    def entries(self) -> tuple[Instance, ...]:
        """The instances, then those that have left: sets name places in this row."""
        return (*self.instances, *self.gone)

    @cached_property
    def writes(self) -> Routes:
        """Whom a sample goes to: only instances that are written, as many as there are up to the factor."""
        return self._routes(self._written)

    @cached_property
    def owners(self) -> Routes:
        """Whom a range belongs to once everybody has joined, and nobody who leaves is left."""
        return self._routes(self._staying)

    def writes_of(self, tenant: str, size: int) -> Routes:
        """`writes` of a tenant whose samples go to `size` instances; 0 for all. Not remembered here."""
        return self._shard(self._written, tenant, size)

    def owners_of(self, tenant: str, size: int) -> Routes:
        """`owners` of such a tenant."""
        return self._shard(self._staying, tenant, size)

    @property
    def _written(self) -> Mask:
        return tuple(one.state.is_written for one in self.entries)

    @property
    def _staying(self) -> Mask:
        going = (State.RETIRING, State.LEAVING, State.LEFT)
        return tuple(one.state not in going for one in self.entries)

    def possible(self, since_ms: int | None = None) -> list[Routes]:
        """Replica sets that a sample may have been written by: those of now, with every outcome of the steps
        that are under way; those of the past since that time (None: of now only)."""
        return [self._routes(mask) for mask in self.masks(since_ms)]

    def masks(self, since_ms: int | None = None) -> list[Mask]:
        """Which entries were written in each of the rings that are `possible`."""
        masks = dict.fromkeys(self._outcomes())
        if since_ms is not None:
            masks |= dict.fromkeys(self._past(since_ms))
        return list(masks)

    def possible_of(self, id: str, tenant: str, since_ms: int) -> Iterator[Routes]:
        """As `possible`, for one instance and a tenant with a shard: of all sizes that it may have had, those
        that can have given hashes to this instance, or larger parts of them than others."""
        place = next(at for at, one in enumerate(self.entries) if one.id == id)
        for mask in self.masks(since_ms):
            if mask[place]:
                yield from self._sizes(mask, tenant, place)

    def _sizes(self, mask: Mask, tenant: str, place: int) -> Iterator[Routes]:
        least = rank_of(self.entries, mask, tenant, place)
        counts = [sum(mask[at] for at in zone.members) for zone in self._zones.values()]
        # With a zone for each replica it has most as the last one that is taken: others only take from it.
        is_simple = sum(count > 0 for count in counts) >= self.replication_factor
        for count in range(least, least + 1 if is_simple else max(counts) + 1):
            yield self._part(mask, tenant, count)

    def _shard(self, mask: Mask, tenant: str, size: int) -> Routes:
        if not size:
            return self._routes(mask)
        return self._part(mask, tenant, per_zone(self.entries, mask, size, self.replication_factor))

    def _part(self, mask: Mask, tenant: str, count: int) -> Routes:
        part = chosen(self.entries, mask, tenant, count)
        return self._routes(mask) if part == mask else self._made(np.array(part, dtype=np.bool_)).merged()

    def _outcomes(self) -> list[Mask]:
        choices = [
            (one.state.is_written, not one.state.is_written)
            if one.state.is_in_doubt
            else (one.state.is_written,)
            for one in self.entries
        ]
        return list(product(*choices))

    def _past(self, since_ms: int) -> list[Mask]:
        """By epoch: clocks of instances may disagree on the order of what happened."""
        recent = [one for one in self.entries if one.state.is_in_doubt or one.settled_ms > since_ms]
        first = min(_switches(recent), default=self.epoch + 1)
        epochs = [first - 1, *(epoch for epoch in _switches(self.entries) if epoch >= first)]
        return [tuple(one.was_written(epoch) for one in self.entries) for epoch in epochs]

    def ownership(self) -> dict[str, float]:
        """The share of all hashes that each instance holds a replica of; they add up to the factor."""
        ends = self.owners.ends.astype(np.float64)
        sizes = np.diff(ends, prepend=0.0) / HASHES
        shares = np.zeros(len(self.entries) + 1)
        for column in self.owners.sets.T:
            np.add.at(shares, column, sizes)
        return {one.id: float(share) for one, share in zip(self.instances, shares, strict=False)}

    def _routes(self, usable: Mask) -> Routes:
        found = self._known.get(usable)
        if found is None:
            found = self._known[usable] = self._made(np.array(usable, dtype=np.bool_))
        return found

    def _made(self, usable: NDArray[np.bool_]) -> Routes:
        width = min(self.replication_factor, int(usable.sum()))
        ends = self._ends
        if not width:
            return Routes(ends, np.full((len(ends), self.replication_factor), NOBODY, np.int16))
        zones = [zone for zone in self._zones.values() if usable[zone.members].any()]
        depth = _depth([int(usable[zone.members].sum()) for zone in zones], width)
        replicas = [zone.replicas(ends, usable, depth) for zone in zones]
        slots = (ends // np.uint64(HASHES // SLOTS)).astype(np.int64)
        order = _zone_order(tuple(zone.name for zone in zones))[slots]
        return Routes(ends, _pick(replicas, order, width))

    @cached_property
    def _ends(self) -> NDArray[np.uint64]:
        """Where ranges end: at every token, as every replica sees it, and where zones take turns."""
        parts = [np.array([HASHES - 1], dtype=np.uint64)]
        depth = -(-self.replication_factor // max(1, len(self._zones)))
        parts += [zone.tokens - turn for zone in self._zones.values() for turn in _turns(depth)]
        if len(self._zones) > 1 and len(self._zones) != self.replication_factor:
            parts.append(np.arange(1, SLOTS + 1, dtype=np.uint64) * np.uint64(HASHES // SLOTS) - np.uint64(1))
        return np.unique(np.concatenate(parts))


def _depth(counts: list[int], width: int) -> int:
    """So many of each zone, or all where it has no more, fill a set."""
    depth = 1
    while sum(min(depth, count) for count in counts) < width:
        depth += 1
    return depth


def _switches(entries: Iterable[Instance]) -> list[int]:
    """Epochs at which one of them began or ceased to be written, ascending."""
    return sorted({epoch for one in entries for span in one.spans for epoch in span if epoch})


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

    def replicas(self, ends: NDArray[np.uint64], usable: NDArray[np.bool_], width: int) -> _Sets:
        """int16[ranges, width]: instances of the zone that are usable, each once, NOBODY behind the last."""
        kept = usable[self._places]
        tokens, places = self.tokens[kept], self._places[kept]
        distinct = min(width, int(usable[self.members].sum()))
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


@cache
def _zone_order(names: tuple[str, ...]) -> NDArray[np.int64]:
    """int64[slots, zones]: by rendezvous, so that a new zone takes its turns from all others alike."""
    weights = np.empty((SLOTS, len(names)), np.uint64)
    for column, name in enumerate(names):
        seed = np.frombuffer(name.encode().ljust(8, b"\0")[:8], "<u8")[0] ^ np.uint64(hash_of(name))
        weights[:, column] = mixed(np.arange(SLOTS, dtype=np.uint64) ^ seed)
    return np.argsort(weights, axis=1, kind="stable")


def _pick(replicas: list[_Sets], order: NDArray[np.int64], width: int) -> _Sets:
    """One of each zone in the order of the range, then a second one of each, until the set is full."""
    stacked = np.stack(replicas)
    ranges = np.arange(len(order))
    rounds = [
        stacked[order[:, turn], ranges, depth]
        for depth in range(stacked.shape[2])
        for turn in range(order.shape[1])
    ]
    candidates = np.stack(rounds, axis=1)
    # Those that are there come first, in their order.
    front = np.argsort(candidates == NOBODY, axis=1, kind="stable")[:, :width]
    return np.take_along_axis(candidates, front, axis=1)
