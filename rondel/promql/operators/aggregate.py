"""Aggregations into one row a group. `sum`, `avg` and their kind hold a block of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rondel.model.labels import METRIC_NAME, LabelSets
from rondel.promql import kernel
from rondel.promql.ast import Span
from rondel.promql.matrix import Block, Bools, Floats, Grid, HistogramCells
from rondel.promql.operators.histogramgroups import HistogramGroups, note_ignored
from rondel.promql.operators.node import CELL_BYTES, Node, Run, ScalarNode, Stream, VectorNode, keep_flags
from rondel.promql.operators.window import warn_quantile

__all__ = ["Aggregate", "CountValues", "Grouping", "Quantile"]


@dataclass(frozen=True, slots=True)
class Grouping:
    """`by (labels)` or `without (labels)`."""

    labels: tuple[str, ...]
    without: bool

    def of(self, labels: LabelSets) -> tuple[NDArray[np.int32], LabelSets]:
        """int32[n] group of each row, and the labels of the groups."""
        names = [*self.labels, METRIC_NAME] if self.without else list(self.labels)
        return labels.group(names, self.without)

    def __str__(self) -> str:
        if not self.labels and not self.without:
            return ""
        return f" {'without' if self.without else 'by'} ({', '.join(self.labels)})"


def group_flags(group_of: NDArray[np.int32], groups: int, drop_name: Bools) -> Bools:
    """A group loses its name as soon as one of its rows does."""
    flags = np.zeros(groups, dtype=np.bool_)
    flags[group_of[drop_name]] = True
    return flags


@dataclass(frozen=True, slots=True)
class Aggregate(VectorNode):
    """`sum avg count min max group stddev stdvar`"""

    op: str
    grouping: Grouping
    child: VectorNode
    grid: Grid
    span: Span = field(compare=False)
    """of what is aggregated"""

    def title(self) -> str:
        return f"aggregate {self.op}{self.grouping}"

    def children(self) -> Sequence[Node]:
        return (self.child,)

    def open(self, run: Run) -> Stream:
        stream = self.child.open(run)
        group_of, labels = self.grouping.of(stream.labels)
        flags = group_flags(group_of, len(labels), stream.drop_name)
        return Stream(labels, flags, self._blocks(run, stream, group_of, len(labels)))

    def _blocks(self, run: Run, stream: Stream, group_of: NDArray[np.int32], groups: int) -> Iterator[Block]:
        steps = self.grid.count
        run.control.hold(0, groups * steps * CELL_BYTES)
        aggregator = kernel.Aggregator(self.op, groups, steps)
        histograms = HistogramGroups(run, self.op, group_of, groups, stream.labels, steps, self.span)
        at = 0
        for block in stream.blocks:
            run.control.check()
            rows = group_of[at : at + len(block)]
            if block.histograms is None:
                block.add_to(aggregator, rows)
            else:
                aggregator.add(rows, block.values, histograms.add(at, block, block.histograms))
            at += len(block)
        result = histograms.finish(*aggregator.finish())
        run.control.hold(result.samples, 0)
        yield result


@dataclass(frozen=True, slots=True)
class Quantile(VectorNode):
    """`quantile(q, v)`: needs all rows of a group at once."""

    param: ScalarNode
    grouping: Grouping
    child: VectorNode
    grid: Grid
    span: Span = field(compare=False)
    """of the quantile"""
    vector_span: Span = field(compare=False)

    def title(self) -> str:
        return f"aggregate quantile{self.grouping}"

    def children(self) -> Sequence[Node]:
        return (self.param, self.child)

    def open(self, run: Run) -> Stream:
        stream = self.child.open(run)
        group_of, labels = self.grouping.of(stream.labels)
        flags = group_flags(group_of, len(labels), stream.drop_name)
        return Stream(labels, flags, self._blocks(run, stream, group_of, len(labels)))

    def _blocks(self, run: Run, stream: Stream, group_of: NDArray[np.int32], groups: int) -> Iterator[Block]:
        quantiles = self.param.values(run)
        # As in Prometheus, of all quantiles only the extremes are told, and also where there is no vector.
        warn_quantile(run, extremes(quantiles), self.span)
        with run.whole(stream, self.grid.count) as block:
            if block.histograms is not None:
                note_ignored(run, "quantile", self.vector_span)
            yield Block(*kernel.quantile_groups(group_of, groups, quantiles, block.values, block.present))


def extremes(values: Floats) -> Floats:
    """The least and the greatest number, and NaN where it is among the values."""
    numbers = values[~np.isnan(values)]
    found = [numbers.min(), numbers.max()] if len(numbers) else []
    return np.array(found + [np.nan] * (len(numbers) < len(values)), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class CountValues(VectorNode):
    """`count_values("label", v)`: a row for each distinct value of a group, so labels depend on values."""

    label: str
    grouping: Grouping
    child: VectorNode
    grid: Grid

    def title(self) -> str:
        return f'aggregate count_values "{self.label}"{self.grouping}'

    def children(self) -> Sequence[Node]:
        return (self.child,)

    def open(self, run: Run) -> Stream:
        stream = self.child.open(run)
        grouping, label = self.grouping, self.label
        # The count is set under the label before grouping: what stood there no longer tells rows apart.
        named = label not in grouping.labels if grouping.without else True
        others = [n for n in grouping.labels if n != label]
        names = [*grouping.labels, label] if grouping.without else others
        group_of, groups = Grouping(tuple(names), grouping.without).of(stream.labels)
        rows_max = (run.control.memory_bytes_max or 1 << 40) // (CELL_BYTES * self.grid.count)
        with run.whole(stream, self.grid.count) as block:
            if not named:
                block = Block(np.zeros_like(block.values), block.filled)
            found = kernel.count_values(group_of, len(groups), block.values, block.present, rows_max)
            texts = [_decimal(value) if named else "" for value in found.value.tolist()]
            rows, counts = found.group_of, [Block(found.counts, found.present)]
            if block.histograms is not None:
                numbers, spelled = _numbered(block.histograms)
                rest = rows_max - len(rows)
                found = kernel.count_values(group_of, len(groups), numbers, block.histograms.present, rest)
                texts += [spelled[int(number)] for number in found.value.tolist()]
                rows = np.concatenate([rows, found.group_of])
                counts.append(Block(found.counts, found.present))
        run.control.hold(0, sum(each.size_bytes for each in counts))
        labels = groups.take(rows.astype(np.int64))
        labels = labels.with_column(label, np.arange(len(rows), dtype=np.int32), texts)
        return Stream(labels, keep_flags(labels), iter(counts))


def _numbered(cells: HistogramCells) -> tuple[Floats, list[str]]:
    """A number in place of each histogram, equal for equal ones, and the texts that the numbers stand for."""
    cells = cells.compact()
    texts = kernel.histogram_texts(cells.pool)
    number_of = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    numbers = np.array([number_of[text] for text in texts], dtype=np.float64)
    return numbers[cells.index], list(number_of)


def _decimal(value: float) -> str:
    """Shortest decimal without an exponent, as label values spell floats."""
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return np.format_float_positional(value, trim="-")
