"""`absent` and `absent_over_time`: one row of 1 where nothing is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rondel.model.labels import METRIC_NAME, LabelSets
from rondel.promql.ast import LabelMatcher
from rondel.promql.matrix import Block, Grid
from rondel.promql.operators.node import Node, Run, Stream, VectorNode, keep_flags

__all__ = ["Absent", "absent_labels"]


def absent_labels(matchers: Sequence[LabelMatcher]) -> tuple[tuple[str, str], ...]:
    """Labels that a missing series would surely have: those with exactly one matcher, an equality."""
    labels: dict[str, str] = {}
    met: set[str] = set()
    for matcher in matchers:
        if matcher.name == METRIC_NAME:
            continue
        if matcher.op == "=" and matcher.name not in met:
            labels[matcher.name] = matcher.value
        else:
            labels.pop(matcher.name, None)
        if matcher.op == "=":
            met.add(matcher.name)
    return tuple(labels.items())


@dataclass(frozen=True, slots=True)
class Absent(VectorNode):
    child: VectorNode
    labels: tuple[tuple[str, str], ...]
    grid: Grid

    def title(self) -> str:
        return "absent"

    def children(self) -> Sequence[Node]:
        return (self.child,)

    def open(self, run: Run) -> Stream:
        labels = LabelSets.from_dicts([dict(self.labels)])
        return Stream(labels, keep_flags(labels), self._blocks(run))

    def _blocks(self, run: Run) -> Iterator[Block]:
        found = np.zeros((1, self.grid.count), dtype=np.bool_)
        for block in self.child.open(run).blocks:
            run.control.check()
            found |= block.filled.any(axis=0)
        yield Block(np.ones(found.shape), ~found)
