"""Histograms keep what they were given, and refuse what is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rondel.errors import InvalidData
from rondel.model.histogram import Histograms

EXPONENTIAL: dict[str, Any] = {
    "schema": 3,
    "count": 9.0,
    "sum": 12.5,
    "zero_count": 2.0,
    "zero_threshold": 0.001,
    "positive": {-1: 1.0, 4: 4.0},
    "negative": {0: 2.0},
    "custom_values": [],
    "hint": "not_reset",
}
CUSTOM: dict[str, Any] = {
    "schema": -53,
    "count": 3.0,
    "sum": 7.0,
    "zero_count": 0.0,
    "zero_threshold": 0.0,
    "positive": {0: 1.0, 2: 2.0},
    "negative": {},
    "custom_values": [1.0, 5.0],
    "hint": "unknown",
}


def test_a_histogram_comes_back_as_it_was_given() -> None:
    both = Histograms.from_dicts([EXPONENTIAL, CUSTOM])
    assert [both[0], both[-1]] == [EXPONENTIAL, CUSTOM]
    np.testing.assert_array_equal(both.counts(), [9.0, 3.0])
    np.testing.assert_array_equal(both.sums(), [12.5, 7.0])
    np.testing.assert_array_equal(both.schemas(), [EXPONENTIAL["schema"], -53])


def test_histograms_are_picked_and_joined_in_order() -> None:
    one, other = Histograms.from_dicts([EXPONENTIAL]), Histograms.from_dicts([CUSTOM])
    all_of_them = Histograms.concat([one, other, one]).take([2, 1])
    assert [all_of_them[i] for i in range(len(all_of_them))] == [EXPONENTIAL, CUSTOM]
    with pytest.raises(IndexError, match="histogram 3 of 2"):
        all_of_them.take([3])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"schema": 9}, "histogram schema 9, want -4 to 8 or -53"),
        ({"zero_threshold": -1.0}, "zero threshold -1 of a histogram"),
        ({"custom_values": [1.0]}, "exponential buckets lists bounds"),
        ({"schema": -53, "custom_values": [2.0, 1.0]}, "custom bounds of a histogram do not ascend"),
        (
            {"schema": -53, "custom_values": [1.0], "positive": {2: 1.0}},
            "custom bucket 2 of a histogram with 1",
        ),
        ({"schema": -53, "negative": {0: 1.0}}, "negative buckets or a zero threshold"),
    ],
)
def test_what_is_no_histogram_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidData, match=message):
        Histograms.from_dicts([wrong])


def test_hints_are_read_and_replaced_as_numbers() -> None:
    before = Histograms.from_dicts([EXPONENTIAL | {"hint": "gauge"}, CUSTOM | {"hint": "reset"}])
    np.testing.assert_array_equal(before.hints(), [3, 1])
    after = before.with_hints(np.array([0, 2], dtype=np.uint8))
    assert [after[0], after[1]] == [EXPONENTIAL | {"hint": "unknown"}, CUSTOM | {"hint": "not_reset"}]
    assert before[0]["hint"] == "gauge"
    for wrong in ([0], [0, 4]):
        with pytest.raises(ValueError, match="want 2 hints"):
            before.with_hints(np.array(wrong, dtype=np.uint8))
