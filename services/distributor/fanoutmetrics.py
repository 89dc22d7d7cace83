"""Metrics of the way to the ingesters: `rondel_distributor_*`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rondel.runtime.tally import Tallies, Tally, Timing
from services.distributor.background import Background
from services.distributor.destination import Sent

__all__ = ["FanoutMetrics"]

_NAME = "rondel_distributor"


class _Target(Protocol):
    @property
    def down(self) -> str: ...
    @property
    def inflight_bytes(self) -> int: ...
    @property
    def known(self) -> _Sized: ...


class _Sized(Protocol):
    def __len__(self) -> int: ...


class FanoutMetrics(Collector):
    """Counts by ingester outlive the streams to it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.pushes = Tallies(
            f"{_NAME}_pushes_total",
            "Batches by what became of them: written, failed, or unready where the ring has no quorum.",
            "outcome",
            registry,
        )
        self.rerouted = Tally(
            f"{_NAME}_rerouted_pushes_total",
            "Batches that went once more, by a newer ring, because ingesters had refused ours.",
            registry,
        )
        self.quorum = Timing(
            f"{_NAME}_quorum_seconds", "Time from a batch to the last answer that its quorum needs.", registry
        )
        self._sent: dict[str, Sent] = {}
        self._lost: Counter[tuple[str, str]] = Counter()
        self._targets: Mapping[str, _Target] = {}
        self._background = Background(0)
        registry.register(self)

    def watch(self, targets: Mapping[str, _Target], background: Background) -> None:
        """What is read when somebody scrapes."""
        self._targets = targets
        self._background = background

    def sent_of(self, id: str) -> Sent:
        """Where an ingester's traffic is counted."""
        return self._sent.setdefault(id, Sent())

    def count_lost(self, id: str, reason: str) -> None:
        """A parcel that an ingester did not take."""
        self._lost[id, reason] += 1

    def collect(self) -> Iterable[Metric]:
        yield from self._counts()
        lost = CounterMetricFamily(
            f"{_NAME}_lost_pushes",
            "Parcels without an answer, by why: down, full, cut, silent; or refused, ring_epoch.",
            labels=["ingester", "reason"],
        )
        for (id, reason), count in self._lost.items():
            lost.add_metric([id, reason], count)
        yield lost
        yield from self._gauges()

    def _counts(self) -> Iterable[Metric]:
        texts = {
            "sent_bytes": "Bytes of parcels that an ingester has answered.",
            "labelled_series": "Series that went with their labels.",
            "unknown_series": "Series that an ingester had acknowledged and did not know.",
        }
        families = {
            name: CounterMetricFamily(f"{_NAME}_{name}", text, labels=["ingester"])
            for name, text in texts.items()
        }
        for id, sent in self._sent.items():
            families["sent_bytes"].add_metric([id], sent.size_bytes)
            families["labelled_series"].add_metric([id], sent.labelled)
            families["unknown_series"].add_metric([id], sent.unknown)
        yield from families.values()

    def _gauges(self) -> Iterable[Metric]:
        texts = {
            "ingester_up": "1 where pushes can be sent.",
            "ingester_inflight_bytes": "Bytes that wait for an ingester's answers.",
            "known_series": "Series that go without labels, because the ingester has them.",
        }
        families = {
            name: GaugeMetricFamily(f"{_NAME}_{name}", text, labels=["ingester"])
            for name, text in texts.items()
        }
        for id, target in self._targets.items():
            families["ingester_up"].add_metric([id], float(not target.down))
            families["ingester_inflight_bytes"].add_metric([id], target.inflight_bytes)
            families["known_series"].add_metric([id], len(target.known))
        yield from families.values()
        text = "Memory of pushes whose batch is decided and that go on to the rest of its replicas."
        yield GaugeMetricFamily(f"{_NAME}_background_bytes", text, value=self._background.size_bytes)
        text = "Pushes beyond their quorum that were given up because there were too many."
        yield CounterMetricFamily(f"{_NAME}_given_up_pushes", text, value=self._background.given_up)
