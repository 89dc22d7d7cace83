"""What every plan node is: it prints itself, and opens into a stream, an array or frames.

A vector node opens into a `Stream`: the labels of all its rows at once, then their values block by
block. Because labels come first, joins and groupings are settled before a single sample is read, and an
aggregation holds one block of rows at a time.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rondel.errors import ExecutionError
from rondel.model.frame import HistogramSamples
from rondel.model.labels import METRIC_NAME, LabelSets
from rondel.promql import kernel
from rondel.promql.annotations import Annotations
from rondel.promql.control import Control
from rondel.promql.matrix import Block, Bools, Floats, Grid, HistogramCells, StepMatrix
from rondel.promql.options import DELAYED_NAME_REMOVAL, START_TIMESTAMPS, EngineOptions
from rondel.promql.result import QueryStats
from rondel.storage import Costs, Select, Selection, Storage

if TYPE_CHECKING:
    from rondel._native import FrameArrays
    from rondel.promql.tally import Tally

__all__ = [
    "CELL_BYTES",
    "RESERVED",
    "SAME_LABELSET",
    "STALE_BITS",
    "Node",
    "RangeNode",
    "RangeStream",
    "RowWise",
    "Run",
    "Samples",
    "ScalarNode",
    "Stream",
    "VectorNode",
    "drop_names",
    "keep_flags",
    "merge_rows",
    "replace_labels",
]

RESERVED = [METRIC_NAME, "__type__", "__unit__"]
"""Labels that say what a metric is; they go together when an operation changes its meaning."""

STALE_BITS = 0x7FF0_0000_0000_0002
"""of the marker that ends a series"""

CELL_BYTES = 9
"""of a float64 and its presence"""

SAME_LABELSET = "vector cannot contain metrics with the same labelset"


class Samples(NamedTuple):
    """Raw samples of consecutive rows, laid out as in a `SeriesFrame`."""

    offsets: NDArray[np.int64]
    timestamps_ms: NDArray[np.int64]
    values: Floats
    starts_ms: NDArray[np.int64] | None = None
    """Only where the query is to look at them."""
    histograms: HistogramSamples | None = None

    @property
    def rows(self) -> int:
        return len(self.offsets) - 1

    @property
    def floats(self) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
        """Offsets, times and values: what kernels of floats alone take."""
        return self.offsets, self.timestamps_ms, self.values

    @property
    def arrays(self) -> FrameArrays:
        """What kernels of floats and histograms take."""
        own = self.histograms
        packed = None if own is None else (own.offsets, own.timestamps_ms, own.starts_ms, own.values)
        return self.offsets, self.timestamps_ms, self.values, self.starts_ms, packed

    @property
    def histogram_bytes(self) -> int:
        """What one histogram takes, on average; 0 where there is none."""
        own = self.histograms
        return 0 if own is None or not len(own.values) else -(-own.values.size_bytes // len(own.values))

    def parts(self, rows: int) -> Iterator[Samples]:
        """The samples of so many rows at a time, without copies. The parts share all histograms."""
        if self.rows <= rows:
            yield self
            return
        for at in range(0, self.rows, rows):
            offsets, own = self.offsets[at : at + rows + 1], self.histograms
            inside = slice(offsets[0], offsets[-1])
            yield Samples(
                offsets - offsets[0],
                self.timestamps_ms[inside],
                self.values[inside],
                None if self.starts_ms is None else self.starts_ms[inside],
                None if own is None else replace(own, offsets=own.offsets[at : at + rows + 1]),
            )

    def of_starts(self) -> Samples:
        """The samples with their starts in seconds for values; staleness markers stay."""
        if self.starts_ms is None:
            starts_s = np.zeros_like(self.values)
        else:
            starts_s = self.starts_ms / 1000.0
        stale = self.values.view(np.uint64) == STALE_BITS
        return self._replace(values=np.where(stale, self.values, starts_s))


@dataclass(slots=True)
class Stream:
    """All labels, then the rows' values in order. `blocks` can be iterated once."""

    labels: LabelSets
    drop_name: Bools
    blocks: Iterator[Block]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(slots=True)
class RangeStream:
    """As `Stream`, with the samples that windows slide over."""

    labels: LabelSets
    drop_name: Bools
    batches: Iterator[Samples]


@dataclass(slots=True)
class Run:
    """One execution of one plan: where samples come from, and what is accounted on the way."""

    storage: Storage
    tenant: str
    options: EngineOptions
    control: Control
    annotations: Annotations
    stats: QueryStats = field(default_factory=QueryStats)
    selections: dict[object, Selection] = field(default_factory=dict)
    shared: dict[object, StepMatrix] = field(default_factory=dict)
    costs_of: Callable[[object], Costs] | None = None
    """Where the sources of a selection, named by its key, note their costs; None for nowhere."""
    tally: Tally | None = None
    """Counts samples by step where that was asked for."""

    @property
    def delayed_names(self) -> bool:
        return DELAYED_NAME_REMOVAL in self.options.features

    @property
    def start_timestamps(self) -> bool:
        return START_TIMESTAMPS in self.options.features

    def select(self, key: object, request: Select) -> Selection:
        """The selection of a request, asked for once a query."""
        if key not in self.selections:
            began = time.perf_counter()
            if self.costs_of is not None:
                request = replace(request, costs=self.costs_of(key))
            self.selections[key] = selection = self.storage.select(request)
            self.stats.select_s += time.perf_counter() - began
            self.stats.series += len(selection.labels)
            self.control.find(len(selection.labels))
        return self.selections[key]

    @contextmanager
    def charged(self, size_bytes: int) -> Iterator[None]:
        """Bytes that count for the query while the context lasts."""
        self.control.hold(0, size_bytes)
        try:
            yield
        finally:
            self.control.release(0, size_bytes)

    def cells(self, rows: int, steps: int) -> AbstractContextManager[None]:
        """Room for a block of results, charged before it is allocated."""
        return self.charged(rows * steps * CELL_BYTES)

    def parts(self, samples: Samples, steps: int) -> Iterator[Samples]:
        """The samples in parts of which no operation makes more histograms than fit into a batch."""
        if not samples.histogram_bytes:
            yield samples
            return
        room = self.options.batch_cells * CELL_BYTES
        for part in samples.parts(max(1, room // max(1, steps * samples.histogram_bytes))):
            self.control.check()
            yield part

    def made(self, samples: Samples, steps: int) -> AbstractContextManager[None]:
        """Room for a histogram at each step of each row that has any, charged before they are made."""
        own = samples.histograms
        rows = 0 if own is None else int(np.count_nonzero(np.diff(own.offsets)))
        return self.charged(rows * steps * samples.histogram_bytes)

    def pool(self, block: Block) -> AbstractContextManager[None]:
        """The histograms that an operation made."""
        return self.charged(0 if block.histograms is None else block.histograms.size_bytes)

    @contextmanager
    def whole(self, stream: Stream, steps: int) -> Iterator[Block]:
        """All rows of a stream in memory, charged to the query while the context lasts."""
        block, size_bytes = self._collect(stream, steps)
        samples = block.samples
        self.control.hold(samples, 0)
        try:
            yield block
        finally:
            self.control.release(samples, size_bytes)

    def matrix(self, stream: Stream, steps: int) -> StepMatrix:
        """As `whole`, held to the end of the query."""
        block, _ = self._collect(stream, steps)
        self.control.hold(block.samples, 0)
        return StepMatrix(stream.labels, block, stream.drop_name)

    def _collect(self, stream: Stream, steps: int) -> tuple[Block, int]:
        """All blocks of a stream as one, and what it was charged: floats before, histograms as they come."""
        size_bytes = len(stream) * steps * CELL_BYTES
        self.control.hold(0, size_bytes)
        values = np.empty((len(stream), steps), dtype=np.float64)
        present = np.zeros((len(stream), steps), dtype=np.bool_)
        parts: list[tuple[NDArray[np.int64], HistogramCells]] = []
        at = 0
        for block in stream.blocks:
            values[at : at + len(block)] = block.values
            present[at : at + len(block)] = block.present
            if block.histograms is not None:
                parts.append((np.arange(at, at + len(block)), block.histograms.compact()))
                size_bytes += self._held(parts[-1][1])
            at += len(block)
        return Block(values, present, HistogramCells.joined(values.shape, parts)), size_bytes

    def _held(self, cells: HistogramCells) -> int:
        self.control.hold(0, cells.size_bytes)
        return cells.size_bytes


class Node(ABC):
    """A step of a plan."""

    grid: Grid

    @abstractmethod
    def title(self) -> str:
        """One line: the operation and its arguments, without the children."""

    def children(self) -> Sequence[Node]:
        return ()


class VectorNode(Node):
    @property
    def ordered(self) -> bool:
        """True where the order of rows is part of the answer."""
        return False

    @abstractmethod
    def open(self, run: Run) -> Stream:
        """Labels now, values on iteration; may raise QueryError in both."""


class RowWise(VectorNode):
    """A node that changes the rows of its child one by one and keeps their order."""

    child: VectorNode

    @property
    def ordered(self) -> bool:
        return self.child.ordered

    def children(self) -> Sequence[Node]:
        return (self.child,)


class ScalarNode(Node):
    @abstractmethod
    def values(self, run: Run) -> Floats:
        """float64[steps]"""


class RangeNode(Node):
    """Samples in the windows `(t - offset - range, t - offset]`."""

    range_ms: int
    window: Grid
    """Where the windows end; step 0 where a fixed time pins all of them."""

    @abstractmethod
    def open(self, run: Run) -> RangeStream:
        """Labels now, samples on iteration."""


def keep_flags(labels: LabelSets) -> Bools:
    """No row loses its name."""
    return np.zeros(len(labels), dtype=np.bool_)


def drop_names(run: Run, stream: Stream, steps: int, *, strict: bool = False) -> Stream:
    """The stream after an operation that changes what its metrics mean; `strict` is for `merge_rows`."""
    if run.delayed_names:
        stream.drop_name = np.ones(len(stream), dtype=np.bool_)
        return stream
    labels = stream.labels.drop(RESERVED)
    if not strict or labels.duplicate() is None:
        return replace_labels(run, stream, labels, stream.drop_name, steps)
    return merge_rows(run, Stream(labels, stream.drop_name, stream.blocks), steps, strict=True)


def replace_labels(run: Run, stream: Stream, labels: LabelSets, drop_name: Bools, steps: int) -> Stream:
    """The stream under other labels; rows that now share theirs become one."""
    renamed = Stream(labels, drop_name, stream.blocks)
    return renamed if labels.duplicate() is None else merge_rows(run, renamed, steps)


def merge_rows(
    run: Run, stream: Stream, steps: int, message: str = SAME_LABELSET, *, strict: bool = False
) -> Stream:
    """Joins rows of equal labels; raises ExecutionError where two have a sample at the same step.

    With `strict`, at whatever steps: so Prometheus joins nothing after functions of windows, and negation.
    """
    row_of, count = kernel.number_keys(stream.labels.fingerprints())
    first = np.unique(row_of, return_index=True)[1]
    drop_name = np.zeros(count, dtype=np.bool_)
    rows_of = np.zeros(count, dtype=np.int64)
    run.control.hold(0, count * steps * CELL_BYTES)
    bits, filled = np.zeros((count, steps), dtype=np.uint64), np.zeros((count, steps), dtype=np.bool_)
    parts: list[tuple[NDArray[np.int64], HistogramCells]] = []
    at = 0
    for block in stream.blocks:
        run.control.check()
        targets = row_of[at : at + len(block)]
        # A row without a sample has no say: `round(v) or v` of histograms is `v`.
        sampled = block.filled.any(axis=1)
        drop_name[targets[sampled & stream.drop_name[at : at + len(block)]]] = True
        rows_of += np.bincount(targets[sampled], minlength=count)
        order = np.argsort(targets, kind="stable")
        rows, starts = np.unique(targets[order], return_index=True)
        mine = block.filled[order]
        met = np.add.reduceat(mine, starts, axis=0, dtype=np.int32)
        if (met > 1).any() or (filled[rows] & (met > 0)).any() or (strict and (rows_of > 1).any()):
            raise ExecutionError(message)
        filled[rows] |= met > 0
        # At most one row has a sample in a cell, so that joining bits keeps it bit for bit.
        mine_bits = np.where(mine, block.values[order].view(np.uint64), np.uint64(0))
        bits[rows] |= np.bitwise_or.reduceat(mine_bits, starts, axis=0)
        if block.histograms is not None:
            parts.append((targets.astype(np.int64), block.histograms.compact()))
            run.control.hold(0, parts[-1][1].size_bytes)
        at += len(block)
    histograms = HistogramCells.joined((count, steps), parts)
    present = filled if histograms is None else filled & ~histograms.present
    merged = Block(bits.view(np.float64), present, histograms)
    run.control.hold(merged.samples, 0)
    return Stream(stream.labels.take(first.astype(np.int64)), drop_name, iter([merged]))
