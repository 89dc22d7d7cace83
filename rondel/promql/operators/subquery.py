"""Subqueries: an instant expression evaluated on its own steps, looked at as a range vector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rondel.model.frame import HistogramSamples
from rondel.model.labels import LabelSets
from rondel.promql.hints import unrelated
from rondel.promql.matrix import Bools, Grid
from rondel.promql.operators.node import (
    CELL_BYTES,
    Node,
    RangeNode,
    RangeStream,
    Run,
    Samples,
    Stream,
    VectorNode,
    keep_flags,
)

__all__ = ["Subquery", "inner_grid"]

Times = NDArray[np.int64]


def inner_grid(window: Grid, range_ms: int, step_ms: int) -> Grid:
    """Multiples of the step after the start of the first window, up to the end of the last."""
    end_ms = max(window.start_ms, window.end_ms)
    first = (window.start_ms - range_ms) // step_ms + 1
    return Grid(first * step_ms, step_ms, max(0, end_ms // step_ms - first + 1))


@dataclass(frozen=True, slots=True)
class Subquery(RangeNode):
    child: VectorNode
    grid: Grid
    window: Grid
    range_ms: int

    def title(self) -> str:
        return f"subquery {self.range_ms}ms {self.child.grid}"

    def children(self) -> Sequence[Node]:
        return (self.child,)

    def open(self, run: Run) -> RangeStream:
        if self.child.grid.count == 0:
            nothing = LabelSets.from_dicts([])
            return RangeStream(nothing, keep_flags(nothing), iter(()))
        # Every operator below has arrays of this many steps: what cannot fit is refused before the first.
        run.control.hold(0, self.child.grid.count * CELL_BYTES)
        stream = self.child.open(run)
        batches = self._batches(run, stream)
        if run.tally is not None:
            batches = run.tally.windows(self, self.window, self.range_ms, batches)
        return RangeStream(stream.labels, stream.drop_name, batches)

    def _batches(self, run: Run, stream: Stream) -> Iterator[Samples]:
        times_ms = self.child.grid.times_ms()
        for block in stream.blocks:
            offsets, at_ms = _flat(block.present, times_ms)
            own = block.histograms
            histograms = None
            if own is not None:
                # What a hint speaks of may be no step of the subquery, or the same sample at the step before.
                histograms = HistogramSamples(*_flat(own.present, times_ms), unrelated(own.flat()))
            with run.charged(0 if histograms is None else histograms.size_bytes):
                yield Samples(offsets, at_ms, block.values[block.present], histograms=histograms)


def _flat(present: Bools, times_ms: Times) -> tuple[Times, Times]:
    """Offsets and times of the cells that are present."""
    offsets = np.zeros(len(present) + 1, dtype=np.int64)
    np.cumsum(np.count_nonzero(present, axis=1), out=offsets[1:])
    return offsets, times_ms[np.nonzero(present)[1]]
