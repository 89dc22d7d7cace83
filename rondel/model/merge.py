"""Merges answers: several selections as one, several storages as one.

Series are joined by fingerprint and come in block order. Samples are merged in time, floats and histograms
each for themselves; where two sources differ at one timestamp, a value beats a staleness marker, then the
larger in the total order of the bits wins (of histograms by count, then sum, then all their bits), of equal
ones the later start: the same pick on every replica, whatever the order of the sources. What a histogram
says of a counter reset stays only where the sample before it is the one that it was said against.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rondel._native import join_labels, merge_samples
from rondel._native import merge_exemplars as _native_merge_exemplars
from rondel.model.frame import ExemplarFrame, SeriesFrame
from rondel.model.labels import LabelSets, Matchers
from rondel.storage import PATIENT, ExemplarSource, Select, Selection, Storage, Watch

__all__ = [
    "EmptySelection",
    "MergedStorage",
    "Reorderable",
    "distinct",
    "exemplars_of",
    "join_labels",
    "merge_exemplars",
    "merge_samples",
    "merge_selections",
    "reordered",
]

_Rows = NDArray[np.int64]

# Rows that are read and thrown away to save one more read of the source.
_RUN_GAP: Final = 8


@runtime_checkable
class Reorderable(Protocol):
    """A selection that can be put in another order; sources that are not in block order should be."""

    def take(self, rows: NDArray[np.int64]) -> Selection:
        """The same selection with only these rows, in this order."""


class EmptySelection:
    """No series."""

    labels: Final = LabelSets.from_dicts([])

    def read(self, start: int, stop: int) -> SeriesFrame:
        """A frame of no series."""
        return SeriesFrame(self.labels, np.zeros(1, np.int64), np.empty(0, np.int64), np.empty(0, np.float64))


def merge_selections(selections: Sequence[Selection]) -> Selection:
    """One selection of all series; a single source that has any passes through as it is."""
    holding = [one for one in selections if len(one.labels)]
    if not holding:
        return EmptySelection()
    if len(holding) == 1:
        return holding[0]
    labels, rows = join_labels([one.labels for one in holding])
    return _MergedSelection(labels, [_ascending(one, own) for one, own in zip(holding, rows, strict=True)])


def reordered(selection: Selection, rows: NDArray[np.int64]) -> Selection:
    """The same selection with only these rows, in this order."""
    if isinstance(selection, Reorderable):
        return selection.take(rows)
    return _MergedSelection(selection.labels.take(rows), [(selection, rows)])


def _ascending(selection: Selection, rows: _Rows) -> tuple[Selection, _Rows]:
    """The source in the order of the union, where it can be put so: then every read of it is one slice."""
    present = rows[rows >= 0]
    if isinstance(selection, Reorderable) and not bool((np.diff(present) > 0).all()):
        ranks = np.full(len(rows), -1, np.int64)
        ranks[rows >= 0] = np.arange(len(present))
        return selection.take(present), ranks
    return selection, rows


class _MergedSelection:
    """Sources, each with its row of every series of the union, or -1."""

    def __init__(self, labels: LabelSets, parts: list[tuple[Selection, _Rows]]) -> None:
        self.labels = labels
        self._parts = parts

    def read(self, start: int, stop: int) -> SeriesFrame:
        """Samples of the series `[start, stop)`, each timestamp once."""
        labels = self.labels.take(np.arange(start, stop, dtype=np.int64))
        found: list[tuple[_Rows, SeriesFrame]] = []
        for selection, rows in self._parts:
            wanted = rows[start:stop]
            for first, last in _runs(wanted):
                inside = (wanted >= first) & (wanted < last)
                found.append((np.where(inside, wanted - first, -1), selection.read(first, last)))
        if len(found) == 1 and _is_identity(found[0][0]):
            return replace(found[0][1], labels=labels)
        return SeriesFrame.of(
            labels, merge_samples(stop - start, [(rows, one.arrays()) for rows, one in found])
        )


def _is_identity(rows: _Rows) -> bool:
    return bool((rows == np.arange(len(rows))).all())


def _runs(rows: _Rows) -> Iterable[tuple[int, int]]:
    """Slices `[first, last)` of a source that hold all wanted rows.

    One slice where the source is in block order. A source in another order is read in as many slices as
    its rows form; rows between two that are close are read as well, which costs less than another call.
    """
    present = np.sort(rows[rows >= 0])
    if not len(present):
        return []
    if present[-1] - present[0] < 2 * len(present):
        return [(int(present[0]), int(present[-1]) + 1)]
    breaks = np.flatnonzero(np.diff(present) > _RUN_GAP) + 1
    return [(int(run[0]), int(run[-1]) + 1) for run in np.split(present, breaks)]


class MergedStorage:
    """Several storages that together hold a tenant's series; implements `rondel.storage.Storage`, and
    `rondel.storage.ExemplarSource` over those of them that do.

    They are asked in the given order: where data moves from one to another, name the one it leaves first.
    """

    def __init__(self, storages: Sequence[Storage]) -> None:
        self._storages = tuple(storages)

    def select(self, request: Select) -> Selection:
        """Series of all storages, joined."""
        return merge_selections([storage.select(request) for storage in self._watched(request.watch)])

    def series(
        self,
        tenant: str,
        matcher_sets: list[Matchers],
        mint_ms: int,
        maxt_ms: int,
        *,
        watch: Watch = PATIENT,
    ) -> LabelSets:
        """Distinct label sets of all storages."""
        return distinct(
            [one.series(tenant, matcher_sets, mint_ms, maxt_ms, watch=watch) for one in self._watched(watch)]
        )

    def exemplars(
        self, tenant: str, matcher_sets: list[Matchers], mint_ms: int, maxt_ms: int
    ) -> ExemplarFrame:
        """Exemplars of all storages, equal ones once."""
        sources = [one for one in self._storages if isinstance(one, ExemplarSource)]
        return merge_exemplars([one.exemplars(tenant, matcher_sets, mint_ms, maxt_ms) for one in sources])

    def label_names(
        self,
        tenant: str,
        matcher_sets: list[Matchers],
        mint_ms: int,
        maxt_ms: int,
        *,
        watch: Watch = PATIENT,
    ) -> list[str]:
        """Sorted distinct names of all storages."""
        return sorted(
            {
                name
                for one in self._watched(watch)
                for name in one.label_names(tenant, matcher_sets, mint_ms, maxt_ms, watch=watch)
            }
        )

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
        """Sorted distinct values of all storages."""
        return sorted(
            {
                value
                for one in self._watched(watch)
                for value in one.label_values(tenant, name, matcher_sets, mint_ms, maxt_ms, watch=watch)
            }
        )

    def _watched(self, watch: Watch) -> Iterator[Storage]:
        """The storages, each only while somebody waits."""
        for storage in self._storages:
            watch.check()
            yield storage


def merge_exemplars(parts: Sequence[ExemplarFrame]) -> ExemplarFrame:
    """All exemplars of all parts, equal ones once; only series that have any, in block order."""
    holding = [one for one in parts if len(one.values)]
    labels, rows = join_labels([one.labels for one in holding])
    merged = exemplars_of(labels, list(zip(rows, holding, strict=True)))
    filled = np.flatnonzero(np.diff(merged.offsets))
    offsets = np.append(merged.offsets[filled], merged.offsets[-1:])
    return replace(merged, labels=labels.take(filled), offsets=offsets)


def exemplars_of(labels: LabelSets, parts: Sequence[tuple[_Rows, ExemplarFrame]]) -> ExemplarFrame:
    """The exemplars of these series from each part and its row of every series, or -1; equal ones once."""
    arrays = _native_merge_exemplars(len(labels), [(rows, one.arrays()) for rows, one in parts])
    return ExemplarFrame.of(labels, arrays)


def distinct(parts: Sequence[LabelSets]) -> LabelSets:
    """All sets of all parts, each once, in block order."""
    holding = [one for one in parts if len(one)]
    if len(holding) == 1:
        return holding[0]
    labels, _ = join_labels(holding)
    return labels
