"""`/query` and `/query_range`: PromQL in, samples out."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from rondel.errors import InvalidData, ParseError
from rondel.promql import render
from rondel.promql.control import Control
from rondel.promql.result import QueryStats, Result
from rondel.runtime import envelope
from rondel.runtime.router import Route, route
from services.querier.api import params as form
from services.querier.api.context import TRUNCATED, Context, answer
from services.querier.api.params import Params, invalid
from services.querier.limit import limited
from services.querier.querylog import Entry

__all__ = ["routes"]


def routes(context: Context) -> list[Route]:
    queries = _Queries(context)
    return [route("/query", queries.instant), route("/query_range", queries.range)]


class _Queries:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def instant(self, request: Request) -> Response:
        context, asked = self._context, await form.read(request)
        tenant, limit = context.tenant(request), asked.limit()
        time_ms = asked.time_ms("time", context.clock.now_ms())
        timeout_s, lookback_ms = self._timeout_s(asked, tenant), _lookback_ms(asked)
        control = context.engine.control(tenant, timeout_s=timeout_s)
        text = asked.get("query")

        def evaluate() -> Result:
            return context.engine.instant(tenant, text, time_ms, control, lookback_ms=lookback_ms)

        entry = Entry("instant", tenant, text, time_ms, time_ms)
        return await self._run(request, asked, limit, control, timeout_s, entry, evaluate)

    async def range(self, request: Request) -> Response:
        context, asked = self._context, await form.read(request)
        tenant, limit = context.tenant(request), asked.limit()
        start_ms, end_ms = asked.time_ms("start"), asked.time_ms("end")
        if end_ms < start_ms:
            raise invalid("end", "end timestamp must not be before start time")
        step_ms = asked.step_ms()
        steps_max = context.engine.options_of(tenant).steps_max
        if 0 < steps_max < (end_ms - start_ms) // step_ms:
            raise InvalidData(
                f"exceeded maximum resolution of {steps_max:,} points per timeseries. "
                "Try decreasing the query resolution (?step=XX)"
            )
        timeout_s, lookback_ms = self._timeout_s(asked, tenant), _lookback_ms(asked)
        control = context.engine.control(tenant, timeout_s=timeout_s)
        text = asked.get("query")

        def evaluate() -> Result:
            return context.engine.range(
                tenant, text, start_ms, end_ms, step_ms, control, lookback_ms=lookback_ms
            )

        entry = Entry("range", tenant, text, start_ms, end_ms, step_ms)
        return await self._run(request, asked, limit, control, timeout_s, entry, evaluate)

    def _timeout_s(self, asked: Params, tenant: str) -> float:
        timeout_ms = asked.duration_ms("timeout")
        longest_s = self._context.engine.options_of(tenant).timeout_s
        return longest_s if timeout_ms is None else min(timeout_ms / 1000, longest_s)

    async def _run(
        self,
        request: Request,
        asked: Params,
        limit: int,
        control: Control,
        timeout_s: float,
        entry: Entry,
        evaluate: Callable[[], Result],
    ) -> Response:
        """One call of a worker thread, from the text to the bytes that leave."""
        context = self._context
        with_stats = bool(asked.get("stats"))

        def work() -> bytes:
            queue_s = time.perf_counter() - asked_s
            result, truncated = limited(evaluate(), limit)
            entry.stats = result.stats
            data = render.data(result.data, _stats(result.stats, queue_s) if with_stats else None)
            warnings = [*result.warnings, TRUNCATED] if truncated else result.warnings
            return envelope.success(data, warnings, result.infos)

        asked_s = time.perf_counter()
        failure: Exception | None = None
        try:
            body = await context.executor.run(entry.kind, control, request.receive, work, timeout_s=timeout_s)
            entry.size_bytes = len(body)
            return answer(body)
        except ParseError as error:
            failure = error
            raise ParseError(f'invalid parameter "query": {error}') from error
        except Exception as error:
            failure = error
            raise
        finally:
            context.log.write(entry, request.headers, time.perf_counter() - asked_s, failure)


def _lookback_ms(asked: Params) -> int | None:
    """None for the engine's own; so for 0 and less, as Prometheus takes them."""
    try:
        lookback_ms = asked.duration_ms("lookback_delta")
    except InvalidData as error:
        cause = str(error).partition(": ")[2]
        raise InvalidData(f"error parsing lookback delta duration: {cause}") from error
    return None if lookback_ms is None or lookback_ms <= 0 else max(1, int(lookback_ms))


def _stats(stats: QueryStats, queue_s: float) -> bytes:
    total_s = stats.prepare_s + stats.eval_s
    return msgspec.json.encode(
        {
            "timings": {
                "evalTotalTime": total_s,
                "resultSortTime": stats.sort_s,
                "queryPreparationTime": stats.prepare_s,
                "innerEvalTime": stats.eval_s - stats.sort_s,
                "execQueueTime": queue_s,
                "execTotalTime": queue_s + total_s,
            },
            "samples": {
                "totalQueryableSamples": stats.samples_read,
                "samplesRead": stats.samples_read,
                "peakSamples": stats.samples_peak,
            },
        }
    )
