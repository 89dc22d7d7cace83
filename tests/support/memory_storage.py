"""A `Storage` that holds what a test put into it: dictionaries of labels and lists of samples."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from rondel.model.frame import SeriesFrame
from rondel.model.labels import LabelSets, Matchers
from rondel.storage import Select

__all__ = ["MemoryStorage", "OutOfOrder", "StoredSelection"]


class OutOfOrder(ValueError):
    """A sample that is not newer than the last one of its series."""


@dataclass(slots=True)
class _Series:
    labels: dict[str, str]
    timestamps_ms: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    starts_ms: list[int] = field(default_factory=list)
    """0 where a sample has none"""


class StoredSelection:
    def __init__(self, series: list[_Series], mint_ms: int, maxt_ms: int) -> None:
        self._series = series
        self._range_ms = (mint_ms, maxt_ms)
        self.labels = LabelSets.from_dicts([one.labels for one in series])

    def read(self, start: int, stop: int) -> SeriesFrame:
        mint_ms, maxt_ms = self._range_ms
        timestamps, values, starts, offsets = [], [], [], [0]
        for one in self._series[start:stop]:
            times = np.array(one.timestamps_ms, dtype=np.int64)
            first = int(np.searchsorted(times, mint_ms, side="left"))
            last = int(np.searchsorted(times, maxt_ms, side="right"))
            timestamps.append(times[first:last])
            values.append(np.array(one.values[first:last], dtype=np.float64))
            starts.append(np.array(one.starts_ms[first:last], dtype=np.int64))
            offsets.append(offsets[-1] + last - first)
        starts_ms = np.concatenate([np.empty(0, dtype=np.int64), *starts])
        return SeriesFrame(
            labels=self.labels.take(np.arange(start, min(stop, len(self._series)), dtype=np.int64)),
            offsets=np.array(offsets, dtype=np.int64),
            timestamps_ms=np.concatenate([np.empty(0, dtype=np.int64), *timestamps]),
            values=np.concatenate([np.empty(0, dtype=np.float64), *values]),
            starts_ms=starts_ms if starts_ms.any() else None,
        )


def _same_bits(left: float, right: float) -> bool:
    return struct.pack("<d", left) == struct.pack("<d", right)


class MemoryStorage:
    """One tenant's series; every tenant sees the same."""

    def __init__(self) -> None:
        self._series: dict[frozenset[tuple[str, str]], _Series] = {}

    def append(
        self,
        labels: Mapping[str, str],
        samples: Iterable[tuple[int, float]],
        starts_ms: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        """Adds `(timestamp_ms, value)` pairs in ascending order; empty labels are no labels.

        `starts_ms` maps times of samples to their start timestamps.

        The last sample once more is no change. Raises OutOfOrder.
        """
        kept = {name: value for name, value in labels.items() if value}
        series = self._series.setdefault(frozenset(kept.items()), _Series(kept))
        for timestamp_ms, value in samples:
            if series.timestamps_ms and timestamp_ms <= series.timestamps_ms[-1]:
                if timestamp_ms == series.timestamps_ms[-1] and _same_bits(value, series.values[-1]):
                    continue
                last_ms = series.timestamps_ms[-1]
                raise OutOfOrder(f"{kept}: sample at {timestamp_ms} ms after one at {last_ms} ms")
            series.timestamps_ms.append(timestamp_ms)
            series.values.append(value)
            series.starts_ms.append(starts_ms.get(timestamp_ms, 0))

    def select(self, request: Select) -> StoredSelection:
        found = [one for one in self._series.values() if request.matchers.matches(one.labels)]
        return StoredSelection(found, request.mint_ms, request.maxt_ms)

    def series(self, tenant: str, matcher_sets: list[Matchers], mint_ms: int, maxt_ms: int) -> LabelSets:
        return LabelSets.from_dicts([one.labels for one in self._any(matcher_sets, mint_ms, maxt_ms)])

    def label_names(self, tenant: str, matcher_sets: list[Matchers], mint_ms: int, maxt_ms: int) -> list[str]:
        return sorted({name for one in self._any(matcher_sets, mint_ms, maxt_ms) for name in one.labels})

    def label_values(
        self, tenant: str, name: str, matcher_sets: list[Matchers], mint_ms: int, maxt_ms: int
    ) -> list[str]:
        found = self._any(matcher_sets, mint_ms, maxt_ms)
        return sorted({one.labels[name] for one in found if name in one.labels})

    def _any(self, matcher_sets: Sequence[Matchers], mint_ms: int, maxt_ms: int) -> Iterator[_Series]:
        for one in self._series.values():
            in_range = any(mint_ms <= at <= maxt_ms for at in one.timestamps_ms)
            if in_range and (not matcher_sets or any(each.matches(one.labels) for each in matcher_sets)):
                yield one
