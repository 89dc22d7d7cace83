"""A ring shrinks one by one, or by members that say that they leave; anything else is not believed."""

from __future__ import annotations

from rondel.ring.instance import State
from rondel.ring.ring import Ring
from rondel.ring.trust import WINDOW_MS, Trust
from tests.unit.rondel.ring.test_ring import fleet, with_state

WHOLE = fleet(3, 3, 3)


def without(ring: Ring, *ids: str) -> Ring:
    return Ring(tuple(one for one in ring.instances if one.id not in ids), ring.replication_factor)


def ids(ring: Ring) -> set[str]:
    return {one.id for one in ring.instances}


def test_one_that_is_lost_is_gone_at_once() -> None:
    trust = Trust()
    trust.consider(WHOLE, 0)
    assert ids(trust.consider(without(WHOLE, "a0"), 1)) == ids(WHOLE) - {"a0"}
    assert trust.suspicion == ""


def test_a_third_that_is_lost_at_once_is_kept_until_it_is_back() -> None:
    trust = Trust()
    trust.consider(WHOLE, 0)
    rest = without(WHOLE, "a0", "a1", "a2")
    assert ids(trust.consider(rest, 1)) == ids(WHOLE)
    assert trust.suspicion == "3 of 9 members are gone at once: a0, a1, a2"
    assert ids(trust.consider(rest, 10 * WINDOW_MS)) == ids(WHOLE)
    assert ids(trust.consider(without(WHOLE, "a0"), 11 * WINDOW_MS)) == ids(WHOLE) - {"a0"}
    assert trust.suspicion == ""


def test_leases_that_end_one_after_the_other_add_up() -> None:
    trust = Trust()
    trust.consider(WHOLE, 0)
    trust.consider(without(WHOLE, "a0"), 1_000)
    trust.consider(without(WHOLE, "a0", "b1"), 2_000)
    assert ids(trust.consider(without(WHOLE, "a0", "b1", "c2"), 3_000)) == ids(WHOLE)


def test_losses_a_minute_apart_do_not() -> None:
    trust = Trust()
    trust.consider(WHOLE, 0)
    trust.consider(without(WHOLE, "a0"), 1_000)
    trust.consider(without(WHOLE, "a0"), 1_000 + WINDOW_MS + 1)
    left = without(WHOLE, "a0", "b1", "c2")
    assert ids(trust.consider(left, 1_001 + WINDOW_MS + 1)) == ids(left)


def test_a_store_that_was_wiped_changes_nothing() -> None:
    trust = Trust()
    trust.consider(WHOLE, 0)
    assert ids(trust.consider(Ring(()), 1)) == ids(WHOLE)


def test_members_that_leave_are_believed_however_many() -> None:
    trust = Trust()
    leaving = WHOLE
    for id in ("a0", "a1", "a2", "b0"):
        leaving = with_state(leaving, id, State.LEAVING)
    trust.consider(leaving, 0)
    rest = without(leaving, "a0", "a1", "a2", "b0")
    assert ids(trust.consider(rest, 1)) == ids(rest)


def test_an_operator_can_say_that_they_are_gone() -> None:
    trust = Trust()
    trust.consider(WHOLE, 0)
    trust.consider(fleet(1, 1), 1)
    assert ids(trust.believe(fleet(1, 1))) == ids(fleet(1, 1))
    assert trust.suspicion == ""
