"""Steps, and the values of many series at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rondel.model.histogram import Histograms
from rondel.model.labels import LabelSets
from rondel.promql.kernel import Aggregator, Matrix

__all__ = ["Block", "Bools", "Cells", "Floats", "Grid", "HistogramCells", "StepMatrix"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Grid:
    """The times at which an expression is evaluated: `count` steps, the first at `start_ms`."""

    start_ms: int
    step_ms: int
    count: int

    @property
    def end_ms(self) -> int:
        """Time of the last step."""
        return self.start_ms + (self.count - 1) * self.step_ms

    def times_ms(self) -> NDArray[np.int64]:
        """int64[count]"""
        return self.start_ms + self.step_ms * np.arange(self.count, dtype=np.int64)

    def once(self) -> Grid:
        """The first step alone."""
        return Grid(self.start_ms, self.step_ms, 1)

    def __str__(self) -> str:
        if self.count == 1:
            return f"at {self.start_ms}"
        return f"{self.start_ms}..{self.end_ms} step {self.step_ms}"


class Cells(Protocol):
    """What the cells of a block are computed from."""

    def matrix(self) -> Matrix:
        """`(values, present)`"""

    def add_to(self, aggregator: Aggregator, group_of: NDArray[np.int32]) -> None:
        """The same as to add the matrix, without one."""


@dataclass(frozen=True, slots=True, eq=False)
class HistogramCells:
    """The histograms of a block. Operations on rows and steps move `index`; arithmetic makes a new pool."""

    index: NDArray[np.int64]
    """int64[rows, steps]: where in the pool the histogram of a cell is, -1 where there is none"""
    pool: Histograms

    @classmethod
    def at(cls, present: Bools, histograms: Histograms) -> HistogramCells:
        """One histogram for each cell that is present, row by row."""
        index = np.full(present.shape, -1, dtype=np.int64)
        index[present] = np.arange(len(histograms))
        return cls(index, histograms)

    @classmethod
    def joined(
        cls, shape: tuple[int, int], parts: Sequence[tuple[NDArray[np.int64], HistogramCells]]
    ) -> HistogramCells | None:
        """Cells of this shape, each part at the rows it comes with; rows may meet, their cells may not."""
        index, first = np.full(shape, -1, dtype=np.int64), 0
        for rows, cells in parts:
            row, step = np.nonzero(cells.present)
            index[rows[row], step] = cells.index[row, step] + first
            first += len(cells.pool)
        return cls(index, Histograms.concat([cells.pool for _, cells in parts])) if parts else None

    @property
    def present(self) -> Bools:
        """bool[rows, steps]"""
        return self.index >= 0

    @property
    def arrays(self) -> tuple[NDArray[np.int64], Histograms]:
        return self.index, self.pool

    @property
    def size_bytes(self) -> int:
        return self.index.nbytes + self.pool.size_bytes

    def flat(self) -> Histograms:
        """The histogram of each cell that has one, row by row."""
        return self.pool.take(self.index[self.present])

    def take(self, rows: NDArray[np.int64] | Bools) -> HistogramCells:
        return HistogramCells(self.index[rows], self.pool)

    def kept(self, mask: Bools) -> HistogramCells:
        """Only the cells where the mask (which may be broadcast) is set."""
        return HistogramCells(np.where(mask, self.index, -1), self.pool)

    def compact(self) -> HistogramCells:
        """The same with a pool of no more than what cells have: what is held should not hold a batch."""
        present = self.present
        used, place = np.unique(self.index[present], return_inverse=True)
        if 2 * len(used) > len(self.pool):
            return self
        index = np.full(self.index.shape, -1, dtype=np.int64)
        index[present] = place
        return HistogramCells(index, self.pool.take(used))


class Block:
    """Consecutive rows (series) of a result, one column a step.

    `present` says which cells have a float, `histograms` which have a histogram; no cell has both. A block
    without histograms has None there and is all floats. Arrays are C-contiguous, since kernels read them as
    they lie.

    A deferred block has its cells computed when somebody first looks at them. An aggregation does not
    look: it has each row added to its group as it is computed, and no matrix of the rows ever exists.
    Only floats are deferred.
    """

    __slots__ = ("_cells", "_matrix", "_rows", "histograms")

    def __init__(self, values: Floats, present: Bools, histograms: HistogramCells | None = None) -> None:
        self._rows = len(values)
        self.histograms = histograms if histograms is not None and histograms.present.any() else None
        # Broadcasts and slices of columns are the operators' cheap way to build a block.
        self._matrix: Matrix | None = (np.ascontiguousarray(values), np.ascontiguousarray(present))
        self._cells: Cells | None = None

    @classmethod
    def deferred(cls, rows: int, cells: Cells) -> Block:
        """The block of so many rows that `cells` computes."""
        block = cls.__new__(cls)
        block._rows, block._matrix, block._cells, block.histograms = rows, None, cells, None
        return block

    @property
    def values(self) -> Floats:
        """float64[rows, steps]; whatever stands where nothing is present means nothing"""
        return self._computed()[0]

    @property
    def present(self) -> Bools:
        """bool[rows, steps]: which cells have a float"""
        return self._computed()[1]

    @property
    def is_computed(self) -> bool:
        """Whether its cells exist; of a deferred block nobody may have looked at them yet."""
        return self._matrix is not None

    @property
    def filled(self) -> Bools:
        """bool[rows, steps]: which cells have a sample of either kind"""
        return self.present if self.histograms is None else self.present | self.histograms.present

    def __len__(self) -> int:
        return self._rows

    @property
    def size_bytes(self) -> int:
        own = 0 if self.histograms is None else self.histograms.size_bytes
        return self.values.nbytes + self.present.nbytes + own

    @property
    def samples(self) -> int:
        return int(np.count_nonzero(self.filled))

    def take(self, rows: NDArray[np.int64] | Bools) -> Block:
        """The block of these rows, in this order."""
        histograms = None if self.histograms is None else self.histograms.take(rows)
        return Block(self.values[rows], self.present[rows], histograms)

    def kept(self, mask: Bools) -> Block:
        """The block with only those samples where the mask (which may be broadcast) is set."""
        histograms = None if self.histograms is None else self.histograms.kept(mask)
        return Block(self.values, self.present & mask, histograms)

    def repeated(self, steps: int) -> Block:
        """A block of one step with that step so many times."""
        values, present = np.repeat(self.values, steps, axis=1), np.repeat(self.present, steps, axis=1)
        own = self.histograms
        if own is None:
            return Block(values, present)
        return Block(values, present, HistogramCells(np.repeat(own.index, steps, axis=1), own.pool))

    def beside(self, other: Block) -> Block:
        """Floats of both blocks, and the histograms of the other; their cells do not meet."""
        if not other.present.any():
            return Block(self.values, self.present, other.histograms)
        values = np.where(other.present, other.values, self.values)
        return Block(values, self.present | other.present, other.histograms)

    def floats(self) -> Block:
        """The block without its histograms."""
        return self if self.histograms is None else Block(self.values, self.present)

    def add_to(self, aggregator: Aggregator, group_of: NDArray[np.int32]) -> None:
        """Adds the floats of every row to its group, int32[rows]."""
        if self._matrix is None and self._cells is not None:
            self._cells.add_to(aggregator, group_of)
        else:
            aggregator.add(group_of, self.values, self.present)

    def _computed(self) -> Matrix:
        if self._matrix is None:
            assert self._cells is not None
            self._matrix = self._cells.matrix()
        return self._matrix


@dataclass(frozen=True, slots=True, eq=False)
class StepMatrix:
    """A whole result in memory: labels, one block of all rows, and which rows lose their metric name."""

    labels: LabelSets
    block: Block
    drop_name: Bools
    """bool[rows]: the name goes at the end of the query (delayed name removal)"""

    def __len__(self) -> int:
        return len(self.block)

    def take(self, rows: NDArray[np.int64]) -> StepMatrix:
        """The matrix of these rows, in this order; itself where nothing changes."""
        if len(rows) == len(self) and np.array_equal(rows, np.arange(len(rows))):
            return self
        return StepMatrix(self.labels.take(rows), self.block.take(rows), self.drop_name[rows])
