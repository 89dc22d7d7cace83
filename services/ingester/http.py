"""The ingester's own pages: `/ingester/flush`, `/ingester/prepare-shutdown`, `/ingester/behind`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from rondel.cluster.marker import Marker
from rondel.cluster.page import accepts_loss, same_origin
from rondel.errors import Conflict
from rondel.runtime.router import Route, route
from rondel.runtime.tasks import in_thread
from services.ingester.ship import Shipper

__all__ = ["leave_routes", "loss_routes", "routes"]


def routes(shipper: Shipper) -> list[Route]:
    """`/ingester/flush`: everything in memory becomes blocks now; `tenant` in the query names one tenant."""

    async def flush(request: Request) -> Response:
        same_origin(request)
        return _json(blocks=await shipper.flush(request.query_params.get("tenant")))

    return [route("/ingester/flush", flush, methods=("GET", "POST"))]


def leave_routes(marker: Marker, now_ms: Callable[[], int]) -> list[Route]:
    """`/ingester/prepare-shutdown`: POST says that the next SIGTERM is for good, DELETE takes it back, GET
    tells. Each may be repeated; `timestamp` is the Unix time of the first POST, 0 without one."""

    async def prepare(request: Request) -> Response:
        if request.method != "GET":
            same_origin(request)
        if request.method == "POST":
            since_ms = await in_thread(lambda: marker.set(now_ms()))
        elif request.method == "DELETE":
            await in_thread(marker.clear)
            since_ms = None
        else:
            since_ms = await in_thread(marker.since_ms)
        status = "unset" if since_ms is None else "set"
        return _json(status=status, timestamp=(since_ms or 0) // 1000)

    return [route("/ingester/prepare-shutdown", prepare, methods=("GET", "POST", "DELETE"))]


def loss_routes(behind_since_ms: Callable[[], int], give_up: Callable[[], Awaitable[None]]) -> list[Route]:
    """`/ingester/behind`: GET tells since when we may lack what we acknowledged, in Unix milliseconds, 0 for
    nothing; DELETE with `accept_loss=true` gives up what no replica has."""

    async def behind(request: Request) -> Response:
        if request.method == "DELETE" and behind_since_ms():
            same_origin(request)
            if not accepts_loss(request):
                raise Conflict(
                    "this ingester lost what it had acknowledged, and fetches it from its replicas: bring "
                    "back those that are away, or give up what only it had with accept_loss=true"
                )
            await give_up()
        return _json(behind_since_ms=behind_since_ms())

    return [route("/ingester/behind", behind, methods=("GET", "DELETE"))]


def _json(**values: object) -> Response:
    return Response(json.dumps(values), media_type="application/json")
