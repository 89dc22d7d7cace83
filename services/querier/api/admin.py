"""`/admin/tsdb/...`: what Prometheus answers where its admin API is off, as it always is here."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from rondel.runtime import envelope
from rondel.runtime.router import Route, route

__all__ = ["routes"]

_ACTIONS = ("delete_series", "clean_tombstones", "snapshot")


def routes() -> list[Route]:
    return [route(f"/admin/tsdb/{action}", _disabled, ["POST", "PUT"]) for action in _ACTIONS]


async def _disabled(request: Request) -> Response:
    # 500 is Prometheus' status for this kind of error; ours for what passes by itself would be 503.
    body = envelope.error("unavailable", "admin APIs disabled")
    return Response(body, 500, media_type=envelope.JSON)
