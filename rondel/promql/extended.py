"""`anchored` and `smoothed` selectors: windows that reach for samples beyond their edges.

An anchored window begins with the last sample at or before its start; a smoothed one has interpolated
values at both ends. Neither extrapolates. All windows of all series are found with one search over keys
that order samples by (series, time). Where series have histograms, the kernel then decides the windows that
reach one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rondel.promql import kernel
from rondel.promql.matrix import Block, Bools, Floats, Grid, HistogramCells
from rondel.promql.operators.node import Samples

__all__ = ["ANCHORED", "SMOOTHED", "instant", "mixed_instant", "mixed_window", "window"]

ANCHORED = "anchored"
SMOOTHED = "smoothed"
STALE_BITS = 0x7FF0_0000_0000_0002

Index = NDArray[np.int64]
Notes = NDArray[np.uint32]


def window(function: str, mode: str, samples: Samples, ends: Grid, range_ms: int, lookback_ms: int) -> Block:
    """`rate`, `increase`, `delta`, `changes` or `resets` over `(t - range, t]`, extended."""
    series = _Series.of(samples)
    end_ms = ends.times_ms()
    begin_ms = end_ms - range_ms
    if not len(series.values):
        return series.nothing(len(end_ms))
    low = series.after(begin_ms - lookback_ms)
    last = series.after(end_ms + (lookback_ms if mode == SMOOTHED else 0)) - 1
    found = last >= low
    low, last = np.where(found, low, 0), np.where(found, last, 0)
    first = np.maximum(low, np.minimum(series.after(begin_ms), last) - 1)
    if mode == SMOOTHED:
        last = np.minimum(series.after(end_ms - 1), last)
    present = found & (series.times_ms[last] > begin_ms) & (series.times_ms[first] <= end_ms)
    if function in ("changes", "resets"):
        seen = series.running(function)
        return Block((seen[last] - seen[first]).astype(np.float64), present)
    counter = function != "delta"
    left, right = series.values[first], series.values[last]
    if mode == SMOOTHED:
        nexts = np.minimum(first + 1, len(series.values) - 1)
        left = np.where(
            series.times_ms[first] < begin_ms, series.between(first, nexts, begin_ms, counter), left
        )
        cut = (series.times_ms[last] > end_ms) & (last > low)
        right = np.where(cut, series.between(np.maximum(last - 1, 0), last, end_ms, counter), right)
    values = right - left
    if counter:
        inner = first + (series.times_ms[first] <= begin_ms)
        values = values + series.correction(left, right, inner, last - (series.times_ms[last] >= end_ms))
    return Block(values / (range_ms / 1000) if function == "rate" else values, present)


def instant(samples: Samples, steps: Grid, lookback_ms: int) -> Block:
    """The value on the line from the last sample at or before each step to the next one after it."""
    series = _Series.of(samples)
    times_ms = steps.times_ms()
    if not len(series.values):
        return series.nothing(len(times_ms))
    after = series.after(times_ms)
    before = np.maximum(after - 1, 0)
    present = after > series.after(times_ms - lookback_ms)
    has_next = series.after(times_ms + lookback_ms) > after
    nexts = np.where(has_next, np.minimum(after, len(series.values) - 1), before)
    values = np.where(
        has_next & (series.times_ms[before] < times_ms),
        series.between(before, nexts, times_ms, False),
        series.values[before],
    )
    return Block(values, present)


def mixed_window(
    function: str, mode: str, samples: Samples, ends: Grid, range_ms: int, lookback_ms: int
) -> tuple[Block, Notes]:
    """As `window` of series that have histograms, with the notes of each."""
    floats = window(function, mode, samples, ends, range_ms, lookback_ms)
    steps = ends.start_ms, ends.step_ms, ends.count
    reach = range_ms, lookback_ms
    smoothed = mode == SMOOTHED
    answer = kernel.extended_mixed(
        function, smoothed, samples.arrays, *steps, *reach, floats.values, floats.present
    )
    return _block(answer), answer.notes


def mixed_instant(samples: Samples, steps: Grid, lookback_ms: int) -> tuple[Block, Notes]:
    """As `instant` of series that have histograms, with the notes of each."""
    floats = instant(samples, steps, lookback_ms)
    times = steps.start_ms, steps.step_ms, steps.count
    answer = kernel.smoothed_mixed(samples.arrays, *times, lookback_ms, floats.values, floats.present)
    return _block(answer), answer.notes


def _block(answer: kernel.MixedWindow) -> Block:
    return Block(answer.values, answer.present, HistogramCells(answer.histograms, answer.pool))


@dataclass(frozen=True, slots=True)
class _Series:
    """Samples without staleness markers, ordered by (series, time)."""

    offsets: Index
    times_ms: Index
    values: Floats
    starts_ms: Index | None

    @classmethod
    def of(cls, samples: Samples) -> _Series:
        kept = samples.values.view(np.uint64) != STALE_BITS
        offsets = np.concatenate([[0], np.cumsum(kept)])[samples.offsets].astype(np.int64)
        starts_ms = None if samples.starts_ms is None else samples.starts_ms[kept]
        return cls(offsets, samples.timestamps_ms[kept], samples.values[kept], starts_ms)

    def nothing(self, steps: int) -> Block:
        shape = (len(self.offsets) - 1, steps)
        return Block(np.zeros(shape), np.zeros(shape, dtype=np.bool_))

    def after(self, at_ms: Index) -> Index:
        """int64[series, steps]: position of the first sample of each series that is later."""
        rows = np.arange(len(self.offsets) - 1)
        base_ms = int(self.times_ms.min())
        span = int(self.times_ms.max()) - base_ms + 2
        keys = np.repeat(rows, np.diff(self.offsets)) * span + (self.times_ms - base_ms)
        wanted = rows[:, np.newaxis] * span + np.clip(at_ms - base_ms, -1, span - 2)
        return np.searchsorted(keys, wanted, side="right").astype(np.int64)

    def between(self, one: Index, other: Index, at_ms: Index, counter: bool) -> Floats:
        """Linear interpolation; a counter that was reset in between starts from 0."""
        start, end = self.values[one], self.values[other]
        if counter:
            start = np.where(end < start, 0.0, start)
        width = self.times_ms[other] - self.times_ms[one]
        share: Floats = (at_ms - self.times_ms[one]) / np.where(width == 0, 1, width)
        return start + (end - start) * share

    def running(self, function: str) -> Index:
        """How many changes or resets there were up to each sample, over all series."""
        earlier, later = self.values[:-1], self.values[1:]
        if function == "resets":
            events = (later < earlier) | self.began_anew()
        else:
            events = (later != earlier) & ~(np.isnan(later) & np.isnan(earlier))
        return np.concatenate([[0], np.cumsum(events)]).astype(np.int64)

    def began_anew(self) -> Bools:
        """Whether the start of each sample but the first says that there was a reset before it; the rule is
        that of the native range functions."""
        if self.starts_ms is None:
            return np.zeros(max(0, len(self.values) - 1), dtype=np.bool_)
        known = (self.starts_ms != 0) & (self.starts_ms < self.times_ms)
        after = self.starts_ms[1:] - self.times_ms[:-1]
        anew: Bools = known[1:] & ((after > 0) | ((after == 0) & known[:-1]))
        return anew

    def correction(self, left: Floats, right: Floats, first: Index, last: Index) -> Floats:
        """What resets took away between `left`, the samples `[first, last]` and `right`."""
        lost = np.where(self.values[1:] < self.values[:-1], self.values[:-1], 0.0)
        running = np.concatenate([[0.0], np.cumsum(lost)])
        empty = first > last
        edge = len(self.values) - 1
        first, last = np.clip(first, 0, edge), np.clip(last, 0, edge)
        head, tail = self.values[first], self.values[last]
        inside = np.where(head < left, left, 0.0) + (running[last] - running[first])
        inside += np.where(right < tail, tail, 0.0)
        return np.where(empty, np.where(right < left, left, 0.0), inside)
