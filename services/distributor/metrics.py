"""Metrics of the distributor: `rondel_distributor_*`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from rondel.model.write import CacheStats, Rejection
from rondel.runtime.tally import Tallies, Tally, Timing

__all__ = ["Metrics"]


class Metrics:
    """Counts what the write path takes in and what it leaves out."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def tally(name: str, text: str) -> Tally:
            return Tally(f"rondel_distributor_{name}_total", text, registry)

        def tallies(name: str, text: str, label: str) -> Tallies:
            return Tallies(f"rondel_distributor_{name}_total", text, label, registry)

        self._registry = registry
        self._requests = tallies("requests", "Write requests by the status of their answer.", "status")
        self._discarded = tallies("discarded_samples", "Samples left out, by error id.", "reason")
        self._dropped = tallies("discarded_exemplars", "Exemplars left out, by error id.", "reason")
        self.samples = tally("received_samples", "Samples in requests, those left out included.")
        self.deduplicated = tally(
            "deduplicated_samples", "Samples of replicas that are not listened to; none of them was written."
        )
        self.histograms = tally("histograms", "Native histograms handed on; they count as samples too.")
        self.exemplars = tally("exemplars", "Exemplars handed on.")
        self.metadata = tally("metadata", "Metadata entries handed on.")
        self.body_bytes = tally("received_bytes", "Bytes of request bodies as they were on the wire.")
        self.duration = Timing(
            "rondel_distributor_request_duration_seconds",
            "Time from a request's headers to its answer.",
            registry,
        )

    def count_request(self, status: int) -> None:
        self._requests.add(str(status))

    def count_rejections(self, rejections: list[Rejection]) -> None:
        for rejection in rejections:
            self.count_discarded(rejection.id, rejection.samples)

    def count_discarded(self, id: str, samples: int) -> None:
        self._discarded.add(id.replace("-", "_"), samples)

    def count_dropped_exemplars(self, id: str, exemplars: int) -> None:
        self._dropped.add(id.replace("-", "_"), exemplars)

    def watch(
        self,
        inflight_bytes: Callable[[], int],
        inflight_requests: Callable[[], int],
        cache: Callable[[], CacheStats],
        failovers: Callable[[], int],
    ) -> None:
        """Adds what is read when somebody scrapes."""

        def gauge(name: str, text: str, read: Callable[[], int]) -> None:
            Gauge(f"rondel_distributor_{name}", text, registry=self._registry).set_function(read)

        gauge("inflight_bytes", "Bytes of bodies and batches inside.", inflight_bytes)
        gauge(
            "inflight_requests", "Requests between their last body byte and their answer.", inflight_requests
        )
        self._registry.register(_CacheCollector(cache))
        self._registry.register(_FailoverCollector(failovers))


class _FailoverCollector:
    def __init__(self, failovers: Callable[[], int]) -> None:
        self._failovers = failovers

    def collect(self) -> Iterable[Metric]:
        yield CounterMetricFamily(
            "rondel_distributor_ha_failovers",
            "Pairs of which another replica was elected, as this process saw it.",
            value=self._failovers(),
        )


class _CacheCollector:
    def __init__(self, stats: Callable[[], CacheStats]) -> None:
        self._stats = stats

    def collect(self) -> Iterable[Metric]:
        stats = self._stats()
        name = "rondel_distributor_series_cache"
        yield GaugeMetricFamily(f"{name}_series", "Series that need no parsing.", value=stats.series)
        yield GaugeMetricFamily(f"{name}_size_bytes", "Memory of the series cache.", value=stats.size_bytes)
        yield CounterMetricFamily(
            f"{name}_misses", "Series whose labels had to be parsed.", value=stats.misses
        )
