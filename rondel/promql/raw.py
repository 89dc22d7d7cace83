"""The answer of an instant query that is a range vector: samples of one window, as they are stored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rondel.model.frame import HistogramSamples, SeriesFrame
from rondel.model.histogram import Histograms
from rondel.model.labels import LabelSets
from rondel.promql.hints import untold_resets
from rondel.promql.matrix import Bools, Floats
from rondel.promql.operators.node import STALE_BITS, RangeNode, RangeStream, Run, Samples

__all__ = ["RawSamples"]

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class RawSamples:
    """The samples of all rows of a stream that lie in the window, staleness markers left out."""

    batches: list[Samples]

    @classmethod
    def of(cls, run: Run, node: RangeNode, stream: RangeStream) -> RawSamples:
        """Raises ExecutionError where they are more than the query may hold."""
        kept = []
        for batch in stream.batches:
            run.control.check()
            kept.append(_in_window(batch, node.window.start_ms - node.range_ms, node.window.start_ms))
            own = kept[-1].histograms
            run.control.hold(len(kept[-1].values), len(kept[-1].values) * 16)
            if own is not None:
                run.control.hold(len(own.values), own.size_bytes)
        return cls(kept)

    @property
    def sizes(self) -> Ints:
        """int64[rows]: samples of both kinds"""
        return _sizes([one.offsets for one in self.batches]) + self._histogram_sizes()

    def _histogram_sizes(self) -> Ints:
        none = [np.zeros_like(one.offsets) for one in self.batches]
        own = [one.histograms for one in self.batches]
        return _sizes([zeros if one is None else one.offsets for zeros, one in zip(none, own, strict=True)])

    def frame(self, labels: LabelSets, order: Ints) -> SeriesFrame:
        """The rows in this order, under these labels, which are those of all rows."""
        floats = _sizes([one.offsets for one in self.batches])
        offsets, pick = _picked(floats, order)
        times_ms = np.concatenate([np.zeros(0, dtype=np.int64), *(one.timestamps_ms for one in self.batches)])
        values = np.concatenate([np.zeros(0), *(one.values for one in self.batches)])
        own = self._histograms(order)
        return SeriesFrame(labels.take(order), offsets, times_ms[pick], values[pick], histograms=own)

    def _histograms(self, order: Ints) -> HistogramSamples | None:
        parts = [one.histograms for one in self.batches if one.histograms is not None]
        if not parts:
            return None
        offsets, pick = _picked(self._histogram_sizes(), order)
        times_ms = np.concatenate([part.timestamps_ms for part in parts])
        pool = Histograms.concat([part.values for part in parts])
        return HistogramSamples(offsets, times_ms[pick], pool.take(pick))


def _in_window(batch: Samples, after_ms: int, until_ms: int) -> Samples:
    """What lies in `(after, until]`. Of a float and a histogram at one time the histogram is there."""
    kept = _live(batch.values, batch.timestamps_ms, after_ms, until_ms)
    own = batch.histograms
    if own is not None:
        live = _live(own.values.sums(), own.timestamps_ms, after_ms, until_ms)
        kept &= ~np.isin(
            _keys(batch.offsets, batch.timestamps_ms, after_ms, until_ms),
            _keys(own.offsets, own.timestamps_ms, after_ms, until_ms)[live],
        )
        pool = untold_resets(own.values.take(np.flatnonzero(live)))
        own = HistogramSamples(_ends(live)[own.offsets], own.timestamps_ms[live], pool)
    return Samples(_ends(kept)[batch.offsets], batch.timestamps_ms[kept], batch.values[kept], histograms=own)


def _live(values: Floats, times_ms: Ints, after_ms: int, until_ms: int) -> Bools:
    inside: Bools = (times_ms > after_ms) & (times_ms <= until_ms)
    inside &= values.view(np.uint64) != STALE_BITS
    return inside


def _keys(offsets: Ints, times_ms: Ints, after_ms: int, until_ms: int) -> Ints:
    """A number for each row and time in the window; times outside get one of its edges."""
    rows = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return rows * (until_ms - after_ms + 1) + np.clip(times_ms, after_ms, until_ms) - after_ms


def _ends(kept: Bools) -> Ints:
    """int64[n + 1]: how many are kept before each"""
    return np.concatenate([[0], np.cumsum(kept)]).astype(np.int64)


def _sizes(offsets: list[Ints]) -> Ints:
    return np.concatenate([np.zeros(0, dtype=np.int64), *(np.diff(one) for one in offsets)])


def _picked(sizes: Ints, order: Ints) -> tuple[Ints, Ints]:
    """Offsets of rows in another order, and where each of their samples was."""
    first = np.cumsum(sizes) - sizes
    picks = [np.arange(first[row], first[row] + sizes[row]) for row in order.tolist()]
    pick = np.concatenate([np.zeros(0, dtype=np.int64), *picks])
    return np.concatenate([[0], np.cumsum(sizes[order])]).astype(np.int64), pick
