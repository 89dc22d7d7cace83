"""Replica sets are distinct, spread over zones and even; little moves when something changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from rondel.ring.instance import Instance, State
from rondel.ring.ring import Ring
from rondel.ring.tokens import TOKENS, tokens_of

HASHES = np.random.default_rng(5).integers(0, 1 << 64, 20_000, dtype=np.uint64, endpoint=False)


def fleet(*zones: int, factor: int = 3) -> Ring:
    """A ring of so many instances in each zone, all active since 1."""
    return Ring(
        tuple(
            Instance(f"{name}{number}", name, f"{name}{number}:1", number, State.ACTIVE, settled_ms=1)
            for name, count in zip("abcdefg", zones, strict=False)
            for number in range(count)
        ),
        factor,
    )


def with_state(ring: Ring, id: str, state: State) -> Ring:
    changed = (replace(one, state=state) if one.id == id else one for one in ring.instances)
    return Ring(tuple(changed), ring.replication_factor)


def members(ring: Ring, hashes: NDArray[np.uint64] = HASHES) -> list[set[str]]:
    """The ids that write each hash."""
    names = [one.id for one in ring.instances]
    return [{names[place] for place in row if place >= 0} for row in ring.writes.of(hashes).tolist()]


def test_tokens_are_many_distinct_and_the_same_every_time() -> None:
    tokens = np.concatenate([tokens_of(number) for number in range(50)])
    assert len(np.unique(tokens)) == 50 * TOKENS
    np.testing.assert_array_equal(tokens_of(3), tokens_of(3))


@pytest.mark.parametrize("ordinal", [-1, 1001])
def test_an_ordinal_out_of_bounds_has_no_tokens(ordinal: int) -> None:
    with pytest.raises(ValueError, match=f"ordinal {ordinal}"):
        tokens_of(ordinal)


@pytest.mark.parametrize(
    ("zones", "factor"), [((4, 4, 4), 3), ((7,), 3), ((3, 5), 3), ((2, 2, 2, 2, 2), 3), ((4, 4, 4), 5)]
)
def test_a_set_has_distinct_members_spread_over_the_zones(zones: tuple[int, ...], factor: int) -> None:
    for found in members(fleet(*zones, factor=factor)):
        assert len(found) == factor
        by_zone = np.bincount([ord(id[0]) - ord("a") for id in found], minlength=len(zones))
        assert by_zone.max() <= -(-factor // len(zones))


@pytest.mark.parametrize(("zones", "expected"), [((), 0), ((1,), 1), ((1, 1), 2), ((2,), 2), ((5, 1), 3)])
def test_a_small_ring_has_sets_as_large_as_it_can(zones: tuple[int, ...], expected: int) -> None:
    ring = fleet(*zones)
    assert {len(found) for found in members(ring)} == {expected}
    assert sum(ring.ownership().values()) == pytest.approx(expected)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 30])
def test_with_a_zone_for_each_replica_all_own_alike(count: int) -> None:
    shares = np.array(list(fleet(count, count, count).ownership().values()))
    assert shares.max() / shares.mean() < 1.02


@pytest.mark.parametrize("zones", [(4,), (5,), (9,), (4, 4), (3, 3, 3, 3, 3)])
def test_otherwise_nearly_alike(zones: tuple[int, ...]) -> None:
    shares = np.array(list(fleet(*zones).ownership().values()))
    assert shares.max() / shares.mean() < 1.1


def test_a_new_instance_takes_its_share_and_moves_nothing_else() -> None:
    before, after = members(fleet(4, 4, 4)), members(fleet(5, 4, 4))
    moved = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert all(new - old == {"a4"} and len(old - new) == 1 for old, new in moved)
    assert len(moved) / len(before) == pytest.approx(1 / 5, abs=0.02)


@pytest.mark.parametrize("state", [State.JOINING, State.LEAVING])
def test_one_that_takes_no_writes_is_stood_in_for_inside_its_zone(state: State) -> None:
    ring = fleet(4, 4, 4)
    before, after = members(ring), members(with_state(ring, "b2", state))
    for old, new in zip(before, after, strict=True):
        assert new - {"b0", "b1", "b3"} == old - {"b0", "b1", "b2", "b3"}
        assert len(new) == 3
        assert "b2" not in new
        if "b2" not in old:
            assert new == old


def test_a_zone_that_is_gone_leaves_the_others_where_they_are() -> None:
    for whole, rest in zip(members(fleet(3, 3, 3)), members(fleet(3, 3)), strict=True):
        assert {id for id in whole if id[0] in "ab"} <= rest


def every(ring: Ring, since_ms: int | None = None) -> list[list[set[str]]]:
    """What `members` says, for each of the possible routes."""
    names = [one.id for one in ring.entries]
    return [
        [{names[place] for place in row if place >= 0} for row in routes.of(HASHES[:500]).tolist()]
        for routes in ring.possible(since_ms)
    ]


def written(id: str, *spans: tuple[int, int], state: State = State.ACTIVE, settled_ms: int = 1) -> Instance:
    return Instance(
        id, id[0], f"{id}:1", int(id[1:]), state, epoch=max(spans[-1]), spans=spans, settled_ms=settled_ms
    )


def test_the_past_is_without_those_who_came_later() -> None:
    old = [written(f"{zone}{number}", (1, 0)) for zone in "abc" for number in range(2)]
    grown = Ring((*old, written("c2", (5, 0), settled_ms=1_000)))
    before, now = members(Ring(tuple(old)), HASHES[:500]), members(grown, HASHES[:500])
    assert every(grown, 999) == [now, before]
    assert every(grown, 1_000) == [now]
    assert every(grown) == [now]


def test_the_past_is_with_those_who_have_left_since() -> None:
    old = [written(f"{zone}{number}", (1, 0)) for zone in "abc" for number in range(2)]
    gone = written("c2", (5, 8), state=State.LEFT, settled_ms=1_000)
    shrunk = Ring((*old, gone))
    assert [one.id for one in shrunk.gone] == ["c2"]
    with_it = members(Ring((*old, written("c2", (5, 0)))), HASHES[:500])
    without = members(Ring(tuple(old)), HASHES[:500])
    assert every(shrunk, 999) == [without, with_it]
    assert every(shrunk, 1_000) == [without]


@pytest.mark.parametrize("state", [State.JOINING, State.SETTLING, State.RETIRING, State.LEAVING])
def test_one_in_doubt_is_there_and_is_not(state: State) -> None:
    ring = fleet(2, 2, 2)
    whole = members(ring, HASHES[:500])
    without = members(Ring(tuple(one for one in ring.instances if one.id != "b1")), HASHES[:500])
    found = every(with_state(ring, "b1", state))
    assert len(found) == 2
    assert whole in found
    assert without in found
    assert found[0] == (whole if state.is_written else without)


def test_epoch_and_fence_are_the_highest_of_all_entries() -> None:
    entries = (replace(written("a0", (7, 9), state=State.LEFT), epoch=10, fence=9), written("b0", (4, 0)))
    ring = Ring(entries)
    assert (ring.epoch, ring.fence) == (10, 9)
    assert Ring((entries[1],), epoch=12, fence=11).epoch == 12


def test_ownership_counts_who_joins_and_not_who_leaves() -> None:
    ring = with_state(with_state(fleet(3, 3, 3), "a0", State.LEAVING), "b0", State.JOINING)
    shares = ring.ownership()
    assert shares["a0"] == 0
    assert shares["b0"] == pytest.approx(1 / 3, abs=0.02)


@pytest.mark.parametrize("factor", [0, 6])
def test_other_replication_factors_are_refused(factor: int) -> None:
    with pytest.raises(ValueError, match=f"replication factor {factor}"):
        fleet(1, factor=factor)
