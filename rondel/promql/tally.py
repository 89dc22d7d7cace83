"""How many samples the selectors of a query offer and read at each step, as Prometheus counts them.

A sample is *offered* at every step at which it counts: where windows overlap, more than once. It is *read* at
the first step of a selector that it counts at. What an instant selector offers, it reads anew at each step.
A histogram counts for as many floats as have its size. What happens inside a subquery is not offered:
its results are, in the windows over them. What is the same at every step is offered at each and read at one.

Counting takes time by the number of samples, not by that of cells, and leaves the evaluation as it is.
A query without a `Tally` does none of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rondel.promql.matrix import Block, Floats, Grid
from rondel.promql.operators.node import STALE_BITS, Node, Samples
from rondel.promql.operators.scalar import StepScalar
from rondel.promql.operators.shape import Once
from rondel.promql.operators.subquery import Subquery

__all__ = ["Counts", "Tally"]

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Samples at each step, histograms by their size."""

    offered: Ints
    """int64[steps]"""
    read: Ints
    """int64[steps]"""

    @classmethod
    def none(cls, steps: int) -> Counts:
        return cls(np.zeros(steps, dtype=np.int64), np.zeros(steps, dtype=np.int64))

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.offered + other.offered, self.read + other.read)

    def repeated(self, steps: int) -> Counts:
        """Of one step, for as many: offered at each, read at the first."""
        read = np.zeros(steps, dtype=np.int64)
        read[:1] = self.read[:1]
        return Counts(np.repeat(self.offered[:1], steps), read)


class Tally:
    """What the selectors of one run note, and what comes of it for the whole plan. One thread's work."""

    def __init__(self) -> None:
        self._noted: dict[int, _Counter] = {}

    def windows(
        self, node: Node, window: Grid, range_ms: int, batches: Iterator[Samples]
    ) -> Iterator[Samples]:
        """The samples of a range vector, noted on their way."""
        counter = self._begin(node, window)
        for samples in batches:
            counter.add_windows(samples, range_ms)
            yield samples

    def latest(
        self, node: Node, window: Grid, lookback_ms: int, batches: Iterator[Samples], *, sized: bool = True
    ) -> Iterator[Samples]:
        """As `windows`, for an instant vector: of a series at most one sample a step.

        Where not `sized` only times are looked at, and a histogram counts for one.
        """
        counter = self._begin(node, window)
        for samples in batches:
            counter.add_latest(samples, lookback_ms, sized=sized)
            yield samples

    def cells(self, node: Node, window: Grid, blocks: Iterator[Block]) -> Iterator[Block]:
        """As `latest`, for values that are made of several samples: each counts for one."""
        counter = self._begin(node, window)
        for block in blocks:
            counter.add_cells(block)
            yield block

    def _begin(self, node: Node, window: Grid) -> _Counter:
        """Anew each time that a node is opened: one that streams to each of its parents counts once."""
        self._noted[id(node)] = counter = _Counter(window)
        return counter

    def of(self, root: Node) -> Counts:
        """The counts of a plan that ran."""
        if isinstance(root, Subquery):
            # Nothing looks at its results through windows, so that what is inside counts itself.
            inner = self._of(root.child)
            return Counts(np.array([inner.offered.sum()]), np.array([inner.read.sum()]))
        return self._of(root)

    def _of(self, node: Node) -> Counts:
        steps = node.grid.count
        match node:
            case Once() | StepScalar():
                return self._of(node.child).repeated(steps)
            case Subquery():
                return Counts(self._own(node).offered, _carried(node, self._of(node.child).read))
            case _:
                return sum((self._of(child) for child in node.children()), start=self._own(node))

    def _own(self, node: Node) -> Counts:
        counter = self._noted.get(id(node))
        return Counts.none(node.grid.count) if counter is None else counter.counts()


def _carried(node: Subquery, read: Ints) -> Ints:
    """What was read at steps inside a subquery, at the first steps outside that look there."""
    window, carried = node.window, np.zeros(node.window.count, dtype=np.int64)
    if window.count == 0 or len(read) == 0:
        return carried
    times_ms = node.child.grid.times_ms()
    at = -((window.start_ms - times_ms) // window.step_ms) if window.step_ms else np.zeros_like(times_ms)
    np.add.at(carried, np.clip(at, 0, window.count - 1), read)
    return carried


class _Counter:
    """Counts of one selector. A sample is added where its steps begin and taken away where they end."""

    def __init__(self, window: Grid) -> None:
        self._window = window
        self._pinned = window.step_ms == 0
        self._steps = 1 if self._pinned else window.count
        self._begun = np.zeros(self._steps + 1)
        self._ended = np.zeros(self._steps + 1)
        self._reads_again = False

    def counts(self) -> Counts:
        offered = np.cumsum(self._begun - self._ended)[: self._steps].astype(np.int64)
        read = self._begun[: self._steps].astype(np.int64)
        if self._pinned:
            counts = Counts(offered, read).repeated(self._window.count)
        else:
            counts = Counts(offered, read)
        return Counts(counts.offered, counts.offered) if self._reads_again else counts

    def add_windows(self, samples: Samples, range_ms: int) -> None:
        _, times_ms, sizes = _seen(samples, sized=True)
        self._add(self._step_at(times_ms), self._step_at(times_ms + range_ms), sizes)

    def add_latest(self, samples: Samples, lookback_ms: int, *, sized: bool) -> None:
        self._reads_again = True
        rows, times_ms, sizes = _seen(samples, sized=sized)
        first = self._step_at(times_ms)
        after = self._step_at(times_ms + lookback_ms)
        followed = np.flatnonzero(rows[1:] == rows[:-1])
        after[followed] = np.minimum(after[followed], first[followed + 1])
        self._add(first, after, sizes)

    def add_cells(self, block: Block) -> None:
        self._reads_again = True
        cells = np.count_nonzero(block.filled[:, : self._steps], axis=0)
        self._begun[:-1] += cells
        self._ended[1:] += cells

    def _step_at(self, times_ms: Ints) -> Ints:
        """The first step at or after each time, `steps` where there is none."""
        start_ms, step_ms = self._window.start_ms, self._window.step_ms
        if self._steps == 1:
            return (times_ms > start_ms).astype(np.int64)
        return np.clip(-((start_ms - times_ms) // step_ms), 0, self._steps)

    def _add(self, first: Ints, after: Ints, sizes: Floats) -> None:
        sizes = np.where(first < after, sizes, 0.0)
        self._begun += np.bincount(first, sizes, self._steps + 1)
        self._ended += np.bincount(after, sizes, self._steps + 1)


def _seen(samples: Samples, *, sized: bool) -> tuple[Ints, Ints, Floats]:
    """Row, time and size of the samples that are seen, in order. Staleness markers have no size."""
    rows, times_ms = _rows(samples.offsets), samples.timestamps_ms
    sizes: Floats = (samples.values.view(np.uint64) != STALE_BITS).astype(np.float64)
    own = samples.histograms
    if own is None:
        return rows, times_ms, sizes
    stale = own.values.sums().view(np.uint64) == STALE_BITS
    own_sizes = np.where(stale, 0, own.values.sample_sizes() if sized else 1)
    rank = np.concatenate([np.where(sizes > 0, 1, 2), np.where(stale, 2, 0)])
    rows = np.concatenate([rows, _rows(own.offsets)])
    times_ms = np.concatenate([times_ms, own.timestamps_ms])
    sizes = np.concatenate([sizes, own_sizes])
    order = np.lexsort((rank, times_ms, rows))
    rows, times_ms, sizes = rows[order], times_ms[order], sizes[order]
    first = np.ones(len(rows), dtype=np.bool_)
    first[1:] = (rows[1:] != rows[:-1]) | (times_ms[1:] != times_ms[:-1])
    return rows[first], times_ms[first], sizes[first]


def _rows(offsets: Ints) -> Ints:
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
