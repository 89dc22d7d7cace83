"""Nobody is forgotten before it says that it has left."""

from __future__ import annotations

from dataclasses import replace

from rondel.ring.instance import Instance, State
from rondel.ring.trust import Trust
from tests.unit.rondel.ring.test_ring import fleet

WHOLE = tuple(replace(one, epoch=number + 1) for number, one in enumerate(fleet(2, 2, 2).instances))


def test_what_the_store_says_is_believed() -> None:
    trust = Trust()
    assert trust.consider(WHOLE) == WHOLE
    moved = (replace(WHOLE[0], address="elsewhere:1"), *WHOLE[1:])
    assert trust.consider(moved) == moved
    assert (trust.lacking, trust.suspicion) == ((), "")


def test_an_entry_that_is_missing_is_kept_and_told() -> None:
    trust = Trust()
    trust.consider(WHOLE)
    assert trust.consider(WHOLE[1:]) == WHOLE
    assert trust.lacking == (WHOLE[0],)
    assert trust.suspicion == "the store lacks 1 of 6 entries that were seen before"
    trust.consider(WHOLE)
    assert trust.suspicion == ""


def test_a_store_that_was_wiped_changes_nothing_and_is_told_the_oldest_first() -> None:
    trust = Trust()
    trust.consider(reversed(WHOLE))
    assert trust.consider(()) == WHOLE
    assert trust.lacking == WHOLE


def test_an_entry_from_a_backup_does_not_replace_a_newer_one() -> None:
    left = replace(WHOLE[0], state=State.LEFT, epoch=20)
    trust = Trust()
    trust.consider((left, *WHOLE[1:]))
    assert trust.consider(WHOLE) == (left, *WHOLE[1:])
    assert trust.lacking == (left,)


def test_what_was_remembered_counts_like_what_was_said() -> None:
    trust = Trust(WHOLE)
    assert trust.consider(()) == WHOLE


def test_an_operator_can_say_that_they_are_gone() -> None:
    rest: tuple[Instance, ...] = WHOLE[:1]
    trust = Trust(WHOLE)
    assert trust.believe(rest) == rest
    assert trust.lacking == ()
