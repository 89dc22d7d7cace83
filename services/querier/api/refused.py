"""`/querier/refused`: the operator's view of queries that are not run, and the way to let one run again."""

from __future__ import annotations

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import Response

from rondel.errors import NotFound
from rondel.runtime.router import Route, route
from services.querier.api.context import Context, answer_of
from services.querier.guard import QueryGuard

__all__ = ["routes"]


def routes(context: Context) -> list[Route]:
    refused = _Refused(context.guard)
    return [route("/querier/refused", refused.handle, ["GET", "DELETE"])]


class _Refused:
    def __init__(self, guard: QueryGuard) -> None:
        self._guard = guard

    async def handle(self, request: Request) -> Response:
        if request.method == "DELETE":
            return await self._lift(request)
        return answer_of([asdict(entry) for entry in self._guard.refused()])

    async def _lift(self, request: Request) -> Response:
        key = request.query_params.get("key", "")
        if not await self._guard.lift(key):
            raise NotFound(f"no query {key!r} is refused")
        return answer_of({"lifted": key})
