"""Set operators: which rows of two vectors are present together, step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rondel.model.labels import LabelSets
from rondel.promql import kernel
from rondel.promql.ast import Matching
from rondel.promql.matrix import Block, Bools, Grid
from rondel.promql.operators.match import group_rows
from rondel.promql.operators.node import Node, Run, Stream, VectorNode, replace_labels

__all__ = ["SetOperator"]


class _Presence:
    """Where a match group has a sample: bool[groups, steps]."""

    def __init__(self, group_of: NDArray[np.int64], groups: int, steps: int) -> None:
        self._group_of = group_of.astype(np.int32)
        self._aggregator = kernel.Aggregator("group", groups, steps)
        self._at = 0

    def add(self, block: Block) -> None:
        rows = self._group_of[self._at : self._at + len(block)]
        self._aggregator.add(rows, block.values, block.filled)
        self._at += len(block)

    def finish(self) -> Bools:
        return self._aggregator.finish()[1]


@dataclass(frozen=True, slots=True)
class SetOperator(VectorNode):
    """`and`, `or`, `unless`. One bit a group and step is held, rows stream."""

    op: str
    left: VectorNode
    right: VectorNode
    matching: Matching
    grid: Grid

    def title(self) -> str:
        matching = self.matching
        return f"{self.op} {'on' if matching.on else 'ignoring'} ({', '.join(matching.labels)})"

    def children(self) -> Sequence[Node]:
        return (self.left, self.right)

    def open(self, run: Run) -> Stream:
        left, right = self.left.open(run), self.right.open(run)
        left_group, right_group, groups = group_rows(left.labels, right.labels, self.matching)
        presence = _Presence(right_group, groups, self.grid.count)
        if self.op != "or":
            blocks = self._filter(run, left, right, left_group, presence)
            return Stream(left.labels, left.drop_name, blocks)
        presence = _Presence(left_group, groups, self.grid.count)
        stream = Stream(left.labels, left.drop_name, self._union(run, left, right, right_group, presence))
        labels = LabelSets.concat([left.labels, right.labels])
        flags = np.concatenate([left.drop_name, right.drop_name])
        return replace_labels(run, stream, labels, flags, self.grid.count)

    def _filter(
        self, run: Run, left: Stream, right: Stream, left_group: NDArray[np.int64], presence: _Presence
    ) -> Iterator[Block]:
        for block in right.blocks:
            run.control.check()
            presence.add(block)
        mask = presence.finish()
        if self.op == "unless":
            mask = ~mask
        at = 0
        for block in left.blocks:
            run.control.check()
            yield block.kept(mask[left_group[at : at + len(block)]])
            at += len(block)

    def _union(
        self, run: Run, left: Stream, right: Stream, right_group: NDArray[np.int64], presence: _Presence
    ) -> Iterator[Block]:
        for block in left.blocks:
            run.control.check()
            presence.add(block)
            yield block
        mask = ~presence.finish()
        at = 0
        for block in right.blocks:
            run.control.check()
            yield block.kept(mask[right_group[at : at + len(block)]])
            at += len(block)
