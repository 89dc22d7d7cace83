"""Functions of native histograms alone; floats give nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from rondel.model.histogram import Histograms
from rondel.promql import kernel
from rondel.promql.matrix import Block, Floats, Grid
from rondel.promql.operators.node import RowWise, Run, Stream, VectorNode, drop_names

__all__ = ["OF_HISTOGRAMS", "OfHistogram"]


def _average(histograms: Histograms) -> Floats:
    average: Floats = histograms.sums() / histograms.counts()
    return average


OF_HISTOGRAMS: Final[Mapping[str, Callable[[Histograms], Floats]]] = {
    "histogram_avg": _average,
    "histogram_count": Histograms.counts,
    "histogram_stddev": lambda histograms: np.sqrt(kernel.histogram_variance(histograms)),
    "histogram_stdvar": kernel.histogram_variance,
    "histogram_sum": Histograms.sums,
}


@dataclass(frozen=True, slots=True)
class OfHistogram(RowWise):
    """A function of `OF_HISTOGRAMS`."""

    function: str
    child: VectorNode
    grid: Grid

    def title(self) -> str:
        return f"map {self.function}"

    def open(self, run: Run) -> Stream:
        stream = self.child.open(run)
        blocks = self._blocks(run, stream)
        return drop_names(run, Stream(stream.labels, stream.drop_name, blocks), self.grid.count)

    def _blocks(self, run: Run, stream: Stream) -> Iterator[Block]:
        for block in stream.blocks:
            run.control.check()
            if block.histograms is None:
                yield block.kept(np.zeros(1, dtype=np.bool_))
                continue
            cells = block.histograms.compact()
            values = OF_HISTOGRAMS[self.function](cells.pool)
            yield Block(values[cells.index], cells.present)
