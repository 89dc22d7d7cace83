"""Keeps elections in the store, and answers from memory.

A request is never kept waiting for the store but where a replica is to be elected. While the store is away,
the one that was elected last stays so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final
from urllib.parse import unquote

from rondel.cluster.election import Elected, Settings, Verdict, decode, encode, judge
from rondel.cluster.keys import Keys
from rondel.errors import InvalidData, LimitExceeded, Unavailable
from rondel.kv.store import Delete, Guard, Item, KeyValueStore, Put
from rondel.kv.view import Known, View
from rondel.runtime import logs
from rondel.runtime.tasks import TaskOwner

__all__ = ["Tracker"]

PAUSE_MS: Final = 1_000
PAUSE_MAX_MS: Final = 5_000
_PROBE_S: Final = 5.0
_FORGET_MS: Final = 3_600_000
"""after which a pair of which nothing was heard makes room for another"""

_log = logs.get(__name__)


@dataclass(slots=True)
class _Pair:
    """What this process knows of one pair."""

    elected: Elected | None = None
    modified: int = 0
    """revision of the store at which that was said; 0 where it has no such key"""
    heard_ms: int = 0
    """when it came, by our clock"""
    wait_until_ms: int = 0
    """before that the store is not written"""
    pause_ms: int = PAUSE_MS
    writing: asyncio.Task[None] | None = None
    """what tells the store, while it does"""


class Tracker:
    """One for a distributor. `run` follows the store; `accepts` judges a request."""

    def __init__(
        self,
        store: KeyValueStore,
        keys: Keys,
        now_ms: Callable[[], int],
        random: Random,
        settings: Settings | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self._store = store
        self._keys = keys
        self._now_ms = now_ms
        self._random = random
        self._pairs: dict[str, _Pair] = {}
        self._count: dict[str, int] = {}
        self._away_ms = -(1 << 62)
        self.failovers = 0
        """how often another replica of a pair was elected"""
        self._tasks = TaskOwner("ha")
        self._view = View(store, keys.elections, self._apply)

    async def run(self) -> None:
        """Follows until it is cancelled; nothing is accepted after that."""
        async with self._tasks as tasks:
            tasks.spawn(self._probe(), name="probe")
            await self._view.run()

    async def _probe(self) -> None:
        """While the store is away nobody can tell us that an elected replica lives: its silence means
        nothing."""
        while True:
            try:
                await self._store.snapshot(f"{self._keys.root}ha-probe")
                await self._forget()
            except Unavailable:
                self._away_ms = self._now_ms()
            await asyncio.sleep(_PROBE_S)

    def elected(self, tenant: str, pair: str) -> str:
        """The replica that is listened to; empty where none was elected."""
        known = self._pairs.get(self._keys.election(tenant, pair))
        return known.elected.replica if known and known.elected else ""

    async def accepts(self, tenant: str, pair: str, replica: str) -> bool:
        """Whether samples of this replica are taken. Raises LimitExceeded for one pair too many, Unavailable
        where a first replica cannot be elected."""
        key = self._keys.election(tenant, pair)
        known = self._pairs.get(key) or self._added(tenant, key)
        now_ms = self._now_ms()
        heard_ms = known.heard_ms
        if known.elected and known.elected.replica != replica:
            heard_ms = max(heard_ms, self._away_ms)
        verdict = judge(known.elected, heard_ms, replica, now_ms, self.settings)
        if verdict in (Verdict.REFRESH, Verdict.ELECT) and self._may_write(known, now_ms):
            known.writing = self._tasks.spawn(self._write(key, known, replica, now_ms), name="write")
        if verdict is Verdict.ELECT and known.writing is not None:
            # Requests that come side by side wait for one election; a caller that goes does not end it.
            await asyncio.shield(known.writing)
        if known.elected is None:
            raise Unavailable(f"no replica of {pair} could be elected: the key-value store does not answer")
        return known.elected.replica == replica

    def _added(self, tenant: str, key: str) -> _Pair:
        if self._count.get(tenant, 0) >= self.settings.pairs_max:
            raise LimitExceeded(
                f"tenant {tenant} has {self._count[tenant]} pairs of replicas, the limit is "
                f"{self.settings.pairs_max}",
                "ha-pairs",
            )
        self._count[tenant] = self._count.get(tenant, 0) + 1
        return self._pairs.setdefault(key, _Pair())

    def _may_write(self, known: _Pair, now_ms: int) -> bool:
        return known.writing is None and now_ms >= known.wait_until_ms

    async def _write(self, key: str, known: _Pair, replica: str, now_ms: int) -> None:
        """Proposes the replica; whoever was faster is believed. Unavailable leaves everything as it was."""
        before = known.elected
        term = 1 if before is None else before.term + (before.replica != replica)
        fresh = Elected(replica, now_ms, term)
        try:
            done = await self._store.commit([Guard(key, known.modified)], [Put(key, encode(fresh))])
            if done.done:
                self._hear(known, Item(key, encode(fresh), 0, done.revision))
            else:
                await self._look(key, known)
            known.pause_ms = PAUSE_MS
            spread = self._random.uniform(0.0, self.settings.refresh_s / 4)
            known.wait_until_ms = now_ms + round(spread * 1000)
        except Unavailable:
            known.wait_until_ms = now_ms + round(known.pause_ms * self._random.uniform(0.5, 1.5))
            known.pause_ms = min(PAUSE_MAX_MS, known.pause_ms * 2)
        finally:
            known.writing = None

    async def _look(self, key: str, known: _Pair) -> None:
        for item in (await self._store.snapshot(key)).items:
            if item.key == key:
                self._hear(known, item)
                return
        known.modified = 0

    def _hear(self, known: _Pair, item: Item) -> None:
        try:
            said = decode(item.value)
        except InvalidData as error:
            _log.warning("an elected replica cannot be read", key=item.key, reason=str(error))
            known.modified = item.modified
            return
        if known.elected is None or known.elected != said:
            known.heard_ms = self._now_ms()
        if known.elected is not None and known.elected.replica != said.replica:
            self.failovers += 1
        known.elected, known.modified = said, item.modified

    async def _forget(self) -> None:
        """Lets pairs go whose senders are gone. Raises Unavailable."""
        before_ms = self._now_ms() - _FORGET_MS
        if self._away_ms >= before_ms:
            return
        for key, pair in list(self._pairs.items()):
            if pair.heard_ms >= before_ms or pair.writing is not None:
                continue
            guards = [Guard(key, pair.modified)]
            if pair.modified == 0 or (await self._store.commit(guards, [Delete(key)])).done:
                self._count[self._tenant_of(key)] -= 1
                del self._pairs[key]

    def _tenant_of(self, key: str) -> str:
        return unquote(key[len(self._keys.elections) :].partition("/")[0])

    def _apply(self, known: Known) -> None:
        for key, item in known.items.items():
            pair = self._pairs.get(key)
            if pair is None:
                tenant = self._tenant_of(key)
                self._count[tenant] = self._count.get(tenant, 0) + 1
                pair = self._pairs[key] = _Pair()
            if item.modified != pair.modified:
                self._hear(pair, item)
        for key, pair in self._pairs.items():
            if key not in known.items:
                # The store lost it: what was elected stays so, and is written again.
                pair.modified = 0
