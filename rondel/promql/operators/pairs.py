"""Binary operators where at least one side of a cell is a histogram."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from rondel.model.histogram import Histograms
from rondel.promql import kernel
from rondel.promql.ast import Span
from rondel.promql.matrix import Block, Bools, HistogramCells
from rondel.promql.notes import ADDITION, SUBTRACTION, tell
from rondel.promql.operators.node import Run

__all__ = ["combine_histograms", "note_types"]

BOTH: Final = ("histogram", "histogram")
FIRST: Final = ("histogram", "float")
SECOND: Final = ("float", "histogram")

TAKES: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "+": (BOTH,),
    "-": (BOTH,),
    "*": (FIRST, SECOND),
    "/": (FIRST,),
    "==": (BOTH,),
    "!=": (BOTH,),
    "</": (FIRST,),
    ">/": (FIRST,),
}
"""What an operator takes beside two floats. Everything else gives nothing, and that is told."""


def note_types(run: Run, op: str, left: str, right: str, span: Span) -> None:
    run.annotations.info(
        f'incompatible sample types encountered for binary operator "{op}": {left} {op} {right}', span
    )


def combine_histograms(run: Run, op: str, return_bool: bool, left: Block, right: Block, span: Span) -> Block:
    """`left op right` in the cells where both sides have a sample and not both of them a float."""
    pairs = {
        BOTH: _histograms(left) & _histograms(right),
        FIRST: _histograms(left) & right.present,
        SECOND: left.present & _histograms(right),
    }
    met = {kinds: cells for kinds, cells in pairs.items() if cells.any()}
    for kinds in met.keys() - TAKES.get(op, ()):
        note_types(run, op, *kinds, span)
    taken = {kinds: cells for kinds, cells in met.items() if kinds in TAKES.get(op, ())}
    if op in ("==", "!="):
        return _compared(op, return_bool, left, right, taken.get(BOTH, np.zeros_like(left.present)))
    parts = [_computed(run, op, left, right, kinds, cells, span) for kinds, cells in taken.items()]
    rows = np.arange(len(left))
    histograms = HistogramCells.joined(left.values.shape, [(rows, part) for part in parts])
    return Block(np.zeros(left.values.shape), np.zeros_like(left.present), histograms)


def _compared(op: str, return_bool: bool, left: Block, right: Block, cells: Bools) -> Block:
    """0 or 1, or as in Prometheus the histogram of the left side, whichever side has the labels."""
    true = np.zeros_like(cells)
    if cells.any():
        true[cells] = kernel.histogram_equal(_at(left, cells), _at(right, cells)) == (op == "==")
    if return_bool:
        return Block(true.astype(np.float64), cells)
    kept = left.kept(true)
    return Block(kept.values, np.zeros_like(cells), kept.histograms)


def _computed(
    run: Run, op: str, left: Block, right: Block, kinds: tuple[str, str], cells: Bools, span: Span
) -> HistogramCells:
    if kinds == BOTH:
        return _added(run, op, _at(left, cells), _at(right, cells), cells, span)
    histograms, floats = (left, right) if kinds == FIRST else (right, left)
    pool, factors = _at(histograms, cells), np.ascontiguousarray(floats.values[cells])
    if op in ("</", ">/"):
        return HistogramCells.at(cells, kernel.histogram_trim(pool, factors, op == "</"))
    return HistogramCells.at(cells, kernel.histogram_scale(pool, factors, op == "/"))


def _added(
    run: Run, op: str, left: Histograms, right: Histograms, cells: Bools, span: Span
) -> HistogramCells:
    pool, notes, ok = kernel.histogram_add(left, right, op == "-")
    noted = int(np.bitwise_or.reduce(notes))
    operation = SUBTRACTION if op == "-" else ADDITION
    tell(
        run.annotations, noted & (kernel.Note.BOUNDS_RECONCILED | kernel.Note.HINTS_COLLIDE), span, operation
    )
    if not ok.all():
        run.annotations.warn(f"incompatible bucket layout encountered for binary operator {op}", span)
    index = np.full(cells.shape, -1, dtype=np.int64)
    index[cells] = np.where(ok, np.arange(len(ok)), -1)
    return HistogramCells(index, pool)


def _histograms(block: Block) -> Bools:
    return np.zeros_like(block.present) if block.histograms is None else block.histograms.present


def _at(block: Block, cells: Bools) -> Histograms:
    """The histograms of these cells, all of which have one, row by row."""
    assert block.histograms is not None
    return block.histograms.pool.take(block.histograms.index[cells])
