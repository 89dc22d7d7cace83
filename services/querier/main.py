"""The composition root of the read path: from the paths of its API to where its series are."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from prometheus_client import CollectorRegistry

from rondel.block import Meta
from rondel.promql.engine import Engine
from rondel.runtime.clock import Clock
from rondel.runtime.service import Service
from rondel.storage import ExemplarSource, MetadataSource, Storage
from services.querier.api.context import Context
from services.querier.config import Config
from services.querier.execute import Executor
from services.querier.guard import QueryGuard
from services.querier.querylog import QueryLog

__all__ = ["Querier", "Sources", "block_facts"]


class Series(Storage, ExemplarSource, Protocol):
    """Series with their exemplars."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What is read."""

    storage: Series
    metadata: MetadataSource


class Querier:
    """Runs queries over whatever holds series. The constructor wires; `service` starts and stops."""

    def __init__(
        self,
        sources: Sources,
        config: Config,
        folder: Path,
        clock: Clock,
        registry: CollectorRegistry,
        *,
        tenancy: bool,
        tenants: Mapping[str, Config] = MappingProxyType({}),
    ) -> None:
        """`folder` is of this process alone; `tenants` names those with settings of their own."""
        self.executor = Executor(threads=config.threads, queue_max=config.queue_max, registry=registry)
        self.guard = QueryGuard(
            folder,
            slots=config.threads,
            refuse_after_deaths=config.refuse_after_deaths,
            refuse_s=config.refuse_s,
            refuse_after_failures=config.refuse_after_failures,
            refuse_failing_s=config.refuse_failing_s,
            clock=clock,
            registry=registry,
        )
        own = {tenant: one.engine_options() for tenant, one in tenants.items()}
        self.context = Context(
            config=config,
            tenancy=tenancy,
            storage=sources.storage,
            metadata=sources.metadata,
            exemplars=sources.storage,
            engine=Engine(sources.storage, config.engine_options(), own),
            executor=self.executor,
            clock=clock,
            guard=self.guard,
            log=QueryLog(slow_s=config.slow_s, log_all=config.log_all),
        )

    def service(self) -> Service:
        """The part of a process that answers queries."""
        return Service("querier", start=self._start, stop=self.executor.close)

    def stopping(self) -> None:
        """What is running from now on and does not end is not to blame."""
        self.guard.stopping()

    async def _start(self) -> None:
        await asyncio.to_thread(self.guard.start)


def block_facts(block: Meta) -> dict[str, Any]:
    """As Prometheus shows its blocks."""
    return {
        "ulid": block.ulid,
        "minTime": block.mint_ms,
        "maxTime": block.maxt_ms,
        "stats": {"numSamples": block.samples, "numSeries": block.series, "numChunks": block.columns},
        "compaction": {"level": block.level, "sources": list(block.sources)},
        "version": block.version,
    }
