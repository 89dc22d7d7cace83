"""The pages that every process has: `/-/ready`, `/-/healthy`, `/metrics` and `/config`."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from rondel.runtime import config, health, telemetry
from rondel.runtime.router import Route, route
from rondel.runtime.siblings import Siblings
from rondel.runtime.siblings import routes as siblings_routes

__all__ = ["routes"]


def routes(
    waiting: health.Waiting, registry: CollectorRegistry, settings: Any, siblings: Siblings | None = None
) -> list[Route]:
    """Of a process with the configuration tree `settings`; secrets in it are not shown. One of several
    workers shows the metrics of all of them."""

    async def shown(request: Request) -> Response:
        return PlainTextResponse(config.as_yaml(settings))

    metrics = telemetry.routes(registry) if siblings is None else siblings_routes(siblings)
    return [*health.routes(waiting), *metrics, route("/config", shown, ["GET"])]
