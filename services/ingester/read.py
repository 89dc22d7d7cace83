"""`HeadStorage`: the heads as a `Storage`, a `MetadataSource` and an `ExemplarSource` for queries."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from rondel.errors import Unavailable
from rondel.model.costs import counted
from rondel.model.frame import ExemplarFrame, SeriesFrame
from rondel.model.labels import LabelSets, Matchers
from rondel.model.merge import EmptySelection
from rondel.storage import PATIENT, MetricMetadata, Select, Selection, Watch
from services.ingester.head import Head, Pin
from services.ingester.tenant import Tenants

__all__ = ["HeadStorage"]

_NO_EXEMPLARS: Final = ExemplarFrame(
    EmptySelection.labels,
    np.zeros(1, np.int64),
    np.empty(0, np.int64),
    np.empty(0, np.float64),
    EmptySelection.labels,
)


class HeadStorage:
    """Answers from memory. Select from it before selecting from blocks.

    In that order nothing is missed: chunks that a selection found stay readable (it holds a pin) while
    their range is announced as a block and released; and a range that was released before the selection
    was announced before it, too.
    """

    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants

    def select(self, request: Select) -> Selection:
        head = self._head(request.tenant)
        if head is None:
            return EmptySelection()
        return counted("head", request, lambda: self._select(head, request))

    def _select(self, head: Head, request: Select) -> Selection:
        pin = head.pin()  # Before the look-up: what it finds is held from here on.
        labels, refs = head.select(request.matchers, request.mint_ms, request.maxt_ms)
        return _HeadSelection(head, request, pin, labels, refs)

    def series(
        self,
        tenant: str,
        matcher_sets: list[Matchers],
        mint_ms: int,
        maxt_ms: int,
        *,
        watch: Watch = PATIENT,
    ) -> LabelSets:
        head = self._head(tenant)
        return EmptySelection.labels if head is None else head.series(matcher_sets, mint_ms, maxt_ms)

    def label_names(
        self,
        tenant: str,
        matcher_sets: list[Matchers],
        mint_ms: int,
        maxt_ms: int,
        *,
        watch: Watch = PATIENT,
    ) -> list[str]:
        head = self._head(tenant)
        return [] if head is None else head.label_names(matcher_sets, mint_ms, maxt_ms)

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
        head = self._head(tenant)
        return [] if head is None else head.label_values(name, matcher_sets, mint_ms, maxt_ms)

    def metadata(self, tenant: str, metric: str | None) -> list[MetricMetadata]:
        found = self._tenants.find(tenant)
        entries = [] if found is None else list(found.entries)
        wanted = [entry for entry in entries if metric is None or entry.metric == metric]
        return sorted(wanted, key=lambda entry: (entry.metric, entry.type, entry.help, entry.unit))

    def exemplars(
        self, tenant: str, matcher_sets: list[Matchers], mint_ms: int, maxt_ms: int
    ) -> ExemplarFrame:
        """Exemplars in memory. Ask for them before asking blocks, as for samples."""
        head = self._head(tenant)
        if head is None:
            return _NO_EXEMPLARS
        labels, found = head.exemplars(matcher_sets, mint_ms, maxt_ms)
        return ExemplarFrame(labels, *found)

    def head(self, tenant: str) -> Head | None:
        """The tenant's head, for its statistics (`/api/v1/status/tsdb`)."""
        return self._head(tenant)

    def _head(self, tenant: str) -> Head | None:
        found = self._tenants.find(tenant)
        return None if found is None else found.head


class _HeadSelection:
    def __init__(
        self, head: Head, request: Select, pin: Pin, labels: LabelSets, refs: NDArray[np.int64]
    ) -> None:
        self._head = head
        self._request = request
        self._pin = pin
        self._labels = labels
        self._refs = refs

    @property
    def labels(self) -> LabelSets:
        return self._labels

    def take(self, rows: NDArray[np.int64]) -> Selection:
        """The same selection with only these series, in this order."""
        return _HeadSelection(self._head, self._request, self._pin, self._labels.take(rows), self._refs[rows])

    def read(self, start: int, stop: int) -> SeriesFrame:
        request = self._request
        found = self._head.read(self._refs[start:stop], request.mint_ms, request.maxt_ms, self._pin)
        if found is None:
            raise _too_late()
        labels = self._labels
        if (start, stop) != (0, len(labels)):
            labels = labels.take(np.arange(start, start + len(found[0]) - 1))
        return SeriesFrame.of(labels, found)

    def encoded(self, start: int, stop: int, *, digests: bool = False) -> bytes:
        """Implements `rondel.rpc.codec.Encodable`: chunks as they are stored."""
        request, refs = self._request, self._refs[start:stop]
        found = self._head.encoded(refs, request.mint_ms, request.maxt_ms, self._pin, digests=digests)
        if found is None:
            raise _too_late()
        return found


def _too_late() -> Unavailable:
    return Unavailable("the query took so long that its data moved to a block", retry_after_s=1.0)
