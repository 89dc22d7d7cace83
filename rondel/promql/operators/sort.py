"""`sort` and its kind: the order of rows, which only an instant query shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rondel.promql.ast import Span
from rondel.promql.matrix import Grid, StepMatrix
from rondel.promql.operators.node import Node, Run, Stream, VectorNode

__all__ = ["SortByLabel", "SortByValue"]

INEFFECTIVE = "sort is ineffective for range queries since results are always ordered by labels"


@dataclass(frozen=True, slots=True)
class SortByValue(VectorNode):
    """Ascending or descending by value, NaN last either way, ties by labels; histograms have no place."""

    child: VectorNode
    descending: bool
    grid: Grid
    span: Span = field(compare=False)

    @property
    def ordered(self) -> bool:
        return True

    def title(self) -> str:
        return "sort_desc" if self.descending else "sort"

    def children(self) -> Sequence[Node]:
        return (self.child,)

    def open(self, run: Run) -> Stream:
        stream = self.child.open(run)
        stream.blocks = (block.floats() for block in stream.blocks)
        if self.grid.count > 1:
            run.annotations.warn(INEFFECTIVE, self.span)
            return stream
        return _ordered(run, stream, self._order)

    def _order(self, matrix: StepMatrix) -> NDArray[np.int64]:
        values = matrix.block.values[:, 0]
        return np.argsort(-values if self.descending else values, kind="stable")


@dataclass(frozen=True, slots=True)
class SortByLabel(VectorNode):
    """By the values of labels in turn, digits as numbers, ties by all labels."""

    child: VectorNode
    labels: tuple[str, ...]
    descending: bool
    grid: Grid
    span: Span = field(compare=False)

    @property
    def ordered(self) -> bool:
        return True

    def title(self) -> str:
        return f"sort_by_label{'_desc' if self.descending else ''} ({', '.join(self.labels)})"

    def children(self) -> Sequence[Node]:
        return (self.child,)

    def open(self, run: Run) -> Stream:
        stream = self.child.open(run)
        if self.grid.count > 1:
            run.annotations.warn(INEFFECTIVE, self.span)
            return stream
        return _ordered(run, stream, self._order)

    def _order(self, matrix: StepMatrix) -> NDArray[np.int64]:
        return matrix.labels.natural_order(self.labels, self.descending)


def _ordered(run: Run, stream: Stream, order: Callable[[StepMatrix], NDArray[np.int64]]) -> Stream:
    matrix = run.matrix(stream, 1)
    matrix = matrix.take(np.flatnonzero(matrix.block.filled[:, 0]))
    matrix = matrix.take(matrix.labels.natural_order([], False))
    matrix = matrix.take(order(matrix))
    return Stream(matrix.labels, matrix.drop_name, iter([matrix.block]))
