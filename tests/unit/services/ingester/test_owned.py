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
from hypothesis import given, settings
from hypothesis import strategies as st

from rondel.errors import InvalidData
from rondel.model.labels import LabelSets
from rondel.ring.instance import State
from rondel.ring.ring import Ring
from rondel.ring.shard import UNSHARDED, Sizes
from rondel.runtime.clock import FakeClock
from services.ingester.config import Config, HeadConfig, ShipConfig
from services.ingester.head import Head
from services.ingester.owned import EVERYTHING, NOTHING, Owned, share_ever, share_of, share_since
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


HASHES = np.random.default_rng(7).integers(0, 1 << 64, 3_000, dtype=np.uint64, endpoint=False)


def test_parts_of_a_shard_add_up_to_the_replication_factor_and_others_have_nothing() -> None:
    ring = fleet(4, 4, 4)
    parts = [share_of(ring, one.id, "team-a", 6).part for one in ring.instances]
    assert math.isclose(sum(parts), 3, rel_tol=1e-9)
    assert sum(part > 0 for part in parts) == 6
    outsider = next(one.id for one, part in zip(ring.instances, parts, strict=True) if not part)
    assert share_of(ring, outsider, "team-a", 6).is_like(NOTHING)


def test_a_share_is_told_in_as_few_ranges_as_there_can_be() -> None:
    ring = fleet(4, 4, 4)
    share = share_of(ring, "a1")
    place = [one.id for one in ring.entries].index("a1")
    assert len(share.ends) < len(ring.writes.ends)
    np.testing.assert_array_equal(share.has(HASHES), (ring.writes.of(HASHES) == place).any(axis=1))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(1, 5), st.sampled_from(["a", "b", "c"])
)
def test_what_was_lost_is_fetched_whatever_size_the_shard_had(
    zones: list[int], factor: int, tenant: str
) -> None:
    """Of the ring of now and of one before it."""
    before = [replace(one, epoch=1, spans=((1, 0),)) for one in fleet(*zones, factor=factor).instances]
    came = replace(before[0], id="new", ordinal=9, epoch=5, spans=((4, 0),), settled_ms=10_000_000)
    ring = Ring((*before, came), factor, epoch=5, has_shards=True)
    for then in (ring, with_state(ring, "new", State.JOINING)):
        for place, one in enumerate(then.entries):
            ever = share_ever(ring, one.id, 5_000_000, tenant, 3).has(HASHES)
            for size in (0, *range(1, 2 * sum(zones), 2)):
                written = (then.writes_of(tenant, size).of(HASHES) == place).any(axis=1)
                assert not (written & ~ever).any()


def test_of_a_shard_of_one_size_the_rest_is_not_fetched() -> None:
    ring = Ring(fleet(8, 8, 8).instances, has_shards=True)
    tenants = [f"t{number}" for number in range(40)]
    ever = [share_ever(ring, "a0", 0, tenant, 3).part for tenant in tenants]
    # One over the rank in the zone.
    assert 0.2 < sum(ever) / len(ever) < 0.5
    assert share_ever(ring, "nobody", 0, "a", 3) is EVERYTHING
    assert share_since(ring, "nobody", 0, "a", 3) is EVERYTHING


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

    def __init__(self, folder: Path, sizes: Sizes, **head: int) -> None:
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
            sizes=sizes,
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
async def shipping(folder: Path, sizes: Sizes = UNSHARDED, **head: int) -> AsyncIterator[Shipping]:
    one = Shipping(folder, sizes, **head)
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


def shard_without(id: str, ring: Ring, size: int) -> str:
    """A tenant whose shard lacks an ingester."""
    names = (f"t{number}" for number in range(1_000))
    return next(name for name in names if not share_of(ring, id, name, size).part)


async def test_of_a_tenant_with_a_shard_the_share_in_that_counts(tmp_path: Path) -> None:
    ring = Ring(fleet(4, factor=1).instances, 1, has_shards=True)
    outside = shard_without("a0", ring, 1)
    inside = next(name for name in map(str, range(99)) if share_of(ring, "a0", name, 1).part)
    sizes = Sizes(own={outside: 1, inside: 1})
    async with shipping(tmp_path, sizes, max_global_series_per_user=1_000) as one:
        await one.ingester.push("early", batch(points()))
        await one.ingester.push(outside, batch(points()))
        await one.follow(ring)
        await one.ingester.push(inside, batch(points()))
        await one.ingester.push("late", batch(points()))
        heads = dict(one.ingester.tenants.heads())
        ours = heads["early"].owned_count
        assert 20 < ours < 90
        await eventually(lambda: heads[outside].owned_count == 0)
        assert heads["late"].owned_count == ours
        assert heads[inside].owned_count == 200
        await one.clock.advance(400)
        await eventually(lambda: len(one.began_s) == 3)  # All but the one that is ours.


async def test_a_shard_that_moves_on_is_told_and_its_series_stay_for_some_minutes(tmp_path: Path) -> None:
    small, large = fleet(1, 1, 1, factor=3), fleet(2, 1, 1, factor=3)
    moved = shard_without("a0", large, 3)
    async with shipping(tmp_path, Sizes(everybody=3)) as one:
        await one.follow(small)
        await one.ingester.push(moved, batch(points()))
        await one.clock.advance(3_600)
        assert (one.series(), one.began_s) == ((200, 200), [])
        await one.follow(large)
        await eventually(lambda: one.series() == (200, 0))
        await one.clock.advance(179)
        assert one.began_s == []
        await one.clock.advance(200)
        await eventually(lambda: len(one.began_s) == 1)
