"""Metrics of the ingester: `rondel_ingester_*`, `rondel_wal_*`, `rondel_head_*`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rondel.runtime.tally import Tally, Timing
from rondel.runtime.telemetry import LATENCY_BUCKETS_S
from services.ingester.head import Head

__all__ = ["HeadCollector", "IngesterMetrics", "WalMetrics"]


class WalMetrics:
    """What the write-ahead log did."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.bytes = Tally("rondel_wal_written_bytes_total", "Bytes appended.", registry)
        self.records = Tally("rondel_wal_records_total", "Records appended.", registry)
        self.commits = Tally("rondel_wal_group_commits_total", "Writes, each of all that waited.", registry)
        self.failures = Counter(
            "rondel_wal_write_failures_total", "Writes and syncs that the disk refused.", registry=registry
        )
        self.seconds = Timing("rondel_wal_commit_seconds", "Time of one write and its sync.", registry)
        self.replayed = Counter(
            "rondel_wal_replayed_samples_total", "Samples and histograms replayed.", registry=registry
        )
        self.corruptions = Counter(
            "rondel_wal_corruptions_total",
            "Places in segments that are no record; `torn`: the end that a crash left, `damaged`: any other, "
            "`unknown_series`: records whose series were defined in a damaged one.",
            ["kind"],
            registry=registry,
        )
        for kind in ("torn", "damaged", "unknown_series"):
            self.corruptions.labels(kind)


class IngesterMetrics:
    """What pushes and ships did."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.samples = Tally("rondel_ingester_samples_total", "Float samples accepted.", registry)
        self.histograms = Tally("rondel_ingester_histograms_total", "Histogram samples accepted.", registry)
        self.exemplars = Tally("rondel_ingester_exemplars_total", "Exemplars accepted.", registry)
        self.exemplars_refused = Tally(
            "rondel_ingester_exemplars_refused_total",
            "Exemplars left out: of no series, out of the window, or of a tenant that keeps none.",
            registry,
        )
        self.rejected = Counter(
            "rondel_ingester_rejected_samples_total",
            "Samples refused, by error id.",
            ["id"],
            registry=registry,
        )
        self.created = Tally("rondel_ingester_series_created_total", "Series created.", registry)
        self.dropped = Counter(
            "rondel_ingester_series_dropped_total",
            "Series dropped after their data was shipped.",
            registry=registry,
        )
        self.shipped = Counter("rondel_ingester_blocks_shipped_total", "Blocks shipped.", registry=registry)
        self.ship_failures = Counter(
            "rondel_ingester_ship_failures_total", "Ships that failed.", registry=registry
        )
        self.ship_seconds = Histogram(
            "rondel_ingester_ship_seconds",
            "Time to ship one range of one tenant.",
            registry=registry,
            buckets=LATENCY_BUCKETS_S,
        )


class HeadCollector(Collector):
    """Gauges that are read from the heads when somebody scrapes."""

    def __init__(self, heads: Callable[[], Iterable[tuple[str, Head]]]) -> None:
        self._heads = heads

    def collect(self) -> Iterable[Metric]:
        series = GaugeMetricFamily("rondel_head_series", "Series in memory.", labels=["tenant"])
        owned = GaugeMetricFamily(
            "rondel_head_owned_series",
            "Series in memory that the ring gives to this ingester; the others leave soon.",
            labels=["tenant"],
        )
        chunks = GaugeMetricFamily("rondel_head_chunks", "Chunks in memory.", labels=["tenant"])
        size = GaugeMetricFamily("rondel_head_size_bytes", "Bytes of series and chunks.", labels=["tenant"])
        newest = GaugeMetricFamily("rondel_head_max_time_seconds", "Newest sample's time.", labels=["tenant"])
        exemplars = GaugeMetricFamily("rondel_head_exemplars", "Exemplars in memory.", labels=["tenant"])
        for tenant, head in self._heads():
            exemplars.add_metric([tenant], head.exemplar_count)
            series.add_metric([tenant], head.series_count)
            owned.add_metric([tenant], head.owned_count)
            chunks.add_metric([tenant], head.chunk_count())
            size.add_metric([tenant], head.size_bytes())
            if (max_ms := head.max_time_ms) is not None:
                newest.add_metric([tenant], max_ms / 1000)
        yield from (series, owned, chunks, exemplars, size, newest)
