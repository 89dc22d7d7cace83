"""Reads while samples move from heads to blocks and from block to block, pausing wherever a read can pause.

A pause between two steps of a read lets a whole ship or a merge happen in it: what takes luck with a running
server happens in every other read here.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry

from rondel.block import BlockStore, BlockWriter, new_ulid
from rondel.block.store import Config as StoreConfig
from rondel.model.frame import SeriesFrame
from rondel.model.labels import LabelSets, Matchers
from rondel.model.merge import MergedStorage
from rondel.objstore import open_bucket
from rondel.runtime.clock import FakeClock, SystemClock
from rondel.storage import PATIENT, Select, Selection, Storage, Watch
from services.compactor.compactor import Compactor
from services.compactor.config import Config as CompactorConfig
from services.ingester.config import Config, HeadConfig, ShipConfig, WalConfig
from services.ingester.push import Ingester
from services.ingester.read import HeadStorage
from services.ingester.ship import Shipper
from tests.support.ingesters import NOW_MS, batch, make

READS: Final = 50
READERS: Final = 3
STEP_MS: Final = 100
SERIES: Final = 5
LIFE: Final = 40
"""Steps after which other series take over, so that the head drops those of before."""
CONFIG = Config(
    head=HeadConfig(out_of_order_time_window_ms=10**9),
    creation_grace_period_ms=10**9,
    wal=WalConfig(sync="never", segment_size_bytes_max=4096),
    ship=ShipConfig(range_ms=1_000, pin_timeout_ms=60_000),
)


def pause() -> None:
    time.sleep(random.choice([0, 0, 0, 0.002, 0.01, 0.1]))


class Pausing:
    """A storage before which something else happens."""

    def __init__(self, inner: HeadStorage | BlockStore, pause: Callable[[], None] = pause) -> None:
        self._inner = inner
        self._pause = pause

    def select(self, request: Select) -> Selection:
        self._pause()
        return _Pausing(self._inner.select(request), self._pause)

    def series(
        self,
        tenant: str,
        matcher_sets: list[Matchers],
        mint_ms: int,
        maxt_ms: int,
        *,
        watch: Watch = PATIENT,
    ) -> LabelSets:
        self._pause()
        return self._inner.series(tenant, matcher_sets, mint_ms, maxt_ms, watch=watch)

    def label_names(
        self,
        tenant: str,
        matcher_sets: list[Matchers],
        mint_ms: int,
        maxt_ms: int,
        *,
        watch: Watch = PATIENT,
    ) -> list[str]:
        self._pause()
        return self._inner.label_names(tenant, matcher_sets, mint_ms, maxt_ms, watch=watch)

    def label_values(
        self,
        tenant: str,
        name: str,
        matcher_sets: list[Matchers],
        mint_ms: int,
        maxt_ms: int,
        *,
        watch: Watch = PATIENT,
    ) -> list[str]:
        self._pause()
        return self._inner.label_values(tenant, name, matcher_sets, mint_ms, maxt_ms, watch=watch)


class _Pausing:
    def __init__(self, inner: Selection, pause: Callable[[], None]) -> None:
        self._inner = inner
        self._pause = pause
        self.labels = inner.labels

    def read(self, start: int, stop: int) -> SeriesFrame:
        self._pause()
        return self._inner.read(start, stop)


class Scene:
    """An ingester, its shipper, a compactor, and readers of what is acknowledged."""

    def __init__(self, path: Path) -> None:
        self.bucket = open_bucket((path / "blocks").as_uri())
        self.blocks = BlockStore(self.bucket, StoreConfig(refresh_s=0.05))
        self.ingester: Ingester = make(path / "ingester", CONFIG, clock=FakeClock(NOW_MS))
        self.heads = HeadStorage(self.ingester.tenants)
        self.ships = Shipper(
            self.ingester,
            CONFIG,
            open_sink=lambda tenant: BlockWriter(self.bucket, tenant, new_ulid(SystemClock().now_ms())),
            announce=self.blocks.announce,
            clock=SystemClock(),
        )
        self.compactor = Compactor(
            self.bucket,
            CompactorConfig(ranges_ms=(4_000, 20_000), settle_s=0, deletion_delay_s=1.5),
            SystemClock(),
            registry=CollectorRegistry(),
            announce=self.blocks.announce,
        )
        self.newest = -1
        self.is_over = False
        self.shipped = self.merged = self.deleted = 0
        self.wrong: list[str] = []

    async def play(self) -> None:
        """Moves samples until every reader has read enough, or one read wrongly."""
        await self.ingester.start()
        storage = MergedStorage([Pausing(self.heads), Pausing(self.blocks)])
        readers = [threading.Thread(target=self._read_often, args=(storage,)) for _ in range(READERS)]
        for reader in readers:
            reader.start()
        moving = asyncio.gather(self._write(), self._flush(), self._compact())
        for reader in readers:
            await asyncio.to_thread(reader.join)
        self.is_over = True
        await moving
        await self.ingester.stop()

    async def _write(self) -> None:
        """In order, but for every fourth step, which comes 30 steps late."""
        late: list[int] = []
        step = 0
        while not self.is_over:
            late.append(step) if step % 4 == 3 else await self.push(step)
            if late and late[0] <= step - 30:
                await self.push(late.pop(0))
                self.newest = late[0] - 1
            step += 1
            await asyncio.sleep(0.001)

    async def push(self, step: int) -> None:
        sample = [(NOW_MS + step * STEP_MS, float(step))]
        series = {f"m{step // LIFE:06}_{number}": sample for number in range(SERIES)}
        await self.ingester.push("a", batch(series))

    async def _flush(self) -> None:
        while not self.is_over:
            self.shipped += await self.ships.flush()
            await asyncio.sleep(0.002)

    async def _compact(self) -> None:
        while not self.is_over:
            report = await asyncio.to_thread(self.compactor.run_once, "a")
            self.merged += report.merged
            self.deleted += report.deleted
            await asyncio.sleep(0.01)

    def _read_often(self, storage: MergedStorage) -> None:
        """Until there were enough reads and everything that moves samples has moved some."""
        reads = 0
        while not self.wrong and (reads < READS or not (self.shipped and self.merged and self.deleted)):
            try:
                self._read(storage)
            except Exception as error:  # Of a thread: the test reports it.
                self.wrong.append(repr(error))
            reads += 1

    def _read(self, storage: MergedStorage) -> None:
        while self.newest < 0:
            time.sleep(0.001)
        last = random.randint(max(0, self.newest - 200), self.newest)
        first = random.randint(max(0, last - 300), last)
        mint_ms, maxt_ms = NOW_MS + first * STEP_MS, NOW_MS + last * STEP_MS
        wanted = [step for step in range(first, last + 1) for _ in range(SERIES)]
        if random.random() < 0.3:
            names = set(storage.label_values("a", "__name__", [], mint_ms, maxt_ms))
            missing = {f"m{step // LIFE:06}_{number}" for step in wanted for number in range(SERIES)} - names
            if missing:
                self.wrong.append(f"names of steps {first} to {last}: {sorted(missing)} missing")
            return
        selection = storage.select(Select("a", Matchers([("job", "=", "test")]), mint_ms, maxt_ms))
        count = len(selection.labels)
        half = count // 2
        parts = [selection.read(0, half), selection.read(half, count)] if half else [selection.read(0, count)]
        found = sorted(int(value) for part in parts for value in part.values.tolist())
        if found != wanted:
            less, more = set(wanted) - set(found), set(found) - set(wanted)
            self.wrong.append(f"steps {first} to {last}: {sorted(less)} missing, {sorted(more)} too much")


async def test_a_read_finds_every_sample_once_whatever_moves_meanwhile(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    await scene.play()
    assert scene.wrong == []


async def test_asked_in_the_wrong_order_storages_miss_what_moves(tmp_path: Path) -> None:
    """So heads are asked first: in the order in which samples move."""
    scene = Scene(tmp_path)
    await scene.ingester.start()
    loop = asyncio.get_running_loop()

    def move() -> None:
        asyncio.run_coroutine_threadsafe(scene.ships.flush(), loop).result()

    async def found(step: int, first: Storage, second: HeadStorage | BlockStore) -> int:
        await scene.push(step)
        storage = MergedStorage([first, Pausing(second, move)])
        time_ms = NOW_MS + step * STEP_MS
        request = Select("a", Matchers([("job", "=", "test")]), time_ms, time_ms)
        selection = await asyncio.to_thread(storage.select, request)
        return len(selection.labels)

    assert await found(1, scene.heads, scene.blocks) == SERIES
    assert await found(2, scene.blocks, scene.heads) == 0
    await scene.ingester.stop()
