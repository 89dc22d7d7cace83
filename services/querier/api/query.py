"""`/query` and `/query_range`: PromQL in, samples out."""

from __future__ import annotations

import time
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from rondel.errors import ParseError
from rondel.promql import render
from rondel.promql.control import Control
from rondel.promql.options import PER_STEP_STATS
from rondel.promql.result import Result
from rondel.promql.tally import Tally
from rondel.runtime import envelope
from rondel.runtime.router import Route, route
from services.querier.api import asked as queries
from services.querier.api import params as form
from services.querier.api.asked import Asked
from services.querier.api.context import TRUNCATED, Context, answer
from services.querier.api.stats import rendered
from services.querier.limit import limited
from services.querier.querylog import Entry

__all__ = ["routes"]

_STATS: Final = ("", "true", "all")
"""Others are taken for `true`, with a warning."""


def routes(context: Context) -> list[Route]:
    queries = _Queries(context)
    return [route("/query", queries.instant), route("/query_range", queries.range)]


class _Queries:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def instant(self, request: Request) -> Response:
        params, tenant = await form.read(request), self._context.tenant(request)
        return await self._run(request, tenant, "instant", queries.instant(params, self._context, tenant))

    async def range(self, request: Request) -> Response:
        params, tenant = await form.read(request), self._context.tenant(request)
        return await self._run(request, tenant, "range", queries.ranged(params, self._context, tenant))

    async def _run(self, request: Request, tenant: str, kind: str, asked: Asked) -> Response:
        """One call of a worker thread, from the text to the bytes that leave."""
        context = self._context
        entry = Entry(kind, tenant, asked.text, asked.start_ms, asked.end_ms, asked.step_ms)
        control = context.engine.control(tenant, timeout_s=asked.timeout_s)

        def work() -> bytes:
            result, truncated = limited(self._evaluated(tenant, asked, control), asked.limit)
            entry.stats = result.stats
            began_s = time.perf_counter()
            body = self._rendered(tenant, asked, result, entry, truncated=truncated)
            entry.render_s = time.perf_counter() - began_s
            entry.size_bytes = len(body)
            return body

        try:
            return answer(await context.ask(request, entry, control, work, timeout_s=asked.timeout_s))
        except ParseError as error:
            raise ParseError(f'invalid parameter "query": {error}') from error

    def _rendered(self, tenant: str, asked: Asked, result: Result, entry: Entry, *, truncated: bool) -> bytes:
        stats = None
        if asked.stats:
            per_step = PER_STEP_STATS in self._context.engine.options_of(tenant).features
            stats = rendered(result.stats, entry.queue_s or 0.0, asked, per_step=per_step)
        warnings = [*result.warnings, TRUNCATED] if truncated else result.warnings
        if asked.stats not in _STATS:
            warnings = [*warnings, _deprecated(asked.stats)]
        return envelope.success(render.data(result.data, stats), warnings, result.infos)

    def _evaluated(self, tenant: str, asked: Asked, control: Control) -> Result:
        engine, lookback_ms = self._context.engine, asked.lookback_ms
        tally = Tally() if asked.stats else None
        if asked.step_ms == 0:
            return engine.instant(
                tenant, asked.text, asked.start_ms, control, lookback_ms=lookback_ms, tally=tally
            )
        times = asked.start_ms, asked.end_ms, asked.step_ms
        return engine.range(tenant, asked.text, *times, control, lookback_ms=lookback_ms, tally=tally)


def _deprecated(stats: str) -> str:
    return (
        f'the value "{stats}" of parameter "stats" is deprecated and will be refused in a later version; '
        'use "true" or "all"'
    )
