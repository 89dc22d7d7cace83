"""Ship: ranges become blocks, the WAL goes, nothing is lost and nothing comes back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rondel.errors import Unavailable
from rondel.model.labels import Matchers
from rondel.runtime.clock import FakeClock
from rondel.storage import Select
from services.ingester.config import Config, ShipConfig
from services.ingester.disk import LocalDisk
from services.ingester.push import Ingester
from services.ingester.read import HeadStorage
from services.ingester.ship import Shipper, ripe
from services.ingester.tenant import MetadataRecord
from tests.support.disks import FaultyDisk
from tests.support.ingesters import EVER, NOW_MS, Samples, batch, make, samples_of
from tests.support.sinks import Shelf

RANGE_MS = 60_000
START_MS = NOW_MS // RANGE_MS * RANGE_MS
CONFIG = Config(ship=ShipConfig(range_ms=RANGE_MS))


def shipper(ingester: Ingester, shelf: Shelf, clock: FakeClock | None = None) -> Shipper:
    return Shipper(
        ingester,
        CONFIG,
        open_sink=shelf.open,
        announce=shelf.announced.append,
        clock=clock or FakeClock(NOW_MS),
    )


async def started(path: Path) -> Ingester:
    ingester = make(path, CONFIG, clock=FakeClock(NOW_MS + 10 * RANGE_MS))
    await ingester.start()
    return ingester


def points(*seconds: int) -> list[tuple[int, float]]:
    return [(START_MS + second * 1000, float(second)) for second in seconds]


def segments(path: Path) -> list[str]:
    return list(LocalDisk(path).list("wal"))


@pytest.mark.parametrize(
    ("max_s", "shipped", "ready"),
    [(89, set(), []), (90, set(), [0]), (90, {0}, []), (7259, {0}, []), (7260, {0}, [0])],
)
def test_a_range_is_ripe_half_a_range_after_its_end_and_once_more_after_the_window(
    max_s: int, shipped: set[int], ready: list[int]
) -> None:
    assert ripe([0], max_s * 1000, shipped, range_ms=60_000, window_ms=7_200_000) == ready


async def test_a_ripe_range_leaves_head_and_wal_and_is_in_one_block(tmp_path: Path) -> None:
    ingester, shelf = await started(tmp_path), Shelf()
    ships = shipper(ingester, shelf)
    await ingester.push("a", batch({"m": points(1, 2, 59), "n": points(3)}))
    assert await ships.ship_ripe() == 0
    await ingester.push("a", batch({"m": points(90)}))
    assert await ships.ship_ripe() == 1
    assert shelf.samples() == {"m": points(1, 2, 59), "n": points(3)}
    assert samples_of(ingester, "a") == {"m": points(90)}
    assert ingester.tenants.get("a", 0).head.series_count == 1
    assert [meta.tenant for meta in shelf.announced] == ["a"]
    await ingester.stop()


async def test_replay_does_not_bring_shipped_samples_back(tmp_path: Path) -> None:
    ingester, shelf = await started(tmp_path), Shelf()
    await ingester.push("a", batch({"m": points(1, 2, 90)}))
    assert await shipper(ingester, shelf).ship_ripe() == 1
    await ingester.stop()
    again = await started(tmp_path)
    assert samples_of(again, "a") == {"m": points(90)}
    await again.stop()


async def test_a_flush_empties_head_and_wal(tmp_path: Path) -> None:
    ingester, shelf = await started(tmp_path), Shelf()
    await ingester.push("a", batch({"m": points(1, 70, 130)}))
    await ingester.push("b", batch({"m": points(5)}))
    assert await shipper(ingester, shelf).flush() == 4
    assert samples_of(ingester, "a") == samples_of(ingester, "b") == {}
    assert segments(tmp_path) == []
    assert await shipper(ingester, shelf).flush() == 0
    await ingester.stop()


async def test_metadata_outlives_the_segment_that_held_it(tmp_path: Path) -> None:
    ingester, shelf = await started(tmp_path), Shelf()
    owner = ingester.tenants.get("a", 0)
    owner.learn([("m", "counter", "what it counts", "bytes")])
    await ingester.push("a", batch({"m": points(1)}))
    await shipper(ingester, shelf).flush()
    await ingester.stop()
    again = await started(tmp_path)
    (entry,) = HeadStorage(again.tenants).metadata("a", None)
    assert (entry.metric, entry.type, entry.help, entry.unit) == ("m", "counter", "what it counts", "bytes")
    await again.stop()


async def test_a_failed_upload_loses_nothing_and_is_tried_again(tmp_path: Path) -> None:
    ingester, shelf = await started(tmp_path), Shelf()
    ships = shipper(ingester, shelf)
    await ingester.push("a", batch({"m": points(1)}))
    shelf.failures = 1
    with pytest.raises(Unavailable):
        await ships.flush()
    assert samples_of(ingester, "a") == {"m": points(1)}
    await ingester.push("a", batch({"m": points(2)}))
    assert samples_of(ingester, "a") == {"m": points(1, 2)}
    assert await ships.flush() == 2
    assert shelf.samples() == {"m": points(1, 2)}
    await ingester.stop()


async def test_a_part_of_a_range_is_marked_only_after_the_parts_before_it() -> None:
    """The marker of the second part speaks of the segments of the first, which is in no block."""
    disk, shelf = FaultyDisk(), Shelf()
    ingester = make(disk, CONFIG)
    await ingester.start()
    ships = shipper(ingester, shelf)
    for second in (1, 2):
        await ingester.push("a", batch({"m": points(second)}))
        shelf.failures = 1
        with pytest.raises(Unavailable):
            await ships.flush()
    assert await held(disk.killed(), shelf) == {"m": points(1, 2)}
    assert await ships.flush() == 2
    assert await held(disk.killed(), shelf) == {"m": points(1, 2)}
    await ingester.stop()


async def test_a_crash_between_deleting_segments_and_their_markers_costs_no_later_sample() -> None:
    disk, shelf = FaultyDisk(), Shelf()
    ingester = make(disk, CONFIG)
    await ingester.start()
    await ingester.push("a", batch({"m": points(1)}))
    disk.fail_marker_at = 2
    with pytest.raises(Unavailable):
        await shipper(ingester, shelf).flush()
    after = disk.killed()
    assert after.list("wal") == {}
    await ingester.stop()
    again = make(after, CONFIG)
    await again.start()
    await again.push("a", batch({"m": points(2)}))
    assert await held(after.killed(), shelf) == {"m": points(1, 2)}
    await again.stop()


async def test_a_segment_with_a_record_on_its_way_is_not_deleted() -> None:
    disk, shelf = FaultyDisk(), Shelf()
    ingester = make(disk, CONFIG)
    await ingester.start()
    await ingester.append_metadata(MetadataRecord("a", []))
    disk.hold()
    pushing = asyncio.ensure_future(ingester.push("a", batch({"m": points(1)})))
    await asyncio.sleep(0)
    ingester.wal.rotate()
    flushing = asyncio.ensure_future(shipper(ingester, shelf).flush())
    await asyncio.sleep(0.01)
    disk.go_on()
    await asyncio.gather(pushing, flushing)
    assert await held(disk.killed(), shelf) == {"m": points(1)}
    await ingester.stop()


async def held(disk: FaultyDisk, shelf: Shelf) -> Samples:
    """What a restart on the disk has, and the blocks."""
    ingester = make(disk, CONFIG)
    await ingester.start()
    found = samples_of(ingester, "a")
    await ingester.stop()
    merged = {name: set(samples) for name, samples in found.items()}
    for name, samples in shelf.samples().items():
        merged.setdefault(name, set()).update(samples)
    return {name: sorted(samples) for name, samples in merged.items()}


async def test_late_samples_of_a_shipped_range_become_another_block(tmp_path: Path) -> None:
    ingester, shelf = await started(tmp_path), Shelf()
    ships = shipper(ingester, shelf)
    await ingester.push("a", batch({"m": points(10, 90)}))
    assert await ships.ship_ripe() == 1
    await ingester.push("a", batch({"m": points(5, 20)}))
    assert samples_of(ingester, "a") == {"m": points(5, 20, 90)}
    assert await ships.ship_ripe() == 0
    assert await ships.flush() == 2
    assert shelf.samples() == {"m": points(5, 10, 20, 90)}
    await ingester.stop()


async def test_a_query_that_began_before_the_ship_keeps_its_samples(tmp_path: Path) -> None:
    clock = FakeClock(NOW_MS)
    ingester, shelf = await started(tmp_path), Shelf()
    ships = shipper(ingester, shelf, clock)
    await ingester.push("a", batch({"m": points(1)}))
    selection = HeadStorage(ingester.tenants).select(Select("a", Matchers([("job", "=", "test")]), *EVER))
    await ships.flush()
    assert selection.read(0, 1).values.tolist() == [1.0]
    await clock.advance(CONFIG.ship.pin_timeout_ms / 1000)
    await ships.flush()
    with pytest.raises(Unavailable, match="took so long"):
        selection.read(0, 1)
    await ingester.stop()


async def test_pushes_during_ships_are_neither_lost_nor_doubled(tmp_path: Path) -> None:
    ingester, shelf = await started(tmp_path), Shelf()
    ships = shipper(ingester, shelf)
    wanted: Samples = {f"m{writer}": points(*range(200)) for writer in range(4)}

    async def write(name: str) -> None:
        for point in wanted[name]:
            assert (await ingester.push("a", batch({name: [point]}))).accepted.samples == 1

    async def flush() -> None:
        for _ in range(10):
            await ships.flush()
            await asyncio.sleep(0.001)

    await asyncio.gather(flush(), *(write(name) for name in wanted))
    await ships.flush()
    assert samples_of(ingester, "a") == {}
    assert shelf.samples() == wanted
    assert sum(len(samples) for block in shelf.blocks.values() for samples in block.values()) == 800
    await ingester.stop()
