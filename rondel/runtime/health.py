"""Liveness and readiness: `/-/healthy`, `/-/ready`, and the gate that keeps work out until it can be done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from rondel.errors import Unavailable
from rondel.runtime.router import Route, route

__all__ = ["ReadyGate", "routes"]

_OPEN: Final = ("/-/", "/metrics", "/config", "/ring")
"""Prefixes of what answers at any time."""
_OPEN_EXACTLY: Final = frozenset(
    {"/", "/version", "/api/v1/status/walreplay", "/prometheus/api/v1/status/walreplay"}
)

Waiting = Callable[[], list[str]]
"""What is not ready, as `part: state`; empty means ready."""


def routes(waiting: Waiting) -> list[Route]:
    """`/-/healthy` and `/-/ready`, in the words of Prometheus."""

    async def healthy(request: Request) -> Response:
        return PlainTextResponse("Rondel is Healthy.\n")

    async def ready(request: Request) -> Response:
        missing = waiting()
        if missing:
            return PlainTextResponse(f"Rondel is not Ready: {', '.join(missing)}\n", 503)
        return PlainTextResponse("Rondel is Ready.\n")

    return [route("/-/healthy", healthy, ["GET"]), route("/-/ready", ready, ["GET"])]


class ReadyGate:
    """Answers 503 to reads and writes while a part is not ready; they may come again in a moment."""

    def __init__(self, app: ASGIApp, waiting: Waiting) -> None:
        self._app = app
        self._waiting = waiting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        missing = self._waiting()
        path: str = scope["path"]
        if missing and path not in _OPEN_EXACTLY and not path.startswith(_OPEN):
            raise Unavailable(f"not ready: {', '.join(missing)}", retry_after_s=2)
        await self._app(scope, receive, send)
