"""A `Storage` that holds what a test put into it: dictionaries of labels and lists of samples."""

from __future__ import annotations

import bisect
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rondel.model.frame import HistogramSamples, SeriesFrame
from rondel.model.histogram import Histograms
from rondel.model.labels import LabelSets, Matchers
from rondel.promql import kernel
from rondel.storage import PATIENT, Select, Watch

__all__ = ["MemoryStorage", "OutOfOrder", "Sample", "StoredSelection"]

Sample: TypeAlias = float | Mapping[str, Any]
"""A float, or a histogram as `Histograms.from_dicts` takes it."""

Times: TypeAlias = NDArray[np.int64]


class OutOfOrder(ValueError):
    """A sample that is not newer than the last one of its series."""


@dataclass(slots=True)
class _Column:
    """The samples of one kind of a series."""

    timestamps_ms: list[int] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    starts_ms: list[int] = field(default_factory=list)
    """0 where a sample has none"""

    def between(self, mint_ms: int, maxt_ms: int) -> slice:
        first = bisect.bisect_left(self.timestamps_ms, mint_ms)
        return slice(first, bisect.bisect_right(self.timestamps_ms, maxt_ms))


@dataclass(slots=True)
class _Series:
    labels: dict[str, str]
    floats: _Column = field(default_factory=_Column)
    histograms: _Column = field(default_factory=_Column)
    _resolved: Histograms = field(default_factory=lambda: Histograms.from_dicts([]))

    def append(self, timestamp_ms: int, value: Sample, start_ms: int) -> None:
        column = self.floats if isinstance(value, float | int) else self.histograms
        column.timestamps_ms.append(timestamp_ms)
        column.values.append(value)
        column.starts_ms.append(start_ms)

    def last(self) -> tuple[int, Sample] | None:
        """Time and value of the newest sample."""
        columns = [one for one in (self.floats, self.histograms) if one.timestamps_ms]
        newest = max(columns, key=lambda one: one.timestamps_ms[-1], default=None)
        return None if newest is None else (newest.timestamps_ms[-1], newest.values[-1])

    def resolved(self) -> Histograms:
        """All histograms, with the hints that a store gives them."""
        if len(self._resolved) != len(self.histograms.values):
            stated = Histograms.from_dicts(self.histograms.values)
            self._resolved = kernel.resolve_hints(np.array([0, len(stated)], dtype=np.int64), stated)
        return self._resolved


class StoredSelection:
    def __init__(self, series: list[_Series], mint_ms: int, maxt_ms: int) -> None:
        self._series = series
        self._range_ms = (mint_ms, maxt_ms)
        self.labels = LabelSets.from_dicts([one.labels for one in series])

    def read(self, start: int, stop: int) -> SeriesFrame:
        series = self._series[start:stop]
        offsets, times_ms, starts_ms, slices = self._columns([one.floats for one in series])
        values = [v for one, part in zip(series, slices, strict=True) for v in one.floats.values[part]]
        return SeriesFrame(
            labels=self.labels.take(np.arange(start, min(stop, len(self._series)), dtype=np.int64)),
            offsets=offsets,
            timestamps_ms=times_ms,
            values=np.array(values, dtype=np.float64),
            starts_ms=starts_ms,
            histograms=self._histograms(series),
        )

    def _histograms(self, series: list[_Series]) -> HistogramSamples | None:
        offsets, times_ms, starts_ms, slices = self._columns([one.histograms for one in series])
        if not len(times_ms):
            return None
        picks = [np.arange(part.start, part.stop, dtype=np.int64) for part in slices]
        pools = [one.resolved().take(pick) for one, pick in zip(series, picks, strict=True)]
        return HistogramSamples(offsets, times_ms, Histograms.concat(pools), starts_ms)

    def _columns(self, columns: list[_Column]) -> tuple[Times, Times, Times | None, list[slice]]:
        slices = [one.between(*self._range_ms) for one in columns]
        parts = list(zip(columns, slices, strict=True))
        sizes = [part.stop - part.start for part in slices]
        times_ms = np.array([t for one, part in parts for t in one.timestamps_ms[part]], dtype=np.int64)
        starts_ms = np.array([t for one, part in parts for t in one.starts_ms[part]], dtype=np.int64)
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        return offsets, times_ms, starts_ms if starts_ms.any() else None, slices


def _same_bits(left: Sample, right: Sample) -> bool:
    if isinstance(left, float | int) and isinstance(right, float | int):
        return struct.pack("<d", left) == struct.pack("<d", right)
    return left == right


class MemoryStorage:
    """One tenant's series; every tenant sees the same."""

    def __init__(self) -> None:
        self._series: dict[frozenset[tuple[str, str]], _Series] = {}

    def append(
        self,
        labels: Mapping[str, str],
        samples: Iterable[tuple[int, Sample]],
        starts_ms: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        """Adds `(timestamp_ms, value)` pairs in ascending order; empty labels are no labels.

        `starts_ms` maps times of samples to their start timestamps.

        The last sample once more is no change. Raises OutOfOrder.
        """
        kept = {name: value for name, value in labels.items() if value}
        series = self._series.setdefault(frozenset(kept.items()), _Series(kept))
        for timestamp_ms, value in samples:
            last = series.last()
            if last is not None and timestamp_ms <= last[0]:
                if timestamp_ms == last[0] and _same_bits(value, last[1]):
                    continue
                raise OutOfOrder(f"{kept}: sample at {timestamp_ms} ms after one at {last[0]} ms")
            series.append(timestamp_ms, value, starts_ms.get(timestamp_ms, 0))

    def select(self, request: Select) -> StoredSelection:
        found = self._any([request.matchers], request.mint_ms, request.maxt_ms)
        return StoredSelection(list(found), request.mint_ms, request.maxt_ms)

    def series(
        self,
        tenant: str,
        matcher_sets: list[Matchers],
        mint_ms: int,
        maxt_ms: int,
        *,
        watch: Watch = PATIENT,
    ) -> LabelSets:
        return LabelSets.from_dicts([one.labels for one in self._any(matcher_sets, mint_ms, maxt_ms)])

    def label_names(
        self,
        tenant: str,
        matcher_sets: list[Matchers],
        mint_ms: int,
        maxt_ms: int,
        *,
        watch: Watch = PATIENT,
    ) -> list[str]:
        return sorted({name for one in self._any(matcher_sets, mint_ms, maxt_ms) for name in one.labels})

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
        found = self._any(matcher_sets, mint_ms, maxt_ms)
        return sorted({one.labels[name] for one in found if name in one.labels})

    def _any(self, matcher_sets: Sequence[Matchers], mint_ms: int, maxt_ms: int) -> Iterator[_Series]:
        for one in self._series.values():
            in_range = any(
                mint_ms <= at <= maxt_ms for at in (*one.floats.timestamps_ms, *one.histograms.timestamps_ms)
            )
            if in_range and (not matcher_sets or any(each.matches(one.labels) for each in matcher_sets)):
                yield one
