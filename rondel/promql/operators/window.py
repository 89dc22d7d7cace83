"""Functions over range vectors: one sample a step from the samples of a window."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rondel.errors import ExecutionError
from rondel.model.labels import METRIC_NAME, LabelSets
from rondel.promql import extended, kernel
from rondel.promql.annotations import format_g
from rondel.promql.ast import Span
from rondel.promql.hints import untold_resets
from rondel.promql.matrix import Block, Floats, Grid, HistogramCells
from rondel.promql.notes import AGGREGATION, SUBTRACTION, tell_rows
from rondel.promql.operators.node import (
    Node,
    RangeNode,
    RangeStream,
    Run,
    Samples,
    ScalarNode,
    Stream,
    VectorNode,
    drop_names,
)
from rondel.promql.operators.select import RangeSelect
from rondel.promql.quote import quote

__all__ = ["Window", "warn_quantile"]

Started: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64], Floats, NDArray[np.int64]]
"""`(offsets, timestamps_ms, values, starts_ms)`"""
KEEPS_NAME = frozenset({"first_over_time", "last_over_time"})
AGGREGATES = frozenset({"avg_over_time", "sum_over_time"})
COMPARES = frozenset({"changes", "delta", "idelta", "increase", "irate", "rate", "resets"})
"""Functions that need to know of every reset, and give no hint of it away."""
MAKES = AGGREGATES | {"delta", "idelta", "increase", "irate", "rate"}
"""Functions whose results are histograms that were not there before."""
COUNTER_SUFFIXES = ("_total", "_sum", "_count", "_bucket")


@dataclass(frozen=True, slots=True)
class Window(VectorNode):
    """`function(range vector, scalars...)`"""

    function: str
    child: RangeNode
    args: tuple[ScalarNode, ...]
    grid: Grid
    span: Span = field(compare=False)
    """of the range vector, or of the quantile"""
    keeps_names: bool = False
    """for who asks where there are samples, and not of what"""

    def title(self) -> str:
        return f"window {self.function} {self.child.range_ms}ms"

    def children(self) -> Sequence[Node]:
        return (self.child, *self.args)

    def open(self, run: Run) -> Stream:
        source = self.child.open(run)
        args = self._args(run)
        stream = Stream(source.labels, source.drop_name, self._blocks(run, source, args))
        if self.keeps_names or self.function in KEEPS_NAME:
            return stream
        return drop_names(run, stream, self.grid.count, strict=True)

    def _args(self, run: Run) -> list[Floats]:
        args = [np.ascontiguousarray(arg.values(run), dtype=np.float64) for arg in self.args]
        if self.function == "predict_linear":
            # `@` and offset move the end of the window away from the step that is predicted from.
            args.append((self.grid.times_ms() - self.child.window.times_ms()) / 1000.0)
        if self.function == "double_exponential_smoothing":
            for name, factors in zip(("smoothing", "trend"), args, strict=True):
                _check_factor(name, factors)
        return args

    def _blocks(self, run: Run, source: RangeStream, args: list[Floats]) -> Iterator[Block]:
        window, names = self.child.window, _NameCheck(run, self, source.labels)
        overlaps = _OverlapCheck(self, source.labels)
        answered = np.zeros(self.grid.count, dtype=np.bool_)
        at = 0
        told = map(self._told, source.batches)
        for samples in (part for whole in told for part in run.parts(whole, window.count)):
            run.control.check()
            with run.cells(samples.rows, window.count):
                if samples.histograms is None:
                    block = self._block(samples, window, args)
                else:
                    with run.made(samples, window.count if self.function in MAKES else 0):
                        block = self._mixed(run, at, samples, source.labels, args)
                names.check(at, block)
                overlaps.check(at, samples)
                if self.function == "quantile_over_time":
                    answered |= block.present.any(axis=0)
                at += len(block)
                with run.pool(block):
                    yield block
        overlaps.tell(run)
        if self.function == "quantile_over_time":
            warn_quantile(run, args[0][answered], self.span)

    def _block(self, samples: Samples, window: Grid, args: list[Floats]) -> Block:
        child = self.child
        if isinstance(child, RangeSelect) and child.mode:
            return extended.window(
                self.function, child.mode, samples, window, child.range_ms, child.lookback_ms
            )
        steps = window.start_ms, window.step_ms, window.count
        if args:
            return Block(*kernel.window(self.function, *samples.floats, *steps, child.range_ms, args))
        starts_ms = samples.starts_ms if self.function in kernel.STARTED else None
        cells = kernel.WindowCells(self.function, *samples.floats, *steps, child.range_ms, starts_ms)
        return Block.deferred(samples.rows, cells)

    def _mixed(self, run: Run, at: int, samples: Samples, labels: LabelSets, args: list[Floats]) -> Block:
        """As `_block` for the rows from `at` on, some of which have histograms."""
        child, window = self.child, self.child.window
        if isinstance(child, RangeSelect) and child.mode:
            block, notes = extended.mixed_window(
                self.function, child.mode, samples, window, child.range_ms, child.lookback_ms
            )
        else:
            steps = window.start_ms, window.step_ms, window.count
            values, present, index, pool, notes = kernel.window_mixed(
                self.function, samples.arrays, *steps, child.range_ms, args
            )
            block = Block(values, present, HistogramCells(index, pool))
        rows = np.arange(at, at + samples.rows)
        operation = AGGREGATION if self.function in AGGREGATES else SUBTRACTION
        tell_rows(run.annotations, notes, labels.take(rows), self.span, operation)
        return block

    def _told(self, samples: Samples) -> Samples:
        """The samples with the hints that this function's results may have."""
        histograms, child = samples.histograms, self.child
        if (
            histograms is None
            or self.function in COMPARES
            or (isinstance(child, RangeSelect) and child.resets)
        ):
            return samples
        return samples._replace(histograms=replace(histograms, values=untold_resets(histograms.values)))


def _check_factor(name: str, factors: Floats) -> None:
    for value in factors[~((factors > 0) & (factors < 1))]:
        raise ExecutionError(f"invalid {name} factor. Expected: 0 < {name[0]}f < 1, got: {float(value):f}")


class _NameCheck:
    """Tells the caller of a rate over something whose name does not look like a counter's."""

    def __init__(self, run: Run, node: Window, labels: LabelSets) -> None:
        self._annotate = run.annotations.info
        self._span = node.span
        self._codes = None
        if node.function in ("rate", "increase"):
            codes, self._names = labels.column(METRIC_NAME)
            odd = [i for i, name in enumerate(self._names) if name and not name.endswith(COUNTER_SUFFIXES)]
            if odd:
                self._codes, self._odd = codes, set(odd)

    def check(self, at: int, block: Block) -> None:
        if self._codes is None or not self._odd:
            return
        rows = self._codes[at : at + len(block)][block.present.any(axis=1)]
        for code in self._odd.intersection(np.unique(rows).tolist()):
            self._odd.discard(code)
            self._annotate(
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "
                f'"{self._names[code]}"',
                self._span,
            )


class _OverlapCheck:
    """Tells of samples that start within the time of the sample before them, once a metric."""

    def __init__(self, node: Window, labels: LabelSets) -> None:
        self._node = node
        self._labels = labels
        self._counts: Counter[int] = Counter()
        self._asked = node.function in ("rate", "increase") and not (
            isinstance(node.child, RangeSelect) and node.child.mode
        )

    def check(self, at: int, samples: Samples) -> None:
        if not self._asked:
            return
        if samples.starts_ms is not None:
            self._count(at, (*samples.floats, samples.starts_ms))
        own = samples.histograms
        if own is not None and own.starts_ms is not None:
            # The sum of a histogram says whether it is a staleness marker.
            self._count(at, (own.offsets, own.timestamps_ms, own.values.sums(), own.starts_ms))

    def _count(self, at: int, arrays: Started) -> None:
        window = self._node.child.window
        steps = window.start_ms, window.step_ms, window.count
        windows = kernel.start_overlaps(*arrays, *steps, self._node.child.range_ms)
        self._counts.update({at + int(row): int(windows[row]) for row in np.flatnonzero(windows)})

    def tell(self, run: Run) -> None:
        """Called once, when all rows were seen."""
        if not self._counts:
            return
        codes, names = self._labels.column(METRIC_NAME)
        by_name: Counter[str] = Counter()
        for row, count in self._counts.items():
            by_name[names[codes[row]]] += count
        for name, count in by_name.items():
            times = f" ({count} occurrences)" if count > 1 else ""
            run.annotations.warn(
                "sample has start time that overlaps with previous sample timestamp for metric "
                f"{quote(name)}{times}",
                self._node.span,
            )


def warn_quantile(run: Run, quantiles: Floats, span: Span) -> None:
    """One warning for each distinct quantile that is not one."""
    for value in np.unique(quantiles[~((quantiles >= 0) & (quantiles <= 1))]):
        run.annotations.warn(f"quantile value should be between 0 and 1, got {format_g(float(value))}", span)
