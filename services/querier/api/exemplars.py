"""`/query_exemplars`: single observations of the series that an expression selects.

The expression is not evaluated: the exemplars of all series that any of its selectors finds are the answer,
sorted by the labels of their series and in a series by time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from rondel.errors import InvalidData
from rondel.model.frame import ExemplarFrame
from rondel.model.labels import Matchers
from rondel.promql import render
from rondel.promql.annotations import format_g
from rondel.promql.ast import Expr, VectorSelector
from rondel.promql.check import children
from rondel.promql.control import Control
from rondel.promql.limits import check_expr, check_text
from rondel.runtime import envelope
from rondel.runtime.router import Route, route
from services.querier.api import params as form
from services.querier.api.context import Context, answer
from services.querier.api.expressions import parsed
from services.querier.api.params import Params
from services.querier.api.times import TIME_MAX_MS, TIME_MIN_MS

__all__ = ["routes"]

_PLAIN_MIN, _PLAIN_MAX = 1e-6, 1e21
"""Sizes from the one up to the other are written without an exponent."""
_EXEMPLAR_BYTES = 256
"""What one may take as JSON, nearly."""


def routes(context: Context) -> list[Route]:
    return [route("/query_exemplars", _Exemplars(context).handle)]


class _Exemplars:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def handle(self, request: Request) -> Response:
        context, asked = self._context, await form.read(request)
        tenant = context.tenant(request)
        start_ms, end_ms = _range(asked)
        text = asked.get("query")

        def work(control: Control) -> bytes:
            limits = context.engine.options_of(tenant).limits
            check_text(text, limits)
            expr = parsed(text)
            check_expr(expr, limits)
            sets = [_compiled(one) for one in _selectors(expr)]
            if not sets:
                return envelope.success(b"[]")
            control.check()
            frame = context.exemplars.exemplars(tenant, sets, start_ms, end_ms)
            control.find(len(frame))
            control.hold(len(frame.values), len(frame.values) * _EXEMPLAR_BYTES)
            return envelope.success(msgspec.json.encode(list(_shown(frame, control))))

        return answer(
            await context.look_up("exemplars", request, work, selectors=[text], span_ms=end_ms - start_ms)
        )


def _range(asked: Params) -> tuple[int, int]:
    start_ms, end_ms = asked.time_ms("start", TIME_MIN_MS), asked.time_ms("end", TIME_MAX_MS)
    if end_ms < start_ms:
        raise InvalidData("end timestamp must not be before start timestamp")
    return start_ms, end_ms


def _selectors(expr: Expr) -> Iterator[VectorSelector]:
    """All of them, each distinct one once."""
    seen, rest = set(), [expr]
    while rest:
        node = rest.pop()
        if isinstance(node, VectorSelector) and node.matchers not in seen:
            seen.add(node.matchers)
            yield node
        rest.extend(children(node))


def _compiled(selector: VectorSelector) -> Matchers:
    return Matchers([(one.name, one.op, one.value) for one in selector.matchers])


def _shown(frame: ExemplarFrame, control: Control) -> Iterator[dict[str, Any]]:
    texts = render.float_texts(frame.values)
    offsets, times_ms, values = frame.offsets.tolist(), frame.timestamps_ms.tolist(), frame.values.tolist()
    for row in frame.labels.natural_order([], False).tolist():
        control.check()
        places = range(offsets[row], offsets[row + 1])
        if places:
            yield {
                "seriesLabels": frame.labels[row],
                "exemplars": [
                    {
                        "labels": frame.exemplar_labels[at],
                        "value": _value(values[at], texts[at]),
                        "timestamp": _seconds(times_ms[at]),
                    }
                    for at in places
                ],
            }


def _value(value: float, plain: str) -> str:
    size = abs(value)
    tiny_or_huge = 0 < size < _PLAIN_MIN or _PLAIN_MAX <= size < float("inf")
    return format_g(value) if tiny_or_huge else plain


def _seconds(time_ms: int) -> int | float:
    return time_ms // 1000 if time_ms % 1000 == 0 else time_ms / 1000
