"""Arithmetic and comparisons with a vector on at least one side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from rondel.errors import ExecutionError
from rondel.promql import kernel
from rondel.promql.arithmetic import ARITHMETIC, COMPARISONS, TRIMS
from rondel.promql.ast import Cardinality, Matching, Span
from rondel.promql.matrix import Block, Bools, Floats, Grid, HistogramCells
from rondel.promql.operators.match import Groups, Match, clash, group_rows, match_rows
from rondel.promql.operators.node import (
    RESERVED,
    SAME_LABELSET,
    Node,
    RowWise,
    Run,
    ScalarNode,
    Stream,
    VectorNode,
    drop_names,
    merge_rows,
)
from rondel.promql.operators.pairs import combine_histograms, note_types

__all__ = ["Negate", "VectorScalar", "VectorVector"]

NOT_EXPLICIT = "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
NOT_UNIQUE = "multiple matches for labels: grouping labels must ensure unique matches"
PAIRS_A_ROW_MAX = 16
"""More pairs than this for each row of both sides, and a mistake in the matching is looked for first."""


def combine(op: str, return_bool: bool, left: Floats, right: Floats) -> tuple[Floats, Bools | None]:
    """Values of `left op right`, and where a filter keeps them (None: everywhere)."""
    if op in ARITHMETIC:
        return ARITHMETIC[op](left, right), None
    if op in TRIMS:
        return left, np.zeros(np.broadcast_shapes(left.shape, right.shape), dtype=np.bool_)
    kept = COMPARISONS[op](left, right)
    if return_bool:
        return kept.astype(np.float64), None
    return np.broadcast_to(left, kept.shape), kept


@dataclass(frozen=True, slots=True)
class Negate(RowWise):
    """`-v`"""

    child: VectorNode
    grid: Grid

    def title(self) -> str:
        return "negate"

    def open(self, run: Run) -> Stream:
        stream = self.child.open(run)
        blocks = (Block(-block.values, block.present, _negated(block)) for block in stream.blocks)
        negated = Stream(stream.labels, stream.drop_name, blocks)
        return drop_names(run, negated, self.grid.count, strict=True)


def _negated(block: Block) -> HistogramCells | None:
    if block.histograms is None:
        return None
    cells = block.histograms.compact()
    return HistogramCells(
        cells.index, kernel.histogram_scale(cells.pool, np.full(len(cells.pool), -1.0), False)
    )


@dataclass(frozen=True, slots=True)
class VectorScalar(VectorNode):
    """`vector op scalar`, or with `swapped` `scalar op vector`; a filter keeps the vector's value."""

    op: str
    vector: VectorNode
    scalar: ScalarNode
    swapped: bool
    return_bool: bool
    grid: Grid
    span: Span = field(compare=False)

    @property
    def ordered(self) -> bool:
        return self.vector.ordered

    def title(self) -> str:
        sides = "scalar {} vector" if self.swapped else "vector {} scalar"
        return sides.format(self.op) + (" bool" if self.return_bool else "")

    def children(self) -> Sequence[Node]:
        return (self.vector, self.scalar)

    def open(self, run: Run) -> Stream:
        stream = self.vector.open(run)
        result = Stream(stream.labels, stream.drop_name, self._blocks(run, stream))
        if (self.op in COMPARISONS and not self.return_bool) or self.op in TRIMS:
            return result
        return drop_names(run, result, self.grid.count)

    def _blocks(self, run: Run, stream: Stream) -> Iterator[Block]:
        scalar = self.scalar.values(run)
        for block in stream.blocks:
            run.control.check()
            left, right = (scalar, block.values) if self.swapped else (block.values, scalar)
            values, kept = combine(self.op, self.return_bool, left, right)
            if self.op in TRIMS and block.present.any():
                note_types(run, self.op, "float", "float", self.span)
            if kept is None:
                result = Block(values, block.present)
            else:
                result = Block(block.values, block.present & kept)
            if block.histograms is None:
                yield result
            else:
                yield from self._beside(run, result, block, scalar)

    def _beside(self, run: Run, result: Block, block: Block, scalar: Floats) -> Iterator[Block]:
        """The result for floats with that for histograms."""
        everywhere = np.ones_like(block.present)
        other = Block(np.broadcast_to(scalar, everywhere.shape), everywhere)
        left, right = (other, block) if self.swapped else (block, other)
        mixed = combine_histograms(run, self.op, self.return_bool, left, right, self.span)
        with run.pool(mixed):
            yield result.beside(mixed)


@dataclass(frozen=True, slots=True)
class VectorVector(VectorNode):
    """`vector op vector`. The "one" side is held in memory, the "many" side (or the left) streams."""

    op: str
    left: VectorNode
    right: VectorNode
    matching: Matching
    return_bool: bool
    grid: Grid
    span: Span = field(compare=False)

    def title(self) -> str:
        matching = self.matching
        words = [self.op, "bool" if self.return_bool else "", matching.card.value]
        words.append(f"{'on' if matching.on else 'ignoring'} ({', '.join(matching.labels)})")
        if matching.include:
            words.append(f"include ({', '.join(matching.include)})")
        for side, fill in (("left", matching.fill_left), ("right", matching.fill_right)):
            if fill is not None:
                words.append(f"fill_{side} {fill:g}")
        return "join " + " ".join(word for word in words if word)

    def children(self) -> Sequence[Node]:
        return (self.left, self.right)

    def _sides(self, run: Run) -> tuple[Stream, Stream]:
        """The many side (or the left) and the one side."""
        left, right = self.left.open(run), self.right.open(run)
        return (right, left) if self._swapped else (left, right)

    @property
    def _swapped(self) -> bool:
        return self.matching.card is Cardinality.ONE_TO_MANY

    def open(self, run: Run) -> Stream:
        many, one = self._sides(run)
        groups = group_rows(many.labels, one.labels, self.matching)
        if groups.pairs() > PAIRS_A_ROW_MAX * (len(many) + len(one)):
            self._refuse_duplicates(run, many, one, groups)
            many, one = self._sides(run)
        charge = partial(run.control.hold, 0)
        match = match_rows(groups, self.matching, charge)
        flags = many.drop_name[match.many] if not self.return_bool else np.ones(len(match.many), np.bool_)
        flags = np.concatenate([flags, self._filled_flags(match)])
        dropped = RESERVED if self._drops_names(run) else []
        labels = match.labels(many.labels, one.labels, self.matching, dropped)
        result = Stream(labels, flags, self._blocks(run, many, one, match))
        if labels.duplicate() is None:
            return result
        one_to_one = self.matching.card is Cardinality.ONE_TO_ONE
        return merge_rows(run, result, self.grid.count, SAME_LABELSET if one_to_one else NOT_UNIQUE)

    def _drops_names(self, run: Run) -> bool:
        return self.op in ARITHMETIC or (self.return_bool and not run.delayed_names)

    def _filled_flags(self, match: Match) -> Bools:
        return np.full(len(match.filled_many) + len(match.filled_one), self.return_bool)

    def _refuse_duplicates(self, run: Run, many: Stream, one: Stream, groups: Groups) -> None:
        """Raises ExecutionError for a one side that is not unique, before its many pairs are made."""
        with run.whole(one, self.grid.count) as one_block:
            found = clash(groups.of_right, groups.groups, one_block.filled)
            if found is None:
                return
            for block in many.blocks:
                run.control.check()
                found.raise_where(block.filled, one.labels, self.matching, self._swapped)

    def _blocks(self, run: Run, many: Stream, one: Stream, match: Match) -> Iterator[Block]:
        steps = self.grid.count
        check = _Uniqueness(self, match, steps)
        with run.whole(one, steps) as one_block:
            found = clash(match.group_of_one, match.groups, one_block.filled)
            extra = _Fill(run, match, one_block)
            at = 0
            for block in many.blocks:
                run.control.check()
                if found is not None:
                    found.raise_where(block.filled, one.labels, self.matching, self._swapped)
                rows = slice(*np.searchsorted(match.many, [at, at + len(block)]).tolist())
                mine, theirs = block.take(match.many[rows] - at), one_block.take(match.one[rows])
                check.add(match.group_of_many[match.many[rows]], mine.filled & theirs.filled)
                extra.add(at, block)
                at += len(block)
                yield from self._combine(run, mine, theirs)
            for sides in extra.blocks(check):
                yield from self._combine(run, *sides)

    def _combine(self, run: Run, many: Block, one: Block) -> Iterator[Block]:
        left, right = (one, many) if self._swapped else (many, one)
        present = left.present & right.present
        values, kept = combine(self.op, self.return_bool, left.values, right.values)
        if self.op in TRIMS and present.any():
            note_types(run, self.op, "float", "float", self.span)
        # As in Prometheus, a filter passes on the value of the left-hand side, whichever side has the labels.
        result = Block(values, present if kept is None else present & kept)
        if left.histograms is None and right.histograms is None:
            yield result
            return
        mixed = combine_histograms(run, self.op, self.return_bool, left, right, self.span)
        with run.pool(mixed):
            yield result.beside(mixed)


class _Uniqueness:
    """Sees that in one-to-one matching no group has two matches at a step."""

    def __init__(self, node: VectorVector, match: Match, steps: int) -> None:
        one_to_one = node.matching.card is Cardinality.ONE_TO_ONE
        self._needed = one_to_one and match.many_repeats
        if self._needed:
            self._seen = np.zeros((match.groups, steps), dtype=np.int32)

    def add(self, groups: np.ndarray[tuple[int], np.dtype[np.int64]], matched: Bools) -> None:
        if not self._needed:
            return
        np.add.at(self._seen, groups, matched)
        if (self._seen[groups] > 1).any():
            raise ExecutionError(NOT_EXPLICIT)


class _Fill:
    """Rows for samples without a partner, where a fill value stands in for it.

    They come after all pairs, so that the many side is kept, and charged, where its rows are filled up.
    """

    def __init__(self, run: Run, match: Match, one: Block) -> None:
        self._run, self._match, self._one = run, match, one
        self._many_any = self._nowhere() if match.fill_many is not None else None
        self._kept: list[Block] = []

    def _nowhere(self) -> Bools:
        """bool[groups, steps], charged to the query."""
        shape = self._match.groups, self._one.values.shape[1]
        self._run.control.hold(0, shape[0] * shape[1])
        return np.zeros(shape, dtype=np.bool_)

    def add(self, at: int, block: Block) -> None:
        if self._many_any is not None:
            groups = self._match.group_of_many[at : at + len(block)]
            np.logical_or.at(self._many_any, groups, block.filled)
        if self._match.fill_one is not None:
            self._run.control.hold(block.samples, block.size_bytes)
            self._kept.append(block)

    def blocks(self, check: _Uniqueness) -> Iterator[tuple[Block, Block]]:
        match, one = self._match, self._one
        if match.fill_one is not None:
            one_any = self._nowhere()
            np.logical_or.at(one_any, match.group_of_one, one.filled)
            at = 0
            for block in self._kept:
                groups = match.group_of_many[at : at + len(block)]
                alone = block.kept(~one_any[groups])
                check.add(groups, alone.filled)
                at += len(block)
                yield alone, _filled(match.fill_one, alone.filled)
        if match.fill_many is not None and self._many_any is not None:
            alone = one.kept(~self._many_any[match.group_of_one])
            yield _filled(match.fill_many, alone.filled), alone


def _filled(value: float, present: Bools) -> Block:
    return Block(np.full(present.shape, value), present)
