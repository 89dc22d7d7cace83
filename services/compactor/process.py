"""`rondel compactor`: the compactor as a process of its own, beside any number of others on one bucket."""

from __future__ import annotations

from dataclasses import dataclass, field

from rondel.errors import ConfigError
from rondel.objstore import open_bucket
from rondel.runtime import http, logs, pages, telemetry
from rondel.runtime.clock import SystemClock
from rondel.runtime.edge import Edge
from rondel.runtime.http import Server
from rondel.runtime.router import Router
from rondel.runtime.service import Group
from services.compactor.config import Config as CompactorConfig
from services.compactor.main import service

__all__ = ["CompactorProcess", "Config"]


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set on `rondel compactor`."""

    objstore: str = ""
    """Object store of the blocks: `file:///dir`, `s3://bucket/prefix`, `gs://`, `az://`. Required."""
    http: http.Config = field(default_factory=http.Config)
    log: logs.Config = field(default_factory=logs.Config)
    compactor: CompactorConfig = field(default_factory=CompactorConfig)


class CompactorProcess:
    """Rounds over all tenants of a bucket; health and metrics over HTTP."""

    def __init__(self, config: Config) -> None:
        if not config.objstore:
            raise ConfigError("objstore: name the object store, for example --objstore s3://bucket/prefix")
        self._config = config
        registry = telemetry.new_registry("compactor")
        bucket = open_bucket(config.objstore)
        self._parts = Group([service(bucket, config.compactor, SystemClock(), registry)])
        router = Router(pages.routes(self._waiting, registry, config))
        self._server = Server(Edge(router, registry), config.http)

    async def start(self) -> None:
        logs.setup(self._config.log)
        await self._server.start()
        await self._parts.start()

    async def failure(self) -> BaseException:
        return await self._parts.failure()

    async def stop(self) -> None:
        await self._server.stop()
        await self._parts.stop()

    def _waiting(self) -> list[str]:
        return self._parts.waiting
