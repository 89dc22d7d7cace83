"""An ingester that lives and dies many times on one disk, in random ways, and loses nothing acknowledged.

A life starts on what the last one left, pushes and ships at once, meets failing disk calls and a failing
object store, cancels those who wait, and ends by a stop, a kill (what was written stays; what was not synced
may still go) or a power cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest

from rondel.errors import RondelError, Unavailable
from rondel.runtime.clock import FakeClock
from services.ingester.config import Config, HeadConfig, ShipConfig, WalConfig
from services.ingester.push import Ingester
from services.ingester.ship import BlockSink, Shipper
from tests.support.disks import FaultyDisk
from tests.support.ingesters import NOW_MS, Samples, batch, contents_of, make
from tests.support.sinks import Shelf

SEEDS = 40
LIVES = 8
RANGE_MS = 1_000
TENANTS = ("a", "b")
Point = tuple[str, str, int]


def value_at(time_ms: int) -> float:
    return float(time_ms % 9_973)


class World:
    """The disk, the object store, and what a client may rely on; they outlive every ingester."""

    def __init__(self, seed: int) -> None:
        self.choice = random.Random(seed)
        self.disk = FaultyDisk()
        self.shelves = {tenant: Shelf() for tenant in TENANTS}
        self.acknowledged: set[Point] = set()
        self.tried: set[Point] = set()
        self.life = 0
        small = self.choice.random() < 0.5
        self.mixed = self.choice.random() < 0.7
        self.config = Config(
            head=HeadConfig(out_of_order_time_window_ms=10**9, exemplars_per_series_max=10**6),
            wal=WalConfig(segment_size_bytes_max=300 if small else 1 << 20),
            ship=ShipConfig(range_ms=RANGE_MS, series_per_batch=2),
        )

    async def live(self) -> None:
        """One life; the disk is then what the next one finds."""
        choice, disk = self.choice, self.disk
        self.life += 1
        disk.fail_at = disk.calls + choice.randrange(1, 80) if choice.random() < 0.5 else 0
        disk.die, disk.tear = choice.random() < 0.5, choice.random() < 0.5
        ingester = make(disk, self.config, clock=FakeClock(NOW_MS))
        try:
            await ingester.start()
        except RondelError:
            await self._end(ingester, [])
            return
        self.check(ingester)
        await self._end(ingester, await self._work(ingester))

    async def _work(self, ingester: Ingester) -> list[asyncio.Task[None]]:
        choice, life = self.choice, self.life
        ships = Shipper(
            ingester,
            self.config,
            open_sink=lambda tenant: self._open(life, tenant),
            announce=lambda _: None,
            clock=FakeClock(NOW_MS),
        )
        tasks: list[asyncio.Task[None]] = []
        for _ in range(choice.randrange(1, 25)):
            ship = choice.random() < 0.3
            named = choice.choice([None, None, *TENANTS])
            tasks.append(
                asyncio.ensure_future(self._ship(ships, named) if ship else self._push(ingester, life))
            )
            kind = choice.random()
            if kind < 0.4:
                await asyncio.wait(tasks[-1:])
            elif kind < 0.7:
                await asyncio.sleep(choice.choice([0, 0, 0.0005]))
            elif kind < 0.8:
                choice.choice(tasks).cancel()
        return tasks

    async def _push(self, ingester: Ingester, life: int) -> None:
        tenant, points = self._points()
        self.tried.update((tenant, name, time_ms) for name, times in points.items() for time_ms, _ in times)
        try:
            await ingester.push(tenant, batch(points, mixed=self.mixed))
        except Unavailable:
            return
        if life == self.life:
            self.acknowledged.update(
                (tenant, name, time_ms) for name, times in points.items() for time_ms, _ in times
            )

    def _points(self) -> tuple[str, Samples]:
        """New samples, or old ones again: a client repeats what was not acknowledged."""
        choice = self.choice
        unknown = sorted(self.tried - self.acknowledged)
        if unknown and choice.random() < 0.4:
            tenant, name, time_ms = choice.choice(unknown)
            return tenant, {name: [(time_ms, value_at(time_ms))]}
        names = choice.sample([f"m{number}" for number in range(4)], choice.randrange(1, 4))
        times = sorted(choice.sample(range(3 * RANGE_MS), choice.randrange(1, 4)))
        points = [(NOW_MS - time_ms, value_at(NOW_MS - time_ms)) for time_ms in reversed(times)]
        return choice.choice(TENANTS), dict.fromkeys(names, points)

    async def _ship(self, ships: Shipper, tenant: str | None) -> None:
        for shelf in self.shelves.values():
            shelf.failures = self.choice.choice([0, 0, 1, 2])
        with contextlib.suppress(RondelError):
            await ships.flush(tenant)

    def _open(self, life: int, tenant: str) -> BlockSink:
        if life != self.life:
            raise Unavailable("the process is dead")
        return self.shelves[tenant].open(tenant)

    async def _end(self, ingester: Ingester, tasks: list[asyncio.Task[None]]) -> None:
        how = self.choice.choice(["stop", "kill", "power cut"])
        if how == "stop":
            await asyncio.gather(*tasks, return_exceptions=True)
            await ingester.stop()
            self.disk = self.disk.killed()
            return
        kept = self.choice.choice([0, 0, 7, 1 << 20])
        after = self.disk.killed() if how == "kill" else self.disk.crash(keep_unsynced=kept)
        self.life += 1
        self.disk.fail_at, self.disk.die = 1, True
        await asyncio.gather(*tasks, return_exceptions=True)
        await ingester.stop()
        self.disk = after

    def check(self, ingester: Ingester) -> None:
        """What a query sees now: heads and blocks, each kind of content by itself."""
        for kind in ("floats", "starts", "histograms", "exemplars") if self.mixed else ("floats",):
            held: set[Point] = set()
            for tenant, shelf in self.shelves.items():
                for found in (contents_of(ingester, tenant), shelf.contents()):
                    for name, points in found[kind].items():
                        assert all(value == value_at(time_ms) for time_ms, value in points)
                        held.update((tenant, name, time_ms) for time_ms, _ in points)
            lost = self.acknowledged - held
            assert not lost, f"{kind} lost in life {self.life}: {sorted(lost)[:3]}"
            assert held <= self.tried


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_nothing_acknowledged_is_lost_in_any_life(seed: int) -> None:
    world = World(seed)
    for _ in range(LIVES):
        await world.live()
    world.disk.fail_at = 0
    ingester = make(world.disk, world.config, clock=FakeClock(NOW_MS))
    await ingester.start()
    world.check(ingester)
    await ingester.stop()
