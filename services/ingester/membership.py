"""`Membership`: this ingester in its cluster, from the claim of its name to the end of the process.

What it is in the ring outlives it. A restart changes nothing there; only who was told so before
(`prepare-shutdown`) leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from rondel.cluster.identity import IdentityFile
from rondel.cluster.marker import Marker
from rondel.cluster.membership import Member, Settings
from rondel.cluster.node import INGESTER, Node
from rondel.errors import RondelError, Unavailable
from rondel.kv.store import KeyValueStore
from rondel.objstore import Bucket
from rondel.ring.instance import EVER_MS, Instance, State
from rondel.ring.ring import Ring
from rondel.runtime import logs
from rondel.runtime.clock import Clock
from rondel.runtime.tasks import TaskOwner
from services.ingester.clusterconfig import Config
from services.ingester.founding import Founding

__all__ = ["Membership"]

_IDENTITY: Final = "member.json"
_RING: Final = "ring.json"
_LEAVE: Final = "leave"
_log = logs.get(__name__)


class Membership:
    """`start` begins to join, or to be again what we were; `ring` tells when we may serve."""

    def __init__(
        self,
        config: Config,
        store: KeyValueStore,
        bucket: Bucket,
        clock: Clock,
        *,
        ship: Callable[[], Awaitable[object]],
        on_ring: Callable[[Ring], None],
        on_left: Callable[[], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """`on_left` hears that what an earlier process began is done: we have left, and may end."""
        self.id = config.id
        self.node: Node | None = None
        self.marker = Marker(config.folder / _LEAVE)
        """Whether the next SIGTERM means that we leave."""
        self._config = config
        self._ordinal = config.ingester.number(config.id)
        self._store = store
        self._founding = Founding(bucket, config.cluster.name)
        self._file = IdentityFile(config.folder / _IDENTITY, config.cluster.name, config.id)
        self._clock = clock
        self._ship = ship
        self._on_ring = on_ring
        self._on_left = on_left
        self._member: Member | None = None
        self._is_leaving = False
        self._left = asyncio.Event()
        self._prepared = asyncio.Event()
        self._on_failure = on_failure
        self._tasks = TaskOwner("member", lambda _, error: on_failure(error))

    # --- what others ask ---

    def ring(self) -> Ring:
        """The ring in force here; raises Unavailable while we do not know what we have."""
        if self.node is None or not self._prepared.is_set():
            raise Unavailable(f"ingester {self.id} has not joined yet", retry_after_s=1.0)
        return self.node.view.ring

    async def prepared(self) -> None:
        """Returns when we may serve."""
        await self._prepared.wait()

    @property
    def state(self) -> State | None:
        """Ours in the ring; None where it has no entry of us."""
        entries = self.node.view.ring.entries if self.node else ()
        return next((one.state for one in entries if one.id == self.id), None)

    @property
    def behind_since_ms(self) -> int:
        """From when on we may lack what we acknowledged; 0 for nothing."""
        return self._member.behind_since_ms if self._member else EVER_MS

    @property
    def is_leaving(self) -> bool:
        """Whether we go for good."""
        return self._is_leaving

    @property
    def has_left(self) -> bool:
        """Whether we are gone for good, and nothing of us is missed."""
        return self._left.is_set()

    @property
    def waits_for(self) -> str:
        """Why our next step is not taken; empty where there is none to take."""
        return self._member.waits_for if self._member else "the ring"

    @property
    def is_held(self) -> bool:
        """Whether our lease is alive for certain. On the event loop."""
        return self.node is not None and self.node.session.is_held

    @property
    def terms(self) -> int:
        """How many leases this process had."""
        return self.node.session.terms if self.node else 0

    @property
    def waiting(self) -> list[str]:
        """Why we are not a full member."""
        if self._member is None or not self._prepared.is_set():
            return [f"membership: waits for {self.waits_for}"]
        state = self.state
        found = [] if state is State.ACTIVE else [f"membership: {state or 'not in the ring'}"]
        if found and self.waits_for:
            found = [f"{found[0]}, waits for: {self.waits_for}"]
        if self._member.behind_since_ms:
            found.append("repair: behind, what was lost comes from the replicas")
        return found

    def caught_up(self) -> None:
        """We have again what we lacked."""
        if self._member is not None:
            self._member.caught_up()

    # --- life ---

    def start(self, address: str, behind_since_ms: int) -> Node:
        """`behind_since_ms`: from when on our disk lacks what it had before, 0 where it does not.

        Raises ConfigError where the directory is another ingester's.
        """
        identity = self._file.load()
        if behind_since_ms and identity.has_joined:
            since_ms = min(behind_since_ms, identity.behind_since_ms or behind_since_ms)
            identity = replace(identity, behind_since_ms=since_ms)
            self._file.store(identity)
        if self.marker.since_ms() is not None:
            _log.warning("prepare-shutdown was called before: this ingester is to leave")
        config = self._config
        node = self.node = Node(
            self._store,
            config.cluster,
            INGESTER,
            self.id,
            config.folder / _RING,
            self._clock.now_ms,
            owner=identity.owner,
            on_failure=lambda _, error: self._on_failure(error),
        )
        self._tasks.spawn(self._run(node, address), name="run")
        return node

    async def _run(self, node: Node, address: str) -> None:
        await node.start()
        node.view.subscribe(self._on_ring)
        cluster = self._config.cluster
        member = self._member = Member(
            self._store,
            node.keys,
            node.session,
            node.view,
            Instance(self.id, cluster.zone, address, self._ordinal, State.JOINING),
            self._file,
            self._shipped,
            self._founding.may_found,
            self._clock.now_ms,
            Settings(cluster.lease_s, cluster.patience_s),
        )
        is_resumed = self._was_leaving()
        if self._is_leaving or is_resumed:
            self._is_leaving = True
            member.leave()
        self._tasks.spawn(self._serve(member), name="serve")
        await member.run()
        self._left.set()
        if is_resumed:
            self._on_left()

    def _was_leaving(self) -> bool:
        """Whether the last process was told to leave, and ended in the middle of it."""
        is_marked = self.marker.since_ms() is not None
        return is_marked and self.state in (State.RETIRING, State.LEAVING, State.LEFT)

    async def _serve(self, member: Member) -> None:
        await member.prepared()
        self._prepared.set()

    async def _shipped(self) -> None:
        """All that we have, in blocks. What fails is tried again."""
        try:
            await self._ship()
        except RondelError as error:
            raise Unavailable(f"not everything is in blocks: {error}") from error

    async def leave(self) -> bool:
        """Ships everything and leaves for good; false where that took longer than it may."""
        self._is_leaving = True
        if self._member is not None:
            self._member.leave()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._config.ingester.leave_timeout_s):
                await self._left.wait()
                self.marker.clear()
                return True
        return False

    async def stop(self) -> None:
        """Our entry stays as it is; our name is free for the next process at once."""
        await self._tasks.close()
        if self.node is not None:
            await self.node.stop()
