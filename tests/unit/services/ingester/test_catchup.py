"""When something may be lacking, it is repaired; before that the note of how far we are stands still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from prometheus_client import CollectorRegistry

from rondel.errors import Unavailable
from rondel.ring.ring import Ring
from rondel.runtime.clock import FakeClock
from services.ingester.alive import Alive, AliveFile
from services.ingester.catchup import CatchUp
from services.ingester.repair import RepairMetrics
from tests.support.ingesters import NOW_MS
from tests.support.rpc import eventually
from tests.unit.rondel.ring.test_ring import fleet

FIRST_MS = -(1 << 63)
MARGIN_MS, AHEAD_MS = 300_000, 600_000


@dataclass
class Here:
    """Implements `Place`."""

    id: str = "a0"
    is_held: bool = True
    terms: int = 1
    is_leaving: bool = False
    behind_since_ms: int = 0
    seen: Ring = field(default_factory=lambda: fleet(1, 1, 1))

    def ring(self) -> Ring:
        return self.seen

    async def prepared(self) -> None:
        return None

    def caught_up(self) -> None:
        self.behind_since_ms = 0


class Repairs:
    """Remembers the ranges."""

    def __init__(self) -> None:
        self.ranges: list[tuple[int, int]] = []
        self.failures = 0
        self.is_waiting = False
        self.go = asyncio.Event()
        self.go.set()

    async def run(self, mint_ms: int, maxt_ms: int) -> int:
        self.is_waiting = True
        await self.go.wait()
        self.is_waiting = False
        self.ranges.append((mint_ms, maxt_ms))
        if self.failures:
            self.failures -= 1
            raise Unavailable("not all have answered")
        return 0


class Clock(FakeClock):
    """Whoever sleeps may oversleep."""

    leap_s = 0.0

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.leap_s


class World:
    def __init__(self, folder: Path, before: Alive | None, here: Here) -> None:
        self.clock = Clock(NOW_MS)
        self.here, self.repairs, self.file = here, Repairs(), AliveFile(folder / "alive.json")
        self.failed: list[BaseException] = []
        self.refused = 0
        self.catchup = CatchUp(
            here,
            self.repairs,
            self.file,
            self.clock,
            RepairMetrics(CollectorRegistry()),
            segment=lambda: 3,
            interval_s=5,
            margin_ms=MARGIN_MS,
            ahead_ms=AHEAD_MS,
            frozen_s=20,
            random=Random(1),
            on_failure=self.failed.append,
            refused=lambda: self.refused,
        )
        self.catchup.begin(before, "boot", ())

    async def advance(self, seconds: int) -> None:
        """Notes are written in a thread: time waits for it."""
        for _ in range(seconds):
            await self.clock.advance(1)
            await eventually(lambda: self.clock.sleepers or self.repairs.is_waiting)

    async def noted_ms(self) -> int:
        """Of the last note, from the start on."""
        await eventually(lambda: self.file.load() == self.catchup._note)
        return self.catchup._note.whole_ms - NOW_MS


@asynccontextmanager
async def world(folder: Path, before: Alive | None = None, here: Here | None = None) -> AsyncIterator[World]:
    one = World(folder, before, here or Here())
    await one.catchup.start()
    yield one
    await one.catchup.stop()
    assert one.failed == []


async def test_a_new_directory_lacks_nothing_and_notes_how_far_it_is(tmp_path: Path) -> None:
    async with world(tmp_path) as one:
        await one.advance(60)
        assert one.repairs.ranges == []
        assert 50_000 < await one.noted_ms() <= 60_000
        assert one.catchup.lag_s == 0


async def test_a_restart_asks_for_what_came_after_the_last_note(tmp_path: Path) -> None:
    async with world(tmp_path, Alive(NOW_MS - 90_000, "boot")) as one:
        one.repairs.go.clear()
        await one.advance(30)
        assert await one.noted_ms() == -90_000
        assert one.catchup.lag_s == 120
        one.repairs.go.set()
        await one.advance(30)
        [(mint_ms, maxt_ms)] = one.repairs.ranges
        assert mint_ms == NOW_MS - 90_000 - MARGIN_MS
        assert NOW_MS + AHEAD_MS <= maxt_ms <= NOW_MS + 2_000 + AHEAD_MS
        assert await one.noted_ms() > 30_000


async def test_a_note_of_a_clock_that_was_set_back_says_nothing(tmp_path: Path) -> None:
    async with world(tmp_path, Alive(NOW_MS + 3_600_000, "boot")) as one:
        await one.advance(10)
        assert [mint_ms for mint_ms, _ in one.repairs.ranges] == [FIRST_MS]
        assert await one.noted_ms() <= 10_000


async def test_a_lease_that_ended_is_followed_by_a_repair_once_it_is_back(tmp_path: Path) -> None:
    async with world(tmp_path) as one:
        await one.advance(60)
        noted_ms = await one.noted_ms()
        one.here.is_held = False
        await one.advance(60)
        assert one.repairs.ranges == []
        assert await one.noted_ms() == noted_ms
        one.here.is_held = True
        await one.advance(60)
        [(mint_ms, _)] = one.repairs.ranges
        assert mint_ms == NOW_MS + noted_ms - MARGIN_MS
        assert await one.noted_ms() > 170_000


async def test_a_lease_that_ended_and_came_back_between_two_looks_is_noticed(tmp_path: Path) -> None:
    async with world(tmp_path) as one:
        await one.advance(60)
        noted_ms = await one.noted_ms()
        one.here.terms += 1
        await one.advance(60)
        assert [mint_ms for mint_ms, _ in one.repairs.ranges] == [NOW_MS + noted_ms - MARGIN_MS]


async def test_what_the_disk_refused_comes_from_the_replicas(tmp_path: Path) -> None:
    async with world(tmp_path) as one:
        await one.advance(60)
        noted_ms = await one.noted_ms()
        one.refused += 3
        await one.advance(10)
        assert [mint_ms for mint_ms, _ in one.repairs.ranges] == [NOW_MS + noted_ms - MARGIN_MS]
        await one.advance(60)
        assert len(one.repairs.ranges) == 1


async def test_a_note_that_the_disk_refuses_is_no_failure(tmp_path: Path) -> None:
    async with world(tmp_path) as one:
        await one.advance(30)
        noted = one.file.load()
        (tmp_path / "in the way").touch()
        one.catchup._file = AliveFile(tmp_path / "in the way" / "alive.json")
        await one.advance(30)
        one.catchup.closed()
        assert one.file.load() == noted


async def test_a_freeze_is_followed_by_a_repair(tmp_path: Path) -> None:
    async with world(tmp_path) as one:
        await one.advance(60)
        noted_ms = await one.noted_ms()
        one.clock.leap_s = 40
        await one.advance(10)
        assert [mint_ms for mint_ms, _ in one.repairs.ranges] == [NOW_MS + noted_ms - MARGIN_MS]


async def test_who_is_behind_asks_for_everything_and_then_says_that_it_is_not(tmp_path: Path) -> None:
    async with world(tmp_path, here=Here(behind_since_ms=1)) as one:
        one.repairs.failures = 2
        await one.advance(15)
        assert one.here.behind_since_ms == 1
        await one.advance(60)
        assert [mint_ms for mint_ms, _ in one.repairs.ranges] == [FIRST_MS] * 3
        assert one.here.behind_since_ms == 0


async def test_who_is_behind_since_a_time_asks_from_there_on(tmp_path: Path) -> None:
    async with world(tmp_path, Alive(NOW_MS - 1_000, "boot"), Here(behind_since_ms=NOW_MS - 9_000)) as one:
        await one.advance(10)
        assert [mint_ms for mint_ms, _ in one.repairs.ranges] == [NOW_MS - 9_000 - MARGIN_MS]


async def test_what_is_given_up_comes_as_what_was_missed(tmp_path: Path) -> None:
    async with world(tmp_path, here=Here(behind_since_ms=1)) as one:
        one.repairs.failures = 1
        await one.advance(10)
        await one.catchup.give_up()
        assert one.here.behind_since_ms == 0
        one.repairs.ranges.clear()
        await one.advance(30)
        assert [mint_ms for mint_ms, _ in one.repairs.ranges] == [-MARGIN_MS]
        assert await one.noted_ms() > 0


async def test_without_replicas_what_is_lost_stays_lost(tmp_path: Path) -> None:
    for number, ring in enumerate((fleet(1), fleet(1, 1, factor=1))):
        async with world(tmp_path / str(number), here=Here(behind_since_ms=1, seen=ring)) as one:
            await one.advance(10)
            assert (one.here.behind_since_ms, one.repairs.ranges) == (0, [])


async def test_who_leaves_repairs_only_what_it_had_acknowledged(tmp_path: Path) -> None:
    before = Alive(NOW_MS - 9_000, "boot")
    for behind_since_ms, repairs in ((0, 0), (1, 1)):
        here = Here(is_leaving=True, behind_since_ms=behind_since_ms)
        async with world(tmp_path / str(repairs), before, here) as one:
            await one.advance(60)
            assert len(one.repairs.ranges) == repairs


async def test_a_clean_end_is_noted_and_the_next_life_takes_that_back(tmp_path: Path) -> None:
    async with world(tmp_path) as one:
        await one.advance(10)
    one.catchup.closed()
    before = one.file.load()
    assert before is not None
    assert before.is_closed
    World(tmp_path, before, Here())
    after = one.file.load()
    assert after is not None
    assert not after.is_closed
