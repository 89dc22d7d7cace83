"""The next step of an ingester's membership: what is known goes in, what to do comes out.

Two waits guard each step. *Readers*: everybody alive who reads or writes has applied the step before, so
that nothing is refused; that wait is bounded, since a reader may hang. *Fence*: so many ingesters have
applied it that whoever has not is refused by a quorum; that one is not bounded, since the answers of the
cluster hang on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from rondel.ring.instance import EVER_MS, Instance, State
from rondel.ring.quorum import is_fenced
from rondel.ring.ring import Ring

__all__ = [
    "RING_EPOCH",
    "Enter",
    "Hold",
    "Release",
    "Ship",
    "Situation",
    "Wait",
    "admits",
    "entered",
    "next_step",
]

RING_EPOCH: Final = "ring-epoch"
"""id of the Unavailable with which an ingester answers those whom it does not admit"""

SPANS_MAX: Final = 8
"""terms of an instance that its entry tells of"""
IN_DOUBT_MAX: Final = 2
"""others of a zone that crashed in the middle of a step, before nobody else moves there"""

_UNGUARDED: Final = frozenset(
    {
        (State.LEFT, State.JOINING),
        (State.JOINING, State.LEFT),
        (State.ACTIVE, State.RETIRING),
        (State.RETIRING, State.ACTIVE),
    }
)
"""steps that nobody has to know of beforehand"""


@dataclass(frozen=True, slots=True)
class Situation:
    """What an ingester knows."""

    me: Instance
    """who we are: id, zone, address, ordinal count"""
    own: Instance | None
    """our entry in the store as it is now"""
    ring: Ring
    """what we have applied"""
    applied: Mapping[str, int]
    """epoch that each living reader, writer and ingester has applied"""
    is_leaving: bool = False
    """whether we are to leave for good"""
    holds_turn: bool = False
    """whether it is our turn to move in our zone"""
    is_patient: bool = True
    """whether readers that have not applied our last step are still waited for"""
    is_shipped: bool = False
    """whether all that we have is in blocks that everybody sees"""
    is_lost: bool = False
    """whether we speak for one that is gone with its disk"""
    is_written_off: bool = False
    """whether answers are to be complete without what only that one had"""


@dataclass(frozen=True, slots=True)
class Hold:
    """Take the turn of the zone: one moves at a time."""


@dataclass(frozen=True, slots=True)
class Release:
    """Give the turn to the next."""


@dataclass(frozen=True, slots=True)
class Enter:
    """Change the state in the store, under the next epoch."""

    state: State


@dataclass(frozen=True, slots=True)
class Ship:
    """Everything into blocks."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until something changes."""

    reason: str = ""
    """empty where we are where we want to be"""


Step = Hold | Release | Enter | Ship | Wait


def next_step(now: Situation) -> Step:
    """What to do now."""
    state = now.own.state if now.own else State.LEFT
    if (state is State.LEFT) if now.is_leaving else (state is State.ACTIVE):
        return Release() if now.holds_turn else Wait()
    if state is State.RETIRING and not now.is_leaving:
        return Enter(State.ACTIVE)
    if state is State.JOINING and now.is_leaving:
        return Enter(State.LEFT)
    others = _unfinished(now)
    if state in (State.LEFT, State.ACTIVE) and len(others) >= IN_DOUBT_MAX and not now.is_lost:
        # One of them needs the turn to end.
        return (
            Release()
            if now.holds_turn
            else Wait(f"{', '.join(others)} have begun to move and have not ended")
        )
    if not now.holds_turn:
        return Hold()
    return (_leave if now.is_leaving else _join)(now, state)


def _join(now: Situation, state: State) -> Step:
    if state is State.LEFT:
        return Enter(State.JOINING)
    if state is State.LEAVING:
        return _after_all(now, State.SETTLING)
    return _after_all(now, State.SETTLING if state is State.JOINING else State.ACTIVE)


def _leave(now: Situation, state: State) -> Step:
    if state is State.ACTIVE:
        return Enter(State.RETIRING)
    if state is not State.LEAVING:
        return _after_all(now, State.LEAVING)
    if now.is_lost:
        return _after_all(now, State.LEFT)
    if now.own and now.own.behind_since_ms:
        # Once it has left, readers take its blocks for all that it was given.
        return Wait("what we lack is to be repaired before we leave")
    step = _after_all(now, State.LEFT)
    return step if now.is_shipped or isinstance(step, Wait) else Ship()


def _unfinished(now: Situation) -> list[str]:
    """Ids of others of our zone that are in the middle of a step."""
    return [
        one.id
        for one in now.ring.instances
        if one.zone == now.me.zone and one.id != now.me.id and one.state.is_in_doubt
    ]


def _after_all(now: Situation, state: State) -> Step:
    assert now.own is not None
    epoch = now.own.epoch
    if now.ring.epoch < epoch:
        return Wait("our own last step is not yet applied here")
    late = sorted(id for id, applied in now.applied.items() if applied < epoch)
    if late and now.is_patient:
        return Wait(f"not yet applied by {', '.join(late)}")
    refusing = [id for id, applied in now.applied.items() if applied >= epoch]
    if now.is_lost:
        refusing.append(now.own.id)  # Nobody gets an answer of it any more.
    if not is_fenced(now.ring, refusing):
        return Wait("too few ingesters have applied our last step")
    return Enter(state)


def entered(now: Situation, state: State, epoch: int, now_ms: int) -> Instance:
    """Our entry after a step."""
    before = now.own or now.me
    spans = before.spans
    if state.is_written and not before.state.is_written:
        spans = (*spans, (epoch, 0))
    if spans and before.state.is_written and not state.is_written:
        spans = (*spans[:-1], (spans[-1][0], epoch))
    is_settled = state is State.LEFT or (state is State.ACTIVE and before.state is State.SETTLING)
    # Only what a quorum is known to have applied may be demanded of others.
    is_first = (before.state, state) in _UNGUARDED or not now.own
    return replace(
        before,
        address=now.me.address,
        state=state,
        epoch=epoch,
        fence=before.fence if is_first else before.epoch,
        spans=spans[-SPANS_MAX:],
        settled_ms=now_ms if is_settled else before.settled_ms,
        behind_since_ms=_behind_since_ms(now, before, state),
    )


def _behind_since_ms(now: Situation, before: Instance, state: State) -> int:
    if now.is_lost and state is State.LEFT:
        return EVER_MS if before.spans and not now.is_written_off else 0
    return before.behind_since_ms


def admits(ring: Ring, id: str, epoch: int, *, is_push: bool) -> bool:
    """Whether an ingester listens to somebody who has applied that epoch. Who is refused tries again
    later.

    A step counts on the refusal of those who have applied the one before it, and they may learn of it, and
    of its fence, much later than others, or never. So they refuse before: readers that do not know what is
    announced, since somebody may write by it already, and writers that do not know what is done, since
    nobody may look any more for what is written without it.
    """
    if epoch < ring.fence:
        return False
    steps = (State.SETTLING, State.LEAVING) if is_push else (State.JOINING, State.RETIRING)
    if any(epoch < one.epoch for one in ring.instances if one.state in steps):
        return False
    return not is_push or all(epoch >= one.epoch for one in ring.gone if one.id == id)
