"""`load_with_nhcb`: classic histograms once more, as native ones with custom buckets."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from rondel.model.labels import METRIC_NAME
from tests.promql.series import SeriesLine

__all__ = ["custom_buckets"]

CUSTOM = -53

Labels: TypeAlias = dict[str, str]


@dataclass(slots=True)
class _Classic:
    """One classic histogram at one time."""

    buckets: dict[float, float] = field(default_factory=dict)
    """cumulative counts by upper bound"""
    count: float | None = None
    sum: float = 0.0

    def converted(self) -> dict[str, Any]:
        bounds = sorted(self.buckets)
        count = self.count
        if count is None:
            count = self.buckets[bounds[-1]] if bounds else 0.0
        cumulative = [self.buckets[bound] for bound in bounds if bound != math.inf] + [count]
        counts = [upper - lower for lower, upper in zip([0.0, *cumulative], cumulative)]
        return {
            "schema": CUSTOM,
            "count": count,
            "sum": self.sum,
            "custom_values": [bound for bound in bounds if bound != math.inf],
            "positive": dict(enumerate(counts)),
        }


def custom_buckets(series: Iterable[SeriesLine]) -> Iterator[tuple[Labels, list[tuple[int, dict[str, Any]]]]]:
    """Labels and `(index of the sample, histogram)` of each classic histogram among the series."""
    found: dict[tuple[tuple[str, str], ...], dict[int, _Classic]] = defaultdict(lambda: defaultdict(_Classic))
    for line in series:
        name = line.labels.get(METRIC_NAME, "")
        base, _, kind = name.rpartition("_")
        bound = _bound(line.labels.get("le", ""))
        if kind not in ("bucket", "count", "sum") or (kind == "bucket" and math.isnan(bound)):
            continue
        rest = {label: value for label, value in line.labels.items() if label != "le"}
        at = found[tuple(sorted((rest | {METRIC_NAME: base}).items()))]
        for index, item in enumerate(line.items):
            if not isinstance(item, float):
                continue
            if kind == "bucket":
                at[index].buckets[bound] = item
            else:
                setattr(at[index], kind, item)
    for labels, histograms in found.items():
        yield dict(labels), [(index, histograms[index].converted()) for index in sorted(histograms)]


def _bound(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
