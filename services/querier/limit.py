"""The `limit` parameter of queries: the first so many series of a result."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rondel.model.frame import HistogramSamples, SeriesFrame
from rondel.promql.result import InstantVector, Result, Scalar, Text

__all__ = ["limited"]


def limited(result: Result, limit: int) -> tuple[Result, bool]:
    """The result with at most `limit` series (0: all), and whether some were left out."""
    data = result.data
    if limit == 0 or isinstance(data, Scalar | Text) or len(data.labels) <= limit:
        return result, False
    if isinstance(data, SeriesFrame):
        return replace(result, data=_of_frame(data, limit)), True
    rows = np.arange(limit)
    labels, values = data.labels.take(rows), data.values[:limit]
    cells = None if data.histograms is None else data.histograms.take(rows)
    if isinstance(data, InstantVector):
        return replace(result, data=replace(data, labels=labels, values=values, histograms=cells)), True
    present = data.present[:limit]
    return replace(
        result, data=replace(data, labels=labels, values=values, present=present, histograms=cells)
    ), True


def _of_frame(frame: SeriesFrame, limit: int) -> SeriesFrame:
    """The first series with their samples of both kinds, without start timestamps."""
    own, histograms = frame.histograms, None
    if own is not None:
        until = int(own.offsets[limit])
        pool = own.values.take(np.arange(until))
        histograms = HistogramSamples(own.offsets[: limit + 1], own.timestamps_ms[:until], pool)
    end = int(frame.offsets[limit])
    return SeriesFrame(
        frame.labels.take(np.arange(limit)),
        frame.offsets[: limit + 1],
        frame.timestamps_ms[:end],
        frame.values[:end],
        histograms=histograms,
    )
