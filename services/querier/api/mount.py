"""The whole API on a router, below both prefixes that clients know."""

from __future__ import annotations

from typing import Final

from rondel.runtime.router import Route, Router
from services.querier.api import (
    admin,
    exemplars,
    explain,
    expressions,
    federate,
    metadata,
    query,
    refused,
    remote,
    rules,
    search,
    selfmetrics,
    series,
    status,
)
from services.querier.api.context import Context
from services.querier.api.status import Facts

__all__ = ["PREFIX", "mount"]

PREFIX: Final = "/api/v1"
_PREFIXES: Final = (PREFIX, "/prometheus/api/v1")
"""The second is what Mimir's and Cortex' users have in their data sources."""


def mount(router: Router, context: Context, facts: Facts) -> None:
    """Adds every route of the read API; metrics know them by the first prefix."""
    routes: list[Route] = [
        *query.routes(context),
        *series.routes(context),
        *search.routes(context),
        *metadata.routes(context),
        *remote.routes(context),
        *rules.routes(context),
        *exemplars.routes(context),
        *explain.routes(context),
        *expressions.routes(),
        *status.routes(context, facts),
        *selfmetrics.routes(facts.registry),
        *admin.routes(),
    ]
    for prefix in _PREFIXES:
        router.include(prefix, routes, name=PREFIX)
    router.include("", refused.routes(context))
    router.include("", [status.version_route()])
    for prefix in ("", "/prometheus"):
        router.include(prefix, federate.routes(context), name="")
