"""The processes: real ring views and memberships, and heads that are sets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np

from rondel.cluster.config import ClusterConfig
from rondel.cluster.forget import forget
from rondel.cluster.identity import Identity
from rondel.cluster.keys import Keys
from rondel.cluster.membership import Member
from rondel.cluster.membership import Settings as MemberSettings
from rondel.cluster.ringview import RingView, Settings
from rondel.errors import Conflict, NotFound, Unavailable
from rondel.kv.memory import MemoryStore
from rondel.kv.session import Session
from rondel.ring.instance import Instance, State
from rondel.ring.membership import admits
from rondel.ring.quorum import Outcome, PushTally, Unanswered, unanswered
from rondel.ring.ring import Ring, Routes
from rondel.runtime.tasks import TaskOwner
from tests.sim.network import Line, Network

__all__ = ["Distributor", "Ingester", "Operator", "Querier", "Sample", "Shared"]

LEASE_S = 6
PATIENCE_S = 10.0
CALL_S = 3.0
SPARED = 0.25
"""share of the members of a set that a write does not even try: copies beyond the quorum hide mistakes"""
SIZE_MAX = 7
"""of a shard"""

Sample = tuple[int, int]
"""(hash of the series, time in ms)"""


@dataclass
class Shared:
    """What all processes of a simulation see."""

    random: Random
    store: MemoryStore
    network: Network
    factor: int
    has_shards: bool = False
    """whether writes go to shards, of sizes that nobody remembers"""
    keys: Keys = field(default_factory=lambda: Keys("sim"))
    blocks: set[Sample] = field(default_factory=set)
    """the object store"""
    founder: str = ""
    """who began the ring, as the object store has it"""
    ingesters: dict[str, Ingester] = field(default_factory=dict)
    """those that run"""
    trace: list[str] = field(default_factory=list)

    def now_ms(self, skew_ms: int = 0) -> int:
        return 1_000_000 + round(asyncio.get_running_loop().time() * 1000) + skew_ms

    def tell(self, text: str) -> None:
        self.trace.append(f"{asyncio.get_running_loop().time():9.3f} {text}")


class Disk:
    """What outlives an ingester's process: the ring, the identity, the log."""

    def __init__(self, cluster: str, id: str, owner: str) -> None:
        self.entries: tuple[Instance, ...] = ()
        self.identity = Identity(cluster, id, owner)
        self.samples: set[Sample] = set()
        self.has_marker = False


@dataclass
class RingMemory:
    """Implements `ringview.Memory`, on a disk or, for processes without one, on nothing."""

    disk: Disk

    def load(self) -> tuple[Instance, ...]:
        return self.disk.entries

    def store(self, entries: tuple[Instance, ...]) -> None:
        self.disk.entries = entries


@dataclass
class IdentityMemory:
    """Implements `identity.IdentityStore`."""

    disk: Disk

    def load(self) -> Identity:
        return self.disk.identity

    def store(self, identity: Identity) -> None:
        self.disk.identity = identity


class Process:
    """A ring view under a lease, and the tasks of one life."""

    def __init__(self, shared: Shared, id: str, disk: Disk, skew_ms: int) -> None:
        self.id = id
        self.shared = shared
        self.skew_ms = skew_ms
        self.line = Line(shared.network, id, shared.store)
        self.session = Session(self.line, LEASE_S, disk.identity.owner)
        settings = Settings(id, shared.factor, shared.has_shards)
        self.view = RingView(self.line, shared.keys, self.session, RingMemory(disk), settings, self.now_ms)
        self.tasks = TaskOwner(id)

    def now_ms(self) -> int:
        return self.shared.now_ms(self.skew_ms)

    def start(self) -> None:
        self.tasks.spawn(self.session.run(), name="session")
        self.tasks.spawn(self.view.run(), name="ring")

    async def kill(self) -> None:
        """Nothing is said to anybody."""
        await self.tasks.close()

    async def call(self, to: str, work: Callable[[Ingester], Awaitable[Any]]) -> Any:
        """Raises Unavailable."""

        async def there() -> Any:
            ingester = self.shared.ingesters.get(to)
            if ingester is None:
                raise Unavailable(f"{to} is not there")
            return await work(ingester)

        try:
            async with asyncio.timeout(CALL_S):
                return await self.shared.network.call(self.id, to, there)
        except TimeoutError as error:
            raise Unavailable(f"{to} is slow") from error


class Ingester(Process):
    """A member whose head is a set of samples."""

    def __init__(self, shared: Shared, me: Instance, disk: Disk, skew_ms: int) -> None:
        super().__init__(shared, me.id, disk, skew_ms)
        self.disk = disk
        self.appending = 0
        self.has_left = False
        """for good: a process would end here"""
        self.member = Member(
            self.line,
            shared.keys,
            self.session,
            self.view,
            me,
            IdentityMemory(disk),
            self.ship,
            self.found,
            self.now_ms,
            MemberSettings(LEASE_S, PATIENCE_S),
        )

    def start(self) -> None:
        super().start()
        self.shared.ingesters[self.id] = self
        self.tasks.spawn(self._live(), name="member")
        self.tasks.spawn(self._repair(), name="repair")

    async def kill(self) -> None:
        self.shared.ingesters.pop(self.id, None)
        await super().kill()

    async def _live(self) -> None:
        own = next((one for one in self.view.ring.instances if one.id == self.id), None)
        if self.disk.has_marker and own and own.state in (State.RETIRING, State.LEAVING):
            self.member.leave()
        await self.member.run()
        self.has_left = True
        self.shared.tell(f"{self.id} has left")

    @property
    def state(self) -> State | None:
        return next((one.state for one in self.view.ring.entries if one.id == self.id), None)

    async def push(self, epoch: int, samples: Sequence[Sample]) -> None:
        await self.member.prepared()
        if not admits(self.view.ring, self.id, epoch, is_push=True):
            raise Unavailable("routed by a ring that is too old")
        self.appending += 1
        try:
            await asyncio.sleep(self.shared.random.uniform(0, 0.02))
            self.disk.samples.update(samples)
        finally:
            self.appending -= 1

    async def select(self, epoch: int) -> tuple[set[Sample], bool]:
        await self.member.prepared()
        if not admits(self.view.ring, self.id, epoch, is_push=False):
            raise Unavailable("asked by a ring that is too old")
        return set(self.disk.samples), self.member.behind_since_ms > 0

    async def ship(self) -> None:
        while self.appending:  # noqa: ASYNC110 (a fake: nothing is told when the last one ends)
            await asyncio.sleep(0.01)
        await asyncio.sleep(self.shared.random.uniform(0.1, 2))
        self.shared.blocks |= self.disk.samples

    async def found(self, owner: str) -> bool:
        await asyncio.sleep(0.05)
        self.shared.founder = self.shared.founder or owner
        return self.shared.founder == owner

    async def _repair(self) -> None:
        """Where the disk was lost: all that the others have, once they are enough."""
        await self.member.prepared()
        while self.member.behind_since_ms:
            await asyncio.sleep(1)
            ring = self.view.ring
            found = await gather(self, ring)
            others = {id: samples for id, samples in found.items() if id != self.id}
            if unanswered(ring, others, 0) is None:
                for samples in others.values():
                    self.disk.samples |= samples
                self.member.caught_up()
                self.shared.tell(f"{self.id} is repaired")


async def gather(process: Process, ring: Ring) -> dict[str, set[Sample]]:
    """What each instance of the ring has that answers and lacks nothing."""

    async def ask(id: str) -> tuple[str, set[Sample] | None]:
        try:
            samples, is_behind = await process.call(id, lambda ingester: ingester.select(ring.epoch))
        except Unavailable:
            return id, None
        return id, None if is_behind else samples

    answers = await asyncio.gather(*(ask(one.id) for one in ring.instances))
    return {id: samples for id, samples in answers if samples is not None}


class Operator(Process):
    """Somebody who knows that an ingester is gone with its disk, and says so until it has left."""

    def __init__(self, shared: Shared, id: str, disk: Disk, lost: str) -> None:
        super().__init__(shared, id, disk, 0)
        self.store, self.keys = self.line, shared.keys
        self.config = ClusterConfig("sim", lease_s=LEASE_S, patience_s=PATIENCE_S)
        self.lost = lost
        self.is_done = False

    def start(self) -> None:
        super().start()
        self.tasks.spawn(self._insist(), name="insist")

    async def _insist(self) -> None:
        await self.view.ready()
        while not self.is_done:
            await asyncio.sleep(self.shared.random.uniform(0.5, 3))
            try:
                done = await forget(self, self.lost, self.now_ms, time_s=5)
                self.is_done = done.state is State.LEFT
                self.shared.tell(f"  {self.lost} is {done.state}, waits for {done.waits_for!r}")
            except NotFound:
                # It had not begun to join, unless the store has lost it.
                self.is_done = all(one.id != self.lost for one in self.view.ring.entries)
            except (Conflict, Unavailable) as error:
                self.shared.tell(f"  {self.lost} is not forgotten: {error}")
        self.shared.tell(f"{self.lost} is forgotten")


class Distributor(Process):
    """Writes by quorum."""

    async def write(self, samples: Sequence[Sample]) -> bool:
        """Whether all of them are acknowledged. They are of one tenant, whoever that is."""
        ring = self.view.ring
        sets = self._routes(ring).of(np.array([hash for hash, _ in samples], np.uint64))
        tally = PushTally(np.arange(len(samples)), sets, ring.replication_factor)
        arrived: asyncio.Queue[tuple[int, bool]] = asyncio.Queue()
        for place in sorted(tally.waiting):
            if self.shared.random.random() < SPARED:
                tally.lost(place)
                continue
            own = [samples[row] for row in np.flatnonzero((sets == place).any(axis=1))]
            self.tasks.spawn(self._push(ring, place, own, arrived), name="push")
        while tally.outcome is Outcome.OPEN:
            place, is_taken = await arrived.get()
            (tally.took if is_taken else tally.lost)(place)
        return tally.outcome is Outcome.WRITTEN

    def _routes(self, ring: Ring) -> Routes:
        if not self.shared.has_shards:
            return ring.writes
        random = self.shared.random
        return ring.writes_of(f"t{random.randrange(6)}", random.randint(0, SIZE_MAX))

    async def _push(
        self, ring: Ring, place: int, samples: Sequence[Sample], arrived: asyncio.Queue[tuple[int, bool]]
    ) -> None:
        try:
            await self.call(ring.entries[place].id, lambda ingester: ingester.push(ring.epoch, samples))
        except Unavailable:
            arrived.put_nowait((place, False))
        else:
            arrived.put_nowait((place, True))


class Querier(Process):
    """Reads all of a time."""

    missing: Unanswered | None = None
    """why the last answer was not complete"""

    async def read(self, since_ms: int) -> set[Sample] | None:
        """None where the answer would not be complete."""
        ring = self.view.ring
        found = await gather(self, ring)
        self.missing = unanswered(ring, found, since_ms)
        if self.missing is not None:
            return None
        # No answer more than are needed: whatever else came is forgotten.
        for id in self.shared.random.sample(sorted(found), len(found)):
            fewer = found.keys() - {id}
            if unanswered(ring, fewer, since_ms) is None:
                del found[id]
        return set(self.shared.blocks).union(*found.values())
