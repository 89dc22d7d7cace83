"""`Cardinality`: what can be said of series from their labels alone, where no head is at hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from rondel.model.labels import METRIC_NAME, LabelSets

__all__ = ["Cardinality"]

_Counts = list[tuple[str, int]]


class Cardinality:
    """Implements `services.querier.api.status.HeadFacts` of series that were written in a range."""

    def __init__(self, labels: LabelSets, mint_ms: int, maxt_ms: int) -> None:
        self._labels = labels
        self._range_ms = mint_ms, maxt_ms

    @property
    def series_count(self) -> int:
        return len(self._labels)

    def chunk_count(self) -> int:
        """Only ingesters know their chunks."""
        return 0

    def bounds_ms(self) -> tuple[int, int] | None:
        return self._range_ms if len(self._labels) else None

    def cardinality(self, limit: int) -> dict[str, Any]:
        """`label_pairs`, and the largest by metric name, label name and pair, each `(name, count)`."""
        by_name, metrics, pairs, sizes = _Counts(), _Counts(), _Counts(), _Counts()
        for name in self._labels.names():
            found = self._series_by_value(name)
            by_name.append((name, len(found)))
            sizes.append((name, sum(len(value.encode()) * count for value, count in found)))
            pairs += _largest([(f"{name}={value}", count) for value, count in found], limit)
            if name == METRIC_NAME:
                metrics = found
        return {
            "label_pairs": sum(count for _, count in by_name),
            "series_by_metric": _largest(metrics, limit),
            "values_by_name": _largest(by_name, limit),
            "bytes_by_name": _largest(sizes, limit),
            "series_by_pair": _largest(pairs, limit),
        }

    def _series_by_value(self, name: str) -> _Counts:
        codes, values = self._labels.column(name)
        counts = np.bincount(codes, minlength=len(values)).tolist()
        return [(value, count) for value, count in zip(values, counts, strict=True) if value]


def _largest(counts: _Counts, limit: int) -> _Counts:
    return sorted(counts, key=lambda one: (-one[1], one[0]))[:limit]
