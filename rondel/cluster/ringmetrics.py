"""The ring as this process sees it, as metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rondel.cluster.ringview import RingView
from rondel.ring.instance import State

__all__ = ["RingMetrics"]


class RingMetrics(Collector):
    """To be registered; `view` is asked at each scrape, and may have none yet."""

    def __init__(self, view: Callable[[], RingView | None]) -> None:
        self._view = view

    def collect(self) -> Iterator[Metric]:
        view = self._view()
        entries = view.ring.entries if view else ()
        states = Counter(one.state for one in entries)
        members = GaugeMetricFamily(
            "rondel_ring_members",
            "Ingesters in the ring; LEFT: those that left in the last two days.",
            labels=["state"],
        )
        for state in State:
            members.add_metric([state], states[state])
        yield members
        yield GaugeMetricFamily(
            "rondel_ring_members_behind",
            "Ingesters that lack something that they acknowledged, those that were forgotten among them.",
            value=sum(one.behind_since_ms > 0 for one in entries),
        )
        yield GaugeMetricFamily(
            "rondel_ring_epoch",
            "Number of the last step in the ring that is applied here.",
            value=view.ring.epoch if view else 0,
        )
        yield GaugeMetricFamily(
            "rondel_ring_lacking_entries",
            "Entries that were seen before and that the key-value store has lost.",
            value=len(view.lacking) if view else 0,
        )
        yield CounterMetricFamily(
            "rondel_ring_malformed_entries",
            "Entries of the key-value store that could not be read.",
            value=view.malformed if view else 0,
        )
