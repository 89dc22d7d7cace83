"""Histograms in remote read: in messages of samples, and in chunks that are cut where they must be."""

import numpy as np

from rondel.model import remote_read
from rondel.model.frame import HistogramSamples, SeriesFrame
from rondel.model.histogram import Histograms
from rondel.model.labels import LabelSets
from rondel.model.tsdb import histogram_chunk_decode, xor_decode
from tests.support.remote_read import frames_of, series_of

ONE = {
    "schema": 1,
    "count": 3.0,
    "sum": -1.5,
    "zero_count": 1.0,
    "zero_threshold": 0.5,
    "positive": {-1: 2.0},
}


def frame(histograms: list[dict[str, object]], floats: list[tuple[int, float]]) -> SeriesFrame:
    """Two series: floats and histograms (at 0, 10, 20 ...) in the first, nothing in the second."""
    count = len(histograms)
    return SeriesFrame(
        LabelSets.from_dicts([{"__name__": "h"}, {"__name__": "nothing"}]),
        np.array([0, len(floats), len(floats)]),
        np.array([time for time, _ in floats], np.int64),
        np.array([value for _, value in floats], np.float64),
        None,
        HistogramSamples(
            np.array([0, count, count]), np.arange(count) * 10, Histograms.from_dicts(histograms)
        ),
    )


def test_a_message_has_floats_and_histograms() -> None:
    buckets = {"custom_values": [0.5, 1.0], "positive": {2: 2.0}}
    custom = {"schema": -53, "count": 2.0, "hint": "gauge", **buckets}
    part = remote_read.series(frame([{**ONE, "hint": "reset"}, custom], [(5, 0.25)]))
    ((series,),) = series_of(remote_read.response([[part]]))
    assert series.samples == [(5, 0.25)]
    first, second = series.histograms
    assert (first.count_float, first.sum, first.zero_count_float, first.zero_threshold) == (
        3.0,
        -1.5,
        1.0,
        0.5,
    )
    assert (first.schema, first.reset_hint, first.timestamp) == (1, 1, 0)
    assert [(span.offset, span.length) for span in first.positive_spans] == [(-1, 1)]
    assert list(first.positive_counts) == [2.0]
    assert (second.schema, second.reset_hint, second.timestamp) == (-53, 3, 10)
    assert list(second.custom_values) == [0.5, 1.0]


def test_chunks_of_both_kinds_come_in_the_order_of_time() -> None:
    following = [{**ONE, "hint": "not_reset"}] * 130
    histograms = [*following, {**ONE, "hint": "reset"}, {**ONE, "positive": {4: 1.0}, "hint": "not_reset"}]
    body = remote_read.chunked(frame(histograms, [(15, 1.0), (16, 2.0)]), 3, 1 << 20)
    (found,) = frames_of(body)
    assert (found.query, found.labels) == (3, (("__name__", "h"),))
    assert [(first, last, kind) for first, last, kind, _ in found.chunks] == [
        (0, 1190, 3),
        (15, 16, 1),
        (1200, 1290, 3),
        (1300, 1300, 3),
        (1310, 1310, 3),
    ]
    times, values = [], []
    for _, _, kind, data in found.chunks:
        if kind == 1:
            assert xor_decode(data)[1].tolist() == [1.0, 2.0]
            continue
        own_times, own = histogram_chunk_decode(data)
        times += own_times.tolist()
        values += [{**own[at], "hint": ""} for at in range(len(own))]
    expected = Histograms.from_dicts(histograms)
    assert times == [at * 10 for at in range(132)]
    assert values == [{**expected[at], "hint": ""} for at in range(132)]
