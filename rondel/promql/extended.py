"""`anchored` and `smoothed` selectors: windows that reach for samples beyond their edges.

An anchored window begins with the last sample at or before its start; a smoothed one has interpolated
values at both ends. Neither extrapolates. All windows of all series are found with one search over keys
that order samples by (series, time).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rondel.promql.matrix import Block, Bools, Floats, Grid
from rondel.promql.operators.node import Samples

__all__ = [
    "ANCHORED",
    "SMOOTHED",
    "Neighbours",
    "Picks",
    "Series",
    "instant",
    "of_floats",
    "on_line",
    "running",
    "window",
]

ANCHORED = "anchored"
SMOOTHED = "smoothed"
STALE_BITS = 0x7FF0_0000_0000_0002

Index = NDArray[np.int64]


def window(function: str, mode: str, samples: Samples, ends: Grid, range_ms: int, lookback_ms: int) -> Block:
    """`rate`, `increase`, `delta`, `changes` or `resets` over `(t - range, t]`, extended."""
    series = Series.of(samples)
    if not len(series.values):
        return series.nothing(ends.count)
    return of_floats(function, series, Picks.of(series, mode, ends, range_ms, lookback_ms))


def of_floats(function: str, series: Series, picks: Picks) -> Block:
    """The function over windows that hold floats alone."""
    first, last = picks.first, picks.last
    if function in ("changes", "resets"):
        seen = running(series.events(function))
        return Block((seen[last] - seen[first]).astype(np.float64), picks.present)
    counter = function != "delta"
    nexts = np.minimum(first + 1, len(series.values) - 1)
    left = np.where(
        picks.cut_left, series.between(first, nexts, picks.begin_ms, counter), series.values[first]
    )
    before = series.between(np.maximum(last - 1, 0), last, picks.end_ms, counter)
    right = np.where(picks.cut_right, before, series.values[last])
    values = right - left
    if counter:
        inner = first + (series.times_ms[first] <= picks.begin_ms)
        until = last - (series.times_ms[last] >= picks.end_ms)
        values = values + series.correction(left, right, inner, until)
    return Block(values / (picks.range_ms / 1000) if function == "rate" else values, picks.present)


def instant(samples: Samples, steps: Grid, lookback_ms: int) -> Block:
    """The value on the line from the last sample at or before each step to the next one after it."""
    series = Series.of(samples)
    if not len(series.values):
        return series.nothing(steps.count)
    return on_line(series, Neighbours.of(series, steps, lookback_ms))


def on_line(series: Series, around: Neighbours) -> Block:
    values = np.where(
        around.apart,
        series.between(around.before, around.nexts, around.times_ms, False),
        series.values[around.before],
    )
    return Block(values, around.present)


class Picks(NamedTuple):
    """Which samples each window is of, `[series, steps]`; what is not `present` means nothing."""

    first: Index
    """position of the first sample: the last one at or before the window where there is one"""
    last: Index
    """position of the last sample; of a smoothed window the first one at or after its end"""
    present: Bools
    cut_left: Bools
    """where the left edge is between `first` and the sample after it, and interpolated"""
    cut_right: Bools
    """where the right edge is between the sample before `last` and `last`, and interpolated"""
    begin_ms: Index
    """int64[steps]"""
    end_ms: Index
    range_ms: int

    @classmethod
    def of(cls, series: Series, mode: str, ends: Grid, range_ms: int, lookback_ms: int) -> Picks:
        end_ms = ends.times_ms()
        begin_ms = end_ms - range_ms
        smoothed = mode == SMOOTHED
        low = series.after(begin_ms - lookback_ms)
        last = series.after(end_ms + (lookback_ms if smoothed else 0)) - 1
        found = last >= low
        low, last = np.where(found, low, 0), np.where(found, last, 0)
        first = np.maximum(low, np.minimum(series.after(begin_ms), last) - 1)
        if smoothed:
            last = np.minimum(series.after(end_ms - 1), last)
        first_ms, last_ms = series.times_ms[first], series.times_ms[last]
        present = found & (last_ms > begin_ms) & (first_ms <= end_ms)
        cut_left = smoothed & (first_ms < begin_ms)
        cut_right = smoothed & (last_ms > end_ms) & (last > low)
        return cls(first, last, present, cut_left, cut_right, begin_ms, end_ms, range_ms)


class Neighbours(NamedTuple):
    """The samples around each step, `[series, steps]`."""

    before: Index
    nexts: Index
    present: Bools
    apart: Bools
    """where the step is between the two, and not at the first"""
    times_ms: Index
    """int64[steps]"""

    @classmethod
    def of(cls, series: Series, steps: Grid, lookback_ms: int) -> Neighbours:
        times_ms = steps.times_ms()
        after = series.after(times_ms)
        before = np.maximum(after - 1, 0)
        present = after > series.after(times_ms - lookback_ms)
        has_next = series.after(times_ms + lookback_ms) > after
        nexts = np.where(has_next, np.minimum(after, len(series.values) - 1), before)
        apart = has_next & (series.times_ms[before] < times_ms)
        return cls(before, nexts, present, apart, times_ms)


def running(events: Bools) -> Index:
    """How many events there were up to each sample, over all series; the first sample cannot be one."""
    return np.concatenate([[0], np.cumsum(events)]).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Series:
    """Samples without staleness markers, ordered by (series, time)."""

    offsets: Index
    times_ms: Index
    values: Floats
    starts_ms: Index | None

    @classmethod
    def of(cls, samples: Samples) -> Series:
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
        return start + (end - start) * self.share(one, other, at_ms)

    def share(self, one: Index, other: Index, at_ms: Index) -> Floats:
        """How far a time is on the way from one sample to another, from 0 to 1."""
        width = self.times_ms[other] - self.times_ms[one]
        share: Floats = (at_ms - self.times_ms[one]) / np.where(width == 0, 1, width)
        return share

    def events(self, function: str) -> Bools:
        """Whether each sample but the first of all is a change, or a reset."""
        earlier, later = self.values[:-1], self.values[1:]
        if function == "resets":
            resets: Bools = (later < earlier) | self.began_anew()
            return resets
        changes: Bools = (later != earlier) & ~(np.isnan(later) & np.isnan(earlier))
        return changes

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
