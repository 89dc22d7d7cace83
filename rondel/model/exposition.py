"""The latest sample of many series in the formats of a scrape: the thin door to their native half."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rondel import _native
from rondel.model.frame import SeriesFrame
from rondel.model.histogram import Histograms
from rondel.model.labels import LabelSets

__all__ = ["ESCAPINGS", "Latest", "latest", "protobuf", "text"]

ESCAPINGS = ("allow-utf-8", "underscores", "dots", "values")
"""Ways to spell names that are not of letters, digits, underscores and colons alone."""

_STALE_BITS = np.uint64(0x7FF0_0000_0000_0002)
_NEVER_MS = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True, eq=False)
class Latest:
    """One sample a series: a float, or a histogram where `index` is not -1."""

    labels: LabelSets
    timestamps_ms: NDArray[np.int64]
    values: NDArray[np.float64]
    index: NDArray[np.int64]
    histograms: Histograms

    @classmethod
    def concat(cls, parts: list[Latest]) -> Latest:
        """All series of all parts, in the order in which a scrape shows them."""
        starts = np.cumsum([0, *(len(one.histograms) for one in parts)])
        index = [np.where(one.index < 0, -1, one.index + start) for one, start in zip(parts, starts)]
        labels = LabelSets.concat([one.labels for one in parts])
        order = labels.sort_order()
        return cls(
            labels.take(order),
            np.concatenate([np.empty(0, np.int64), *(one.timestamps_ms for one in parts)])[order],
            np.concatenate([np.empty(0, np.float64), *(one.values for one in parts)])[order],
            np.concatenate([np.empty(0, np.int64), *index])[order],
            Histograms.concat([one.histograms for one in parts]),
        )


def latest(frame: SeriesFrame) -> Latest:
    """The last sample of each series; series without one, and those that have ended, are left out.

    At one time a histogram is seen before a float, unless it is a staleness marker and the float is none.
    """
    times_ms, at = _last(frame.offsets, frame.timestamps_ms)
    values = np.append(frame.values, np.nan)[at]
    stale = values.view(np.uint64) == _STALE_BITS
    index = np.full(len(values), -1, np.int64)
    histograms = Histograms.from_dicts([])
    own = frame.histograms
    if own is not None and len(own.values):
        own_times_ms, own_at = _last(own.offsets, own.timestamps_ms)
        own_stale = (np.append(own.values.sums(), np.nan)[own_at]).view(np.uint64) == _STALE_BITS
        wins = (own_times_ms > times_ms) | ((own_times_ms == times_ms) & (stale | ~own_stale))
        wins &= own_times_ms != _NEVER_MS
        index[wins] = np.arange(int(wins.sum()))
        histograms = own.values.take(own_at[wins])
        times_ms, stale = np.where(wins, own_times_ms, times_ms), np.where(wins, own_stale, stale)
    kept = np.flatnonzero((times_ms != _NEVER_MS) & ~stale)
    return Latest(frame.labels.take(kept), times_ms[kept], values[kept], index[kept], histograms)


def _last(
    offsets: NDArray[np.int64], timestamps_ms: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Time and place of the last sample of each series; of one without any, never and one past the end."""
    at = np.where(np.diff(offsets) > 0, offsets[1:] - 1, len(timestamps_ms))
    return np.append(timestamps_ms, _NEVER_MS)[at], at


def text(rows: Latest, escaping: str) -> bytes:
    """The text format; it has no native histograms, which are left out."""
    return _native.exposition_text(
        rows.labels, rows.timestamps_ms, rows.values, escaping, (rows.index, rows.histograms)
    )


def protobuf(rows: Latest, escaping: str) -> bytes:
    """Delimited MetricFamily messages, native histograms among them."""
    return _native.exposition_protobuf(
        rows.labels, rows.timestamps_ms, rows.values, escaping, (rows.index, rows.histograms)
    )
