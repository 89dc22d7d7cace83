"""What a frame has that another lacks: whole arrays, no sample by itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rondel.model.frame import HistogramSamples, SeriesFrame
from rondel.model.labels import LabelSets

__all__ = ["lacking", "rows_in"]

_Ints = NDArray[np.int64]
_Bools = NDArray[np.bool_]


def rows_in(labels: LabelSets, others: LabelSets) -> _Ints:
    """int64[n]: of each set its place among the others, or -1."""
    if not len(others):
        return np.full(len(labels), -1, np.int64)
    wanted, found = labels.fingerprints(), others.fingerprints()
    order = np.argsort(found[:, 0])
    places = order[np.minimum(np.searchsorted(found[order, 0], wanted[:, 0]), len(order) - 1)]
    return np.where((found[places] == wanted).all(axis=1), places, -1).astype(np.int64)


def lacking(frame: SeriesFrame, own: SeriesFrame, rows: _Ints) -> SeriesFrame | None:
    """The samples of the frame at times at which `own` has none of the same series and kind; None where there
    are none. `rows` has the place in the frame of each series of `own`.

    Values are not compared: two for one time are a matter of whoever reads both.
    """
    fresh = _fresh(frame.offsets, frame.timestamps_ms, own.offsets, own.timestamps_ms, rows)
    histograms = _lacking_histograms(frame.histograms, own.histograms, rows)
    if histograms is None and not fresh.any():
        return None
    return SeriesFrame(
        frame.labels,
        _offsets(frame.offsets, fresh),
        frame.timestamps_ms[fresh],
        frame.values[fresh],
        None if frame.starts_ms is None else frame.starts_ms[fresh],
        histograms,
    )


def _lacking_histograms(
    found: HistogramSamples | None, own: HistogramSamples | None, rows: _Ints
) -> HistogramSamples | None:
    if found is None:
        return None
    if own is None:
        return found if len(found.values) else None
    fresh = _fresh(found.offsets, found.timestamps_ms, own.offsets, own.timestamps_ms, rows)
    if not fresh.any():
        return None
    return HistogramSamples(
        _offsets(found.offsets, fresh),
        found.timestamps_ms[fresh],
        found.values.take(np.flatnonzero(fresh).astype(np.int64)),
        None if found.starts_ms is None else found.starts_ms[fresh],
    )


def _fresh(offsets: _Ints, times_ms: _Ints, own_offsets: _Ints, own_times_ms: _Ints, rows: _Ints) -> _Bools:
    """bool[m]: whether a sample is at a time that its series does not have."""
    ranks = np.unique(np.concatenate([times_ms, own_times_ms]))
    series = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    own_series = np.repeat(rows, np.diff(own_offsets))
    keys = series * len(ranks) + np.searchsorted(ranks, times_ms)
    own_keys = own_series * len(ranks) + np.searchsorted(ranks, own_times_ms)
    return ~np.isin(keys, own_keys)


def _offsets(offsets: _Ints, kept: _Bools) -> _Ints:
    """Where series begin once only these of their samples are left."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(kept, dtype=np.int64)])[offsets]
