"""The waist: what the query engine asks of anything that holds series.

Head, blocks, a merge of both and, over RPC, another process all answer the same Protocols. Calls are
synchronous and come from a worker thread, never from the event loop. Time ranges are inclusive at
both ends. An answer is complete or an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rondel.model.frame import ExemplarFrame, SeriesFrame
from rondel.model.labels import LabelSets, Matchers

__all__ = ["ExemplarSource", "MetadataSource", "MetricMetadata", "Select", "Selection", "Storage"]


@dataclass(frozen=True, slots=True)
class Select:
    """One selector over one time range, inclusive at both ends."""

    tenant: str
    matchers: Matchers
    mint_ms: int
    maxt_ms: int


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

    def series(self, tenant: str, matcher_sets: list[Matchers], mint_ms: int, maxt_ms: int) -> LabelSets:
        """Distinct label sets that match any of the matcher sets."""

    def label_names(self, tenant: str, matcher_sets: list[Matchers], mint_ms: int, maxt_ms: int) -> list[str]:
        """Sorted distinct label names of the series that match any (of all series where none is given)."""

    def label_values(
        self, tenant: str, name: str, matcher_sets: list[Matchers], mint_ms: int, maxt_ms: int
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


class ExemplarSource(Protocol):
    """Holds the exemplars of series."""

    def exemplars(
        self, tenant: str, matcher_sets: list[Matchers], mint_ms: int, maxt_ms: int
    ) -> ExemplarFrame:
        """Exemplars in the range, of the series that match any of the sets and have any."""
