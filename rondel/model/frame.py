"""`SeriesFrame`: many series with their samples as flat arrays, the type between all hops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rondel.model.histogram import Histograms
from rondel.model.labels import LabelSets

if TYPE_CHECKING:
    from rondel._native import ExemplarArrays, FrameArrays

__all__ = ["ExemplarFrame", "HistogramSamples", "SeriesFrame"]


@dataclass(frozen=True, slots=True, eq=False)
class HistogramSamples:
    """The histogram samples of `n` series, laid out as their floats are."""

    offsets: NDArray[np.int64]
    """int64[n + 1]"""
    timestamps_ms: NDArray[np.int64]
    """int64[k]"""
    values: Histograms
    """k histograms"""
    starts_ms: NDArray[np.int64] | None = None
    """int64[k], 0 where a sample has none; None where no sample has one"""

    @property
    def size_bytes(self) -> int:
        starts = 0 if self.starts_ms is None else self.starts_ms.nbytes
        return self.offsets.nbytes + self.timestamps_ms.nbytes + starts + self.values.size_bytes


@dataclass(frozen=True, slots=True, eq=False)
class SeriesFrame:
    """`n` series with `m` float samples in all, and histogram samples beside them where there are any.

    Samples of series `i` are `[offsets[i], offsets[i + 1])` of the flat arrays, strictly ascending in
    time. Values keep every bit, NaN payloads and staleness markers included. A series may have both
    kinds of samples; at one time a histogram is seen before a float, unless it is a staleness marker and the
    float is none.
    """

    labels: LabelSets
    offsets: NDArray[np.int64]
    """int64[n + 1]"""
    timestamps_ms: NDArray[np.int64]
    """int64[m]"""
    values: NDArray[np.float64]
    """float64[m]"""
    starts_ms: NDArray[np.int64] | None = None
    """int64[m]: when the counter of a sample began, 0 where unknown; None where no sample has it"""
    histograms: HistogramSamples | None = None

    @classmethod
    def of(cls, labels: LabelSets, arrays: FrameArrays) -> SeriesFrame:
        """The frame of what a native call answered."""
        offsets, timestamps_ms, values, starts_ms, histograms = arrays
        samples = None
        if histograms is not None:
            own_offsets, own_times_ms, own_starts_ms, own = histograms
            samples = HistogramSamples(own_offsets, own_times_ms, own, own_starts_ms)
        return cls(labels, offsets, timestamps_ms, values, starts_ms, samples)

    def arrays(self) -> FrameArrays:
        """What a native call takes."""
        own = self.histograms
        packed = None if own is None else (own.offsets, own.timestamps_ms, own.starts_ms, own.values)
        return self.offsets, self.timestamps_ms, self.values, self.starts_ms, packed

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def samples(self) -> int:
        """Float and histogram samples."""
        return len(self.values) + (0 if self.histograms is None else len(self.histograms.values))

    @property
    def size_bytes(self) -> int:
        """Bytes of the sample arrays."""
        starts = 0 if self.starts_ms is None else self.starts_ms.nbytes
        own = 0 if self.histograms is None else self.histograms.size_bytes
        return self.offsets.nbytes + self.timestamps_ms.nbytes + self.values.nbytes + starts + own


@dataclass(frozen=True, slots=True, eq=False)
class ExemplarFrame:
    """The exemplars of `n` series: single observations, most with the id of a trace among their labels."""

    labels: LabelSets
    """of the series"""
    offsets: NDArray[np.int64]
    """int64[n + 1]"""
    timestamps_ms: NDArray[np.int64]
    """int64[k], ascending within a series"""
    values: NDArray[np.float64]
    """float64[k]"""
    exemplar_labels: LabelSets
    """k sets"""

    @classmethod
    def of(cls, labels: LabelSets, arrays: ExemplarArrays) -> ExemplarFrame:
        """The frame of what a native call answered."""
        return cls(labels, *arrays)

    def arrays(self) -> ExemplarArrays:
        """What a native call takes."""
        return self.offsets, self.timestamps_ms, self.values, self.exemplar_labels

    def __len__(self) -> int:
        return len(self.offsets) - 1
