"""`Distributor.push`: a body in, a promise out.

The body is decoded into a batch, the tenant's quota is checked, and an ingester takes the batch. When
`push` returns, what it says was accepted is in a synced WAL. What breaks a rule is left out and reported.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

from prometheus_client import CollectorRegistry

from rondel.errors import RateLimited
from rondel.model.write import Decoder, PushResult, Version, WriteBatch, Written, rejections_of
from rondel.runtime.clock import Clock
from services.distributor.config import Config
from services.distributor.inflight import Inflight
from services.distributor.metrics import Metrics
from services.distributor.rate import RateLimit
from services.distributor.replicas import NotElected, Pairs, Replicas

__all__ = ["Distributor", "Ingester"]


class Ingester(Protocol):
    """Where batches go."""

    async def push(self, tenant: str, batch: WriteBatch) -> PushResult:
        """Returns once all it accepted is durable. Raises Unavailable when a retry may help."""


def _rate_of(config: Config) -> RateLimit:
    return RateLimit(config.ingestion_rate, config.ingestion_burst_size)


class Distributor:
    """The write path between HTTP and the ingesters. `seed` keys the decoder's cache: keep it secret."""

    def __init__(
        self,
        ingester: Ingester,
        config: Config,
        clock: Clock,
        registry: CollectorRegistry,
        *,
        seed: int,
        tenants: Mapping[str, Config] = MappingProxyType({}),
        replicas: Replicas | None = None,
    ) -> None:
        """`tenants` names those that have settings of their own; `accept_ha_samples` needs `replicas`."""
        self.config = config
        self.metrics = Metrics(registry)
        self.inflight = Inflight(config.max_inflight_push_requests, config.max_inflight_push_requests_bytes)
        self._ingester = ingester
        self._clock = clock
        self._decoder = Decoder(
            config.limits,
            seed=seed,
            cache_series=config.series_cache_entries,
            cluster_label=config.ha_cluster_label,
            replica_label=config.ha_replica_label,
        )
        self._pairs = Pairs(config, tenants, replicas)
        self._rate = _rate_of(config)
        self._own_rates = {tenant: _rate_of(own) for tenant, own in tenants.items()}
        self.metrics.watch(
            lambda: self.inflight.size_bytes,
            lambda: self.inflight.requests,
            self._decoder.cache_stats,
            lambda: self._pairs.failovers,
        )

    def share_rates(self, parts: int) -> None:
        """From now on so many distributors, we among them, have the rate of a tenant together; each has the
        whole burst."""
        for limit in (self._rate, *self._own_rates.values()):
            limit.parts = max(1, parts)

    async def push(self, tenant: str, body: bytes, version: Version = Version.V1) -> PushResult:
        """Writes one remote-write body.

        Raises InvalidData when nothing of it can be used, RateLimited over the tenant's quota, and
        Unavailable when this process or the ingester has no room; nothing is promised then. NotElected: the
        samples of another replica stand for these.
        """
        pairs = self._pairs.are_sent_by(tenant)
        return await self._take(
            tenant, body, lambda now_ms: self._decoder.decode(body, now_ms, version, pairs)
        )

    async def push_otlp(self, tenant: str, message: bytes) -> PushResult:
        """Writes one `ExportMetricsServiceRequest` of OpenTelemetry; raises as `push` does."""
        otlp = self.config.otlp
        return await self._take(
            tenant,
            message,
            lambda now_ms: self._decoder.decode_otlp(
                message, now_ms, otlp.accept_delta, otlp.promote_resource_attributes
            ),
        )

    async def _take(self, tenant: str, body: bytes, decode: Callable[[int], WriteBatch]) -> PushResult:
        self.inflight.enter()
        try:
            now_ms = self._clock.now_ms()
            if len(body) < self.config.thread_body_bytes_min:
                batch = decode(now_ms)
            else:
                batch = await asyncio.to_thread(decode, now_ms)
            size_bytes = batch.size_bytes
            self.inflight.take(size_bytes)
            try:
                return await self._push(tenant, batch)
            finally:
                self.inflight.give(size_bytes)
        finally:
            self.inflight.leave()

    async def _push(self, tenant: str, batch: WriteBatch) -> PushResult:
        rejections = rejections_of(batch)
        samples = batch.sample_count + batch.histogram_count
        metadata = batch.metadata_count
        self.metrics.samples.value += samples + sum([one.samples for one in rejections])
        await self._check_replica(tenant, batch)
        self._check_rate(tenant, samples)
        accepted = Written()
        if batch or metadata:
            result = await self._ingester.push(tenant, batch)
            accepted = result.accepted
            rejections += result.rejections
        if metadata:
            self.metrics.metadata.value += metadata
        if histograms := batch.histogram_count:
            self.metrics.histograms.value += histograms
        if exemplars := batch.exemplar_count:
            self.metrics.exemplars.value += exemplars
        for id, _, count in batch.exemplars_dropped:
            self.metrics.count_dropped_exemplars(id, count)
        if rejections:
            self.metrics.count_rejections(rejections)
        return PushResult(accepted, rejections)

    async def _check_replica(self, tenant: str, batch: WriteBatch) -> None:
        try:
            await self._pairs.check(tenant, batch)
        except NotElected:
            self.metrics.deduplicated.value += batch.sample_count + batch.histogram_count
            raise

    def _check_rate(self, tenant: str, samples: int) -> None:
        limit = self._own_rates.get(tenant, self._rate)
        if not limit.rate or not samples:
            return
        wait_s = limit.take(tenant, samples, self._clock.monotonic_s())
        if wait_s is not None:
            self.metrics.count_discarded("tenant-max-ingestion-rate", samples)
            raise RateLimited(
                f"tenant {tenant} sends {samples} samples at once and more than its ingestion_rate of "
                f"{limit.rate:g} samples a second allows (ingestion_burst_size {limit.burst}); "
                f"this distributor has 1/{limit.parts} of it",
                id="tenant-max-ingestion-rate",
                retry_after_s=wait_s,
            )
