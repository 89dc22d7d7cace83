"""A querier in memory: the real routes over a storage of dictionaries, called without a socket."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
from prometheus_client import CollectorRegistry

from rondel.model.frame import ExemplarFrame, SeriesFrame
from rondel.model.labels import LabelSets, Matchers
from rondel.promql.engine import Engine
from rondel.runtime.clock import FakeClock
from rondel.runtime.edge import Edge
from rondel.runtime.router import Router
from rondel.storage import PATIENT, MetricMetadata, Select, Selection, Storage, Watch
from services.querier.api.context import Context
from services.querier.api.mount import mount
from services.querier.api.status import Facts
from services.querier.config import Config
from services.querier.execute import Executor
from services.querier.querylog import QueryLog

__all__ = ["MemoryStorage", "Querier"]

Samples = list[tuple[int, float]]
Exemplar = tuple[int, float, dict[str, str]]


@dataclass(slots=True)
class MemoryStorage:
    """Series of one tenant as plain values; slow and obvious."""

    tenant: str = "anonymous"
    series_of: list[tuple[dict[str, str], Samples]] = field(default_factory=list)
    entries: list[MetricMetadata] = field(default_factory=list)
    exemplars_of: list[tuple[dict[str, str], list[Exemplar]]] = field(default_factory=list)

    def add(self, labels: dict[str, str], samples: Samples) -> None:
        self.series_of.append((labels, samples))

    def select(self, request: Select) -> Selection:
        found = self._found(request.tenant, [request.matchers], request.mint_ms, request.maxt_ms)
        return _MemorySelection(found, request)

    def series(
        self,
        tenant: str,
        matcher_sets: list[Matchers],
        mint_ms: int,
        maxt_ms: int,
        *,
        watch: Watch = PATIENT,
    ) -> LabelSets:
        return LabelSets.from_dicts(
            [labels for labels, _ in self._found(tenant, matcher_sets, mint_ms, maxt_ms)]
        )

    def label_names(
        self,
        tenant: str,
        matcher_sets: list[Matchers],
        mint_ms: int,
        maxt_ms: int,
        *,
        watch: Watch = PATIENT,
    ) -> list[str]:
        return sorted(
            {name for labels, _ in self._found(tenant, matcher_sets, mint_ms, maxt_ms) for name in labels}
        )

    def label_values(
        self,
        tenant: str,
        name: str,
        matcher_sets: list[Matchers],
        mint_ms: int,
        maxt_ms: int,
        *,
        watch: Watch = PATIENT,
    ) -> list[str]:
        found = self._found(tenant, matcher_sets, mint_ms, maxt_ms)
        return sorted({labels[name] for labels, _ in found if name in labels})

    def metadata(self, tenant: str, metric: str | None) -> list[MetricMetadata]:
        return [entry for entry in self.entries if metric in (None, entry.metric)]

    def exemplars(
        self, tenant: str, matcher_sets: list[Matchers], mint_ms: int, maxt_ms: int
    ) -> ExemplarFrame:
        found = [
            (labels, [one for one in own if mint_ms <= one[0] <= maxt_ms])
            for labels, own in self.exemplars_of
            if tenant == self.tenant and any(matchers.matches(labels) for matchers in matcher_sets)
        ]
        flat = [one for _, own in found for one in own]
        return ExemplarFrame(
            LabelSets.from_dicts([labels for labels, _ in found]),
            np.cumsum([0, *(len(own) for _, own in found)], dtype=np.int64),
            np.array([at for at, _, _ in flat], np.int64),
            np.array([value for _, value, _ in flat], np.float64),
            LabelSets.from_dicts([labels for _, _, labels in flat]),
        )

    @property
    def series_count(self) -> int:
        return len(self.series_of)

    def chunk_count(self) -> int:
        return 7

    def bounds_ms(self) -> tuple[int, int] | None:
        return (1, 2)

    def cardinality(self, limit: int) -> dict[str, Any]:
        metrics = Counter(labels["__name__"] for labels, _ in self.series_of)
        return {
            "label_pairs": 8,
            "series_by_metric": metrics.most_common(limit),
            "values_by_name": [],
            "bytes_by_name": [],
            "series_by_pair": [],
        }

    def _found(
        self, tenant: str, matcher_sets: list[Matchers], mint_ms: int, maxt_ms: int
    ) -> list[tuple[dict[str, str], Samples]]:
        return [
            (labels, samples)
            for labels, samples in self.series_of
            if tenant == self.tenant
            and (not matcher_sets or any(matchers.matches(labels) for matchers in matcher_sets))
            and any(mint_ms <= at <= maxt_ms for at, _ in samples)
        ]


class _MemorySelection:
    def __init__(self, found: list[tuple[dict[str, str], Samples]], request: Select) -> None:
        self._found = found
        self._request = request
        self.labels = LabelSets.from_dicts([labels for labels, _ in found])

    def read(self, start: int, stop: int) -> SeriesFrame:
        mint_ms, maxt_ms = self._request.mint_ms, self._request.maxt_ms
        parts = [
            [(at, value) for at, value in samples if mint_ms <= at <= maxt_ms]
            for _, samples in self._found[start:stop]
        ]
        flat = [sample for part in parts for sample in part]
        return SeriesFrame(
            self.labels.take(list(range(start, stop))),
            np.cumsum([0, *map(len, parts)], dtype=np.int64),
            np.array([at for at, _ in flat], np.int64),
            np.array([value for _, value in flat], np.float64),
        )


class Querier:
    """The API over a storage; `client` calls it, `clock` is its time."""

    def __init__(
        self,
        storage: MemoryStorage,
        *,
        config: Config | None = None,
        tenancy: bool = False,
        engine: Callable[[Storage, Config], Engine] | None = None,
    ) -> None:
        config = config or Config()
        self.registry = CollectorRegistry()
        self.clock = FakeClock()
        self.executor = Executor(threads=2, queue_max=2, registry=self.registry)
        make = engine or (lambda storage, config: Engine(storage, config.engine_options()))
        context = Context(
            config=config,
            tenancy=tenancy,
            storage=storage,
            metadata=storage,
            exemplars=storage,
            engine=make(storage, config),
            executor=self.executor,
            clock=self.clock,
            log=QueryLog(slow_s=config.slow_s, log_all=config.log_all),
        )
        facts = Facts(
            registry=self.registry,
            config=config,
            started_ms=self.clock.now_ms(),
            retention="0s",
            head=lambda tenant: storage,
            blocks=lambda tenant: [],
            replay=lambda: (0, 0, 0),
        )
        router = Router()
        mount(router, context, facts)
        self.app = Edge(router, self.registry)
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://rondel")

    async def close(self) -> None:
        await self.client.aclose()
        await self.executor.close()
