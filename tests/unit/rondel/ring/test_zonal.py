"""Reads of rings whose tenants have shards, against every shard that there may have been."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rondel.ring.instance import EVER_MS, Instance, State
from rondel.ring.quorum import SKEW_MS, enough, is_fenced, unanswered, write_quorum
from rondel.ring.ring import Ring
from rondel.ring.shard import Mask
from rondel.ring.zonal import most_silent
from tests.unit.rondel.ring.test_ring import fleet


def sharded(*zones: int, factor: int = 3) -> Ring:
    return Ring(fleet(*zones, factor=factor).instances, factor, has_shards=True)


def all_but(ring: Ring, *ids: str) -> list[str]:
    return [one.id for one in ring.instances if one.id not in ids]


def test_all_of_one_zone_may_be_silent_and_nobody_of_another() -> None:
    ring = sharded(4, 4, 4)
    assert unanswered(ring, all_but(ring, "b0", "b1", "b2", "b3"), 0) is None
    # Without shards these two have no set in common.
    assert unanswered(fleet(4, 4, 4), all_but(ring, "a3", "b0"), 0) is None
    lack = unanswered(ring, all_but(ring, "a3", "b0"), 0)
    assert lack is not None
    assert (lack.share, lack.members) == (1.0, ("a3", "b0"))


@pytest.mark.parametrize(
    ("zones", "factor", "silent", "is_complete"),
    [
        ((4,), 3, ["a0"], True),
        ((4,), 3, ["a0", "a1"], False),
        # One zone of two gives two members of a set, or the other one does.
        ((3, 3), 3, ["a0"], True),
        ((3, 3), 3, ["a0", "a1"], False),
        ((3, 3), 3, ["a0", "b1"], False),
        # The smaller one never gives two.
        ((1, 5), 3, ["a0"], True),
        ((1, 5), 3, ["b0"], True),
        ((2, 2, 2, 2), 3, ["d0", "d1"], True),
        ((2, 2, 2, 2), 3, ["c0", "d1"], False),
        ((2, 2, 2, 2, 2), 5, ["a0", "a1", "d1"], True),
        ((2, 2, 2, 2, 2), 5, ["a0", "b1", "d1"], False),
        ((3, 3, 3), 2, ["a0", "a1"], True),
        ((3, 3, 3), 2, ["a0", "b0"], False),
        ((3, 3, 3), 1, ["a0"], False),
        # No set has ever had a quorum of two.
        ((1,), 3, ["a0"], True),
    ],
)
def test_what_may_be_silent_follows_from_zones_and_factor(
    zones: tuple[int, ...], factor: int, silent: list[str], is_complete: bool
) -> None:
    ring = sharded(*zones, factor=factor)
    assert (unanswered(ring, all_but(ring, *silent), 0) is None) is is_complete


def test_a_zone_that_came_lately_does_not_stand_for_a_replica_of_the_past() -> None:
    """Before it came, two zones held three replicas."""
    old = [replace(one, epoch=1, spans=((1, 0),), settled_ms=1) for one in fleet(3, 3).instances]
    came_ms = 10 * SKEW_MS
    young = Instance("c0", "c", "c0:1", 0, State.ACTIVE, epoch=4, spans=((3, 0),), settled_ms=came_ms)
    ring = Ring((*old, young), has_shards=True)
    others = all_but(ring, "a0", "a1")
    assert unanswered(ring, others, since_ms=came_ms + 2 * SKEW_MS) is None
    assert unanswered(ring, others, since_ms=0) is not None


def test_whoever_is_forgotten_with_its_disk_is_silent_and_whoever_left_is_not() -> None:
    ring = sharded(2, 2, 2)
    left = replace(ring.instances[0], state=State.LEFT, epoch=9, spans=((1, 9),), settled_ms=5)
    rest = [replace(one, spans=((1, 0),), epoch=1) for one in ring.instances[1:]]
    forgotten = replace(left, behind_since_ms=EVER_MS)
    answered = [one.id for one in rest if one.id != "b0"]
    assert unanswered(Ring((left, *rest), has_shards=True), answered, 0) is None
    lack = unanswered(Ring((forgotten, *rest), has_shards=True), answered, 0)
    assert lack is not None
    assert lack.members == ("b0", "a0")


def test_a_ring_with_shards_is_fenced_off_when_all_but_one_zone_refuse_it() -> None:
    ring = sharded(3, 3, 3)
    assert is_fenced(ring, all_but(ring, "a0", "a1", "a2"))
    assert not is_fenced(ring, all_but(ring, "a2", "b0"))
    assert is_fenced(fleet(3, 3, 3), all_but(ring, "a2", "b0"))
    assert not is_fenced(sharded(3, 3, 3, factor=2), all_but(ring, "a0"))


def test_the_last_zone_is_not_asked() -> None:
    ring = sharded(2, 2, 2)
    order = ["b0", "b1", "c0", "c1", "a0", "a1"]
    assert enough(ring, order, 0) == ("b0", "b1", "c0", "c1")
    # Where one of another zone is doubted, its own zone is spared, and the rest of that is asked for nothing.
    assert enough(ring, ["b0", "b1", "c0", "a0", "a1", "c1"], 0) == ("b0", "b1", "a0", "a1")


# --- slow twins ---


def _shapes(there: list[int], factor: int) -> list[tuple[int, ...]]:
    """Members of each zone in every set of every shard, walked as the ring does it."""
    found = []
    for count in range(1, max(there, default=0) + 1):
        part = [min(count, one) for one in there]
        for order in permutations(range(len(there))):
            walk = [zone for depth in range(count) for zone in order if part[zone] > depth][:factor]
            found.append(tuple(walk.count(zone) for zone in range(len(there))))
    return found


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=4), st.integers(1, 5))
def test_the_most_that_can_be_silent_is_that_of_the_worst_shape(
    zones: list[tuple[int, int]], factor: int
) -> None:
    there = [count for count, _ in zones]
    silent = [min(count, more) for count, more in zones]
    needed = write_quorum(factor)
    worst = max(
        (
            sum(min(one, more) for one, more in zip(shape, silent, strict=True))
            for shape in _shapes(there, factor)
            if sum(shape) >= needed
        ),
        default=0,
    )
    found = most_silent(np.array([there]), np.array([silent]), factor, needed)
    assert found.tolist() == [worst]


def history(data: st.DataObject) -> Ring:
    """A ring with steps under way and behind it."""
    zones = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    factor = data.draw(st.integers(1, 5))
    entries = []
    for one in fleet(*zones).instances:
        state = data.draw(st.sampled_from([State.ACTIVE, State.ACTIVE, *State]))
        start = data.draw(st.integers(1, 3))
        entry = replace(one, state=state, spans=((start, 0),), epoch=start, settled_ms=SKEW_MS * start)
        if not state.is_written:
            entry = replace(entry, spans=((1, 2),))
        if state is State.LEFT and data.draw(st.booleans()):
            entry = replace(entry, behind_since_ms=EVER_MS)
        entries.append(entry)
    return Ring(tuple(entries), factor, has_shards=True)


def as_written(ring: Ring, mask: Mask) -> Ring:
    """The ring that wrote by this mask."""
    entries = [
        replace(one, state=State.ACTIVE if is_written else State.JOINING, behind_since_ms=0)
        for one, is_written in zip(ring.entries, mask, strict=True)
    ]
    return Ring(tuple(entries), ring.replication_factor)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_complete_read_meets_every_write_to_any_shard(data: st.DataObject) -> None:
    """Whatever size the shard had when it was written: no quorum of a set is silent."""
    ring = history(data)
    silent = data.draw(st.sets(st.sampled_from([one.id for one in ring.entries]), max_size=4))
    answered = [one.id for one in ring.entries if one.id not in silent]
    if unanswered(ring, answered, since_ms=10) is not None:
        return
    safe = {one.id for one in ring.gone if not one.behind_since_ms}
    needed = write_quorum(ring.replication_factor)
    masks = ring.masks(10 - SKEW_MS)
    for mask in data.draw(st.lists(st.sampled_from(masks), min_size=1, max_size=3)):
        then = as_written(ring, mask)
        tenant, size = data.draw(st.sampled_from("abcdef")), data.draw(st.integers(0, 9))
        names = [one.id for one in then.entries]
        for row in np.unique(then.writes_of(tenant, size).sets, axis=0).tolist():
            lacking = {names[place] for place in row if place >= 0} & silent - safe
            assert len(lacking) < needed


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_as_few_as_are_enough_are_complete_and_none_of_them_can_be_spared(data: st.DataObject) -> None:
    ring = history(data)
    ids = [one.id for one in ring.instances]
    order = data.draw(st.permutations(ids))[: data.draw(st.integers(0, len(ids)))]
    group = enough(ring, order, 10)
    if group is None:
        assert unanswered(ring, order, 10) is not None
        return
    if ring.instances:
        assert unanswered(ring, group, 10) is None
    assert set(group) <= set(order)
    for spared in group:
        assert unanswered(ring, [id for id in group if id != spared], 10) is not None


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_who_is_asked_no_more_by_a_fence_has_no_quorum_in_any_shard(data: st.DataObject) -> None:
    ring = history(data)
    applied = data.draw(st.sets(st.sampled_from([one.id for one in ring.entries])))
    if not is_fenced(ring, applied):
        return
    needed = write_quorum(ring.replication_factor)
    then = as_written(ring, data.draw(st.sampled_from(ring.masks())))
    names = [one.id for one in then.entries]
    gone = {one.id for one in ring.gone if not one.behind_since_ms}
    sets = then.writes_of(data.draw(st.sampled_from("abcdef")), data.draw(st.integers(0, 9))).sets
    for row in np.unique(sets, axis=0).tolist():
        late = {names[place] for place in row if place >= 0} - applied - gone
        assert len(late) < needed
