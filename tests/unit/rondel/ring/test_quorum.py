"""When a push is written and when a read is complete, against a count series by series."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rondel.ring.instance import EVER_MS, Instance, State
from rondel.ring.quorum import (
    SKEW_MS,
    Outcome,
    PushTally,
    Refusal,
    enough,
    is_fenced,
    unanswered,
    write_quorum,
)
from rondel.ring.ring import Ring
from tests.unit.rondel.ring.test_ring import HASHES, fleet, with_state

ONE_SET = np.zeros(2, np.int64), np.array([[0, 1, 2]], np.int16)


def refusal(*series: int, id: str = "too-old") -> Refusal:
    return Refusal(id, "sample is too old", np.array(series, np.int64))


@pytest.mark.parametrize(("factor", "quorum"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)])
def test_a_write_needs_more_than_half(factor: int, quorum: int) -> None:
    assert write_quorum(factor) == quorum


def test_two_of_three_are_enough_and_the_slow_one_is_not_waited_for() -> None:
    tally = PushTally(*ONE_SET, 3)
    tally.took(2)
    assert tally.outcome is Outcome.OPEN
    tally.took(0)
    assert tally.outcome is Outcome.WRITTEN
    assert tally.waiting == {1}


def test_two_lost_of_three_fail_whatever_the_third_says() -> None:
    tally = PushTally(*ONE_SET, 3)
    tally.lost(0)
    assert tally.outcome is Outcome.OPEN
    tally.lost(1)
    assert tally.outcome is Outcome.FAILED


def test_one_refusal_is_not_the_callers_fault() -> None:
    tally = PushTally(*ONE_SET, 3)
    tally.took(0, [refusal(1)])
    tally.took(1)
    assert tally.outcome is Outcome.OPEN
    tally.took(2)
    assert tally.outcome is Outcome.WRITTEN
    assert tally.refusals() == []


def test_a_quorum_of_refusals_is() -> None:
    tally = PushTally(*ONE_SET, 3)
    tally.took(0, [refusal(1)])
    tally.took(2, [refusal(1)])
    assert tally.outcome is Outcome.WRITTEN
    [found] = tally.refusals()
    assert (found.id, found.series.tolist()) == ("too-old", [1])


def test_one_that_took_one_that_refused_and_one_that_is_lost_is_to_be_sent_again() -> None:
    tally = PushTally(*ONE_SET, 3)
    tally.took(0, [refusal(1)])
    tally.took(1)
    tally.lost(2)
    assert tally.outcome is Outcome.FAILED


def test_fewer_members_than_a_quorum_can_never_write() -> None:
    tally = PushTally(np.zeros(1, np.int64), np.array([[0, -1, -1]], np.int16), 3)
    assert tally.outcome is Outcome.FAILED


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_the_tally_agrees_with_a_count_series_by_series(data: st.DataObject) -> None:
    factor = data.draw(st.integers(1, 5))
    members = list(range(data.draw(st.integers(1, 6))))
    width = min(factor, len(members))
    rows = st.lists(st.permutations(members).map(lambda order: order[:width]), min_size=1, max_size=4)
    sets = np.array(data.draw(rows), np.int16)
    set_of = np.array(data.draw(st.lists(st.integers(0, len(sets) - 1), min_size=1, max_size=6)), np.int64)
    tally = PushTally(set_of, sets, factor)
    took = [0] * len(set_of)
    refused = [0] * len(set_of)
    left = [len(sets[one]) for one in set_of]
    for member in data.draw(st.permutations(members)):
        own = [i for i, one in enumerate(set_of) if member in sets[one]]
        if data.draw(st.booleans()):
            bad = [i for i in own if data.draw(st.booleans())]
            tally.took(member, [refusal(*bad)] if bad else [])
            for i in own:
                refused[i] += i in bad
                took[i] += i not in bad
        else:
            tally.lost(member)
        for i in own:
            left[i] -= 1
        assert tally.outcome is _by_series(took, refused, left, write_quorum(factor))


def _by_series(took: list[int], refused: list[int], left: list[int], needed: int) -> Outcome:
    states = [
        Outcome.WRITTEN
        if max(one, two) >= needed
        else Outcome.OPEN
        if max(one, two) + rest >= needed
        else Outcome.FAILED
        for one, two, rest in zip(took, refused, left, strict=True)
    ]
    if Outcome.FAILED in states:
        return Outcome.FAILED
    return Outcome.OPEN if Outcome.OPEN in states else Outcome.WRITTEN


# --- reads --------------------------------------------------------------------------------------------


def all_but(ring: Ring, *silent: str) -> list[str]:
    return [one.id for one in ring.instances if one.id not in silent]


def test_a_whole_zone_may_be_silent() -> None:
    ring = fleet(3, 3, 3)
    assert unanswered(ring, all_but(ring, "b0", "b1", "b2"), 0) is None


def test_two_in_two_zones_fail_only_the_sets_that_have_both() -> None:
    ring = fleet(3, 3, 3)
    missing = unanswered(ring, all_but(ring, "a0", "b1"), 0)
    routes = ring.writes.of(HASHES)
    names = [one.id for one in ring.instances]
    both = [{"a0", "b1"} <= {names[place] for place in row} for row in routes.tolist()]
    if missing is None:
        assert not any(both)
    else:
        assert missing.members == ("a0", "b1")
        assert missing.share == pytest.approx(np.mean(both), abs=0.02)


def test_nobody_answering_is_nothing_answered() -> None:
    missing = unanswered(fleet(1, 1, 1), [], 0)
    assert missing is not None
    assert missing.share == pytest.approx(1)


def test_an_earlier_owner_must_answer_for_what_it_was_given() -> None:
    """a3 came and took ranges from a0 to a2; what was written before is still there."""
    old = [replace(one, spans=((1, 0),), settled_ms=1) for one in fleet(3, 1, 1).instances]
    came_ms = 10 * SKEW_MS
    young = Instance("a3", "a", "a3:1", 3, State.ACTIVE, epoch=5, spans=((5, 0),), settled_ms=came_ms)
    ring = Ring((*old, young), 3)
    assert unanswered(ring, all_but(ring, "a3", "b0"), since_ms=0) is not None
    assert unanswered(ring, all_but(ring, "a3"), since_ms=0) is None
    # Only a3 has what was written to its ranges since.
    old_owners = all_but(ring, "b0", "a0", "a1", "a2")
    assert unanswered(ring, old_owners, since_ms=0) is not None
    missing_since = unanswered(Ring((*old[3:], young)), ["a3", "c0"], since_ms=came_ms + SKEW_MS)
    assert missing_since is None


def test_an_empty_ring_answers_nothing() -> None:
    missing = unanswered(Ring(()), [], since_ms=0)
    assert missing is not None
    assert missing.share == 1.0


def test_one_that_has_left_counts_as_having_answered() -> None:
    entries = [replace(one, spans=((1, 0),), settled_ms=1) for one in fleet(2, 1, 1).instances]
    left = replace(entries[1], state=State.LEFT, spans=((1, 6),), settled_ms=SKEW_MS + 5)
    ring = Ring((entries[0], left, *entries[2:]))
    assert unanswered(ring, ["a0", "b0"], since_ms=0) is None
    assert unanswered(ring, ["a0"], since_ms=0) is not None


def test_one_that_was_forgotten_with_its_disk_does_not() -> None:
    entries = [replace(one, spans=((1, 0),), settled_ms=1) for one in fleet(2, 1, 1).instances]
    lost = replace(
        entries[0], state=State.LEFT, spans=((1, 6),), settled_ms=SKEW_MS + 5, behind_since_ms=EVER_MS
    )
    ring = Ring((lost, *entries[1:]))
    assert unanswered(ring, ["a1", "b0"], since_ms=0) is not None
    assert unanswered(ring, ["b0", "c0"], since_ms=0) is None


@pytest.mark.parametrize(("factor", "late", "expected"), [(3, "a", True), (3, "ab", False), (2, "a", False)])
def test_a_ring_is_fenced_off_when_no_quorum_is_without_those_who_refuse_it(
    factor: int, late: str, expected: bool
) -> None:
    ring = fleet(2, 2, 2, factor=factor)
    applied = [one.id for one in ring.instances if one.zone not in late]
    assert is_fenced(ring, applied) is expected


def test_the_stand_in_of_one_that_leaves_holds_what_came_since() -> None:
    ring = with_state(fleet(2, 2, 2), "a0", State.LEAVING)
    assert unanswered(ring, all_but(ring, "a0"), since_ms=5) is None
    assert unanswered(ring, all_but(ring, "a1", "b0"), since_ms=5) is not None


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_complete_read_meets_every_write(data: st.DataObject) -> None:
    """Whatever quorum took a write, now or in an earlier ring: one of it is among those that answered."""
    count = data.draw(st.integers(1, 3))
    ring = fleet(*[count] * data.draw(st.integers(1, 3)))
    states = st.sampled_from(list(State))
    entries = [
        replace(one, state=data.draw(states), spans=((start, 0),), epoch=start, settled_ms=SKEW_MS * start)
        for one in ring.instances
        for start in [data.draw(st.integers(1, 3))]
    ]
    ring = Ring(tuple(replace(one, spans=((1, 2),)) if not one.state.is_written else one for one in entries))
    answered = data.draw(st.sets(st.sampled_from([one.id for one in ring.entries])))
    if unanswered(ring, answered, since_ms=10) is not None:
        return
    needed = write_quorum(3)
    counts = answered | {one.id for one in ring.gone}
    for then in ring.possible(10 - SKEW_MS):
        for row in then.sets.tolist():
            members = [ring.entries[place].id for place in row if place >= 0]
            if len(members) >= needed:
                assert len([id for id in members if id not in counts]) < needed


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_as_few_as_are_enough_are_complete_and_none_of_them_can_be_spared(data: st.DataObject) -> None:
    zones = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    ring = fleet(*zones, factor=data.draw(st.integers(1, 5)))
    states = data.draw(st.lists(st.sampled_from(State), min_size=sum(zones), max_size=sum(zones)))
    for id, state in zip([one.id for one in ring.instances], states, strict=True):
        if state not in (State.ACTIVE, State.JOINING) and data.draw(st.booleans()):
            ring = with_state(ring, id, state)
    if ring.gone and data.draw(st.booleans()):  # with its disk
        forgotten = replace(ring.gone[0], behind_since_ms=EVER_MS)
        ring = Ring((*ring.instances, forgotten, *ring.gone[1:]), ring.replication_factor)
    ids = [one.id for one in ring.instances]
    order = data.draw(st.permutations(ids))[: data.draw(st.integers(0, len(ids)))]
    group = enough(ring, order, 0)
    if group is None:
        assert unanswered(ring, order, 0) is not None
        return
    assert unanswered(ring, group, 0) is None
    assert set(group) <= set(order)
    for spared in group:
        assert unanswered(ring, [id for id in group if id != spared], 0) is not None


def test_whoever_is_last_is_spared_first() -> None:
    ring = fleet(2, 2, 2)
    assert enough(ring, ["b0", "b1", "c0", "c1", "a0", "a1"], 0) == ("b0", "b1", "c0", "c1")
    # The one that is doubted is stood in for by the one with the same ranges in the third zone.
    assert enough(ring, ["b0", "b1", "c0", "a0", "a1", "c1"], 0) == ("b0", "b1", "c0", "a1")
