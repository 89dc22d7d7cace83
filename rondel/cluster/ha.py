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

from rondel.cluster.election import Elected, Settings, Verdict, decode, encode, judge
from rondel.cluster.keys import Keys
from rondel.errors import InvalidData, LimitExceeded, Unavailable
from rondel.kv.store import Guard, Item, KeyValueStore, Put
from rondel.kv.view import Known, View
from rondel.runtime import logs
from rondel.runtime.tasks import TaskOwner

__all__ = ["Tracker"]

PAUSE_MS: Final = 1_000
PAUSE_MAX_MS: Final = 5_000
_PROBE_S: Final = 5.0

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
    is_writing: bool = False


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
        self._view = View(store, keys.elections, self._apply)

    async def run(self) -> None:
        """Follows until it is cancelled."""
        async with TaskOwner("ha") as tasks:
            tasks.spawn(self._probe(), name="probe")
            await self._view.run()

    async def _probe(self) -> None:
        """While the store is away nobody can tell us that an elected replica lives: its silence means
        nothing."""
        while True:
            try:
                await self._store.snapshot(f"{self._keys.root}ha-probe")
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
            await self._write(key, known, replica, now_ms)
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
        return not known.is_writing and now_ms >= known.wait_until_ms

    async def _write(self, key: str, known: _Pair, replica: str, now_ms: int) -> None:
        """Proposes the replica; whoever was faster is believed. Unavailable leaves everything as it was."""
        before = known.elected
        term = 1 if before is None else before.term + (before.replica != replica)
        fresh = Elected(replica, now_ms, term)
        known.is_writing = True
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
            known.is_writing = False

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
        known.elected, known.modified = said, item.modified

    def _apply(self, known: Known) -> None:
        for key, item in known.items.items():
            pair = self._pairs.get(key)
            if pair is None:
                tenant = key[len(self._keys.elections) :].partition("/")[0]
                self._count[tenant] = self._count.get(tenant, 0) + 1
                pair = self._pairs[key] = _Pair()
            if item.modified != pair.modified:
                self._hear(pair, item)
        for key, pair in self._pairs.items():
            if key not in known.items:
                # The store lost it: what was elected stays so, and is written again.
                pair.modified = 0
