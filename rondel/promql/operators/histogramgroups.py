"""The histograms among the rows of an aggregation: added up, counted, or left out."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from rondel.model.labels import LabelSets
from rondel.promql import kernel
from rondel.promql.ast import Span
from rondel.promql.matrix import Block, Bools, Floats, HistogramCells
from rondel.promql.notes import AGGREGATION, tell_rows
from rondel.promql.operators.node import CELL_BYTES, Run

__all__ = ["HistogramGroups", "note_ignored"]

ADDS: Final = frozenset({"sum", "avg"})
COUNTS: Final = frozenset({"count", "group"})


def note_ignored(run: Run, op: str, span: Span) -> None:
    run.annotations.info(f"ignored histogram in {op} aggregation", span)


class HistogramGroups:
    """One aggregation of float and histogram samples. Nothing is allocated before the first histogram."""

    def __init__(
        self,
        run: Run,
        op: str,
        group_of: NDArray[np.int32],
        groups: int,
        labels: LabelSets,
        steps: int,
        span: Span,
    ) -> None:
        self._run, self._op, self._span = run, op, span
        self._group_of, self._labels = group_of, labels
        self._shape = groups, steps
        self._sums: kernel.HistogramAggregator | None = None
        self._seen: kernel.Aggregator | None = None

    def add(self, at: int, block: Block, cells: HistogramCells) -> Bools:
        """Takes the histograms of rows from `at` on; says which cells the aggregation of floats takes."""
        if self._op in COUNTS:
            return block.filled
        if self._op not in ADDS:
            note_ignored(self._run, self._op, self._span)
            return block.present
        if self._sums is None or self._seen is None:
            self._sums = kernel.HistogramAggregator(self._op, *self._shape)
            self._seen = kernel.Aggregator("group", *self._shape)
            self._run.control.hold(0, self._shape[0] * self._shape[1] * CELL_BYTES)
        rows = self._group_of[at : at + len(block)]
        before = self._sums.size_bytes
        self._sums.add(rows, cells.index, cells.pool)
        self._run.control.hold(0, self._sums.size_bytes - before)
        self._seen.add(rows, block.values, cells.present)
        return block.present

    def finish(self, values: Floats, present: Bools) -> Block:
        """The result, given that of the floats. A group with both kinds at a step has none there."""
        if self._sums is None or self._seen is None:
            return Block(values, present)
        seen = self._seen.finish()[1]
        self._run.control.release(0, self._sums.size_bytes)
        index, pool, notes = self._sums.finish()
        histograms = HistogramCells(index, pool)
        self._run.control.hold(0, histograms.size_bytes)
        first_rows = np.unique(self._group_of, return_index=True)[1]
        tell_rows(
            self._run.annotations,
            notes,
            self._labels.take(first_rows.astype(np.int64)),
            self._span,
            AGGREGATION,
        )
        if (present & seen).any():
            self._run.annotations.warn(
                "encountered a mix of histograms and floats for aggregation", self._span
            )
        return Block(values, present & ~seen, histograms.kept(~present))
