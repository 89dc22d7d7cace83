"""Raw samples for answers that are not PromQL: a selection's series in order, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rondel.model.frame import SeriesFrame
from rondel.model.merge import reordered
from rondel.promql.control import Control
from rondel.storage import Selection

__all__ = ["batches", "in_order"]

_BATCH_SAMPLES: Final = 1 << 17
"""Samples that a batch aims at."""
_FIRST_SERIES: Final = 16
_SERIES_MAX: Final = 4096


def in_order(selection: Selection) -> Selection:
    """The selection with its series sorted by their labels, as Prometheus' merges expect them."""
    return reordered(selection, selection.labels.natural_order([], False))


def batches(selection: Selection, control: Control) -> Iterator[SeriesFrame]:
    """All series in order, as many at a time as a batch should hold. Each is charged while it is out."""
    total, at, count = len(selection.labels), 0, _FIRST_SERIES
    while at < total:
        control.check()
        stop = min(total, at + count)
        frame = selection.read(at, stop)
        control.read(frame.samples, frame.size_bytes)
        control.hold(frame.samples, frame.size_bytes)
        try:
            yield frame
        finally:
            control.release(frame.samples, frame.size_bytes)
        # No more than twice as many: one batch of short series says little of the next.
        fitting = _BATCH_SAMPLES * (stop - at) // max(1, frame.samples)
        count = max(1, min(2 * count, fitting, _SERIES_MAX))
        at = stop
