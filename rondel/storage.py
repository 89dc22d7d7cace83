"""The waist: what the query engine asks of anything that holds series.

Head, blocks, a merge of both and, over RPC, another process all answer the same Protocols. Calls are
synchronous and come from a worker thread, never from the event loop. Time ranges are inclusive at
both ends. An answer is complete or an error.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Final, Protocol, runtime_checkable

from rondel.model.frame import ExemplarFrame, SeriesFrame
from rondel.model.labels import LabelSets, Matchers

__all__ = [
    "PATIENT",
    "Costs",
    "ExemplarSource",
    "MetadataSource",
    "MetricMetadata",
    "Select",
    "Selection",
    "SourceCost",
    "Storage",
    "Watch",
]


@dataclass(slots=True)
class SourceCost:
    """What one source of series did for a select: the head, or one block."""

    series: int = 0
    reads: int = 0
    samples: int = 0
    """decoded, floats and histograms"""
    size_bytes: int = 0
    """of the samples as decoded"""
    fetched_bytes: int = 0
    """read from the object store"""
    cached_bytes: int = 0
    """read from a cache, as they are stored"""
    select_s: float = 0.0
    read_s: float = 0.0


class Costs:
    """What a select cost, source by source, in the order in which they were asked. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.by_source: dict[str, SourceCost] = {}

    def add(self, source: str, **amounts: float) -> None:
        """Adds to the fields of a source's `SourceCost`, by their names."""
        with self._lock:
            cost = self.by_source.setdefault(source, SourceCost())
            for name, amount in amounts.items():
                setattr(cost, name, getattr(cost, name) + amount)


class Watch(Protocol):
    """Whoever waits for an answer; a query's `Control` is one. Sources ask it between two pieces of work."""

    def check(self) -> None:
        """Raises where nobody waits any more."""


class _Patient:
    def check(self) -> None:
        """Somebody always waits."""


PATIENT: Final[Watch] = _Patient()


@dataclass(frozen=True, slots=True)
class Select:
    """One selector over one time range, inclusive at both ends."""

    tenant: str
    matchers: Matchers
    mint_ms: int
    maxt_ms: int
    costs: Costs | None = field(default=None, compare=False)
    """Where sources note what this costs them; None, as a rule, for nowhere."""
    watch: Watch = field(default=PATIENT, compare=False)


class Selection(Protocol):
    """The series that match, with their samples still unread."""

    @property
    def labels(self) -> LabelSets:
        """One distinct set a series, in no promised order."""

    def read(self, start: int, stop: int) -> SeriesFrame:
        """Samples of the series `[start, stop)`, within the selected range; may be called in parallel."""


class Storage(Protocol):
    """Answers selects and label look-ups for a tenant."""

    def select(self, request: Select) -> Selection:
        """Series that match; a series without samples in the range may be among them."""

    def series(
        self,
        tenant: str,
        matcher_sets: list[Matchers],
        mint_ms: int,
        maxt_ms: int,
        *,
        watch: Watch = PATIENT,
    ) -> LabelSets:
        """Distinct label sets that match any of the matcher sets."""

    def label_names(
        self,
        tenant: str,
        matcher_sets: list[Matchers],
        mint_ms: int,
        maxt_ms: int,
        *,
        watch: Watch = PATIENT,
    ) -> list[str]:
        """Sorted distinct label names of the series that match any (of all series where none is given)."""

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
        """Sorted distinct values of one label, as for `label_names`."""


@dataclass(frozen=True, slots=True)
class MetricMetadata:
    """What a producer said of one metric family."""

    metric: str
    type: str
    """counter, gauge, histogram, gaugehistogram, summary, info, stateset or unknown"""
    help: str
    unit: str


class MetadataSource(Protocol):
    """Holds the metadata of metric families."""

    def metadata(self, tenant: str, metric: str | None) -> list[MetricMetadata]:
        """Distinct entries, sorted by metric; of one metric where it is named."""


@runtime_checkable
class ExemplarSource(Protocol):
    """Holds the exemplars of series."""

    def exemplars(
        self, tenant: str, matcher_sets: list[Matchers], mint_ms: int, maxt_ms: int
    ) -> ExemplarFrame:
        """Exemplars in the range, of the series that match any of the sets and have any."""
