"""Selectors: series from the storage, read in batches."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from rondel.model.frame import HistogramSamples
from rondel.model.labels import Matchers
from rondel.promql import extended, kernel
from rondel.promql.ast import LabelMatcher, Span
from rondel.promql.hints import untold_resets
from rondel.promql.matrix import Block, Floats, Grid, HistogramCells
from rondel.promql.notes import tell_rows
from rondel.promql.operators.node import (
    Node,
    RangeNode,
    RangeStream,
    Run,
    Samples,
    Stream,
    VectorNode,
    drop_names,
    keep_flags,
)
from rondel.storage import Select, Selection

__all__ = ["InstantSelect", "RangeSelect", "Source", "Take"]

BATCH_SAMPLES = 1 << 18
"""samples that a selector aims to have in memory at a time"""
SAMPLE_BYTES_MAX = 32
"""of a float with its share of offsets and starts; what takes more, takes the room of several"""
DENSEST_MS = 1000
"""sampling interval assumed until the first batch shows the real one"""
_TITLES = {"value": "select", "time": "select times", "start": "select starts"}


@dataclass(frozen=True, slots=True)
class Source:
    """What to select: matchers and an inclusive time range."""

    matchers: tuple[LabelMatcher, ...]
    mint_ms: int
    maxt_ms: int

    def select(self, run: Run) -> Selection:
        run.control.check()
        run.control.check_range(self.maxt_ms - self.mint_ms)
        compiled = Matchers([(m.name, m.op, m.value) for m in self.matchers])
        return run.select(self, Select(run.tenant, compiled, self.mint_ms, self.maxt_ms, watch=run.control))

    def batches(self, run: Run, selection: Selection, steps: int) -> Iterator[Samples]:
        """Samples of all series in order, as many series at a time as the budget of a batch allows."""
        total = len(selection.labels)
        by_cells = max(1, run.options.batch_cells // steps)
        span_ms = max(1, self.maxt_ms - self.mint_ms)
        rows = min(256, max(1, BATCH_SAMPLES * DENSEST_MS // span_ms))
        at = 0
        while at < total:
            run.control.check()
            stop = min(total, at + min(rows, by_cells, run.options.batch_series_max))
            began = time.perf_counter()
            frame = selection.read(at, stop)
            run.stats.read_s += time.perf_counter() - began
            samples = frame.samples
            run.stats.samples_read += samples
            run.stats.bytes_read += frame.size_bytes
            run.control.read(samples, frame.size_bytes)
            run.control.hold(samples, frame.size_bytes)
            try:
                starts_ms = frame.starts_ms if run.start_timestamps else None
                histograms = frame.histograms
                if histograms is not None and not run.start_timestamps:
                    histograms = replace(histograms, starts_ms=None)
                yield Samples(frame.offsets, frame.timestamps_ms, frame.values, starts_ms, histograms)
            finally:
                run.control.release(samples, frame.size_bytes)
            weight = max(1, samples, frame.size_bytes // SAMPLE_BYTES_MAX)
            rows = max(1, BATCH_SAMPLES * (stop - at) // weight)
            at = stop

    def __str__(self) -> str:
        inner = ", ".join(f'{m.name}{m.op}"{m.value}"' for m in self.matchers)
        return f"{{{inner}}} {self.mint_ms}..{self.maxt_ms}"


class Take(StrEnum):
    """What of a sample is wanted; times in seconds."""

    VALUE = "value"
    TIME = "time"
    START = "start"
    """since when it counts, 0 where nobody said"""


@dataclass(frozen=True, slots=True)
class InstantSelect(VectorNode):
    """The latest sample of each series at each step, or one of its times."""

    source: Source
    grid: Grid
    window: Grid
    """The steps moved by offset; step 0 where `@` pins them to one time."""
    lookback_ms: int
    take: Take = Take.VALUE
    smoothed: bool = False
    """interpolate between the samples around a step"""
    resets: bool = False
    """tell of the resets that are stored, see `untold_resets`"""
    span: Span = field(default=Span(0, 0), compare=False)

    def title(self) -> str:
        what = "select smoothed" if self.smoothed else _TITLES[self.take]
        return f"{what} {self.source} at {self.window.start_ms}"

    def open(self, run: Run) -> Stream:
        selection = self.source.select(run)
        labels = selection.labels
        blocks = self._interpolated(run, selection) if self.smoothed else self.blocks(run, selection, self)
        if self.take is Take.VALUE:
            return Stream(labels, keep_flags(labels), blocks)
        taken = (Block(block.values, block.filled) for block in blocks)
        return drop_names(run, Stream(labels, keep_flags(labels), taken), self.grid.count)

    def blocks(self, run: Run, selection: Selection, owner: Node) -> Iterator[Block]:
        """Values of the selected series, before anything is done to their names.

        The samples count as those of `owner`, a node of the plan. What is taken of a sample that is not its
        value stands in `values` also where a histogram is.
        """
        batches = self.source.batches(run, selection, self.window.count)
        if run.tally is not None:
            sized = self.take is Take.VALUE
            batches = run.tally.latest(owner, self.window, self.lookback_ms, batches, sized=sized)
        for samples in batches:
            with run.cells(samples.rows, self.window.count):
                yield self._block(samples)

    def _block(self, samples: Samples) -> Block:
        steps = self.window
        pinned = steps.step_ms == 0 and steps.count > 1
        times = steps.start_ms, steps.step_ms, 1 if pinned else steps.count, self.lookback_ms
        arrays = samples.of_starts() if self.take is Take.START else samples
        if samples.histograms is not None:
            block = self._mixed(arrays, samples.histograms, times)
        elif self.take is Take.TIME:
            block = Block(*kernel.instant_timestamps(*samples.floats, *times))
        else:
            block = Block.deferred(samples.rows, kernel.InstantCells(*arrays.floats, *times))
        return block.repeated(steps.count) if pinned else block

    def _mixed(
        self, samples: Samples, histograms: HistogramSamples, times: tuple[int, int, int, int]
    ) -> Block:
        values, present, index, times_s = kernel.instant_mixed(samples.arrays, *times)
        if self.take is Take.TIME:
            values = times_s
        elif self.take is Take.START:
            values = np.where(index >= 0, _starts_s(histograms)[index], values)
        pool = histograms.values if self.resets else untold_resets(histograms.values)
        return Block(values, present, HistogramCells(index, pool))

    def _interpolated(self, run: Run, selection: Selection) -> Iterator[Block]:
        blocks = self._lines(run, selection)
        return blocks if run.tally is None else run.tally.cells(self, self.window, blocks)

    def _lines(self, run: Run, selection: Selection) -> Iterator[Block]:
        """Values on the lines between samples."""
        at, steps = 0, self.window.count
        batches = self.source.batches(run, selection, steps)
        for samples in (part for whole in batches for part in run.parts(whole, steps)):
            with run.cells(samples.rows, steps):
                if samples.histograms is None:
                    block = extended.instant(samples, self.window, self.lookback_ms)
                else:
                    with run.made(samples, steps):
                        block, notes = extended.mixed_instant(samples, self.window, self.lookback_ms)
                    rows = np.arange(at, at + samples.rows)
                    tell_rows(run.annotations, notes, selection.labels.take(rows), self.span)
                at += samples.rows
                with run.pool(block):
                    yield block


def _starts_s(histograms: HistogramSamples) -> Floats:
    """float64[k]: the start of each sample in seconds, 0 where it has none."""
    if histograms.starts_ms is None:
        return np.zeros(len(histograms.values))
    starts_s: Floats = histograms.starts_ms / 1000.0
    return starts_s


@dataclass(frozen=True, slots=True)
class RangeSelect(RangeNode):
    """Samples for windows over a selector."""

    source: Source
    grid: Grid
    window: Grid
    range_ms: int
    mode: str = ""
    """`anchored` or `smoothed` where windows reach beyond their edges"""
    lookback_ms: int = 0
    """how far they reach"""
    resets: bool = False
    """as in `InstantSelect`"""

    def title(self) -> str:
        return f"select {self.mode or 'range'} {self.source}"

    def open(self, run: Run) -> RangeStream:
        selection = self.source.select(run)
        labels = selection.labels
        batches = self.source.batches(run, selection, self.window.count)
        if run.tally is not None:
            batches = run.tally.windows(self, self.window, self.range_ms, batches)
        return RangeStream(labels, keep_flags(labels), batches)
