"""What clients ask for and Rondel has not yet: rules, alerts, targets. Empty, well-formed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from rondel.runtime.router import Route, route
from services.querier.api import params as form
from services.querier.api.context import Context, answer_of
from services.querier.api.params import Params, invalid

__all__ = ["routes"]


def routes(context: Context) -> list[Route]:
    def empty(path: str, data: object, check: Callable[[Params], object] = lambda asked: None) -> Route:
        async def handler(request: Request) -> Response:
            asked = await form.read(request)
            context.tenant(request)
            await asyncio.to_thread(check, asked)
            return answer_of(data)

        return route(path, handler)

    return [
        empty("/rules", {"groups": []}, _rule_type),
        empty("/alerts", {"alerts": []}),
        empty("/alertmanagers", {"activeAlertmanagers": [], "droppedAlertmanagers": []}),
        empty("/targets", {"activeTargets": [], "droppedTargets": [], "droppedTargetCounts": {}}),
        empty("/targets/metadata", []),
        empty("/scrape_pools", {"scrapePools": []}),
        empty("/notifications", []),
    ]


def _rule_type(asked: Params) -> None:
    kind = asked.get("type").lower()
    if kind not in ("", "alert", "record"):
        raise invalid("type", f'not supported value "{kind}"')
