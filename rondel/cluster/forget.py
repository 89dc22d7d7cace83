"""An operator's word that an ingester is gone for good, with its disk.

It is moved out of the ring by the steps that it would have taken itself, so that nobody ever reads or writes
by a ring that others have left behind. What it acknowledged is not in blocks: its entry goes on to say so,
and reads go on to ask all its replicas, until no query looks at that time any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from rondel.cluster.config import ClusterConfig
from rondel.cluster.keys import Keys
from rondel.cluster.register import Page, Register
from rondel.cluster.ringview import RingView
from rondel.errors import Conflict, NotFound
from rondel.kv.store import KeyValueStore
from rondel.ring.instance import Instance, State
from rondel.ring.membership import Enter, Situation, Wait, next_step
from rondel.ring.quorum import Unanswered, unanswered
from rondel.ring.ring import Ring
from rondel.runtime import logs

__all__ = ["Forgotten", "Position", "forget", "living", "sound"]

_POLL_S: Final = 0.1
_log = logs.get(__name__)


class Position(Protocol):
    """Where the operator speaks from: some process of the cluster (`rondel.cluster.node.Node`)."""

    store: KeyValueStore
    keys: Keys
    view: RingView
    config: ClusterConfig


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How far it has come."""

    id: str
    state: State
    """LEFT: it is done"""
    waits_for: str = ""
    """why the next step is not taken yet; ask again"""


async def forget(
    here: Position, id: str, now_ms: Callable[[], int], *, accept_loss: bool = False, time_s: float = 30.0
) -> Forgotten:
    """Takes as many steps as are safe in that time. Raises NotFound, Conflict where it would do harm, and
    Unavailable."""
    return await _Proxy(here, id, now_ms, accept_loss).run(time_s)


def living(page: Page, register: Register, ring: Ring) -> frozenset[str]:
    """Ids of instances that some living process is."""
    return frozenset(one.id for one in ring.instances if register.keys.holder(one.id) in page.items)


def sound(ring: Ring, alive: frozenset[str]) -> frozenset[str]:
    """Ids of those that are alive and lack nothing of what they acknowledged."""
    return frozenset(one.id for one in ring.instances if one.id in alive and not one.behind_since_ms)


class _Proxy:
    """Speaks for one that cannot."""

    def __init__(self, here: Position, id: str, now_ms: Callable[[], int], accept_loss: bool) -> None:
        self._id = id
        self._view = here.view
        self._register = Register(here.store, here.keys)
        self._patience_s = here.config.patience_s
        self._now_ms = now_ms
        self._accept_loss = accept_loss
        self._entered_s: tuple[int, float] = (-1, 0.0)

    async def run(self, time_s: float) -> Forgotten:
        end_s = asyncio.get_running_loop().time() + time_s
        while True:
            page = await self._register.read()
            entry = self._register.entry(page, self._id)
            if entry is None:
                raise NotFound(f"the ring has no ingester {self._id!r}")
            if entry.state is State.LEFT:
                return Forgotten(entry.id, entry.state)
            reason = await self._moved(page, entry)
            if asyncio.get_running_loop().time() > end_s:
                return Forgotten(entry.id, entry.state, reason)
            await asyncio.sleep(_POLL_S if reason else 0)

    async def _moved(self, page: Page, entry: Instance) -> str:
        """One step; why it was not taken, if it was not."""
        loss = self._checked(page, entry)
        now = self._situation(page, entry, loss)
        match next_step(now):
            case Enter(state):
                return await self._entered(state, page, now)
            case Wait(reason):
                return reason
            case step:
                raise AssertionError(f"{step} is no step of one that is lost")

    def _checked(self, page: Page, entry: Instance) -> Unanswered | None:
        """What is lost with it. Raises Conflict."""
        if self._register.keys.holder(self._id) in page.items:
            raise Conflict(
                f"ingester {self._id} is alive: a living one leaves by itself, see /ingester/prepare-shutdown"
            )
        if self._view.suspicion:
            raise Conflict(f"{self._view.suspicion}: nobody is forgotten before it has them again")
        ring = self._view.ring
        others = sound(ring, living(page, self._register, ring)) - {self._id}
        loss = unanswered(ring, others, 0) if entry.spans else None
        if loss is not None and not self._accept_loss:
            raise Conflict(
                f"without {self._id}, of {loss.share:.1%} of all series samples may be lost that were "
                f"acknowledged and are in no block: {', '.join(loss.members)} may be the only ones that have "
                "them, and are gone, or lack something themselves. Bring the others back first; "
                f"accept_loss=true gives up what only {self._id} had"
            )
        return loss

    def _situation(self, page: Page, entry: Instance, loss: Unanswered | None) -> Situation:
        return Situation(
            entry,
            entry,
            self._view.ring,
            page.applied,
            is_leaving=True,
            # Whoever has the turn of the zone may be waiting for this one, and would wait for ever.
            holds_turn=True,
            is_patient=self._is_patient(entry),
            is_lost=True,
            is_written_off=loss is not None,
        )

    def _is_patient(self, entry: Instance) -> bool:
        now_s = asyncio.get_running_loop().time()
        if self._entered_s[0] != entry.epoch:
            self._entered_s = entry.epoch, now_s
        return now_s - self._entered_s[1] < self._patience_s

    async def _entered(self, state: State, page: Page, now: Situation) -> str:
        # That the holder's key is not there is among what must not have changed.
        held = [self._register.keys.holder(self._id)]
        entry = await self._register.enter(page, now, state, held, self._now_ms())
        if entry is None:
            return "the ring has changed meanwhile"
        _log.warning(
            "an operator forgets an ingester",
            id=entry.id,
            state=entry.state,
            epoch=entry.epoch,
            is_loss_accepted=now.is_written_off,
        )
        return ""
