"""`/explain`: the plan of a query, and with `analyze` what each of its nodes and sources did.

Takes the parameters of `/query_range` where `start`, `end` or `step` is given, else those of `/query`.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from rondel.errors import NotAcceptable, ParseError
from rondel.promql import explain
from rondel.promql.control import Control
from rondel.promql.operators.node import Node
from rondel.promql.result import QueryStats
from rondel.promql.trace import Trace
from rondel.runtime import envelope
from rondel.runtime.router import Route, route
from services.querier.api import asked as queries
from services.querier.api import params as form
from services.querier.api.accept import best
from services.querier.api.asked import Asked
from services.querier.api.context import Context, answer
from services.querier.api.params import Params, invalid
from services.querier.querylog import Entry

__all__ = ["routes"]

_FORMATS: Final = {"json": envelope.JSON, "text": "text/plain"}
_RANGE: Final = ("start", "end", "step")
_BOOLEANS: Final = {"": False, "false": False, "0": False, "true": True, "1": True}


def routes(context: Context) -> list[Route]:
    return [route("/explain", _Explain(context).handle)]


class _Explain:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def handle(self, request: Request) -> Response:
        context, params = self._context, await form.read(request)
        tenant = context.tenant(request)
        is_range = any(params.get(name) for name in _RANGE)
        asked = (queries.ranged if is_range else queries.instant)(params, context, tenant)
        analyze = _analyze(params)
        shape = _shape(params, request.headers.get("accept", ""))
        control = context.engine.control(tenant, timeout_s=asked.timeout_s)

        def work() -> bytes:
            run = self._analyzed if analyze else self._planned
            plan, entry.stats, trace = run(tenant, asked, control)
            if shape == "text":
                body = _text(plan, entry.stats, trace)
            else:
                body = envelope.success(msgspec.json.encode(_values(asked, plan, entry.stats, trace)))
            entry.size_bytes = len(body)
            return body

        entry = Entry("explain", tenant, asked.text, asked.start_ms, asked.end_ms, asked.step_ms)
        try:
            body = await context.ask(request, entry, control, work, timeout_s=asked.timeout_s)
        except ParseError as error:
            raise invalid("query", error) from error
        return PlainTextResponse(body) if shape == "text" else answer(body)

    def _planned(
        self, tenant: str, asked: Asked, control: Control
    ) -> tuple[Node | None, QueryStats | None, Trace | None]:
        plan = self._context.engine.explain(
            asked.text,
            asked.start_ms,
            asked.end_ms,
            asked.step_ms,
            tenant=tenant,
            lookback_ms=asked.lookback_ms,
        )
        return plan, None, None

    def _analyzed(
        self, tenant: str, asked: Asked, control: Control
    ) -> tuple[Node | None, QueryStats | None, Trace | None]:
        trace = Trace()
        result = self._context.engine.analyze(
            tenant,
            asked.text,
            asked.start_ms,
            asked.end_ms,
            asked.step_ms,
            control,
            trace,
            lookback_ms=asked.lookback_ms,
        )
        return trace.root, result.stats, trace


def _analyze(params: Params) -> bool:
    text = params.get("analyze")
    if text not in _BOOLEANS:
        raise invalid("analyze", f'want true or false, not "{text}"')
    return _BOOLEANS[text]


def _shape(params: Params, accept: str) -> str:
    """`format`, or else what the client would rather have; JSON where it does not say."""
    shape = params.get("format")
    if shape:
        if shape not in _FORMATS:
            raise invalid("format", f'want json or text, not "{shape}"')
        return shape
    found = best(accept, list(_FORMATS.values()))
    if found is None:
        raise NotAcceptable(f"explain answers in {' or '.join(_FORMATS.values())}, not in {accept}")
    return next(name for name, media_type in _FORMATS.items() if media_type == found)


def _text(plan: Node | None, stats: QueryStats | None, trace: Trace | None) -> bytes:
    lines = ["string literal" if plan is None else explain.text(plan, trace)]
    if stats is not None:
        lines.append(explain.stats_line(stats))
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def _values(asked: Asked, plan: Node | None, stats: QueryStats | None, trace: Trace | None) -> dict[str, Any]:
    shown: dict[str, Any] = {"query": asked.text, "start": asked.start_ms / 1000, "end": asked.end_ms / 1000}
    if asked.step_ms:
        shown["step"] = asked.step_ms / 1000
    shown["plan"] = None if plan is None else explain.tree(plan, trace)
    if stats is not None:
        shown["stats"] = {
            "series": stats.series,
            "samplesRead": stats.samples_read,
            "peakSamples": stats.samples_peak,
            "peakBytes": stats.memory_bytes_peak,
            "prepareTime": stats.prepare_s,
            "evalTime": stats.eval_s,
            "selectTime": stats.select_s,
            "readTime": stats.read_s,
            "sortTime": stats.sort_s,
        }
    return shown
