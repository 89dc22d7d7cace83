"""`/series`, `/labels` and `/label/<name>/values`: what there is."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from rondel.errors import InvalidData
from rondel.model.merge import distinct
from rondel.promql import render
from rondel.promql.control import Control
from rondel.runtime import envelope
from rondel.runtime.router import Route, route
from services.querier.api import params as form
from services.querier.api.context import TRUNCATED, Context, answer
from services.querier.api.escaping import unescaped
from services.querier.api.params import Params, invalid
from services.querier.api.selectors import each_selector, matcher_sets
from services.querier.api.times import TIME_MAX_MS, TIME_MIN_MS

__all__ = ["routes"]


def routes(context: Context) -> list[Route]:
    found = _Series(context)
    return [
        route("/series", found.series),
        route("/labels", found.names),
        route("/label/{name}/values", found.values),
    ]


class _Series:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def series(self, request: Request) -> Response:
        context, asked = self._context, await form.read(request)
        tenant, limit = context.tenant(request), asked.limit()
        start_ms, end_ms = _range(asked)
        if not asked.selectors():
            raise InvalidData("no match[] parameter provided")

        def work(control: Control) -> bytes:
            sets = matcher_sets(asked, control)
            find = partial(context.storage.series, tenant, mint_ms=start_ms, maxt_ms=end_ms, watch=control)
            labels = distinct(each_selector(control, find, sets))
            control.find(len(labels))
            order = labels.natural_order([], False)
            truncated = 0 < limit < len(order)
            shown = labels.take(order[:limit] if truncated else order)
            return envelope.success(render.label_sets(shown), [TRUNCATED] if truncated else ())

        return answer(
            await context.look_up(
                "series", request, work, selectors=asked.selectors(), span_ms=end_ms - start_ms
            )
        )

    async def names(self, request: Request) -> Response:
        context, asked = self._context, await form.read(request)
        tenant, limit = context.tenant(request), asked.limit()
        start_ms, end_ms = _range(asked)

        def work(control: Control) -> bytes:
            sets = matcher_sets(asked, control)
            find = partial(
                context.storage.label_names, tenant, mint_ms=start_ms, maxt_ms=end_ms, watch=control
            )
            return _listed(each_selector(control, find, sets), limit)

        return answer(
            await context.look_up(
                "labels", request, work, selectors=asked.selectors(), span_ms=end_ms - start_ms
            )
        )

    async def values(self, request: Request) -> Response:
        context, asked = self._context, await form.read(request)
        tenant, limit = context.tenant(request), asked.limit()
        start_ms, end_ms = _range(asked)
        name = unescaped(request.path_params["name"])

        def work(control: Control) -> bytes:
            sets = matcher_sets(asked, control)
            find = partial(
                context.storage.label_values, tenant, name, mint_ms=start_ms, maxt_ms=end_ms, watch=control
            )
            return _listed(each_selector(control, find, sets), limit)

        return answer(
            await context.look_up(
                "label_values", request, work, selectors=asked.selectors(), span_ms=end_ms - start_ms
            )
        )


def _range(asked: Params) -> tuple[int, int]:
    start_ms, end_ms = asked.time_ms("start", TIME_MIN_MS), asked.time_ms("end", TIME_MAX_MS)
    if end_ms < start_ms:
        raise invalid("end", "end timestamp must not be before start time")
    return start_ms, end_ms


def _listed(parts: list[list[str]], limit: int) -> bytes:
    texts = parts[0] if len(parts) == 1 else sorted(set().union(*parts))
    if 0 < limit < len(texts):
        return envelope.success(render.strings(texts[:limit]), [TRUNCATED])
    return envelope.success(render.strings(texts))
