"""One ingester's way through the ring: looks, decides (`rondel.ring.membership`), does one step, looks
again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from rondel.cluster.identity import Identity, IdentityStore
from rondel.cluster.keys import Keys
from rondel.cluster.register import Page, Register
from rondel.cluster.ringview import RingView
from rondel.errors import ConfigError, Unavailable
from rondel.kv.session import Session, Taken
from rondel.kv.store import KeyValueStore
from rondel.ring.instance import EVER_MS, Instance, State
from rondel.ring.membership import Enter, Hold, Release, Ship, Situation, Step, Wait, next_step
from rondel.runtime import logs
from rondel.runtime.tasks import TaskOwner

__all__ = ["Member", "Settings"]

_CLAIM_TERMS: Final = 2.5
"""of a lease, after which whoever holds our id is alive: etcd grants a whole one anew when it restarts"""
_POLL_S: Final = 0.25
_LOOK_S: Final = 5.0

_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """How an ingester joins and leaves."""

    lease_s: int = 15
    """after which a process that says nothing counts as dead"""
    patience_s: float = 60.0
    """time that a living reader has to apply a step, before the next one is taken without it"""


class Member:
    """Implements join, restart and leave. `run` does the work and returns when it has left for good.

    `ship` puts all that we have into blocks that everybody sees, after the pushes that are under way.
    `found` is asked, with who we are, whether an empty store may become a new ring: true once in the life of
    a cluster, and for whoever was told so again. An empty store whose ring was founded before is one that
    was wiped: it gets its ring back from a member that remembers, and nobody may begin another one
    meanwhile.
    """

    def __init__(
        self,
        store: KeyValueStore,
        keys: Keys,
        session: Session,
        view: RingView,
        me: Instance,
        identity: IdentityStore,
        ship: Callable[[], Awaitable[object]],
        found: Callable[[str], Awaitable[bool]],
        now_ms: Callable[[], int],
        settings: Settings | None = None,
    ) -> None:
        self.waits_for = "the store"
        """why the next step is not taken; empty where we are what we want to be"""
        self.is_leaving = False
        self._me = me
        self._settings = settings or Settings()
        self._register = Register(store, keys)
        self._session = session
        self._view = view
        self._identity = identity
        self._kept = identity.load()
        self._turn = Session(store, self._settings.lease_s, self._kept.owner)
        self._ship = ship
        self._found = found
        self._now_ms = now_ms
        self._is_shipped = False
        self._entered_s: tuple[int, float] = (0, 0.0)
        self._absent_since_s: float | None = None
        self._prepared = asyncio.Event()
        self._wanted = asyncio.Event()
        view.subscribe(lambda ring: self._wanted.set())
        if self._kept.has_joined:
            self._prepared.set()

    @property
    def behind_since_ms(self) -> int:
        """From when on we may lack what we acknowledged: answers say so and are not counted. 0 for
        nothing."""
        if not self._prepared.is_set():
            return EVER_MS
        return self._kept.behind_since_ms

    async def prepared(self) -> None:
        """Returns when it is known whether our disk has what the ring says that we have: then we may
        serve."""
        await self._prepared.wait()

    def leave(self) -> None:
        """From now on: ships everything and leaves."""
        self.is_leaving = True
        self._wanted.set()

    def stay(self) -> None:
        """Takes `leave` back; where samples already went elsewhere, we come back with the same tokens."""
        self.is_leaving = False
        self._is_shipped = False
        self._wanted.set()

    def caught_up(self) -> None:
        """We have again all that we may lack."""
        self._note(replace(self._kept, behind_since_ms=0))
        self._wanted.set()

    async def run(self) -> None:
        """Raises Taken where another living process is this ingester, ConfigError where the ring knows it
        otherwise."""
        async with TaskOwner("membership") as tasks:
            tasks.spawn(self._keep_turn(), name="turn")
            await self._claim()
            while not await self._moved_on():
                pass

    @property
    def _holder(self) -> str:
        return self._register.keys.holder(self._me.id)

    async def _claim(self) -> None:
        """A process that died holds its id until its lease ends; one that lives holds it longer."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + _CLAIM_TERMS * self._settings.lease_s
        while True:
            try:
                return await self._session.put(self._holder, self._me.address.encode())
            except Taken:
                if loop.time() > end_s:
                    raise
            except Unavailable:
                end_s = loop.time() + _CLAIM_TERMS * self._settings.lease_s
            await asyncio.sleep(1.0)

    async def _keep_turn(self) -> None:
        while True:
            try:
                await self._turn.run()
            except Taken:
                _log.warning("our turn to move went to another", id=self._me.id)

    async def _moved_on(self) -> bool:
        """One look and what follows from it; whether we have left for good."""
        self._wanted.clear()
        try:
            page, own = await self._own()
            if not self._is_ours(page):
                await self._rest(_POLL_S)
                return False
            if await self._mended(page, own):
                return False
            now = self._situation(page, own)
            step = next_step(now)
            if self.is_leaving and step == Wait() and not self._may_be_lost(now):
                return True
            await self._take(step, page, now)
        except Unavailable as error:
            self.waits_for = str(error)
            await asyncio.sleep(_POLL_S)
        return False

    async def _own(self) -> tuple[Page, Instance | None]:
        page = await self._register.read()
        return page, self._register.entry(page, self._me.id)

    def _is_ours(self, page: Page) -> bool:
        """Whether our id is; a lease that has ended comes back by itself. Raises Taken."""
        holder = page.items.get(self._holder)
        if holder is not None and not self._session.owns(holder):
            raise Taken(self._holder)
        return holder is not None

    def _situation(self, page: Page, own: Instance | None) -> Situation:
        turn = page.items.get(self._register.keys.turn(self._me.zone))
        return Situation(
            self._me,
            own,
            self._view.ring,
            page.applied,
            is_leaving=self.is_leaving,
            holds_turn=turn is not None and self._turn.owns(turn),
            is_patient=self._is_patient(own),
            is_shipped=self._is_shipped,
        )

    def _is_patient(self, own: Instance | None) -> bool:
        now_s = asyncio.get_running_loop().time()
        if own and self._entered_s[0] != own.epoch:
            self._entered_s = own.epoch, now_s
        return now_s - self._entered_s[1] < self._settings.patience_s

    # --- what is not as it should be ---

    async def _mended(self, page: Page, own: Instance | None) -> bool:
        """Whether something had to be put right first; then the page is old."""
        # All that we know, not only what the view has found lacking: it may be late, and whoever finds our
        # entry and not its own thinks that it is new.
        known = {one.id: one for one in (*self._view.ring.entries, *self._view.lacking)}
        lost = [one for one in known.values() if self._register.is_older(page, one)]
        if lost:
            await self._register.put_back(page, sorted(lost, key=lambda one: one.epoch))
            await self._rest(_POLL_S)
            return True
        if own is not None and own.state is not State.LEFT:
            return await self._amended(page, own)
        return False

    async def _amended(self, page: Page, own: Instance) -> bool:
        if (own.zone, own.ordinal) != (self._me.zone, self._me.ordinal):
            raise ConfigError(
                f"ingester {own.id} is number {own.ordinal} of zone {own.zone} in the ring, "
                f"not number {self._me.ordinal} of {self._me.zone}"
            )
        if not self._kept.has_joined and own.spans:
            self._note(replace(self._kept, behind_since_ms=EVER_MS))
        wanted = replace(own, address=self._me.address, behind_since_ms=self._kept.behind_since_ms)
        if wanted != own:
            if not await self._register.amend(page, wanted, [self._holder]):
                await asyncio.sleep(_POLL_S)
            return True
        self._remember()
        return False

    def _remember(self) -> None:
        if not self._kept.has_joined:
            self._note(replace(self._kept, has_joined=True))
        self._prepared.set()

    def _note(self, identity: Identity) -> None:
        self._identity.store(identity)
        self._kept = identity

    # --- steps ---

    async def _take(self, step: Step, page: Page, now: Situation) -> None:
        self.waits_for = ""
        match step:
            case Hold():
                await self._hold()
            case Release():
                await self._turn.delete(self._register.keys.turn(self._me.zone))
            case Ship():
                await self._ship()
                self._is_shipped = True
            case Enter(state):
                await self._enter(state, page, now)
            case Wait(reason):
                self.waits_for = reason
                await self._rest(_POLL_S if reason else _LOOK_S)

    async def _hold(self) -> None:
        try:
            await self._turn.put(self._register.keys.turn(self._me.zone), self._me.id.encode())
        except Taken:
            self.waits_for = f"another ingester moves in zone {self._me.zone}"
            await asyncio.sleep(_POLL_S)

    async def _enter(self, state: State, page: Page, now: Situation) -> None:
        if state is State.JOINING:
            if self._is_behind_others(now) or await self._is_lost(page, now):
                self.waits_for = "the store has lost the ring: a member that remembers it puts it back"
                await self._rest(_POLL_S)
                return
            if now.own and now.own.behind_since_ms and not self._kept.has_joined:
                self._note(replace(self._kept, behind_since_ms=now.own.behind_since_ms))
            self._remember()
        if state is not State.LEAVING:
            self._is_shipped = False
        held = [self._holder]
        if now.holds_turn:
            held.append(self._register.keys.turn(self._me.zone))
        entry = await self._register.enter(page, now, state, held, self._now_ms())
        if entry is None:
            await asyncio.sleep(_POLL_S)
        else:
            _log.info("ring step", id=entry.id, state=entry.state, epoch=entry.epoch)

    def _may_be_lost(self, now: Situation) -> bool:
        """Whether a store without an entry of ours may have lost it: those who remember have the time of a
        lease to put it back."""
        now_s = asyncio.get_running_loop().time()
        if now.own is not None:
            self._absent_since_s = None
            return False
        if self._absent_since_s is None:
            self._absent_since_s = now_s
        return self._is_behind_others(now) or now_s - self._absent_since_s < self._settings.lease_s

    def _is_behind_others(self, now: Situation) -> bool:
        """Whether somebody alive has applied more than the store tells: it has lost steps."""
        return max(now.applied.values(), default=0) > max(now.ring.epoch, now.own.epoch if now.own else 0)

    async def _is_lost(self, page: Page, now: Situation) -> bool:
        is_empty = self._register.keys.epoch not in page.items and not now.ring.epoch
        return is_empty and not await self._found(self._kept.owner)

    async def _rest(self, seconds: float) -> None:
        """Until something may have changed."""
        try:
            async with asyncio.timeout(seconds):
                await self._wanted.wait()
        except TimeoutError:
            pass
