"""`Fanout`: a batch to the ingesters of its replica sets, and their answers to one result.

A batch is routed by the ring that is known now, goes to each ingester as a parcel, and is done when a write
quorum of every replica set has it. Whoever is slower is not waited for, but still gets it, within bounds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from rondel.errors import CallerError, RateLimited, RondelError, Unavailable
from rondel.model.write import PushResult, WriteBatch
from rondel.ring.instance import Instance, State
from rondel.ring.membership import RING_EPOCH
from rondel.ring.quorum import Outcome
from rondel.ring.ring import Ring
from rondel.ring.shard import UNSHARDED, Sizes
from rondel.rpc.push import Undelivered
from rondel.runtime import logs
from rondel.runtime.clock import Clock
from rondel.runtime.tasks import TaskOwner, in_thread
from services.distributor.background import Background
from services.distributor.config import FanoutConfig
from services.distributor.destination import Sent, Taken
from services.distributor.fanoutmetrics import FanoutMetrics
from services.distributor.plan import Lot, Plan, Target, lack_of
from services.distributor.round import Round
from services.distributor.shardplans import ShardPlans

__all__ = ["Fanout", "Rings"]

_log = logs.get(__name__)

_THREAD_BYTES_MIN: Final = 1 << 20
"""Batches from this size on are routed in a thread, so that the event loop goes on meanwhile."""
_SETTLE_S: Final = 2.0
"""how long a stop waits for pushes beyond their quorum"""


class Rings(Protocol):
    """Who follows the ring."""

    def subscribe(self, on_ring: Callable[[Ring], None]) -> None:
        """Tells of every ring from now on, the present one first."""


class Fanout:
    """Implements `services.distributor.push.Ingester`."""

    def __init__(
        self,
        rings: Rings,
        config: FanoutConfig,
        clock: Clock,
        metrics: FanoutMetrics,
        open_target: Callable[[Instance, Sent], Target],
        sizes: Sizes = UNSHARDED,
    ) -> None:
        """`sizes` are those of the shards of tenants."""
        self._rings = rings
        self._config = config
        self._clock = clock
        self._metrics = metrics
        self._open_target = open_target
        self._targets: dict[str, Target] = {}
        self._ring: Ring | None = None
        self._planned: asyncio.Task[Plan] | None = None
        self._moved = asyncio.Event()
        self._background = Background(config.background_bytes_max)
        self._stopping = False
        self._tasks = TaskOwner("fanout")
        self._shards = ShardPlans(sizes, self._tasks)
        metrics.watch(self._targets, self._background)

    async def start(self) -> None:
        """From here on the ring is followed."""
        self._rings.subscribe(self._on_ring)

    async def stop(self) -> None:
        """Pushes beyond their quorum have a moment to end; all others get Unavailable."""
        await self._background.settled(_SETTLE_S)
        self._stopping = True
        self._planned = None
        await self._tasks.close()
        await asyncio.gather(*(target.close() for target in self._targets.values()))
        self._targets.clear()

    @property
    def waiting(self) -> str:
        """Why nothing can be written; empty where it can."""
        return "none is known yet" if self._ring is None else lack_of(self._ring)

    async def push(self, tenant: str, batch: WriteBatch) -> PushResult:
        """Returns once a write quorum has all it accepted in a synced WAL. Raises Unavailable."""
        started_s = self._clock.monotonic_s()
        round = await self._routed(tenant, batch)
        outcome = round.decided.result()
        self._metrics.pushes.add(outcome.value)
        if outcome is Outcome.FAILED:
            raise round.failure()
        self._metrics.quorum.observe(self._clock.monotonic_s() - started_s)
        return round.result()

    async def _routed(self, tenant: str, batch: WriteBatch) -> Round:
        """A decided round by the newest ring that comes in time, where those before were too old."""
        plan = await self._plan(tenant)
        round = await self._sent(plan, tenant, batch)
        until_s = 0.0
        while round.decided.result() is Outcome.FAILED and round.is_late:
            now_s = self._clock.monotonic_s()
            until_s = until_s or now_s + self._config.ring_wait_s
            newer = await self._newer(plan.ring, tenant, until_s - now_s)
            if newer is None:
                break
            self._metrics.rerouted.value += 1
            plan, round = newer, await self._sent(newer, tenant, batch)
        return round

    async def _plan(self, tenant: str) -> Plan:
        """The newest of a tenant. Raises Unavailable where it has no write quorum."""
        planned = self._planned
        if planned is None or self._ring is None:
            raise Unavailable("the ring is not known yet", retry_after_s=2.0)
        lack = lack_of(self._ring)
        if lack:
            self._metrics.pushes.add("unready")
            raise Unavailable(lack, id="distributor-ring-too-small")
        if not planned.done():
            await asyncio.wait({planned})
        if planned.cancelled() or self._stopping:
            raise Unavailable("the distributor is stopping", retry_after_s=1.0)
        return await self._shards.of(planned.result(), tenant)

    async def _newer(self, than: Ring, tenant: str, wait_s: float) -> Plan | None:
        """The plan of a newer ring, None where none comes in time."""
        try:
            async with asyncio.timeout(wait_s):
                while self._ring is None or self._ring.epoch <= than.epoch:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return None
        return await self._plan(tenant)

    async def _sent(self, plan: Plan, tenant: str, batch: WriteBatch) -> Round:
        """Returns when the batch is decided."""
        split = partial(plan.split, tenant, batch, plan.reached(self._targets))
        size_bytes = batch.size_bytes
        parts = split() if size_bytes < _THREAD_BYTES_MIN else await in_thread(split)
        round = Round(batch, parts.set_of, plan.routing.sets, plan.ring.replication_factor)
        for missing in parts.missing:
            self._lose(round, missing.member, missing.id, missing.why)
        tasks = [
            (lot, self._tasks.spawn(self._deliver(round, tenant, lot, plan.ring.epoch), name="push"))
            for lot in parts.lots
        ]
        round.judge()
        try:
            await round.decided
        finally:
            for lot, task in tasks:
                if not task.done():
                    self._background.add(task, len(lot.parcel.payload) + size_bytes)
        return round

    async def _deliver(self, round: Round, tenant: str, lot: Lot, epoch: int) -> None:
        """One parcel, to its end; whatever that is, the round learns it."""
        try:
            if len(lot.parcel):
                taken = await lot.target.push(tenant, lot.parcel, epoch, self._config.timeout_s)
            else:
                taken = Taken()  # All of it was metadata that is known.
            round.took(lot.member, lot.id, taken)
        except RateLimited as error:
            self._lose(round, lot.member, lot.id, error)
        except CallerError as error:
            # This ingester will never take it. Whether the client hears of it, a quorum says.
            round.refused(lot.member, lot.id, error, lot.parcel.rows)
        except RondelError as error:
            self._lose(round, lot.member, lot.id, error)
        except asyncio.CancelledError:
            round.lost(lot.member, lot.id, Unavailable("the distributor is stopping"))
            raise
        except Exception as bug:
            _log.error("push failed", error=bug, ingester=lot.id)
            self._lose(round, lot.member, lot.id, Unavailable(f"internal error: {type(bug).__name__}"))

    def _lose(self, round: Round, member: int, id: str, error: RondelError) -> None:
        self._metrics.count_lost(id, _reason(error))
        round.lost(member, id, error)

    def _on_ring(self, ring: Ring) -> None:
        if self._stopping:
            return
        known, self._ring = self._ring, ring
        if known is not None and (known.entries, known.epoch) == (ring.entries, ring.epoch):
            return
        self._follow(ring)
        self._planned = self._tasks.spawn(in_thread(partial(Plan, ring)), name="plan")
        self._moved.set()

    def _follow(self, ring: Ring) -> None:
        """Streams to those that are written or will be, at the addresses that they have now."""
        wanted = {one.id: one for one in ring.instances if one.state.is_written or one.state is State.JOINING}
        for id, target in list(self._targets.items()):
            if id not in wanted or wanted[id].address != target.address:
                del self._targets[id]
                self._tasks.spawn(target.close(self._config.timeout_s), name=f"close {id}")
        for id in wanted.keys() - self._targets.keys():
            target = self._targets[id] = self._open_target(wanted[id], self._metrics.sent_of(id))
            target.start()


def _reason(error: RondelError) -> str:
    if isinstance(error, Undelivered):
        return error.reason.value
    return "ring_epoch" if getattr(error, "id", "") == RING_EPOCH else "refused"
