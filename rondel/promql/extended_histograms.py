"""`anchored` and `smoothed` selectors of series that have histograms.

Floats and histograms of a series are put into one sequence, in which windows are found as `extended` finds
them. A window of floats alone is answered there, one of histograms alone here, and one of both by nothing but
a note.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rondel.model.frame import HistogramSamples
from rondel.model.histogram import Histograms
from rondel.promql import kernel
from rondel.promql.extended import Neighbours, Picks, Series, of_floats, on_line, running
from rondel.promql.hints import GAUGE, RESET
from rondel.promql.kernel import Note
from rondel.promql.matrix import Block, Bools, Grid, HistogramCells
from rondel.promql.operators.node import STALE_BITS, Samples

__all__ = ["instant", "window"]

CUSTOM = -53

Index = NDArray[np.int64]
Notes = NDArray[np.uint32]


def window(
    function: str, mode: str, samples: Samples, ends: Grid, range_ms: int, lookback_ms: int
) -> tuple[Block, Notes]:
    """As `extended.window`, with the notes of each series."""
    both = _Both.of(samples)
    if not len(both.index):
        return both.series.nothing(ends.count), both.notes
    picks = Picks.of(both.series, mode, ends, range_ms, lookback_ms)
    first, last, present = picks.first, picks.last, picks.present
    if function in ("changes", "resets"):
        seen = running(both.events(function))
        return Block((seen[last] - seen[first]).astype(np.float64), present), both.notes
    histograms = both.count(both.index >= 0, first, last)
    floats, whole = histograms == 0, histograms == last - first + 1
    both.note(present & ~floats & ~whole, Note.MIXED)
    block = of_floats(function, both.series, picks)
    cells = _increase(both, function, picks, both.alike(present & whole, first, last))
    return Block(block.values, present & floats, cells), both.notes


def instant(samples: Samples, steps: Grid, lookback_ms: int) -> tuple[Block, Notes]:
    """As `extended.instant`, with the notes of each series."""
    both = _Both.of(samples)
    series = both.series
    if not len(both.index):
        return series.nothing(steps.count), both.notes
    around = Neighbours.of(series, steps, lookback_ms)
    first = series.after(around.times_ms - lookback_ms)
    last = series.after(around.times_ms + lookback_ms) - 1
    histograms = np.where(around.present, both.count(both.index >= 0, first, last), 0)
    floats, whole = histograms == 0, histograms == last - first + 1
    both.note(around.present & ~floats & ~whole, Note.MIXED)
    block = on_line(series, around)
    cells = both.alike(
        around.present & whole, around.before, np.where(around.apart, around.nexts, around.before)
    )
    apart, counter = around.apart[cells], both.hints[both.index[around.before[cells]]] != GAUGE
    time_ms = np.broadcast_to(around.times_ms, cells.shape)[cells]
    picked = both.edge(
        around.before[cells], apart, around.before[cells], around.nexts[cells], time_ms, counter
    )
    return Block(block.values, around.present & floats, HistogramCells.at(cells, picked)), both.notes


def _increase(both: _Both, function: str, picks: Picks, cells: Bools) -> HistogramCells:
    """`rate`, `increase` or `delta` in the cells whose windows hold histograms alone, all of one schema."""
    first, last = picks.first[cells], picks.last[cells]
    begin_ms, end_ms = (
        np.broadcast_to(times_ms, cells.shape)[cells] for times_ms in (picks.begin_ms, picks.end_ms)
    )
    cut_left, cut_right = picks.cut_left[cells], picks.cut_right[cells]
    counter = np.full(len(first), function != "delta")
    left = both.edge(first, cut_left, first, first + 1, begin_ms, counter)
    right = both.edge(last, cut_right, last - 1, last, end_ms, counter)
    gauges = both.hints == GAUGE
    if function == "delta":
        at_edges = gauges[both.index[first]] & gauges[both.index[last]]
        both.note_cells(cells, ~at_edges, Note.NOT_GAUGE)
    else:
        some = both.count(both.of_samples(gauges), first, last) > 0
        both.note_cells(cells, some, Note.NOT_COUNTER)
    total, notes, _ = kernel.histogram_add(right, left, True)
    both.note_cells(cells, (notes & Note.BOUNDS_RECONCILED) != 0, Note.BOUNDS_RECONCILED)
    if function != "delta":
        # Where the left edge is cut, what was lost at the sample after it is no longer in it.
        total = both.plus_lost(total, first + 1 + cut_left, last)
    if function == "rate":
        total = kernel.histogram_scale(total, np.full(len(total), picks.range_ms / 1000), True)
    return HistogramCells.at(cells, total.with_hints(np.full(len(total), GAUGE, dtype=np.uint8)))


@dataclass(frozen=True, slots=True)
class _Both:
    """The samples of both kinds of each series, ordered by (series, time)."""

    series: Series
    """Where a histogram is, the value means nothing."""
    index: Index
    """which histogram a sample is, -1 for a float"""
    pool: Histograms
    hints: NDArray[np.uint8]
    """of each histogram; resets are found"""
    notes: Notes
    """uint32[series]"""

    @classmethod
    def of(cls, samples: Samples) -> _Both:
        """Staleness markers left out; of a float and a histogram at one time the histogram counts."""
        assert samples.histograms is not None
        floats, own = Series.of(samples), _live(samples.histograms)
        parts = (floats.offsets, floats.times_ms), (own.offsets, own.timestamps_ms)
        row = np.concatenate([np.repeat(np.arange(samples.rows), np.diff(offsets)) for offsets, _ in parts])
        times_ms = np.concatenate([times_ms for _, times_ms in parts])
        order = np.lexsort((times_ms, row))
        row, times_ms = row[order], times_ms[order]
        # Sorting is stable: of two at one time the histogram is the second.
        kept = np.append((row[1:] != row[:-1]) | (times_ms[1:] != times_ms[:-1]), True)[: len(row)]
        offsets = np.searchsorted(row[kept], np.arange(samples.rows + 1)).astype(np.int64)
        index = np.concatenate([np.full(len(floats.values), -1), np.arange(len(own.values))])[order][kept]
        values = np.concatenate([floats.values, np.zeros(len(own.values))])[order][kept]
        starts_ms = _starts(floats, own)
        series = Series(
            offsets, times_ms[kept], values, None if starts_ms is None else starts_ms[order][kept]
        )
        pool = kernel.resolve_hints(own.offsets, own.values)
        notes = np.zeros(samples.rows, dtype=np.uint32)
        return cls(series, index.astype(np.int64), pool, pool.hints(), notes)

    def of_samples(self, flags: Bools) -> Bools:
        """What is said of each histogram, said of each sample; False for floats."""
        return np.where(self.index >= 0, np.append(flags, False)[self.index], False)

    def count(self, flags: Bools, first: Index, last: Index) -> Index:
        """How many of the samples `[first, last]` have the flag."""
        before = np.concatenate([[0], np.cumsum(flags)]).astype(np.int64)
        counts: Index = before[last + 1] - before[np.minimum(first, last + 1)]
        return counts

    def alike(self, cells: Bools, first: Index, last: Index) -> Bools:
        """Those of the cells whose histograms `[first, last]` have all exponential or all custom buckets."""
        custom = self.count(self.of_samples(self.pool.schemas() == CUSTOM), first, last)
        mixed = cells & (custom > 0) & (custom < last - first + 1)
        self.note(mixed, Note.MIXED_SCHEMAS)
        return cells & ~mixed

    def note(self, cells: Bools, note: Note) -> None:
        self.notes[cells.any(axis=1)] |= np.uint32(note)

    def note_cells(self, cells: Bools, flags: Bools, note: Note) -> None:
        """As `note`, for flags of the cells alone."""
        self.notes[np.nonzero(cells)[0][flags]] |= np.uint32(note)

    def resets(self) -> Bools:
        """Whether each sample is a histogram that was reset before it."""
        told = self.of_samples(self.hints == RESET)
        began = np.append(False, self.series.began_anew())[: len(told)]
        return told | (began & (self.index >= 0))

    def events(self, function: str) -> Bools:
        """As `Series.events`; another kind of sample is a change and a reset."""
        earlier, later = self.index[:-1] >= 0, self.index[1:] >= 0
        events = np.where(earlier == later, self.series.events(function), True)
        pairs = np.flatnonzero(earlier & later)
        if function == "resets":
            events[pairs] = self.resets()[pairs + 1]
        else:
            events[pairs] = ~kernel.histogram_equal(self.at(pairs), self.at(pairs + 1))
        return events

    def at(self, positions: Index) -> Histograms:
        """The histograms at these samples, all of which are some."""
        return self.pool.take(self.index[positions])

    def edge(
        self, exact: Index, cut: Bools, one: Index, other: Index, at_ms: Index, counter: Bools
    ) -> Histograms:
        """The histograms at `exact`, or where cut those at a time between `one` and `other`."""
        cuts = np.flatnonzero(cut)
        between = self._between(one[cuts], other[cuts], at_ms[cuts], counter[cuts])
        pick = np.arange(len(exact))
        pick[cuts] = len(exact) + np.arange(len(cuts))
        return Histograms.concat([self.at(exact), between]).take(pick)

    def _between(self, one: Index, other: Index, at_ms: Index, counter: Bools) -> Histograms:
        """Linear interpolation; a counter that was reset in between starts from nothing."""
        start, end = self.at(one), self.at(other)
        anew = counter & self.resets()[other]
        start = kernel.histogram_scale(start, np.where(anew, 0.0, 1.0), False)
        share = self.series.share(one, other, at_ms)
        way = kernel.histogram_scale(kernel.histogram_add(end, start, True)[0], share, False)
        return kernel.histogram_add(start, way, False)[0]

    def plus_lost(self, totals: Histograms, first: Index, last: Index) -> Histograms:
        """With what resets at the samples `[first, last]` took away: the histograms before them."""
        resets = np.flatnonzero(self.resets())
        begin = np.searchsorted(resets, first)
        sizes = np.maximum(np.searchsorted(resets, last, side="right") - begin, 0)
        for nth in range(int(sizes.max(initial=0))):
            cells = np.flatnonzero(sizes > nth)
            lost = self.at(resets[begin[cells] + nth] - 1)
            sums = kernel.histogram_add(totals.take(cells), lost, False)[0]
            pick = np.arange(len(totals))
            pick[cells] = len(totals) + np.arange(len(cells))
            totals = Histograms.concat([totals, sums]).take(pick)
        return totals


def _live(samples: HistogramSamples) -> HistogramSamples:
    """The samples without staleness markers."""
    kept = samples.values.sums().view(np.uint64) != STALE_BITS
    offsets = np.concatenate([[0], np.cumsum(kept)])[samples.offsets].astype(np.int64)
    starts_ms = None if samples.starts_ms is None else samples.starts_ms[kept]
    return HistogramSamples(
        offsets, samples.timestamps_ms[kept], samples.values.take(np.flatnonzero(kept)), starts_ms
    )


def _starts(floats: Series, own: HistogramSamples) -> Index | None:
    if floats.starts_ms is None and own.starts_ms is None:
        return None
    parts = ((floats.starts_ms, len(floats.values)), (own.starts_ms, len(own.values)))
    return np.concatenate([np.zeros(n, dtype=np.int64) if one is None else one for one, n in parts])
