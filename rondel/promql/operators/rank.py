"""Aggregations that keep rows of their input: topk, bottomk, limitk, limit_ratio."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rondel.errors import ExecutionError
from rondel.promql import kernel
from rondel.promql.annotations import format_g
from rondel.promql.ast import Span
from rondel.promql.matrix import Block, Bools, Floats, Grid, StepMatrix
from rondel.promql.operators.aggregate import Grouping
from rondel.promql.operators.histogramgroups import note_ignored
from rondel.promql.operators.node import Node, Run, ScalarNode, Stream, VectorNode

__all__ = ["Limit", "LimitRatio", "Rank"]


def counts(param: Floats) -> Floats:
    """k at each step; raises ExecutionError for NaN and for what no int64 holds."""
    if np.isnan(param).any():
        raise ExecutionError("Parameter value is NaN")
    if (param >= 2.0**63).any() or (param < -(2.0**63)).any():
        odd = param[(param >= 2.0**63) | (param < -(2.0**63))][0]
        word = "overflows" if odd > 0 else "underflows"
        raise ExecutionError(f"Scalar value {format_g(float(odd))} {word} int64")
    return np.trunc(param)


@dataclass(frozen=True, slots=True)
class Rank(VectorNode):
    """`topk(k, v)` and `bottomk(k, v)`. At one step the answer is ordered by value within a group."""

    param: ScalarNode
    grouping: Grouping
    child: VectorNode
    grid: Grid
    largest: bool
    span: Span = field(compare=False)
    """of what is ranked"""

    @property
    def ordered(self) -> bool:
        return True

    @property
    def _op(self) -> str:
        return "topk" if self.largest else "bottomk"

    def title(self) -> str:
        return f"{self._op}{self.grouping}"

    def children(self) -> Sequence[Node]:
        return (self.param, self.child)

    def open(self, run: Run) -> Stream:
        stream = self.child.open(run)
        group_of, labels = self.grouping.of(stream.labels)
        if self.grid.count > 1:
            return Stream(stream.labels, stream.drop_name, self._blocks(run, stream, group_of, len(labels)))
        matrix = run.matrix(stream, 1)
        present = self._mask(run, matrix.block, group_of, len(labels))
        matrix = StepMatrix(matrix.labels, matrix.block.floats(), matrix.drop_name)
        rows = np.flatnonzero(present[:, 0])
        keys = matrix.block.values[rows, 0] * (-1.0 if self.largest else 1.0)
        # NaN goes last whatever the direction: lexsort puts it there.
        kept = matrix.take(rows[np.lexsort((keys, group_of[rows]))])
        return Stream(kept.labels, kept.drop_name, iter([kept.block]))

    def _blocks(self, run: Run, stream: Stream, group_of: NDArray[np.int32], groups: int) -> Iterator[Block]:
        with run.whole(stream, self.grid.count) as block:
            yield Block(block.values, self._mask(run, block, group_of, groups))

    def _mask(self, run: Run, block: Block, group_of: NDArray[np.int32], groups: int) -> Bools:
        k = np.clip(counts(self.param.values(run)), 0, len(block))
        if block.histograms is not None and (block.histograms.present & (k >= 1)).any():
            note_ignored(run, self._op, self.span)
        return kernel.topk(group_of, groups, k, block.values, block.present, self.largest)


@dataclass(frozen=True, slots=True)
class Limit(VectorNode):
    """`limitk(k, v)`: the first k rows of each group that are present at a step."""

    param: ScalarNode
    grouping: Grouping
    child: VectorNode
    grid: Grid

    def title(self) -> str:
        return f"limitk{self.grouping}"

    def children(self) -> Sequence[Node]:
        return (self.param, self.child)

    def open(self, run: Run) -> Stream:
        stream = self.child.open(run)
        group_of, labels = self.grouping.of(stream.labels)
        return Stream(stream.labels, stream.drop_name, self._blocks(run, stream, group_of, len(labels)))

    def _blocks(self, run: Run, stream: Stream, group_of: NDArray[np.int32], groups: int) -> Iterator[Block]:
        k = counts(self.param.values(run))
        with run.whole(stream, self.grid.count) as block:
            yield block.kept(kernel.limitk(group_of, groups, k, block.values, block.filled))


@dataclass(frozen=True, slots=True)
class LimitRatio(VectorNode):
    """`limit_ratio(r, v)`: the share `r` of the series, chosen by their hash; `r - 1` gives the others."""

    param: ScalarNode
    child: VectorNode
    grid: Grid
    span: Span = field(compare=False)
    """of the ratio"""

    def title(self) -> str:
        return "limit_ratio"

    def children(self) -> Sequence[Node]:
        return (self.param, self.child)

    def open(self, run: Run) -> Stream:
        stream = self.child.open(run)
        return Stream(stream.labels, stream.drop_name, self._blocks(run, stream))

    def _blocks(self, run: Run, stream: Stream) -> Iterator[Block]:
        ratio = self._ratio(run)
        place = kernel.sampling_hashes(stream.labels) / 2.0**64
        at = 0
        for block in stream.blocks:
            rows = place[at : at + len(block), np.newaxis]
            chosen = np.where(ratio >= 0, rows < ratio, rows >= 1.0 + ratio)
            at += len(block)
            yield block.kept(chosen)

    def _ratio(self, run: Run) -> Floats:
        ratio = self.param.values(run)
        if np.isnan(ratio).any():
            raise ExecutionError("Ratio value is NaN")
        for value in np.unique(ratio[np.abs(ratio) > 1]):
            capped = 1 if value > 0 else -1
            run.annotations.warn(
                f"ratio value should be between -1 and 1, got {format_g(float(value))}, capping to {capped}",
                self.span,
            )
        return np.clip(ratio, -1.0, 1.0)
