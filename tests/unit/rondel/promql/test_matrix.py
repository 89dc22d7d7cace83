"""Blocks that are computed when somebody looks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rondel.model.histogram import Histograms
from rondel.promql.kernel import Aggregator, Matrix
from rondel.promql.matrix import Block, HistogramCells


class Recorded:
    """Two rows of ones, and what was asked of them."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def matrix(self) -> Matrix:
        self.asked.append("matrix")
        return np.ones((2, 3)), np.ones((2, 3), dtype=np.bool_)

    def add_to(self, aggregator: Aggregator, group_of: NDArray[np.int32]) -> None:
        self.asked.append("add_to")
        aggregator.add(group_of, np.ones((2, 3)), np.ones((2, 3), dtype=np.bool_))


def test_an_aggregation_never_has_the_matrix_of_a_deferred_block() -> None:
    cells, aggregator = Recorded(), Aggregator("sum", 1, 3)
    block = Block.deferred(2, cells)
    block.add_to(aggregator, np.zeros(len(block), dtype=np.int32))
    assert cells.asked == ["add_to"]
    assert aggregator.finish()[0].tolist() == [[2.0, 2.0, 2.0]]


def test_a_deferred_block_is_computed_once_and_then_added_as_it_is() -> None:
    cells, aggregator = Recorded(), Aggregator("sum", 1, 3)
    block = Block.deferred(2, cells)
    assert block.values.shape == block.present.shape == (2, 3)
    assert block.samples == 6
    block.add_to(aggregator, np.zeros(2, dtype=np.int32))
    assert cells.asked == ["matrix"]
    assert aggregator.finish()[0].tolist() == [[2.0, 2.0, 2.0]]


NOTHING = np.zeros((2, 3), dtype=np.bool_)


def pool(count: int) -> Histograms:
    return Histograms.from_dicts([{"count": float(at)} for at in range(count)])


def counts(block: Block) -> list[list[float | None]]:
    own = block.histograms
    assert own is not None
    return [[own.pool[at]["count"] if at >= 0 else None for at in row] for row in own.index.tolist()]


def mixed() -> Block:
    """Two rows of three steps: a float, a histogram, nothing; a histogram twice, another."""
    present = np.array([[True, False, False], [False, False, False]])
    return Block(np.ones((2, 3)), present, HistogramCells(np.array([[-1, 7, -1], [2, 2, 0]]), pool(9)))


def test_a_cell_is_filled_by_either_kind() -> None:
    assert mixed().filled.tolist() == [[True, True, False], [True, True, True]]
    assert mixed().samples == 5
    assert mixed().floats().filled.tolist() == [[True, False, False], [False, False, False]]


def test_a_block_without_a_histogram_left_is_a_block_of_floats() -> None:
    assert mixed().kept(np.array([True, False, False])).take(np.array([0])).histograms is None
    assert Block(np.ones((2, 3)), NOTHING, HistogramCells(np.full((2, 3), -1), pool(4))).histograms is None


def test_rows_and_steps_are_picked_for_both_kinds() -> None:
    assert counts(mixed().take(np.array([1, 0, 1]))) == [[2, 2, 0], [None, 7, None], [2, 2, 0]]
    kept = mixed().kept(np.array([[True, True, True], [False, False, True]]))
    assert counts(kept) == [[None, 7, None], [None, None, 0]]
    assert kept.present.tolist() == mixed().present.tolist()
    one_step = Block(
        np.ones((2, 1)), np.array([[True], [False]]), HistogramCells(np.array([[-1], [1]]), pool(2))
    )
    assert counts(one_step.repeated(2)) == [[None, None], [1, 1]]
    assert one_step.repeated(2).present.tolist() == [[True, True], [False, False]]


def test_what_is_held_has_a_pool_of_no_more_than_its_cells() -> None:
    own = mixed().histograms
    assert own is not None
    compact = own.compact()
    assert len(compact.pool) == 3
    assert counts(Block(np.ones((2, 3)), NOTHING, compact)) == [[None, 7, None], [2, 2, 0]]
    assert compact.compact() is compact
    assert compact.size_bytes < own.size_bytes
    assert own.flat().counts().tolist() == [7.0, 2.0, 2.0, 0.0]


def test_parts_are_joined_at_their_rows() -> None:
    first = HistogramCells(np.array([[0, -1], [-1, 1]]), pool(2))
    second = HistogramCells(np.array([[-1, 2]]), pool(3))
    joined = HistogramCells.joined((2, 2), [(np.array([1, 0]), first), (np.array([1]), second)])
    assert joined is not None
    assert counts(Block(np.ones((2, 2)), np.zeros((2, 2), dtype=np.bool_), joined)) == [[None, 1], [0, 2]]
    assert HistogramCells.joined((2, 2), []) is None


def test_the_cells_of_two_blocks_stand_beside_each_other() -> None:
    floats = Block(np.full((1, 3), 5.0), np.array([[True, False, False]]))
    own = HistogramCells(np.array([[-1, -1, 0]]), pool(1))
    both = floats.beside(Block(np.full((1, 3), 7.0), np.array([[False, True, False]]), own))
    assert both.values[both.present].tolist() == [5.0, 7.0]
    assert counts(both) == [[None, None, 0]]
