"""`Owned`: the series that the ring gives us count, those that it has given to others leave early.

A change of the ring moves series and not their samples. What others have taken over stays here until it is
in a block: it is not counted against the limit of its tenant, and a few minutes after the change, when
nobody writes it here any more, everything of its tenant is shipped. All of it, not only what is no longer
ours: the log and its markers speak of whole ranges. Series that get no more samples are then empty, and
go.

A tenant with a shard of the ring is judged by it: the sizes of shards are settings, and the same as those of
the distributors.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rondel.errors import RondelError
from rondel.ring.quorum import SKEW_MS
from rondel.ring.ring import Ring, Routes
from rondel.ring.shard import UNSHARDED, Sizes
from rondel.ring.tokens import HASHES
from rondel.runtime import logs
from rondel.runtime.clock import Clock
from rondel.runtime.tasks import TaskOwner, in_thread
from services.ingester.head import Head
from services.ingester.tenant import Tenant, Tenants

__all__ = ["EVERYTHING", "NOTHING", "Owned", "Share", "share_ever", "share_of", "share_since"]

_LOOK_S: Final = 10.0
_log = logs.get(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """Which hashes are ours."""

    ends: NDArray[np.uint64]
    """uint64[n], ascending: the last hash of each range"""
    ours: NDArray[np.bool_]
    """bool[n]"""

    @property
    def part(self) -> float:
        """Of all hashes; over all ingesters that adds up to the replication factor."""
        sizes = np.diff(self.ends.astype(np.float64), prepend=0.0)
        return float(sizes[self.ours].sum() / HASHES)

    def has(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """bool[n]"""
        return self.ours[np.searchsorted(self.ends, hashes)]

    def own(self, head: Head, series_max: int) -> None:
        """Tells a head; of `series_max` series that a tenant may have, 0 for no limit, it gets our part."""
        head.own(self.ends, self.ours, series_max and max(1, math.ceil(series_max * self.part)))

    def is_like(self, other: Share) -> bool:
        """Whether it is the same."""
        return np.array_equal(self.ends, other.ends) and np.array_equal(self.ours, other.ours)


EVERYTHING: Final = Share(np.array([HASHES - 1], np.uint64), np.ones(1, np.bool_))
NOTHING: Final = Share(np.array([HASHES - 1], np.uint64), np.zeros(1, np.bool_))


def share_of(ring: Ring, id: str, tenant: str = "", size: int = 0) -> Share:
    """What an instance has of a tenant whose samples go to `size` instances, 0 for all: as things are and as
    they will be. Everything where the ring does not know it."""
    place = _place(ring, id)
    if place is None:
        return EVERYTHING
    return _share(place, [ring.writes_of(tenant, size), ring.owners_of(tenant, size)])


def share_since(ring: Ring, id: str, since_ms: int, tenant: str = "", size: int = 0) -> Share:
    """What an instance has, and what it may have been given since then: samples do not move with a ring."""
    place = _place(ring, id)
    if place is None:
        return EVERYTHING
    now = [ring.writes_of(tenant, size), ring.owners_of(tenant, size)]
    return _share(place, [*now, *ring.possible(since_ms - SKEW_MS)])


def share_ever(ring: Ring, id: str, since_ms: int, tenant: str, size: int) -> Share:
    """As `share_since`, whatever size the tenant's shard had: nobody remembers that."""
    now = share_since(ring, id, since_ms, tenant, size)
    place = _place(ring, id)
    if place is None:
        return EVERYTHING
    return _joined([now, _share(place, ring.possible_of(id, tenant, since_ms - SKEW_MS))])


def _place(ring: Ring, id: str) -> int | None:
    return next((at for at, one in enumerate(ring.entries) if one.id == id), None)


def _share(place: int, every: Iterable[Routes]) -> Share:
    """What any of these gives to an instance."""
    return _joined([_merged(routes.ends, (routes.sets == place).any(axis=1)) for routes in every])


def _joined(shares: Sequence[Share]) -> Share:
    ends = np.unique(np.concatenate([NOTHING.ends, *(one.ends for one in shares)]))
    ours = np.zeros(len(ends), np.bool_)
    for one in shares:
        ours |= one.has(ends)
    return _merged(ends, ours)


def _merged(ends: NDArray[np.uint64], ours: NDArray[np.bool_]) -> Share:
    """In as few ranges as there can be."""
    last = np.append(ours[1:] != ours[:-1], True)
    return Share(ends[last], ours[last])


@dataclass(slots=True)
class _Turn:
    """When a tenant is shipped next, and how long after that again."""

    at_s: float
    pause_s: float


class Owned:
    """Tells the heads of the ring. `follow` is told of rings; `start` does the rest."""

    def __init__(
        self,
        tenants: Tenants,
        id: str,
        ship: Callable[[str], Awaitable[object]],
        clock: Clock,
        *,
        delay_s: float,
        pause_s: float,
        random: Random,
        sizes: Sizes = UNSHARDED,
    ) -> None:
        """Ships `delay_s` to twice that after a change, and not again within `pause_s`. `sizes` are those of
        the shards of tenants."""
        self.share = EVERYTHING
        """of tenants without a shard"""
        self._tenants = tenants
        self._sizes = sizes
        self._ring = Ring(())
        self._told: dict[str, Share] = {}
        self._id = id
        self._ship = ship
        self._clock = clock
        self._delay_s = delay_s
        self._pause_s = pause_s
        self._random = random
        self._due_s = 0.0
        self._turns: dict[str, _Turn] = {}
        self._changed = asyncio.Event()
        self._tasks = TaskOwner("owned")

    @property
    def failure(self) -> BaseException | None:
        """What killed it: a bug."""
        return self._tasks.failure

    async def start(self) -> None:
        self._tasks.spawn(self._tell(), name="tell")
        self._tasks.spawn(self._loop(), name="ship")

    async def stop(self) -> None:
        await self._tasks.close()

    def follow(self, ring: Ring) -> None:
        """On the event loop."""
        self._ring, self._tenants.owned = ring, self
        share = share_of(ring, self._id)
        if not share.is_like(self.share):
            self.share = share
            self._postpone()
        elif not self._sizes.are_used:
            return
        self._changed.set()

    def own(self, tenant: str, head: Head, series_max: int) -> None:
        """Tells a new head; the others are told in a thread, as is that of a tenant with a shard."""
        if self._sizes.of(tenant):
            self._changed.set()
        else:
            self.share.own(head, series_max)

    def _postpone(self) -> None:
        # Ingesters that lose series to a new one do not all ship at the same time.
        self._due_s = self._clock.monotonic_s() + self._delay_s * self._random.uniform(1.0, 2.0)
        self._turns.clear()

    async def _tell(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            ring, series_max = self._ring, self._tenants.series_max
            for tenant in self._tenants:
                share, size = self.share, self._sizes.of(tenant.name)
                if size:
                    share = await in_thread(partial(share_of, ring, self._id, tenant.name, size))
                await self._own(tenant, share, series_max)

    async def _own(self, tenant: Tenant, share: Share, series_max: int) -> None:
        told = self._told.get(tenant.name)
        if told is not None and told.is_like(share):
            return
        if told is not None and self._sizes.of(tenant.name):
            self._postpone()
        self._told[tenant.name] = share
        await in_thread(partial(share.own, tenant.head, series_max))

    async def _loop(self) -> None:
        while True:
            await self._clock.sleep(_LOOK_S)
            await self.ship_unowned()

    async def ship_unowned(self) -> None:
        """Ships tenants that have series of others, when it is time."""
        now_s = self._clock.monotonic_s()
        if now_s < self._due_s:
            return
        for tenant in self._tenants:
            turn = self._turns.get(tenant.name)
            unowned = tenant.head.series_count - tenant.head.owned_count
            if not unowned or (turn is not None and now_s < turn.at_s):
                continue
            # Whoever still writes them here keeps them here: less and less often is tried again.
            pause_s = self._pause_s if turn is None else 2 * turn.pause_s
            self._turns[tenant.name] = _Turn(now_s + pause_s, pause_s)
            _log.info("series of others are shipped early", tenant=tenant.name, series=unowned)
            try:
                await self._ship(tenant.name)
            except RondelError as error:
                _log.warning("early ship failed, will be tried again", tenant=tenant.name, cause=str(error))
