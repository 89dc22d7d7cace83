"""What one frame has that another lacks, against the same by dictionaries."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rondel.model.frame import HistogramSamples, SeriesFrame
from rondel.model.histogram import Histograms
from rondel.model.labels import LabelSets
from services.ingester.lacking import lacking, rows_in

_TIMES = st.lists(st.integers(-5, 5), unique=True, max_size=5).map(sorted)
_SERIES = st.dictionaries(st.sampled_from("abcdef"), st.tuples(_TIMES, _TIMES), max_size=6)

Kinds = dict[str, tuple[list[int], list[int]]]


def labels_of(series: Kinds) -> LabelSets:
    return LabelSets.from_dicts([{"__name__": name} for name in series])


def column(times: list[list[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return (
        np.cumsum([0, *map(len, times)], dtype=np.int64),
        np.array([time for one in times for time in one], np.int64),
    )


def frame_of(series: Kinds) -> SeriesFrame:
    """Floats, and histograms where any series has one; values are the times."""
    offsets, times = column([floats for floats, _ in series.values()])
    own_offsets, own_times = column([histograms for _, histograms in series.values()])
    histograms = None
    if len(own_times):
        values = Histograms.from_dicts(
            [{"count": float(time + 9), "sum": 1.0} for time in own_times.tolist()]
        )
        histograms = HistogramSamples(own_offsets, own_times, values, own_times - 1)
    return SeriesFrame(labels_of(series), offsets, times, times.astype(np.float64), times - 2, histograms)


def kinds_of(frame: SeriesFrame | None, names: Kinds) -> Kinds:
    found: Kinds = {name: ([], []) for name in names}
    if frame is None:
        return found
    own = frame.histograms
    for row, name in enumerate(names):
        span = slice(frame.offsets[row], frame.offsets[row + 1])
        times = frame.timestamps_ms[span].tolist()
        assert frame.values[span].tolist() == times
        assert frame.starts_ms is not None
        assert frame.starts_ms[span].tolist() == [time - 2 for time in times]
        found[name] = (times, [])
        if own is not None and own.starts_ms is not None:
            span = slice(own.offsets[row], own.offsets[row + 1])
            counts = own.values.counts()[span].tolist()
            assert counts == [time + 9 for time in own.timestamps_ms[span].tolist()]
            assert own.starts_ms[span].tolist() == [time - 10 for time in counts]
            found[name] = (times, own.timestamps_ms[span].tolist())
    return found


@given(_SERIES, _SERIES)
def test_it_is_the_difference_of_the_times_of_each_series_and_kind(theirs: Kinds, ours: Kinds) -> None:
    rows = rows_in(labels_of(theirs), labels_of(ours))
    assert rows.tolist() == [list(ours).index(name) if name in ours else -1 for name in theirs]
    known = np.flatnonzero(rows >= 0)
    own = frame_of({name: ours[name] for name in theirs if name in ours})
    expected = {
        name: tuple(
            [time for time in times if time not in have]
            for times, have in zip(kinds, ours.get(name, ([], [])), strict=True)
        )
        for name, kinds in theirs.items()
    }
    found = lacking(frame_of(theirs), own, known)
    assert kinds_of(found, theirs) == expected
    assert (found is None) == (not any(floats or others for floats, others in expected.values()))
