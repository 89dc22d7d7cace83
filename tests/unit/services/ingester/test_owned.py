"""Series that the ring gives to others are not counted, and leave early."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

from rondel.errors import InvalidData
from rondel.model.labels import LabelSets
from rondel.ring.instance import State
from rondel.ring.ring import Ring
from rondel.runtime.clock import FakeClock
from services.ingester.config import Config, HeadConfig, ShipConfig
from services.ingester.head import Head
from services.ingester.owned import EVERYTHING, Owned, share_of, share_since
from services.ingester.ship import Shipper
from tests.support.ingesters import NOW_MS, Samples, batch, make, samples_of
from tests.support.rpc import eventually
from tests.support.sinks import Shelf
from tests.unit.rondel.ring.test_ring import fleet, with_state

NAMES = [f"m{number}" for number in range(200)]


def points(step: int = 0) -> Samples:
    return {name: [(NOW_MS + step, 1.0)] for name in NAMES}


def test_parts_of_all_ingesters_add_up_to_the_replication_factor() -> None:
    ring = fleet(2, 2, 3)
    parts = {one.id: share_of(ring, one.id).part for one in ring.instances}
    assert math.isclose(sum(parts.values()), 3, rel_tol=1e-9)
    assert parts == pytest.approx(ring.ownership(), rel=1e-9)


def test_who_comes_has_its_hashes_before_it_is_written_and_who_goes_has_them_until_it_is_not() -> None:
    ring = fleet(2, 2, 2)
    settled = share_of(ring, "a0").part
    for state in (State.JOINING, State.SETTLING, State.RETIRING):
        assert share_of(with_state(ring, "a0", state), "a0").part == pytest.approx(settled)
    for state in (State.LEAVING, State.LEFT):
        assert share_of(with_state(ring, "a0", state), "a0").part == 0
    assert share_of(ring, "nobody") is EVERYTHING


def test_what_was_given_to_us_by_a_ring_of_the_past_is_ours_to_repair() -> None:
    entries = [replace(one, epoch=1, spans=((1, 0),), settled_ms=1_000) for one in fleet(1, 1, 1).instances]
    newcomer = replace(fleet(2, 1, 1).instances[1], epoch=9, spans=((8, 0),), settled_ms=10_000_000)
    ring = Ring((*entries, newcomer), epoch=9)
    now = share_of(ring, "a0").part
    assert now < 0.6
    assert share_since(ring, "a0", 5_000_000).part == 1
    assert share_since(ring, "a0", 12_000_000).part == now
    assert share_since(ring, newcomer.id, 0).part == pytest.approx(1 - now)


def head(series_max: int = 0) -> Head:
    return Head(range_ms=60_000, window_ms=60_000, grace_ms=60_000, series_max=series_max)


def push(head: Head, samples: Samples) -> int:
    """How many of them were refused."""
    pending = head.prepare(batch(samples), NOW_MS)
    head.record(pending, "a", 1, 1)
    head.commit(pending)
    return sum(count for _, _, count in pending.rejections)


def test_a_head_counts_and_limits_what_is_ours_alone() -> None:
    one = head(series_max=1000)
    half = np.array([2**63 - 1, 2**64 - 1], np.uint64), np.array([True, False])
    assert push(one, points()) == 0
    assert (one.series_count, one.owned_count) == (200, 200)
    one.own(*half, 110)
    assert one.series_count == 200
    ours = one.owned_count
    assert 70 < ours < 110
    room = 110 - ours
    fresh: Samples = {f"n{number}": [(NOW_MS, 1.0)] for number in range(200)}
    refused = push(one, fresh)
    assert one.owned_count == 110
    assert one.series_count == 400 - refused >= 200 + room
    one.own(half[0], np.array([True, True]), 0)
    assert one.owned_count == one.series_count


@pytest.mark.parametrize(
    ("ends", "ours"), [([9, 8, 2**64 - 1], [True] * 3), ([9], [True]), ([2**64 - 1], [])]
)
def test_ranges_that_leave_hashes_out_are_refused(ends: list[int], ours: list[bool]) -> None:
    with pytest.raises(InvalidData):
        head().own(np.array(ends, np.uint64), np.array(ours, np.bool_), 0)


def test_the_count_follows_series_that_go() -> None:
    one = head()
    push(one, points())
    one.own(np.array([2**63 - 1, 2**64 - 1], np.uint64), np.array([True, False]), 0)
    arena = one.freeze(NOW_MS // 60_000)
    assert arena is not None
    assert one.release(arena, one.advance())
    assert one.collect() == 200
    assert (one.series_count, one.owned_count) == (0, 0)


class Shipping:
    """Ingester a0 of a ring that changes."""

    def __init__(self, folder: Path, **head: int) -> None:
        self.clock = FakeClock(NOW_MS)
        config = Config(head=HeadConfig(**head), ship=ShipConfig(range_ms=60_000))
        self.ingester = make(folder, config, clock=self.clock)
        self.shelf = Shelf()
        self.began_s: list[float] = []
        self.running = 0
        self.shipper = Shipper(
            self.ingester, config, open_sink=self.shelf.open, announce=lambda _: None, clock=self.clock
        )
        self.owned = Owned(
            self.ingester.tenants,
            "a0",
            self._ship,
            self.clock,
            delay_s=180,
            pause_s=300,
            random=Random(1),
        )

    async def _ship(self, tenant: str) -> None:
        self.began_s.append(self.clock.monotonic_s())
        self.running += 1
        await self.shipper.flush(tenant)
        self.running -= 1

    async def push(self, samples: Samples) -> None:
        await self.ingester.push("a", batch(samples))

    async def follow(self, ring: Ring) -> None:
        self.owned.follow(ring)
        await asyncio.sleep(0.05)  # The heads are told in a thread.

    def series(self) -> tuple[int, int]:
        """In memory, and of these ours."""
        [(_, head)] = self.ingester.tenants.heads()
        return head.series_count, head.owned_count


@asynccontextmanager
async def shipping(folder: Path, **head: int) -> AsyncIterator[Shipping]:
    one = Shipping(folder, **head)
    await one.ingester.start()
    await one.owned.start()
    yield one
    await one.owned.stop()
    await one.ingester.stop()


async def test_what_others_take_over_is_shipped_and_goes_minutes_after_the_change(
    tmp_path: Path,
) -> None:
    async with shipping(tmp_path) as one:
        await one.follow(fleet(1, factor=1))
        await one.push(points())
        assert one.series() == (200, 200)
        await one.follow(fleet(2, factor=1))
        total, ours = one.series()
        assert total == 200
        assert 70 < ours < 130
        await one.clock.advance(179)
        assert one.shelf.blocks == {}
        mine = {name: [(NOW_MS + 1, 1.0)] for name in names_of(one, fleet(2, factor=1))}
        await one.clock.advance(180)
        await eventually(lambda: len(one.shelf.blocks) == 1)
        await one.push(mine)
        await eventually(lambda: one.series() == (ours, ours))
        assert one.shelf.samples() == points()
        assert samples_of(one.ingester, "a") == mine
        await one.clock.advance(3_600)
        assert len(one.shelf.blocks) == 1


def names_of(one: Shipping, ring: Ring) -> list[str]:
    """The series of these that the ring gives to us."""
    labels = LabelSets.from_dicts([{"__name__": name, "job": "test"} for name in NAMES])
    ours = share_of(ring, "a0").has(labels.fingerprints()[:, 0])
    return [name for name, is_ours in zip(NAMES, ours.tolist(), strict=True) if is_ours]


async def test_who_keeps_writing_series_of_others_is_tried_less_and_less_often(tmp_path: Path) -> None:
    async with shipping(tmp_path) as one:
        await one.follow(fleet(2, factor=1))
        for minute in range(60):
            await one.push(points(minute * 60_000))
            await one.clock.advance(60)
            await eventually(lambda: one.running == 0)
        pauses = np.diff(one.began_s)
        assert len(pauses) >= 2
        assert (pauses[1:] > 1.8 * pauses[:-1]).all()


async def test_a_limit_is_shared_out_and_counts_what_is_ours(tmp_path: Path) -> None:
    async with shipping(tmp_path, max_global_series_per_user=200) as one:
        await one.follow(fleet(2, factor=1))
        await one.push(points())
        total, ours = one.series()
        assert ours == min(100, len(names_of(one, fleet(2, factor=1))))
        assert total >= ours
        await one.follow(fleet(1, factor=1))
        await one.push(points(1))
        assert one.series() == (200, 200)
