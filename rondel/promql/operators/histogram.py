"""Quantiles and fractions of histograms.

Of classic ones rows that differ in `le` alone are the buckets of one histogram. A native one is a sample; its
answer is in the row that classic buckets of the same labels would have, and where there are such, in none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rondel.errors import ExecutionError
from rondel.model.histogram import Histograms
from rondel.model.labels import METRIC_NAME, LabelSets
from rondel.promql import kernel
from rondel.promql.annotations import format_g
from rondel.promql.ast import Span
from rondel.promql.kernel import Note
from rondel.promql.matrix import Block, Bools, Floats, Grid, HistogramCells
from rondel.promql.notes import for_metric, tell_rows
from rondel.promql.operators.aggregate import group_flags
from rondel.promql.operators.functions import civil
from rondel.promql.operators.node import (
    SAME_LABELSET,
    Node,
    Run,
    ScalarNode,
    Stream,
    VectorNode,
    drop_names,
    replace_labels,
)
from rondel.promql.operators.window import warn_quantile
from rondel.promql.quote import quote

__all__ = ["BucketFraction", "BucketQuantile", "BucketQuantiles"]

BUCKET = "le"
MONOTONICITY = "https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile"


class Rows(NamedTuple):
    """Buckets as the kernels take them."""

    group_of: NDArray[np.int32]
    groups: int
    bounds: Floats
    values: Floats
    present: Bools


class Natives(NamedTuple):
    """Native histograms that get an answer."""

    histograms: Histograms
    group_of: NDArray[np.int32]
    step: NDArray[np.int64]
    spoilt: Bools
    """bool[groups, steps]: where nothing gets one, since classic buckets are there as well"""

    def beside(self, values: Floats, present: Bools, answers: Floats) -> Block:
        """What classic histograms gave, and these answers."""
        values, present = values.copy(), present & ~self.spoilt
        values[self.group_of, self.step] = answers
        present[self.group_of, self.step] = True
        return Block(values, present)


_NAN_QUANTILES: Final = (
    (Note.NAN_RESULT, "input to histogram_quantile has NaN observations, result is NaN"),
    (Note.NAN_OBSERVATIONS, "input to histogram_quantile has NaN observations, result is skewed higher"),
)
_NAN_FRACTIONS: Final = (
    (
        Note.NAN_OBSERVATIONS,
        "input to histogram_fraction has NaN observations, which are excluded from all fractions",
    ),
)


@dataclass(frozen=True, slots=True)
class BucketQuantile(VectorNode):
    """`histogram_quantile(q, v)`"""

    quantile: ScalarNode
    child: VectorNode
    grid: Grid
    span: Span = field(compare=False)
    """of the quantile"""
    vector_span: Span = field(compare=False)

    def title(self) -> str:
        return "histogram_quantile"

    def children(self) -> Sequence[Node]:
        return (self.quantile, self.child)

    def open(self, run: Run) -> Stream:
        buckets = _Buckets.of(run, self.child, self.grid, self.vector_span)
        quantiles = self.quantile.values(run)
        warn_quantile(run, quantiles, self.span)

        stream = buckets.stream(run, lambda block: buckets.quantile(run, block, quantiles))
        return drop_names(run, stream, self.grid.count)


@dataclass(frozen=True, slots=True)
class BucketFraction(VectorNode):
    """`histogram_fraction(lower, upper, v)`"""

    lower: ScalarNode
    upper: ScalarNode
    child: VectorNode
    grid: Grid
    vector_span: Span = field(compare=False)

    def title(self) -> str:
        return "histogram_fraction"

    def children(self) -> Sequence[Node]:
        return (self.lower, self.upper, self.child)

    def open(self, run: Run) -> Stream:
        buckets = _Buckets.of(run, self.child, self.grid, self.vector_span)
        lower, upper = self.lower.values(run), self.upper.values(run)
        stream = buckets.stream(run, lambda block: buckets.fraction(run, block, lower, upper))
        return drop_names(run, stream, self.grid.count)


@dataclass(frozen=True, slots=True)
class BucketQuantiles(VectorNode):
    """`histogram_quantiles(v, "label", q...)`: one row a histogram and quantile."""

    child: VectorNode
    label: str
    quantiles: tuple[ScalarNode, ...]
    grid: Grid
    spans: tuple[Span, ...] = field(compare=False)
    """of the quantiles"""
    vector_span: Span = field(compare=False)

    def title(self) -> str:
        return f'histogram_quantiles "{self.label}"'

    def children(self) -> Sequence[Node]:
        return (self.child, *self.quantiles)

    def open(self, run: Run) -> Stream:
        buckets = _Buckets.of(run, self.child, self.grid, self.vector_span)
        steps = self.grid.count
        block = run.matrix(buckets.source, steps).block
        labels, blocks = [], []
        for node, span in zip(self.quantiles, self.spans, strict=True):
            quantiles = node.values(run)
            warn_quantile(run, quantiles, span)
            blocks.append(buckets.quantile(run, block, quantiles))
            text = open_metrics_float(float(quantiles[0]))
            codes = np.zeros(len(buckets.labels), dtype=np.int32)
            labels.append(buckets.labels.with_column(self.label, codes, [text]))
        flags = np.concatenate([buckets.drop_name] * len(blocks))
        stream = Stream(LabelSets.concat(labels), flags, iter(blocks))
        merged = replace_labels(run, stream, stream.labels, flags, steps)
        return drop_names(run, merged, steps)


def open_metrics_float(value: float) -> str:
    """As OpenMetrics spells label values that are floats: `1.0`, `0.5`, `+Inf`."""
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = repr(value)
    return text if any(sign in text for sign in ".e") else text + ".0"


@dataclass(slots=True)
class _Buckets:
    """Rows sorted into histograms."""

    source: Stream
    labels: LabelSets
    """of the histograms"""
    drop_name: Bools
    group_of: NDArray[np.int32]
    bounds: Floats
    """upper bound of each row; NaN where its label is no number"""
    grid: Grid
    span: Span

    @classmethod
    def of(cls, run: Run, child: VectorNode, grid: Grid, span: Span) -> _Buckets:
        source = child.open(run)
        group_of, labels = source.labels.group([BUCKET], True)
        codes, texts = source.labels.column(BUCKET)
        bounds = np.array([_bound(text) for text in texts], dtype=np.float64)
        flags = group_flags(group_of, len(labels), source.drop_name)
        return cls(source, labels, flags, group_of, bounds[codes] if texts else np.empty(0), grid, span)

    def stream(self, run: Run, function: Callable[[Block], Block]) -> Stream:
        return Stream(self.labels, self.drop_name, self._blocks(run, function))

    def _blocks(self, run: Run, function: Callable[[Block], Block]) -> Iterator[Block]:
        with run.whole(self.source, self.grid.count) as block:
            yield function(block)

    def quantile(self, run: Run, block: Block, quantiles: Floats) -> Block:
        """The quantile, float64[steps], of each histogram."""
        rows = self._rows(run, block)
        values, present, fixes = kernel.bucket_quantile(quantiles, *rows)
        self._note_fixes(run, fixes)
        if block.histograms is None:
            return Block(values, present)
        natives = self._natives(run, rows, block.histograms)
        answers, notes = kernel.histogram_quantile(natives.histograms, quantiles[natives.step])
        self._note_nan(run, natives, notes, _NAN_QUANTILES)
        return natives.beside(values, present, answers)

    def fraction(self, run: Run, block: Block, lower: Floats, upper: Floats) -> Block:
        """The share between two bounds, float64[steps] each, of each histogram."""
        rows = self._rows(run, block)
        values, present = kernel.bucket_fraction(lower, upper, *rows)
        if block.histograms is None:
            return Block(values, present)
        natives = self._natives(run, rows, block.histograms)
        bounds = lower[natives.step], upper[natives.step]
        answers, notes = kernel.histogram_fraction(natives.histograms, *bounds)
        self._note_nan(run, natives, notes, _NAN_FRACTIONS)
        return natives.beside(values, present, answers)

    def _natives(self, run: Run, rows: Rows, cells: HistogramCells) -> Natives:
        """The native histograms; a warning where there are classic buckets of the same labels."""
        shape = len(self.labels), self.grid.count
        classic, native = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.int32)
        np.logical_or.at(classic, rows.group_of, rows.present)
        np.add.at(native, self.group_of, cells.present)
        if (native > 1).any():
            raise ExecutionError(SAME_LABELSET)
        both = classic & (native > 0)
        notes = np.where(both.any(axis=1), Note.NATIVE_AND_CLASSIC, 0).astype(np.uint32)
        tell_rows(run.annotations, notes, self.labels, self.span)
        alone = cells.kept(~both[self.group_of])
        row, step = np.nonzero(alone.present)
        return Natives(alone.flat(), self.group_of[row], step, both)

    def _note_nan(
        self, run: Run, natives: Natives, notes: NDArray[np.uint32], texts: Sequence[tuple[int, str]]
    ) -> None:
        codes, names = self.labels.column(METRIC_NAME)
        for flag, text in texts:
            for code in np.unique(codes[natives.group_of[(notes & flag) != 0]]).tolist():
                where = for_metric(names[code] if run.delayed_names else "")
                run.annotations.info(f"{text}{where}", self.span)

    def _rows(self, run: Run, block: Block) -> Rows:
        """The rows that are buckets; a warning for each that is not."""
        malformed = np.isnan(self.bounds)
        if not malformed.any():
            return Rows(self.group_of, len(self.labels), self.bounds, block.values, block.present)
        self._warn(run, np.flatnonzero(malformed & block.present.any(axis=1)))
        kept = np.flatnonzero(~malformed)
        buckets = block.take(kept)
        return Rows(self.group_of[kept], len(self.labels), self.bounds[kept], buckets.values, buckets.present)

    def _warn(self, run: Run, bad: NDArray[np.int64]) -> None:
        codes, texts = self.source.labels.column(BUCKET)
        name_codes, names = self.source.labels.column(METRIC_NAME)
        for name, code in np.unique(np.stack([name_codes[bad], codes[bad]], axis=1), axis=0).tolist():
            run.annotations.warn(
                f'bucket label "le" is missing or has a malformed value of {quote(texts[code])}'
                f"{for_metric(names[name])}",
                self.span,
            )

    def _note_fixes(self, run: Run, fixes: list[kernel.BucketFix]) -> None:
        """Tells where counts had to be raised because they fell from a bucket to a wider one."""
        codes, names = self.labels.column(METRIC_NAME)
        # What is told does not name the histogram: thousands of alike are one text, made once.
        told = dict.fromkeys(fix._replace(group=int(codes[fix.group])) for fix in fixes)
        for fix in told:
            first = _rfc3339(self.grid.start_ms + fix.step_first * self.grid.step_ms)
            last = _rfc3339(self.grid.start_ms + fix.step_last * self.grid.step_ms)
            where = for_metric(names[fix.group] if run.delayed_names else "")
            run.annotations.info(
                "input to histogram_quantile needed to be fixed for monotonicity "
                f"(see {MONOTONICITY}){where}, "
                f"from buckets {format_g(fix.bound_min)} to {format_g(fix.bound_max)}, "
                f"with a max diff of {fix.raised_max:.2g}, over {fix.steps} samples from {first} to {last}",
                self.span,
            )


@lru_cache(maxsize=1024)
def _rfc3339(time_ms: int) -> str:
    year, month, day = (int(part[0]) for part in civil(np.array([time_ms / 1000])))
    seconds = time_ms // 1000 % 86_400
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{year:04}-{month:02}-{day:02}T{clock}Z"


def _bound(text: str) -> float:
    try:
        return float("nan" if "_" in text else text)
    except ValueError:
        return float("nan")
