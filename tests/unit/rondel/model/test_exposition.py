"""The latest sample of a series, floats and histograms, and the protobuf of it."""

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from rondel.errors import InvalidData
from rondel.model import exposition
from rondel.model.exposition import Latest, latest
from rondel.model.frame import HistogramSamples, SeriesFrame
from rondel.model.histogram import Histograms
from rondel.model.labels import LabelSets
from tests.support.prompb.metrics_pb2 import MetricFamily

STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
HISTOGRAM = {
    "schema": 0,
    "count": 10.0,
    "sum": 3.5,
    "zero_count": 1.0,
    "zero_threshold": 0.001,
    "positive": {-2: 1.0, -1: 2.0, 3: 4.0},
    "negative": {1: 2.0},
}

Floats = list[tuple[int, float]]
Own = list[tuple[int, dict[str, Any]]]


def frame(*series: tuple[str, Floats, Own]) -> SeriesFrame:
    floats = [sample for _, samples, _ in series for sample in samples]
    own = [sample for _, _, samples in series for sample in samples]
    return SeriesFrame(
        LabelSets.from_dicts([{"__name__": name} for name, _, _ in series]),
        np.cumsum([0, *(len(samples) for _, samples, _ in series)]),
        np.array([time for time, _ in floats], np.int64),
        np.array([value for _, value in floats], np.float64),
        None,
        HistogramSamples(
            np.cumsum([0, *(len(samples) for _, _, samples in series)]),
            np.array([time for time, _ in own], np.int64),
            Histograms.from_dicts([value for _, value in own]),
        ),
    )


def found(rows: Latest) -> dict[str, tuple[int, float]]:
    """Time, and the value of a float or the count of a histogram."""
    return {
        rows.labels[at]["__name__"]: (
            int(rows.timestamps_ms[at]),
            float(rows.values[at]) if index < 0 else rows.histograms[index]["count"],
        )
        for at, index in enumerate(rows.index.tolist())
    }


def test_the_later_of_both_kinds_counts_and_a_histogram_where_they_meet() -> None:
    stale = {"sum": STALE}
    parts = frame(
        ("float", [(1, 1.0), (2, 2.0)], []),
        ("histogram", [], [(1, HISTOGRAM)]),
        ("later_float", [(3, 7.0)], [(2, HISTOGRAM)]),
        ("later_histogram", [(1, 7.0)], [(2, HISTOGRAM)]),
        ("both", [(2, 7.0)], [(2, HISTOGRAM)]),
        ("nothing", [], []),
        ("stale_histogram_and_float", [(2, 7.0)], [(2, stale)]),
        ("stale_float_and_histogram", [(2, STALE)], [(2, HISTOGRAM)]),
        ("ended_by_float", [(3, STALE)], [(2, HISTOGRAM)]),
        ("ended_by_histogram", [(2, 7.0)], [(3, stale)]),
        ("ended_twice", [(2, STALE)], [(2, stale)]),
    )
    assert found(latest(parts)) == {
        "float": (2, 2.0),
        "histogram": (1, 10.0),
        "later_float": (3, 7.0),
        "later_histogram": (2, 10.0),
        "both": (2, 10.0),
        "stale_histogram_and_float": (2, 7.0),
        "stale_float_and_histogram": (2, 10.0),
    }


def test_parts_are_joined_in_the_order_of_names() -> None:
    gauge = {**HISTOGRAM, "count": 11.0}
    parts = [frame(("b", [], [(1, HISTOGRAM)]), ("c", [(1, 3.0)], [])), frame(("a", [], [(2, gauge)]))]
    rows = Latest.concat([latest(part) for part in parts])
    assert list(found(rows).items()) == [("a", (2, 11.0)), ("b", (1, 10.0)), ("c", (1, 3.0))]
    assert found(Latest.concat([])) == {}


def families(rows: Latest) -> Iterator[Any]:
    data = exposition.protobuf(rows, "allow-utf-8")
    while data:
        size = shift = 0
        while True:
            byte, data = data[0], data[1:]
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        yield MetricFamily.FromString(data[:size])
        data = data[size:]


def test_histograms_are_native_in_protobuf_and_left_out_of_text() -> None:
    gauge = {**HISTOGRAM, "hint": "gauge"}
    parts = frame(("a", [(7, 0.5)], []), ("b", [], [(8, HISTOGRAM)]), ("c", [], [(9, gauge)]))
    rows = latest(parts)
    assert exposition.text(rows, "underscores") == b'# TYPE a untyped\na{instance=""} 0.5 7\n'
    a, b, c = families(rows)
    assert (a.name, a.type, a.metric[0].untyped.value, a.metric[0].timestamp_ms) == ("a", 3, 0.5, 7)
    assert [(pair.name, pair.value) for pair in a.metric[0].label] == [("instance", "")]
    own = b.metric[0].histogram
    assert (b.type, c.type) == (4, 5)
    assert (own.sample_count_float, own.sample_sum, own.zero_count_float) == (10.0, 3.5, 1.0)
    assert own.HasField("schema")
    assert own.zero_threshold == 0.001
    assert [(span.offset, span.length) for span in own.positive_span] == [(-2, 2), (3, 1)]
    assert [(span.offset, span.length) for span in own.negative_span] == [(1, 1)]
    assert list(own.positive_count) == [1.0, 2.0, 4.0]
    assert list(own.negative_count) == [2.0]


def test_custom_buckets_are_the_classic_ones_that_they_stand_for() -> None:
    custom = {
        "schema": -53,
        "custom_values": [0.5, 1.0, 2.0],
        "count": 7.0,
        "positive": {0: 1.0, 2: 4.0, 3: 2.0},
    }
    (family,) = families(latest(frame(("custom", [], [(1, custom)]))))
    buckets = family.metric[0].histogram.bucket
    assert [(bucket.upper_bound, bucket.cumulative_count_float) for bucket in buckets] == [
        (0.5, 1.0),
        (1.0, 1.0),
        (2.0, 5.0),
        (float("inf"), 7.0),
    ]
    assert not family.metric[0].histogram.HasField("schema")


def test_an_empty_histogram_is_still_a_native_one() -> None:
    (family,) = families(latest(frame(("empty", [], [(1, {"schema": 3})]))))
    (span,) = family.metric[0].histogram.positive_span
    assert (span.offset, span.length) == (0, 0)


def test_what_does_not_fit_is_refused() -> None:
    rows = latest(frame(("a", [(1, 1.0)], [])))
    with pytest.raises(InvalidData, match="escaping"):
        exposition.text(rows, "shouting")
    with pytest.raises(InvalidData, match="do not fit"):
        exposition.text(
            Latest(rows.labels, rows.timestamps_ms[:0], rows.values, rows.index, rows.histograms), "dots"
        )
    with pytest.raises(InvalidData, match="do not fit"):
        exposition.protobuf(
            Latest(rows.labels, rows.timestamps_ms, rows.values, rows.index + 1, rows.histograms), "dots"
        )
