"""One step after the other, each only when it is safe."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rondel.ring.instance import EVER_MS, Instance, State
from rondel.ring.membership import (
    Enter,
    Hold,
    Release,
    Ship,
    Situation,
    Step,
    Wait,
    admits,
    entered,
    next_step,
)
from rondel.ring.ring import Ring
from tests.unit.rondel.ring.test_ring import fleet

ME = Instance("a2", "a", "a2:1", 2, State.JOINING)
OTHERS = fleet(2, 2, 2).instances
ALL = {one.id: 9 for one in (*OTHERS, ME)} | {"querier-1": 9}


def own(state: State, **fields: int) -> Instance:
    spans = ((3, 0),) if state.is_written else ()
    return replace(ME, state=state, epoch=9, spans=spans, **fields)


def situation(entry: Instance | None, **changes: object) -> Situation:
    ring = Ring((*OTHERS, entry) if entry else OTHERS, epoch=9)
    return replace(Situation(ME, entry, ring, ALL, holds_turn=True), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "is_leaving", "step"),
    [
        (State.LEFT, False, Enter(State.JOINING)),
        (State.JOINING, False, Enter(State.SETTLING)),
        (State.SETTLING, False, Enter(State.ACTIVE)),
        (State.ACTIVE, False, Release()),
        (State.RETIRING, False, Enter(State.ACTIVE)),
        (State.LEAVING, False, Enter(State.SETTLING)),
        (State.JOINING, True, Enter(State.LEFT)),
        (State.SETTLING, True, Enter(State.LEAVING)),
        (State.ACTIVE, True, Enter(State.RETIRING)),
        (State.RETIRING, True, Enter(State.LEAVING)),
        (State.LEAVING, True, Ship()),
        (State.LEFT, True, Release()),
    ],
)
def test_where_everybody_has_applied_the_last_step_the_next_one_is_taken(
    state: State, is_leaving: bool, step: Step
) -> None:
    assert next_step(situation(own(state), is_leaving=is_leaving)) == step


def test_what_is_shipped_may_go() -> None:
    assert next_step(situation(own(State.LEAVING), is_leaving=True, is_shipped=True)) == Enter(State.LEFT)


@pytest.mark.parametrize("state", [State.LEFT, State.JOINING, State.SETTLING])
def test_only_one_of_a_zone_moves(state: State) -> None:
    assert next_step(situation(own(state), holds_turn=False)) == Hold()


def test_a_restart_changes_nothing() -> None:
    assert next_step(situation(own(State.ACTIVE), holds_turn=False)) == Wait()


def test_a_living_reader_is_waited_for_and_not_for_ever() -> None:
    late = ALL | {"querier-1": 8}
    now = situation(own(State.JOINING), applied=late)
    assert next_step(now) == Wait("not yet applied by querier-1")
    assert next_step(replace(now, is_patient=False)) == Enter(State.SETTLING)


def test_ingesters_enough_to_refuse_the_old_ring_are_waited_for_for_ever() -> None:
    one_zone = {id: epoch for id, epoch in ALL.items() if id not in ("b0", "b1")}
    assert next_step(situation(own(State.JOINING), applied=one_zone)) == Enter(State.SETTLING)
    two_zones = {id: epoch for id, epoch in one_zone.items() if id != "c0"}
    now = situation(own(State.JOINING), applied=two_zones, is_patient=False)
    assert next_step(now) == Wait("too few ingesters have applied our last step")


def test_two_that_crashed_on_the_way_are_enough_for_a_zone() -> None:
    stuck = [replace(one, state=State.JOINING) if one.zone == "a" else one for one in OTHERS]
    ring = Ring(tuple(stuck))
    assert next_step(situation(None, ring=ring)) == Release()
    assert next_step(situation(None, ring=ring, holds_turn=False)) == Wait(
        "a0, a1 have begun to move and have not ended"
    )


def test_one_that_is_lost_waits_for_nobody_s_turn() -> None:
    stuck = [replace(one, state=State.JOINING) if one.zone == "a" else one for one in OTHERS]
    ring = Ring((*stuck, own(State.ACTIVE)), epoch=9)
    assert next_step(situation(own(State.ACTIVE), ring=ring, is_leaving=True, is_lost=True)) == Enter(
        State.RETIRING
    )


def test_one_that_is_lost_counts_as_one_that_refuses() -> None:
    ring = Ring((*(one for one in OTHERS if one.zone != "a"), own(State.RETIRING)), 2, epoch=9)
    others = {id: epoch for id, epoch in ALL.items() if id != ME.id}
    now = situation(own(State.RETIRING), ring=ring, applied=others, is_leaving=True)
    assert next_step(now) == Wait("too few ingesters have applied our last step")
    assert next_step(replace(now, is_lost=True)) == Enter(State.LEAVING)


def test_the_entry_of_one_that_was_lost_says_so_unless_it_was_written_off() -> None:
    now = situation(own(State.LEAVING), is_leaving=True, is_lost=True)
    now = replace(now, own=replace(own(State.LEAVING), spans=((3, 9),)))
    assert entered(now, State.LEFT, 10, 1).behind_since_ms == EVER_MS
    assert entered(replace(now, is_written_off=True), State.LEFT, 10, 1).behind_since_ms == 0


def test_one_that_lacks_something_does_not_leave() -> None:
    step = next_step(situation(own(State.LEAVING, behind_since_ms=1), is_leaving=True, is_shipped=True))
    assert step == Wait("what we lack is to be repaired before we leave")


def test_a_whole_life_in_entries() -> None:
    entry: Instance | None = None
    lives = [State.JOINING, State.SETTLING, State.ACTIVE, State.RETIRING, State.LEAVING, State.LEFT]
    found = []
    for epoch, state in enumerate(lives, start=10):
        entry = entered(situation(entry), state, epoch, now_ms=epoch * 100)
        found.append((entry.epoch, entry.fence, entry.spans, entry.settled_ms))
    assert found == [
        (10, 0, (), 0),
        (11, 10, ((11, 0),), 0),
        (12, 11, ((11, 0),), 1200),
        (13, 11, ((11, 0),), 1200),
        (14, 13, ((11, 14),), 1200),
        (15, 14, ((11, 14),), 1500),
    ]


def test_one_that_changes_its_mind_demands_nothing_of_others() -> None:
    retiring = own(State.RETIRING, fence=7)
    assert entered(situation(retiring), State.ACTIVE, 10, 0).fence == 7


@pytest.mark.parametrize(
    ("state", "pushes_from", "reads_from"),
    [
        (State.JOINING, 8, 9),
        (State.SETTLING, 9, 8),
        (State.ACTIVE, 8, 8),
        (State.RETIRING, 8, 9),
        (State.LEAVING, 9, 8),
        (State.LEFT, 8, 8),
    ],
)
def test_readers_have_to_know_what_is_announced_and_writers_what_is_done(
    state: State, pushes_from: int, reads_from: int
) -> None:
    ring = Ring((*OTHERS, replace(own(state), fence=8)))
    for epoch in (7, 8, 9):
        assert admits(ring, "a0", epoch, is_push=True) == (epoch >= pushes_from)
        assert admits(ring, "a0", epoch, is_push=False) == (epoch >= reads_from)


def test_one_that_has_left_takes_nothing_from_before() -> None:
    ring = Ring((*OTHERS, replace(own(State.LEFT), fence=8)))
    assert not admits(ring, "a2", 8, is_push=True)
    assert admits(ring, "a2", 8, is_push=False)
    assert admits(ring, "a2", 9, is_push=True)
