"""Nodes that change how often something is evaluated, not what it means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rondel.promql.matrix import Block, Grid
from rondel.promql.operators.node import CELL_BYTES, Node, RowWise, Run, Stream, VectorNode

__all__ = ["Once", "Shared"]


@dataclass(frozen=True, slots=True)
class Once(VectorNode):
    """A vector that is the same at every step: evaluated at the first, repeated over all."""

    child: VectorNode
    grid: Grid

    def title(self) -> str:
        return "once"

    def children(self) -> Sequence[Node]:
        return (self.child,)

    def open(self, run: Run) -> Stream:
        stream = self.child.open(run)
        return Stream(stream.labels, stream.drop_name, self._blocks(run, stream))

    def _blocks(self, run: Run, stream: Stream) -> Iterator[Block]:
        steps = self.grid.count
        rows = max(1, run.options.batch_cells // steps)
        for block in stream.blocks:
            for at in range(0, len(block), rows):
                run.control.check()
                yield block.take(np.arange(at, min(at + rows, len(block)))).repeated(steps)


@dataclass(frozen=True, slots=True)
class Shared(RowWise):
    """A subtree that more than one parent reads.

    It is evaluated once and kept while it takes at most a quarter of the query's memory; above that it
    streams for each parent anew, because to hold it would break what streaming is for.
    """

    child: VectorNode
    grid: Grid
    number: int

    def title(self) -> str:
        return f"shared #{self.number}"

    def open(self, run: Run) -> Stream:
        kept = run.shared.get(self.number)
        if kept is not None:
            return Stream(kept.labels, kept.drop_name, iter([kept.block]))
        stream = self.child.open(run)
        limit = run.control.memory_bytes_max
        if limit is not None and len(stream) * self.grid.count * CELL_BYTES > limit // 4:
            return stream
        matrix = run.matrix(stream, self.grid.count)
        run.shared[self.number] = matrix
        return Stream(matrix.labels, matrix.drop_name, iter([matrix.block]))
