"""A cluster under a schedule of faults that follows from a seed, and the oracle that watches it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from rondel.kv.memory import MemoryStore
from rondel.ring.instance import Instance, State
from tests.sim.network import STORE, Network
from tests.sim.nodes import Disk, Distributor, Ingester, Operator, Process, Querier, Sample, Shared

__all__ = ["World", "Wrong"]

SKEW_MS = 2_000
FAULTS_S = 45.0
CALM_S = 120.0
"""after which at the latest all is well"""
SERIES = 16


class Wrong(AssertionError):
    """The cluster broke a promise."""


class Lost(Wrong):
    """An acknowledged sample is not found."""


@dataclass
class Place:
    """Where an ingester runs, or does not run at the moment."""

    me: Instance
    disk: Disk
    skew_ms: int
    is_wanted: bool = True
    """False once it is told to leave"""
    process: Ingester | None = None


class World:
    """One simulation: `await World(seed).run()`."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.zones = self.random.choice([(2, 2, 2), (2, 1, 1), (1, 1, 1), (2, 2), (4,), (1, 1, 1, 1)])
        factor = self.random.choice([3, 3, 3, 3, 2])
        loop = asyncio.get_running_loop()
        self.store = MemoryStore(loop.time)
        self.network = Network(self.random)
        self.shared = Shared(self.random, self.store, self.network, factor, has_shards=seed % 2 == 0)
        self.places: dict[str, Place] = {}
        self.distributors: dict[str, Distributor] = {}
        self.queriers: dict[str, Querier] = {}
        self.operators: list[Operator] = []
        """each forgets an ingester"""
        self.acknowledged: dict[Sample, float] = {}
        """each with when it was"""
        self.complete_reads = 0
        self._owners = 0
        self._backup = self.store.backup()

    # --- life ---

    async def run(self) -> None:
        for zone, count in enumerate(self.zones):
            for number in range(count):
                self.add("abcd"[zone], number)
        for number in range(2):
            self.start_stateless(f"writer{number}")
            self.start_stateless(f"reader{number}")
        loads = [asyncio.ensure_future(one()) for one in (self._tick, self._write, self._write, self._read)]
        try:
            await asyncio.sleep(self.random.uniform(3, 12))
            await self._misfortune()
            await self._recover()
            await self._calm()
            for load in loads:
                if load.done():
                    load.result()
        finally:
            for load in loads:
                load.cancel()
            await asyncio.gather(*loads, return_exceptions=True)
            for process in [*self._processes()]:
                await process.kill()
            await asyncio.sleep(0)

    def add(self, zone: str, number: int) -> None:
        id = f"{zone}{number}"
        me = Instance(id, zone, f"{id}:1", number, State.JOINING)
        self.places[id] = Place(me, self._new_disk(id), self.random.randint(-SKEW_MS, SKEW_MS))
        self.start(id)

    def start(self, id: str) -> None:
        place = self.places[id]
        place.process = Ingester(self.shared, place.me, place.disk, place.skew_ms)
        place.process.start()

    def start_stateless(self, id: str) -> None:
        """As after a restart: nothing is remembered."""
        skew_ms = self.random.randint(-SKEW_MS, SKEW_MS)
        if id.startswith("writer"):
            self.distributors[id] = Distributor(self.shared, id, self._new_disk(id), skew_ms)
            self.distributors[id].start()
        else:
            self.queriers[id] = Querier(self.shared, id, self._new_disk(id), skew_ms)
            self.queriers[id].start()

    def _new_disk(self, id: str) -> Disk:
        self._owners += 1
        return Disk("sim", id, f"{id}-{self._owners}")

    def _processes(self) -> list[Process]:
        running = [place.process for place in self.places.values() if place.process]
        return [*running, *self.distributors.values(), *self.queriers.values(), *self.operators]

    # --- load and oracle ---

    async def _tick(self) -> None:
        """Leases end whether somebody asks or not."""
        while True:
            await asyncio.sleep(0.5)
            self.store.tick()

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.random.uniform(0.1, 1.2))
            distributor = self.random.choice(list(self.distributors.values()))
            samples = self._fresh()
            try:
                async with asyncio.timeout(10):
                    if await distributor.write(samples):
                        self.acknowledged |= dict.fromkeys(samples, loop.time())
            except (TimeoutError, RuntimeError):
                continue  # It froze, or was killed meanwhile.

    def _fresh(self) -> list[Sample]:
        return [(self.random.getrandbits(64), self.shared.now_ms()) for _ in range(SERIES)]

    async def _read(self) -> None:
        while True:
            await asyncio.sleep(self.random.uniform(0.3, 2.0))
            since_ms = 0
            if self.random.random() < 0.6:
                since_ms = self.shared.now_ms() - self.random.randint(1_000, 40_000)
            await self._read_once(self.random.choice(list(self.queriers.values())), since_ms)

    async def _read_once(self, querier: Querier, since_ms: int) -> bool:
        expected = [one for one in self.acknowledged if one[1] >= since_ms]
        try:
            async with asyncio.timeout(10):
                found = await querier.read(since_ms)
        except (TimeoutError, RuntimeError):
            return False
        if found is None:
            return False
        self.complete_reads += 1
        lost = [one for one in expected if one not in found]
        if lost:
            ring = [(one.id, str(one.state), one.epoch, one.spans) for one in querier.view.ring.entries]
            self.shared.tell(f"{querier.id} claims to be complete and lacks {lost[:3]} by {ring}")
            raise Lost(f"{querier.id} misses {len(lost)} acknowledged samples since {since_ms}")
        return True

    # --- faults ---

    async def _misfortune(self) -> None:
        end_s = asyncio.get_running_loop().time() + FAULTS_S
        faults: list[tuple[Callable[[], object], int]] = [
            (self._crash, 5),
            (self._restart, 6),
            (self._restart_stateless, 3),
            (self._freeze, 3),
            (self._thaw, 3),
            (self._cut, 4),
            (self._isolate, 2),
            (self._heal, 4),
            (self._worsen, 1),
            (self._store_down, 2),
            (self._store_up, 4),
            (self.store.compact, 2),
            (self._wipe, 1),
            (self._restore, 1),
            (self._save, 1),
            (self._join, 3),
            (self._leave, 3),
            (self._stay, 1),
            (self._lose_disk, 1),
            (self._forget, 1),
        ]
        kinds, weights = [one for one, _ in faults], [weight for _, weight in faults]
        while asyncio.get_running_loop().time() < end_s:
            await asyncio.sleep(self.random.expovariate(1 / 1.5))
            [fault] = self.random.choices(kinds, weights)
            self.shared.tell(getattr(fault, "__name__", str(fault)))
            result = fault()
            if asyncio.iscoroutine(result):
                await result

    def _running(self) -> list[Place]:
        return [place for place in self.places.values() if place.process]

    async def _crash(self) -> None:
        if self._running():
            place = self.random.choice(self._running())
            self.shared.tell(f"  {place.me.id}")
            process, place.process = place.process, None
            assert process
            await process.kill()

    def _restart(self) -> None:
        down = [place for place in self.places.values() if not place.process]
        if down:
            place = self.random.choice(down)
            self.shared.tell(f"  {place.me.id}")
            self.start(place.me.id)

    async def _restart_stateless(self) -> None:
        id = self.random.choice([*self.distributors, *self.queriers])
        self.shared.tell(f"  {id}")
        await (self.distributors.get(id) or self.queriers[id]).kill()
        self.start_stateless(id)

    def _names(self) -> list[str]:
        return [*self.places, *self.distributors, *self.queriers]

    def _freeze(self) -> None:
        self.network.freeze(self.random.choice(self._names()))

    def _thaw(self) -> None:
        self.network.thaw(self.random.choice(self._names()))

    def _cut(self) -> None:
        start, end = self.random.sample([*self._names(), STORE, STORE], 2)
        self.shared.tell(f"  {start} {end}")
        self.network.cuts |= {(start, end)} | ({(end, start)} if self.random.random() < 0.7 else set())

    def _isolate(self) -> None:
        """Some processes see each other and nobody else."""
        names = self._names()
        island = set(self.random.sample(names, self.random.randint(1, len(names) // 2)))
        self.shared.tell(f"  {sorted(island)}")
        rest = {*names, STORE} - island
        self.network.cuts |= {(one, two) for one in island for two in rest}
        self.network.cuts |= {(two, one) for one in island for two in rest}

    def _heal(self) -> None:
        self.network.cuts.clear()
        self.network.loss = self.network.slow_s = 0.0

    def _worsen(self) -> None:
        self.network.loss, self.network.slow_s = self.random.choice([(0.05, 0.2), (0.0, 1.5), (0.2, 0.0)])

    def _store_down(self) -> None:
        self.store.is_down = True

    def _store_up(self) -> None:
        if self.store.is_down:
            self.store.bring_up()

    def _wipe(self) -> None:
        self.store.wipe()

    def _save(self) -> None:
        self._backup = self.store.backup()

    def _restore(self) -> None:
        self.store.restore(self._backup)

    def _join(self) -> None:
        zone = self.random.choice("abcd"[: len(self.zones)])
        known = [*self.places, *(one.lost for one in self.operators)]
        number = sum(id.startswith(zone) for id in known)
        if number < 4:
            self.shared.tell(f"  {zone}{number}")
            self.add(zone, number)

    def _leave(self) -> None:
        staying = [place for place in self._running() if place.is_wanted]
        if len(staying) > 3:
            place = self.random.choice(staying)
            self.shared.tell(f"  {place.me.id}")
            place.is_wanted, place.disk.has_marker = False, True
            assert place.process
            place.process.member.leave()

    def _stay(self) -> None:
        going = [
            one
            for one in self._running()
            if not one.is_wanted and one.process and one.process.member.is_leaving
        ]
        for place in going[:1]:
            assert place.process
            if not place.process.has_left and place.process.state is not State.LEFT:
                place.is_wanted, place.disk.has_marker = True, False
                place.process.member.stay()

    async def _lose_disk(self) -> None:
        """One at a time: the store knows the ring, and nobody else lacks anything."""
        behind = [one for one in self._running() if one.process and one.process.member.behind_since_ms]
        if behind or self.operators or self.store.is_down or len(self._running()) < len(self.places):
            return
        place = self.random.choice(self._running())
        self.shared.tell(f"  {place.me.id}")
        process = place.process
        assert process
        await process.kill()
        place.disk = self._new_disk(place.me.id)
        place.disk.has_marker = not place.is_wanted
        self.start(place.me.id)

    async def _forget(self) -> None:
        """One goes with its disk and stays away; one in a schedule, and nobody else lacks anything."""
        behind = [one for one in self._running() if one.process and one.process.member.behind_since_ms]
        if behind or self.operators or len(self._running()) < max(4, len(self.places)):
            return
        place = self.random.choice(self._running())
        self.shared.tell(f"  {place.me.id}")
        del self.places[place.me.id]
        assert place.process
        await place.process.kill()
        self.operators.append(Operator(self.shared, "operator", self._new_disk("operator"), place.me.id))
        self.operators[-1].start()

    # --- the end ---

    async def _recover(self) -> None:
        self.shared.tell("all is well again")
        self.network.heal()
        self._store_up()
        for place in self.places.values():
            if not place.process:
                self.start(place.me.id)
            assert place.process
            if not place.is_wanted:
                place.process.member.leave()

    async def _calm(self) -> None:
        loop = asyncio.get_running_loop()
        end_s = loop.time() + CALM_S
        while True:
            await asyncio.sleep(3)
            try:
                return await self._check_calm()
            except Lost:
                raise
            except Wrong:
                if loop.time() > end_s:
                    raise

    async def _check_calm(self) -> None:
        """What was asked for has happened, and everything is answered again."""
        for process in self._processes():
            if process.tasks.failure:
                raise Wrong(f"{process.id} died of {process.tasks.failure!r}")
        for place in self.places.values():
            assert place.process
            wanted = State.ACTIVE if place.is_wanted else State.LEFT
            if (place.process.state or State.LEFT) is not wanted:
                raise Wrong(
                    f"{place.me.id} is {place.process.state}, not {wanted}: it waits for "
                    f"{place.process.member.waits_for!r}"
                )
        for operator in self.operators:
            if not operator.is_done:
                raise Wrong(f"{operator.lost} is not forgotten")
        for querier in self.queriers.values():
            if not await self._read_once(querier, 0):
                raise Wrong(f"{querier.id} cannot read: {querier.missing}")
        for distributor in self.distributors.values():
            tries = [await distributor.write(self._fresh()) for _ in range(12)]
            if not any(tries):
                raise Wrong(f"{distributor.id} cannot write")
