"""Whoever is cut off from the store, for however long: what is acknowledged is in every complete answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, pairwise
from random import Random

import pytest

from rondel.ring.instance import Instance, State
from rondel.ring.membership import Situation, admits, entered
from rondel.ring.quorum import is_fenced, unanswered, write_quorum
from rondel.ring.ring import Ring
from tests.sim.schedule import small
from tests.unit.rondel.ring.test_ring import fleet

JOIN = [State.JOINING, State.SETTLING, State.ACTIVE]
LEAVE = [State.RETIRING, State.LEAVING, State.LEFT]
BACK = [State.RETIRING, State.LEAVING, State.SETTLING, State.ACTIVE]
LONG_AFTER_MS = 1_000_000


@pytest.fixture(autouse=True)
def _small() -> Iterator[None]:
    with small():
        yield


def life(states: list[State], zones: tuple[int, ...]) -> list[Ring]:
    """The rings while the last instance of zone a takes these steps, the one before them first."""
    instances = fleet(*zones).instances
    id = f"a{zones[0] - 1}"
    others = tuple(replace(one, epoch=1, spans=((1, 0),)) for one in instances if one.id != id)
    me = replace(next(one for one in instances if one.id == id), settled_ms=0, epoch=0, state=State.LEFT)
    own: Instance | None = None
    if states[0] is not State.JOINING:
        own = replace(me, state=State.ACTIVE, epoch=2, spans=((2, 0),))
    rings = [Ring((*others, own) if own else others)]
    for epoch, state in enumerate(states, start=10):
        own = entered(Situation(me, own, rings[-1], {}), state, epoch, 1_000)
        rings.append(Ring((*others, own)))
    return rings


def reached(rings: list[Ring], ids: list[str], chance: Random) -> dict[str, Ring]:
    """What each ingester has applied, in some way in which the steps may have been taken so far."""
    while True:
        newest = chance.randrange(1, len(rings))
        at = {id: max(0, newest - chance.choice([0, 0, 1, 2, 3])) for id in ids}
        # The first step is guarded by nothing, and nobody takes a step that he does not know.
        steps = range(1, newest)
        at[ids[0]] = max(at[ids[0]], newest - 1)
        if all(is_fenced(rings[step], [id for id in ids if at[id] >= step]) for step in steps):
            return {id: rings[place] for id, place in at.items()}


def quorums(ring: Ring, applied: dict[str, Ring]) -> Iterator[set[str]]:
    """Members that may together acknowledge a push that was routed by a ring."""
    needed = write_quorum(ring.replication_factor)
    for row in {tuple(row) for row in ring.writes.sets.tolist()}:
        ids = [ring.entries[place].id for place in row if place >= 0]
        willing = [id for id in ids if admits(applied[id], id, ring.epoch, is_push=True)]
        yield from (set(some) for some in combinations(willing, needed))


@pytest.mark.parametrize("states", [JOIN, LEAVE, BACK], ids=["join", "leave", "back"])
@pytest.mark.parametrize("zones", [(2, 2, 2), (2, 1, 1), (3, 2, 2)])
def test_no_complete_answer_lacks_what_was_acknowledged_by_any_ring(
    states: list[State], zones: tuple[int, ...]
) -> None:
    rings, chance = life(states, zones), Random(7)
    mover = f"a{zones[0] - 1}"
    ids = [mover, *(one.id for one in rings[0].entries if one.id != mover)]
    for _ in range(20):
        applied = reached(rings, ids, chance)
        newest = max(ring.epoch for ring in applied.values())
        known = [ring for ring in rings if ring.epoch <= newest]
        for writer in known:
            for quorum in quorums(writer, applied):
                for reader in known:
                    gone = {one.id for one in reader.gone}
                    if quorum & gone:
                        continue  # What it took is in blocks.
                    here = [one.id for one in reader.instances if one.id not in quorum]
                    answers = [id for id in here if admits(applied[id], id, reader.epoch, is_push=False)]
                    assert unanswered(reader, answers, LONG_AFTER_MS) is not None, (
                        f"written by {writer.epoch} to {quorum}, read by {reader.epoch} from {answers}: "
                        f"{ {id: ring.epoch for id, ring in applied.items()} }"
                    )


def test_those_who_keep_up_are_listened_to_at_every_step() -> None:
    for states in (JOIN, LEAVE, BACK):
        for before, after in pairwise(life(states, (2, 2, 2))):
            for one in after.instances:
                assert admits(after, one.id, after.epoch, is_push=True)
                assert admits(before, one.id, after.epoch, is_push=False)
