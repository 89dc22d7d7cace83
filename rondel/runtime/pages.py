"""The pages that every process has: `/-/ready`, `/-/healthy`, `/metrics` and `/config`."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from rondel.runtime import config, health, telemetry
from rondel.runtime.router import Route, route

__all__ = ["routes"]


def routes(waiting: health.Waiting, registry: CollectorRegistry, settings: Any) -> list[Route]:
    """Of a process with the configuration tree `settings`; secrets in it are not shown."""

    async def shown(request: Request) -> Response:
        return PlainTextResponse(config.as_yaml(settings))

    own = [route("/config", shown, ["GET"])]
    return [*health.routes(waiting), *telemetry.routes(registry), *own]
