"""The guard against queries of death: what killed the process, or keeps failing, is not run again at once.

A query is its tenant, its text (blanks do not count) and its span, from first to last step: one that was
too much over 30 days may well be answered over an hour, so only spans above half of what failed are
refused. Times are bounded: after `refuse_s` (`refuse_failing_s`) a query gets another chance.

Who is to blame for a death is not known: several queries ran, or somebody killed the process who knew of
none. So whoever was there becomes a suspect: for `refuse_s` suspects run one at a time, so that the next
death has one. Who has been there `refuse_after_deaths` times is refused; an answer acquits.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from prometheus_client import CollectorRegistry, Counter

from rondel.errors import ExecutionError, QueryError, QueryTimeout, QueryTooExpensive
from rondel.runtime import logs
from rondel.runtime.clock import Clock, SystemClock
from services.querier.inflight import Inflight, RunningQuery

__all__ = ["QueryGuard", "Refusal", "Watch", "query_key"]

_LEDGER: Final = "refused.json"
_INFLIGHT: Final = "inflight"
_ENTRIES_MAX: Final = 1000
_TEXT_CHARS_MAX: Final = 600
_REMEMBER_MS: Final = 86_400_000
"""How long a death counts against a query."""
_SPAN_SHARE: Final = 2
"""Spans of more than one part in so many of what failed are refused."""

_T = TypeVar("_T")
_log = logs.get(__name__)


def query_key(tenant: str, text: str) -> str:
    """16 hexadecimal digits: the name of a query in logs and messages."""
    normal = " ".join(text.split())
    return hashlib.blake2b(f"{tenant}\0{normal}".encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is held against one query."""

    key: str
    tenant: str
    text: str
    span_ms: int
    """the smallest that did harm"""
    deaths: int = 0
    died_ms: int = 0
    """when a death was last found"""
    failures: int = 0
    """in a row"""
    failed_ms: int = 0
    reason: str = ""
    until_ms: int = 0
    """when it may run again; 0 where it may now"""

    @classmethod
    def of(cls, query: RunningQuery) -> Refusal:
        """Nothing yet."""
        return cls(query.key, query.tenant, query.text[:_TEXT_CHARS_MAX], query.span_ms)

    def covers(self, query: RunningQuery) -> bool:
        return query.span_ms * _SPAN_SHARE > self.span_ms or query.span_ms == self.span_ms


class Watch:
    """Goes around the work of one query in its thread."""

    def __init__(self, inflight: Inflight | None, query: RunningQuery) -> None:
        self._inflight = inflight
        self._query = query
        self.began = False

    def __call__(self, work: Callable[[], _T]) -> Callable[[], _T]:
        """The same work, remembered while it runs."""

        def watched() -> _T:
            self.began = True
            slot = self._inflight.enter(self._query) if self._inflight else None
            try:
                return work()
            finally:
                if self._inflight is not None:
                    self._inflight.leave(slot)

        return watched


class QueryGuard:
    """Remembers queries that run, refuses those that did harm. Without a folder deaths are not seen."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        slots: int = 0,
        refuse_after_deaths: int = 2,
        refuse_s: float = 600.0,
        refuse_after_failures: int = 5,
        refuse_failing_s: float = 60.0,
        clock: Clock | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._folder = folder
        self._inflight = Inflight(folder / _INFLIGHT, slots) if folder else None
        self._deaths_max = refuse_after_deaths
        self._refuse_ms = int(refuse_s * 1000)
        self._failures_max = refuse_after_failures
        self._refuse_failing_ms = int(refuse_failing_s * 1000)
        self._clock = clock or SystemClock()
        self._entries: OrderedDict[str, Refusal] = OrderedDict()
        self._alone = asyncio.Lock()
        self._saving = threading.Lock()
        self._refused = Counter(
            "rondel_query_refused",
            "Queries that were not run because of the harm that they did before.",
            registry=registry or CollectorRegistry(),
        )

    def start(self) -> None:
        """Reads what the process before this one left. Blocks. A folder that is no use (a full disk) is no
        reason not to serve: queries are then not remembered."""
        if self._folder is None or self._inflight is None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._entries = self._load(self._folder / _LEDGER)
            died = self._inflight.open()
            for query in died:
                self._blame(query)
            if died:
                self._save(list(self._entries.values()))
        except OSError as error:
            _log.warning("queries in flight are not remembered", folder=str(self._folder), error=str(error))

    def stopping(self) -> None:
        """The process ends on purpose: queries that still run are not to blame."""
        if self._inflight is not None:
            self._inflight.stopping()

    def query(self, tenant: str, text: str, span_ms: int) -> RunningQuery:
        """A query as the guard knows it."""
        return RunningQuery(query_key(tenant, text), tenant, text, span_ms, self._clock.now_ms())

    def check(self, query: RunningQuery) -> None:
        """Raises ExecutionError for a query that is refused."""
        entry = self._entries.get(query.key)
        now_ms = self._clock.now_ms()
        if entry is None or now_ms >= entry.until_ms or not entry.covers(query):
            return
        self._refused.inc()
        left_s = -(-(entry.until_ms - now_ms) // 1000)
        raise ExecutionError(
            f"query {query.key} is refused for another {left_s} s: {entry.reason}. Ask for less than half of "
            f"its {entry.span_ms / 1000:g} s, or lift it with DELETE /querier/refused?key={query.key}"
        )

    @asynccontextmanager
    async def watch(
        self, query: RunningQuery, timeout_s: float, *, counts_timeouts: bool
    ) -> AsyncIterator[Watch]:
        """Around a query, from before it waits for its thread; what it gives goes around the work there.

        Raises as `check`, and QueryTimeout where a suspect's turn does not come. `counts_timeouts` is false
        where the client asked for so little time that running out of it says nothing of the query.
        """
        self.check(query)
        async with self._turn(query, timeout_s):
            watch = Watch(self._inflight, query)
            try:
                yield watch
            except (QueryTimeout, QueryTooExpensive) as error:
                if watch.began and (counts_timeouts or isinstance(error, QueryTooExpensive)):
                    self._failed(query, error)
                raise
            if watch.began:
                await self._answered(query)

    def remembered(self, query: RunningQuery, work: Callable[[], _T]) -> Callable[[], _T]:
        """The work, seen if the process dies of it: for what is no PromQL, where failures do not add up.
        Raises as `check`."""
        self.check(query)
        return Watch(self._inflight, query)(work)

    @asynccontextmanager
    async def _turn(self, query: RunningQuery, timeout_s: float) -> AsyncIterator[None]:
        if not self._is_suspect(query):
            yield
            return
        try:
            await asyncio.wait_for(self._alone.acquire(), timeout_s)
        except TimeoutError as error:
            raise QueryTimeout("query timed out in the queue of queries that run one at a time") from error
        try:
            yield
        finally:
            self._alone.release()

    async def _answered(self, query: RunningQuery) -> None:
        entry = self._entries.get(query.key)
        if entry is None or not entry.covers(query):
            return
        del self._entries[entry.key]
        if entry.deaths:
            try:
                await asyncio.to_thread(self._save, list(self._entries.values()))
            except OSError as error:
                _log.warning("who was acquitted is not written down", query_key=entry.key, error=str(error))

    def _failed(self, query: RunningQuery, error: QueryError) -> None:
        if self._failures_max == 0:
            return
        now_ms = self._clock.now_ms()
        entry = self._entries.get(query.key) or Refusal.of(query)
        failures, until_ms, reason = entry.failures + 1, entry.until_ms, entry.reason
        if failures >= self._failures_max:
            until_ms = max(until_ms, now_ms + self._refuse_failing_ms)
            reason = (
                f"it failed {failures} times in a row (limit: {self._failures_max}), at last with: {error}"
            )
        self._keep(
            replace(
                entry,
                span_ms=min(entry.span_ms, query.span_ms),
                failures=failures,
                failed_ms=now_ms,
                until_ms=until_ms,
                reason=reason,
            )
        )

    def refused(self) -> list[Refusal]:
        """What is refused now, the latest first."""
        now_ms = self._clock.now_ms()
        return [entry for entry in reversed(self._entries.values()) if entry.until_ms > now_ms]

    async def lift(self, key: str) -> bool:
        """Forgets what is held against a query; False where nothing is."""
        if self._entries.pop(key, None) is None:
            return False
        await asyncio.to_thread(self._save, list(self._entries.values()))
        return True

    def _is_suspect(self, query: RunningQuery) -> bool:
        entry = self._entries.get(query.key)
        recent_ms = self._clock.now_ms() - self._refuse_ms
        return entry is not None and entry.died_ms > recent_ms and entry.covers(query)

    def _blame(self, query: RunningQuery) -> None:
        now_ms = self._clock.now_ms()
        entry = self._entries.get(query.key) or Refusal.of(query)
        deaths = entry.deaths + 1
        guilty = 0 < self._deaths_max <= deaths
        times = "once" if deaths == 1 else f"{deaths} times"
        entry = replace(
            entry,
            span_ms=min(entry.span_ms, query.span_ms),
            deaths=deaths,
            died_ms=now_ms,
            until_ms=now_ms + self._refuse_ms if guilty else 0,
            reason=f"the process died {times} while it ran",
        )
        self._keep(entry)
        _log.warning(
            "query was running when the process died",
            query_key=query.key,
            tenant=query.tenant,
            query=query.text,
            span_ms=query.span_ms,
            deaths=deaths,
            refused_s=self._refuse_ms // 1000 if guilty else 0,
        )

    def _keep(self, entry: Refusal) -> None:
        self._entries[entry.key] = entry
        self._entries.move_to_end(entry.key)
        while len(self._entries) > _ENTRIES_MAX:
            self._entries.popitem(last=False)

    def _load(self, path: Path) -> OrderedDict[str, Refusal]:
        try:
            entries = msgspec.json.decode(path.read_bytes(), type=list[Refusal])
        except FileNotFoundError:
            return OrderedDict()
        except (OSError, msgspec.DecodeError) as error:
            _log.warning(
                "what queries did harm is not readable, and forgotten", path=str(path), error=str(error)
            )
            return OrderedDict()
        oldest_ms = self._clock.now_ms() - _REMEMBER_MS
        return OrderedDict((entry.key, entry) for entry in entries if entry.died_ms > oldest_ms)

    def _save(self, entries: list[Refusal]) -> None:
        """Only deaths are worth a file: failures are found again."""
        if self._folder is None:
            return
        deadly = [replace(entry, failures=0) for entry in entries if entry.deaths]
        path = self._folder / _LEDGER
        fresh = path.with_suffix(".new")
        with self._saving:
            with fresh.open("wb") as file:
                file.write(msgspec.json.encode(deadly))
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, path)
