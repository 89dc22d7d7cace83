"""Replay: a torn end is cut, other damage is put aside and reported, intact records survive both."""

from __future__ import annotations

import asyncio

import pytest

from services.ingester.config import Config, WalConfig
from services.ingester.replay import Report
from tests.support.disks import FaultyDisk
from tests.support.ingesters import NOW_MS, Samples, batch, contents_of, make, samples_of

SEGMENT = "wal/0000000001.wal"
PUSHES = 4
"""Of one series each, so that every record stands alone."""


async def written(*, mixed: bool = False) -> tuple[FaultyDisk, list[int]]:
    """A disk with a small segment, and where each record ends."""
    disk = FaultyDisk()
    ingester = make(disk)
    await ingester.start()
    ends = [40]
    for step in range(PUSHES):
        await ingester.push("a", batch({f"m{step}": [(NOW_MS + step, float(step))]}, mixed=mixed))
        ends.append(len(disk.content(SEGMENT)))
    await ingester.stop()
    return disk, ends


async def replayed(disk: FaultyDisk) -> tuple[Report, Samples]:
    ingester = make(disk)
    report = await ingester.start()
    found = contents_of(ingester, "a")
    await ingester.stop()
    others = [found[kind] for kind in ("starts", "histograms", "exemplars")]
    assert others in ([{}] * 3, [found["floats"]] * 3)  # A record is there whole or not at all.
    assert report.histograms == report.exemplars == (report.samples if others[0] else 0)
    return report, found["floats"]


def series(*steps: int) -> Samples:
    return {f"m{step}": [(NOW_MS + step, float(step))] for step in steps}


@pytest.mark.parametrize("mixed", [False, True])
async def test_a_segment_cut_at_any_byte_keeps_every_whole_record(mixed: bool) -> None:
    disk, ends = await written(mixed=mixed)
    for size in range(len(disk.content(SEGMENT))):
        torn = disk.crash()
        del torn.content(SEGMENT)[size:]
        report, found = await replayed(torn)
        whole = [step for step in range(PUSHES) if ends[step + 1] <= size]
        assert found == series(*whole)
        is_clean = size == 0 or size in ends or 20 <= size < 40  # One copy of the header is enough.
        assert [damage.torn for damage in report.damages] == ([] if is_clean else [True])
        again, found = await replayed(torn.crash())
        assert (again.damages, found) == ([], series(*whole))


@pytest.mark.parametrize("mixed", [False, True])
async def test_a_bit_flip_at_any_byte_is_reported_and_costs_at_most_its_record(mixed: bool) -> None:
    disk, ends = await written(mixed=mixed)
    size = len(disk.content(SEGMENT))
    for at in range(size):
        damaged = disk.crash()
        damaged.content(SEGMENT)[at] ^= 1 << (at % 8)
        report, found = await replayed(damaged)
        if at < 40:
            assert (report.damages, found) == ([], series(*range(PUSHES)))
            continue
        hit = next(step for step in range(PUSHES) if at < ends[step + 1])
        assert found == series(*(step for step in range(PUSHES) if step != hit))
        (damage,) = report.damages
        assert (damage.start, damage.stop) == (ends[hit], ends[hit + 1])
        assert damage.torn == (hit == PUSHES - 1)
        copy = damaged.content(f"wal/quarantine/0000000001-{ends[hit]}")
        assert len(copy) == ends[hit + 1] - ends[hit]


async def test_a_segment_without_a_readable_header_is_put_aside_whole() -> None:
    disk, _ = await written()
    disk.content(SEGMENT)[0] ^= 1
    disk.content(SEGMENT)[20] ^= 1
    report, found = await replayed(disk.crash())
    assert found == {}
    (damage,) = report.damages
    assert (damage.start, damage.stop, damage.torn) == (0, len(disk.content(SEGMENT)), False)


async def test_a_lost_definition_is_found_in_an_earlier_segment_or_its_samples_are_counted() -> None:
    disk = FaultyDisk()
    for _ in range(2):
        ingester = make(disk.crash())
        disk = ingester.disk  # type: ignore[assignment]  # it was given as one
        await ingester.start()
        start = len(samples_of(ingester, "a").get("m", []))
        for step in range(start, start + 2):
            await ingester.push("a", batch({"m": [(NOW_MS + step, float(step))]}))
        await ingester.stop()
    second = disk.crash()
    second.content("wal/0000000002.wal")[60] ^= 1
    report, found = await replayed(second)
    assert (len(report.damages), report.unknown) == (1, 0)
    assert found == {"m": [(NOW_MS + step, float(step)) for step in (0, 1, 3)]}
    first = disk.crash()
    first.content("wal/0000000001.wal")[60] ^= 1
    report, found = await replayed(first)
    assert (len(report.damages), report.unknown) == (1, 1)
    assert found == {"m": [(NOW_MS + step, float(step)) for step in (2, 3)]}


async def test_bytes_of_a_client_cannot_pass_for_a_record() -> None:
    """A label value that holds a whole record of another segment is no record when it is searched."""
    forged, ends = await written()
    record = bytes(forged.content(SEGMENT)[ends[0] : ends[1]])
    disk = FaultyDisk()
    ingester = make(disk)
    await ingester.start()
    await ingester.push("a", batch({"x": [(NOW_MS, 1.0)]}))
    await ingester.stop()
    disk.content(SEGMENT)[41] ^= 1
    disk.content(SEGMENT).extend(record)
    report, found = await replayed(disk.crash())
    assert found == {}
    assert len(report.damages) == 1


async def test_small_segments_replay_as_one_log() -> None:
    config = Config(wal=WalConfig(segment_size_bytes_max=300))
    disk = FaultyDisk()
    ingester = make(disk, config)
    await ingester.start()
    wanted: Samples = {"m": [], "n": []}
    for step in range(40):
        name = "mn"[step % 2]
        wanted[name].append((NOW_MS + step, float(step)))
        await ingester.push("a", batch({name: [wanted[name][-1]]}))
    await ingester.stop()
    assert len(disk.list("wal")) >= 5
    report, found = await replayed(disk.crash())
    assert (report.samples, found) == (40, wanted)


@pytest.mark.parametrize("content", [b"", b"[{", b"[1]", b'[{"tenant":"a"}]'])
async def test_a_damaged_list_of_shipped_ranges_costs_work_and_no_samples(content: bytes) -> None:
    disk, _ = await written()
    disk.replace("shipped.json", content)
    report, found = await replayed(disk.crash())
    assert (report.damages, found) == ([], series(*range(PUSHES)))


async def test_concurrent_pushes_leave_in_fewer_writes_and_all_come_back() -> None:
    disk = FaultyDisk()
    ingester = make(disk)
    await ingester.start()
    await asyncio.gather(
        *(ingester.push("a", batch({f"m{step}": [(NOW_MS + step, float(step))]})) for step in range(50))
    )
    calls = disk.calls
    await ingester.stop()
    assert calls < 30
    report, found = await replayed(disk.crash())
    assert (report.samples, found) == (50, series(*range(50)))
