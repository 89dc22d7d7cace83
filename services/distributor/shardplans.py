"""`ShardPlans`: plans of tenants that have a shard of the ring, each made when first asked for."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from rondel.errors import Unavailable
from rondel.ring.ring import Ring
from rondel.ring.shard import Sizes
from rondel.ring.tokens import TOKENS
from rondel.runtime.tasks import TaskOwner, in_thread
from services.distributor.plan import Plan

__all__ = ["ShardPlans"]

_RANGES_MAX: Final = 2 << 20
"""ranges of all plans that are kept, 30 to 50 bytes each"""


class ShardPlans:
    """Of one ring, those that were asked for last. On the event loop; what is computed is in a thread."""

    def __init__(self, sizes: Sizes, tasks: TaskOwner, ranges_max: int = _RANGES_MAX) -> None:
        """`tasks` runs what is under way, and ends it."""
        self._sizes = sizes
        self._tasks = tasks
        self._ranges_max = ranges_max
        self._ring: Ring | None = None
        self._known: dict[str, asyncio.Task[Plan]] = {}
        """the one that was asked for last comes last"""
        self._ranges = 0

    def __len__(self) -> int:
        return len(self._known)

    async def of(self, whole: Plan, tenant: str) -> Plan:
        """The tenant's part of a plan; the plan itself for one without a shard. Raises Unavailable."""
        size = self._sizes.of(tenant)
        if not size:
            return whole
        ring = whole.ring
        if ring is not self._ring:
            self._ring, self._known, self._ranges = ring, {}, 0
        planned = self._known.pop(tenant, None)
        if planned is None:
            planned = self._tasks.spawn(in_thread(partial(Plan, ring, tenant, size)), name=f"plan {tenant}")
            self._ranges += self._cost(ring, tenant)
        self._known[tenant] = planned
        self._forget(ring)
        if not planned.done():
            await asyncio.wait({planned})
        if planned.cancelled():
            raise Unavailable("the distributor is stopping", retry_after_s=1.0)
        return planned.result()

    def _forget(self, ring: Ring) -> None:
        """Those that nobody has asked for in a long time; who waits for one has it."""
        while self._ranges > self._ranges_max and len(self._known) > 1:
            oldest = next(iter(self._known))
            del self._known[oldest]
            self._ranges -= self._cost(ring, oldest)

    def _cost(self, ring: Ring, tenant: str) -> int:
        """About as many ranges as the instances of its shard have tokens."""
        return min(self._sizes.of(tenant), len(ring.instances)) * TOKENS
