"""Steps, and the values of many series at them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rondel.model.labels import LabelSets
from rondel.promql.kernel import Aggregator, Matrix

__all__ = ["Block", "Bools", "Cells", "Floats", "Grid", "StepMatrix"]

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


class Block:
    """Consecutive rows (series) of a result, one column a step.

    The only column kind today is float; a histogram column will stand beside `values`, and `present`
    will say which steps have a float. Both arrays are C-contiguous, since kernels read them as they lie.

    A deferred block has its cells computed when somebody first looks at them. An aggregation does not
    look: it has each row added to its group as it is computed, and no matrix of the rows ever exists.
    """

    __slots__ = ("_cells", "_matrix", "_rows")

    def __init__(self, values: Floats, present: Bools) -> None:
        self._rows = len(values)
        # Broadcasts and slices of columns are the operators' cheap way to build a block.
        self._matrix: Matrix | None = (np.ascontiguousarray(values), np.ascontiguousarray(present))
        self._cells: Cells | None = None

    @classmethod
    def deferred(cls, rows: int, cells: Cells) -> Block:
        """The block of so many rows that `cells` computes."""
        block = cls.__new__(cls)
        block._rows, block._matrix, block._cells = rows, None, cells
        return block

    @property
    def values(self) -> Floats:
        """float64[rows, steps]; whatever stands where nothing is present means nothing"""
        return self._computed()[0]

    @property
    def present(self) -> Bools:
        """bool[rows, steps]"""
        return self._computed()[1]

    @property
    def is_computed(self) -> bool:
        """Whether its cells exist; of a deferred block nobody may have looked at them yet."""
        return self._matrix is not None

    def __len__(self) -> int:
        return self._rows

    @property
    def size_bytes(self) -> int:
        return self.values.nbytes + self.present.nbytes

    @property
    def samples(self) -> int:
        return int(np.count_nonzero(self.present))

    def take(self, rows: NDArray[np.int64] | Bools) -> Block:
        """The block of these rows, in this order."""
        return Block(self.values[rows], self.present[rows])

    def add_to(self, aggregator: Aggregator, group_of: NDArray[np.int32]) -> None:
        """Adds every row to its group, int32[rows]."""
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
