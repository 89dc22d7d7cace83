"""Shards of tenants: the same everywhere, as many instances in each zone, and they move little."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rondel.ring.instance import Instance, State
from rondel.ring.ring import NOBODY, Ring, Routes
from rondel.ring.shard import UNSHARDED, Mask, Sizes, chosen, per_zone, rank_of
from rondel.ring.tokens import TOKENS
from tests.unit.rondel.ring.test_ring import HASHES, fleet, with_state


def members(ring: Ring, routes: Routes) -> set[str]:
    return {ring.entries[place].id for place in np.unique(routes.sets).tolist() if place >= 0}


def shard(ring: Ring, tenant: str, size: int) -> set[str]:
    return members(ring, ring.writes_of(tenant, size))


def usable(ring: Ring) -> Mask:
    return tuple(one.state.is_written for one in ring.entries)


def test_every_process_chooses_the_same_instances() -> None:
    """Pinned: another choice would move the series of every tenant."""
    ring = fleet(10, 10, 10)
    assert shard(ring, "team-a", 6) == PINNED
    backwards = Ring(ring.instances[::-1])
    assert shard(backwards, "team-a", 6) == PINNED


PINNED = {"a5", "a8", "b1", "b9", "c4", "c6"}


@pytest.mark.parametrize(
    ("zones", "size", "factor", "expected"),
    [
        ((5, 5, 5), 3, 3, {"a": 1, "b": 1, "c": 1}),
        ((5, 5, 5), 4, 3, {"a": 2, "b": 2, "c": 2}),
        ((5, 1, 5), 7, 3, {"a": 3, "b": 1, "c": 3}),
        ((5, 5, 5), 1, 3, {"a": 1, "b": 1, "c": 1}),
        ((5, 5), 1, 3, {"a": 2, "b": 2}),
        ((5, 1), 1, 5, {"a": 4, "b": 1}),
        ((9,), 1, 3, {"a": 3}),
        ((1, 1), 1, 3, {"a": 1, "b": 1}),
        ((3, 3, 3), 99, 3, {"a": 3, "b": 3, "c": 3}),
        ((3, 3, 3), 0, 3, {"a": 3, "b": 3, "c": 3}),
    ],
)
def test_each_zone_gives_as_many_and_sets_lack_nobody(
    zones: tuple[int, ...], size: int, factor: int, expected: dict[str, int]
) -> None:
    ring = fleet(*zones, factor=factor)
    assert Counter(id[0] for id in shard(ring, "team-a", size)) == expected
    there = (ring.writes_of("team-a", size).sets >= 0).sum(axis=1)
    assert there.min() == min(factor, sum(zones))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.text(max_size=5), st.integers(1, 20))
def test_one_that_joins_or_leaves_changes_at_most_one_in_its_own_zone(
    zones: list[int], tenant: str, size: int
) -> None:
    ring = fleet(*(max(3, count) for count in zones))
    before = shard(ring, tenant, size)
    newcomer = Instance("new", "a", "new:1", 7, State.ACTIVE)
    after = shard(Ring((*ring.instances, newcomer)), tenant, size)
    assert after - before <= {"new"}
    assert len(before - after) <= 1
    assert {id[0] for id in before - after} <= {"a"}


def test_one_that_leaves_the_shard_is_stood_in_for_by_one_of_its_zone() -> None:
    ring = fleet(5, 5, 5)
    before = shard(ring, "team-a", 6)
    leaver = min(before)
    after = shard(with_state(ring, leaver, State.LEAVING), "team-a", 6)
    [gone], [come] = before - after, after - before
    assert (gone, come[0]) == (leaver, leaver[0])


def test_the_set_of_a_hash_is_its_owners_among_the_members() -> None:
    """As if the ring had no others."""
    ring = fleet(6, 6, 6)
    routes = ring.writes_of("team-a", 9)
    kept = members(ring, routes)
    others = tuple(one if one.id in kept else replace(one, state=State.JOINING) for one in ring.instances)
    owners = np.sort(Ring(others).writes.of(HASHES), axis=1)
    np.testing.assert_array_equal(routes.of(HASHES), owners)
    assert len(routes.ends) <= len(kept) * TOKENS


def test_routes_in_fewer_ranges_are_the_same_routes() -> None:
    routes = with_state(fleet(3, 2, 2), "a1", State.JOINING).writes
    merged = routes.merged()
    assert len(merged.ends) < len(routes.ends)
    np.testing.assert_array_equal(merged.of(HASHES), np.sort(routes.of(HASHES), axis=1))


def test_where_nobody_is_comes_last() -> None:
    routes = Routes(np.array([5, 2**64 - 1], np.uint64), np.array([[NOBODY, 1], [1, NOBODY]], np.int16))
    merged = routes.merged()
    assert (merged.ends.tolist(), merged.sets.tolist()) == ([2**64 - 1], [[1, NOBODY]])


def test_a_shard_as_large_as_the_ring_is_the_ring() -> None:
    ring = fleet(3, 3, 3)
    assert ring.writes_of("team-a", 9) is ring.writes
    assert ring.owners_of("team-a", 0) is ring.owners


def test_tenants_are_spread_evenly() -> None:
    ring = fleet(8, 8, 8)
    found = Counter(id for number in range(800) for id in chosen_ids(ring, f"team-{number}", 2))
    assert len(found) == 24
    assert min(found.values()) > 140
    assert max(found.values()) < 260


def chosen_ids(ring: Ring, tenant: str, count: int) -> list[str]:
    mask = chosen(ring.entries, usable(ring), tenant, count)
    return [one.id for one, is_in in zip(ring.entries, mask, strict=True) if is_in]


def test_the_rank_tells_from_which_size_on_one_is_in() -> None:
    ring = with_state(fleet(4, 4, 4), "b2", State.LEAVING)
    for place in np.flatnonzero(usable(ring)).tolist():
        rank = rank_of(ring.entries, usable(ring), "team-a", place)
        is_in = [chosen(ring.entries, usable(ring), "team-a", count)[place] for count in range(1, 5)]
        assert is_in == [count >= rank for count in range(1, 5)]


def test_nobody_is_chosen_of_a_ring_that_nobody_writes() -> None:
    ring = with_state(fleet(1), "a0", State.JOINING)
    assert per_zone(ring.entries, usable(ring), 3, 3) == 0
    assert shard(ring, "team-a", 3) == set()


def test_a_tenant_has_its_own_size_or_that_of_all() -> None:
    sizes = Sizes(6, {"a": 3, "b": 0})
    assert [sizes.of(tenant) for tenant in "abc"] == [3, 0, 6]
    assert sizes.are_used
    assert Sizes(own={"a": 1}).are_used
    assert not Sizes(own={"a": 0}).are_used
    assert not UNSHARDED.are_used
