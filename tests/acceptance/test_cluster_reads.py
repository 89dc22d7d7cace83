"""Three real ingesters behind real calls that ship, release and are compacted while they are read.

The querier's store of blocks never lists by itself here: all that it knows of blocks, ingesters named.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client import CollectorRegistry

from rondel.block import BlockStore, BlockWriter, new_ulid
from rondel.block.store import Config as StoreConfig
from rondel.errors import Unavailable
from rondel.model.labels import Matchers
from rondel.model.merge import MergedStorage
from rondel.objstore import Bucket, open_bucket
from rondel.runtime.clock import FakeClock, SystemClock
from rondel.storage import Select
from services.compactor.compactor import Compactor
from services.compactor.config import Config as CompactorConfig
from services.ingester.push import Ingester
from services.ingester.read import HeadStorage
from services.ingester.ship import Shipper
from tests.support.fleets import Fleet, running_fleet
from tests.support.ingesters import NOW_MS, batch, make
from tests.unit.services.standalone.test_moving_samples import CONFIG, Pausing

READS: Final = 15
READERS: Final = 2
LONGEST_S: Final = 60.0
STEP_MS: Final = 100
SERIES: Final = 4


class Scene:
    """Ingesters of which each sample is in two of three, their shippers, a compactor and a querier."""

    def __init__(self, path: Path) -> None:
        self.bucket: Bucket = open_bucket((path / "blocks").as_uri())
        self.blocks = BlockStore(self.bucket, StoreConfig(refresh_s=1e9))
        self.ingesters: list[Ingester] = [
            make(path / f"ingester-{number}", CONFIG, clock=FakeClock(NOW_MS)) for number in range(3)
        ]
        self.shippers: list[Shipper] = []
        self.compactor = Compactor(
            self.bucket,
            CompactorConfig(ranges_ms=(4_000, 20_000), settle_s=0, deletion_delay_s=1.0),
            SystemClock(),
            registry=CollectorRegistry(),
        )
        self.newest = -1
        self.shipped = self.merged = self.deleted = 0
        self.wrong: list[str] = []
        self.fleet: Fleet

    @asynccontextmanager
    async def running(self) -> AsyncIterator[MergedStorage]:
        """What a querier reads."""
        sources = [HeadStorage(one.tenants) for one in self.ingesters]
        async with AsyncExitStack() as stack:
            for one in self.ingesters:
                await one.start()
                stack.push_async_callback(one.stop)
            self.fleet = await stack.enter_async_context(running_fleet(sources, ensure=self.blocks.ensure))
            for one, standings in zip(self.ingesters, self.fleet.standings.values(), strict=True):
                blocks = standings.blocks.setdefault("a", [])
                self.shippers.append(
                    Shipper(
                        one,
                        CONFIG,
                        open_sink=self._open_sink,
                        announce=lambda block, blocks=blocks: blocks.append(block.ulid),
                        clock=SystemClock(),
                    )
                )
            yield MergedStorage([Pausing(self.fleet.storage), Pausing(self.blocks)])  # type: ignore[arg-type]  # a Storage like those

    def _open_sink(self, tenant: str) -> BlockWriter:
        return BlockWriter(self.bucket, tenant, new_ulid(SystemClock().now_ms()))

    async def push(self, step: int, took: list[int]) -> None:
        sample = [(NOW_MS + step * STEP_MS, float(step))]
        series = {f"m{number}": sample for number in range(SERIES)}
        await asyncio.gather(*(self.ingesters[place].push("a", batch(series)) for place in took))

    async def flush(self, place: int) -> None:
        self.shipped += await self.shippers[place].flush()

    def compact(self) -> None:
        report = self.compactor.run_once("a")
        self.merged += report.merged
        self.deleted += report.deleted


def steps(storage: MergedStorage, first: int, last: int) -> list[int]:
    """The steps whose samples a querier finds, sorted, one for each series that has it."""
    mint_ms, maxt_ms = NOW_MS + first * STEP_MS, NOW_MS + last * STEP_MS
    selection = storage.select(Select("a", Matchers([("job", "=", "test")]), mint_ms, maxt_ms))
    frame = selection.read(0, len(selection.labels))
    return sorted(int(value) for value in frame.values.tolist())


def wanted(first: int, last: int) -> list[int]:
    return [step for step in range(first, last + 1) for _ in range(SERIES)]


async def test_a_querier_that_lists_no_blocks_finds_what_was_shipped_and_released(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)
    async with scene.running() as storage:
        for step, took in enumerate([[0, 1], [1, 2], [0, 2], [0, 1, 2]] * 5):
            await scene.push(step, took)
        assert await asyncio.to_thread(steps, storage, 0, 19) == wanted(0, 19)
        await scene.flush(0)
        assert await asyncio.to_thread(steps, storage, 0, 19) == wanted(0, 19)
        for place in (1, 2):
            await scene.flush(place)
        assert await asyncio.to_thread(steps, storage, 0, 19) == wanted(0, 19)


async def test_also_after_the_blocks_were_compacted_and_deleted(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    async with scene.running() as storage:
        for step in range(100):
            await scene.push(step, [step % 3, (step + 1) % 3])
        for place in range(3):
            await scene.flush(place)
        for _ in range(50):
            await asyncio.to_thread(scene.compact)
            if scene.deleted >= 2:
                break
            await asyncio.sleep(0.1)
        assert scene.merged
        assert scene.deleted
        assert await asyncio.to_thread(steps, storage, 0, 99) == wanted(0, 99)


async def test_a_block_that_is_lost_fails_the_reads_that_need_it(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    async with scene.running() as storage:
        await scene.push(1, [0, 1, 2])
        scene.fleet.standings["a0"].blocks["a"].append(new_ulid(1))
        with pytest.raises(Unavailable, match="not in the object store"):
            await asyncio.to_thread(steps, storage, 0, 9)


class Mover:
    """Writes, ships and compacts until it is over."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.is_over = False
        self.has_begun = asyncio.Event()

    async def run(self) -> None:
        await asyncio.gather(self._write(), *(self._flush(place) for place in range(3)), self._compact())

    async def _write(self) -> None:
        step = 0
        while not self.is_over:
            took = random.sample(range(3), random.choice([2, 2, 3]))
            await self.scene.push(step, took)
            self.scene.newest = step
            self.has_begun.set()
            step += 1
            await asyncio.sleep(0.005)

    async def _flush(self, place: int) -> None:
        while not self.is_over:
            await self.scene.flush(place)
            await asyncio.sleep(random.choice([0.02, 0.2]))

    async def _compact(self) -> None:
        while not self.is_over:
            await asyncio.to_thread(self.scene.compact)
            await asyncio.sleep(0.01)


def read_often(scene: Scene, storage: Any) -> None:
    """Until there were enough reads and everything that moves samples has moved some."""
    reads, until_s = 0, time.monotonic() + LONGEST_S
    while not scene.wrong and (reads < READS or not (scene.shipped and scene.merged)):
        if time.monotonic() > until_s:
            scene.wrong.append(f"{reads} reads, {scene.shipped} shipped, {scene.merged} merged")
        last = random.randint(max(0, scene.newest - 200), scene.newest)
        first = random.randint(max(0, last - 300), last)
        try:
            found = steps(storage, first, last)
        except Exception as error:  # Of a thread: the test reports it.
            scene.wrong.append(repr(error))
            return
        if found != wanted(first, last):
            less, more = set(wanted(first, last)) - set(found), len(found) - len(set(found)) * SERIES
            scene.wrong.append(f"steps {first} to {last}: {sorted(less)} missing, {more} too many")
        reads += 1


async def test_whatever_moves_meanwhile_every_sample_is_found_once(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    async with scene.running() as storage:
        mover = Mover(scene)
        moving = asyncio.ensure_future(mover.run())
        moving.add_done_callback(
            lambda done: scene.wrong.append(repr(done.exception())) if done.exception() else None
        )
        await mover.has_begun.wait()
        readers = [threading.Thread(target=read_often, args=(scene, storage)) for _ in range(READERS)]
        for reader in readers:
            reader.start()
        for reader in readers:
            await asyncio.to_thread(reader.join)
        mover.is_over = True
        await moving
    assert scene.wrong == []
