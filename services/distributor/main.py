"""The composition root of the write path: from the paths of its API to where its batches go."""

from __future__ import annotations

import random
import secrets
from collections.abc import Mapping
from types import MappingProxyType

from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from rondel.runtime.clock import Clock
from rondel.runtime.router import Router
from services.distributor.config import Config
from services.distributor.http import PATHS, WriteApp, routes
from services.distributor.otlp import PATHS as OTLP_PATHS
from services.distributor.otlp import OtlpApp
from services.distributor.otlp import routes as otlp_routes
from services.distributor.push import Distributor, Ingester
from services.distributor.replicas import Replicas

__all__ = ["mount", "write_app"]


def write_app(
    target: Ingester,
    config: Config,
    clock: Clock,
    registry: CollectorRegistry,
    *,
    tenancy: bool,
    tenants: Mapping[str, Config] = MappingProxyType({}),
    replicas: Replicas | None = None,
) -> WriteApp:
    """The write API over whatever takes batches; `tenants` names those with settings of their own, `replicas`
    is needed where one of them has `accept_ha_samples`."""
    seed = secrets.randbits(64)
    distributor = Distributor(target, config, clock, registry, seed=seed, tenants=tenants, replicas=replicas)
    return WriteApp(distributor, random.Random(), tenancy=tenancy)


def mount(router: Router, app: WriteApp) -> dict[str, ASGIApp]:
    """Mounts the API; what is returned is for `Edge`, which hands it POSTs directly."""
    direct: dict[str, ASGIApp] = {}
    otlp = OtlpApp(app)
    for prefix in ("", "/prometheus"):
        router.include(prefix, [*routes(app), *otlp_routes(otlp)], name="")
        direct |= {prefix + path: app for path in PATHS}
        direct |= {prefix + path: otlp for path in OTLP_PATHS}
    return direct
