"""Named cases of the API's JSON; the laws are in tests/properties/test_render.py."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

from rondel.errors import InvalidData
from rondel.model.frame import HistogramSamples, SeriesFrame
from rondel.model.histogram import Histograms
from rondel.model.labels import LabelSets
from rondel.promql import kernel, render
from rondel.promql.result import InstantVector, RangeMatrix, Scalar


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (-1.0, "-1"),
        (100.0, "100"),
        (0.1, "0.1"),
        (1e16, "10000000000000000"),
        (2.0**60, "1152921504606847000"),
        (123456789.125, "123456789.125"),
        (0.00001, "0.00001"),
        (1e-6, "0.000001"),
        (9.5e-7, "9.5e-07"),
        (1e-7, "1e-07"),
        (1e21, "1e+21"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (5e-324, "5e-324"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
        (float("nan"), "NaN"),
        (0.0, "0"),
        (-0.0, "-0"),
    ],
)
def test_sample_values_have_the_digits_of_prometheus(value: float, text: str) -> None:
    body = render.data(InstantVector(LabelSets.from_dicts([{}]), 0, np.array([value])))
    assert json.loads(body)["result"] == [{"metric": {}, "value": [0, text]}]


def test_scalars_have_no_exponent() -> None:
    assert json.loads(render.data(Scalar(0, 1e-7)))["result"] == [0, "0.0000001"]
    assert json.loads(render.data(Scalar(0, 1e22)))["result"] == [0, "1" + "0" * 22]


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [
        (1_700_000_000_000, "1700000000"),
        (1_700_000_000_005, "1700000000.005"),
        (1_435_781_451_781, "1435781451.781"),
        (1500, "1.5"),
        (-1, "-0.001"),
        (-1500, "-1.5"),
        (-(2**63), "-9223372036854775.808"),
    ],
)
def test_times_are_seconds_with_the_decimals_they_need(time_ms: int, text: str) -> None:
    assert render.data(Scalar(time_ms, 0)).decode() == f'{{"resultType":"scalar","result":[{text},"0"]}}'


def test_result_type_comes_first_and_stats_last() -> None:
    empty = RangeMatrix(LabelSets.from_dicts([]), 0, 1, np.zeros((0, 2)), np.zeros((0, 2), dtype=np.bool_))
    assert render.data(empty) == b'{"resultType":"matrix","result":[]}'
    assert render.data(empty, b'{"a":1}') == b'{"resultType":"matrix","result":[],"stats":{"a":1}}'


def test_a_large_matrix_is_written_in_order() -> None:
    count, steps = 3000, 100
    labels = LabelSets.from_dicts([{"i": str(i)} for i in range(count)])
    values = np.arange(count * steps, dtype=np.float64).reshape(count, steps) / 4
    body = json.loads(render.data(RangeMatrix(labels, 0, 1000, values, values % 1 != 0.5)))
    assert [series["metric"]["i"] for series in body["result"]] == [str(i) for i in range(count)]
    expected = [[k, repr(float(v)).removesuffix(".0")] for k, v in enumerate(values[-1]) if v % 1 != 0.5]
    assert body["result"][-1]["values"] == expected


def test_values_that_do_not_fit_the_labels_are_refused() -> None:
    with pytest.raises(InvalidData, match="2 values do not fit 1 series"):
        render.data(InstantVector(LabelSets.from_dicts([{}]), 0, np.zeros(2)))


EXPONENTIAL = {
    "count": 12,
    "sum": -0.5,
    "zero_count": 2,
    "zero_threshold": 0.25,
    "positive": {0: 1, 1: 0, 2: 4},
    "negative": {1: 5},
}
EXPONENTIAL_JSON = {
    "count": "12",
    "sum": "-0.5",
    "buckets": [
        [1, "-2", "-1", "5"],
        [3, "-0.25", "0.25", "2"],
        [0, "0.5", "1", "1"],
        [0, "2", "4", "4"],
    ],
}
CUSTOM = {"schema": -53, "count": 3, "sum": 7, "custom_values": [1, 5], "positive": {0: 1, 2: 2}}
CUSTOM_JSON = {"count": "3", "sum": "7", "buckets": [[3, "-Inf", "1", "1"], [0, "5", "+Inf", "2"]]}
STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]


def test_histograms_of_raw_samples_stand_beside_the_floats_that_they_do_not_hide() -> None:
    labels = LabelSets.from_dicts([{"i": "a"}, {"i": "b"}, {"i": "c"}])
    markers = Histograms.from_dicts([EXPONENTIAL, {"sum": STALE}, CUSTOM, {"sum": STALE}])
    samples = HistogramSamples(np.array([0, 2, 3, 4]), np.array([1000, 2000, 1500, 1000]), markers)
    frame = SeriesFrame(
        labels,
        np.array([0, 3, 3, 4]),
        np.array([1000, 2000, 3000, 1000]),
        np.array([1.0, 2.0, 3.0, STALE]),
        histograms=samples,
    )
    assert json.loads(render.data(frame))["result"] == [
        {"metric": {"i": "a"}, "values": [[2, "2"], [3, "3"]], "histograms": [[1, EXPONENTIAL_JSON]]},
        {"metric": {"i": "b"}, "histograms": [[1.5, CUSTOM_JSON]]},
    ]


def test_a_histogram_without_counts_has_no_buckets() -> None:
    empty = Histograms.from_dicts([{"positive": {3: 0}}])
    body = kernel.json_vector(
        LabelSets.from_dicts([{}]), 1500, np.zeros(1), (np.zeros(1, dtype=np.int64), empty)
    )
    assert json.loads(body)["result"] == [{"metric": {}, "histogram": [1.5, {"count": "0", "sum": "0"}]}]


def test_histograms_that_are_not_there_are_refused() -> None:
    labels = LabelSets.from_dicts([{}])
    with pytest.raises(InvalidData, match="1 indexes of 0 histograms do not fit 1 cells"):
        kernel.json_vector(labels, 0, np.zeros(1), (np.zeros(1, dtype=np.int64), Histograms.from_dicts([])))
