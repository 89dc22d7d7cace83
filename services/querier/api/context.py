"""What the handlers of the API have in common: the parts that they ask, and the shape of an answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from rondel.model.tenant import TENANT_HEADER, tenant_of
from rondel.promql.control import Control
from rondel.promql.engine import Engine
from rondel.runtime import envelope
from rondel.runtime.clock import Clock
from rondel.storage import ExemplarSource, MetadataSource, Storage
from services.querier.again import again
from services.querier.config import Config
from services.querier.execute import Executor
from services.querier.guard import QueryGuard
from services.querier.querylog import Entry, QueryLog

__all__ = ["TRUNCATED", "Context", "answer", "answer_of"]

TRUNCATED = "results truncated due to limit"

_T = TypeVar("_T")
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The querier's parts, handed to every module of the API."""

    config: Config
    tenancy: bool
    """Whether requests name their tenant."""
    storage: Storage
    metadata: MetadataSource
    exemplars: ExemplarSource
    engine: Engine
    executor: Executor
    clock: Clock
    log: QueryLog
    guard: QueryGuard = field(default_factory=QueryGuard)

    def tenant(self, request: Request) -> str:
        # Joined as HTTP says: a header that came twice names no tenant, so nobody can sneak one in.
        named = ", ".join(request.headers.getlist(TENANT_HEADER))
        return tenant_of(named, tenancy=self.tenancy)

    async def ask(
        self,
        request: Request,
        entry: Entry,
        control: Control,
        work: Callable[[], _T],
        *,
        timeout_s: float,
        span_ms: int | None = None,
        counts_timeouts: bool = True,
        repeats: bool = True,
    ) -> _T:
        """What `work()` answers, run as every query is: under the guard's eyes, in its turn, within its time,
        cancelled when the client goes away, and logged.

        Raises what `work` raises, ExecutionError where the guard refuses it, and as `Executor.run`. The
        `span_ms` is for the guard, which otherwise takes that of the entry. `counts_timeouts` is false
        where it is not the query alone that takes the time; `repeats` where work cannot be done again.
        """
        entry.control = control
        query = self.guard.query(
            entry.tenant, entry.text, entry.end_ms - entry.start_ms if span_ms is None else span_ms
        )
        whole_time = timeout_s >= self.engine.options_of(entry.tenant).timeout_s
        asked_s = time.perf_counter()
        failure: Exception | None = None

        def timed() -> _T:
            entry.queue_s = time.perf_counter() - asked_s
            return again(work, control) if repeats else work()

        try:
            async with self.guard.watch(
                query, timeout_s, counts_timeouts=whole_time and counts_timeouts
            ) as watched:
                return await self.executor.run(
                    entry.kind, control, request.receive, watched(timed), timeout_s=timeout_s
                )
        except Exception as error:
            failure = error
            raise
        finally:
            self.log.write(entry, request.headers, time.perf_counter() - asked_s, failure)

    def remembered(self, tenant: str, text: str, span_ms: int, work: Callable[[], _T]) -> Callable[[], _T]:
        """The work of what is no PromQL under the guard's eyes: raises ExecutionError where it is refused."""
        return self.guard.remembered(self.guard.query(tenant, text, span_ms), work)

    async def look_up(
        self,
        kind: str,
        request: Request,
        work: Callable[[Control], _T],
        *,
        selectors: Sequence[str] = (),
        span_ms: int = 0,
    ) -> _T:
        """Runs a look-up of labels or series in a worker thread, under the limits of queries."""
        tenant = self.tenant(request)
        options = self.engine.options_of(tenant)
        timeout_s = options.timeout_s
        control = Control(timeout_s=timeout_s, limits=options.limits)
        text = " ".join([request.url.path, *selectors])
        remembered = self.remembered(tenant, text, span_ms, lambda: again(lambda: work(control), control))
        return await self.executor.run(kind, control, request.receive, remembered, timeout_s=timeout_s)


def answer(body: bytes) -> Response:
    """A response of an envelope that is ready."""
    return Response(body, media_type=envelope.JSON)


def answer_of(data: object, warnings: list[str] | None = None) -> Response:
    """A successful response around plain values."""
    return answer(envelope.success(_encode(data), warnings or ()))
