"""`WriteBatch` from arrays."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from rondel.errors import InvalidData
from rondel.model.histogram import Histograms
from rondel.model.labels import LabelSets
from rondel.model.write import WriteBatch


def batch_of(
    labels: list[dict[str, str]], offsets: list[int], times: list[int], values: list[float]
) -> WriteBatch:
    floats = np.array(offsets, np.int64), np.array(times, np.int64), np.array(values, np.float64)
    return WriteBatch.from_arrays(LabelSets.from_dicts(labels), (*floats, None, None))


def test_a_batch_from_arrays_gives_its_series_back() -> None:
    labels = [{"job": "a", "__name__": "up"}, {"__name__": "down", "empty": ""}]
    batch = batch_of(labels, [0, 2, 3], [10, 20, 30], [1.0, 2.0, 3.0])
    assert len(batch) == 2
    assert batch.sample_count == 3
    assert batch.series(0) == ([("__name__", "up"), ("job", "a")], [10, 20], [1.0, 2.0])
    assert batch.series(1) == ([("__name__", "down")], [30], [3.0])
    assert batch.rejections == []
    assert batch.metadata() == []
    assert (batch.histogram_count, batch.exemplar_count) == (0, 0)
    assert batch.starts(0) == []


def test_starts_histograms_and_exemplars_come_back_with_their_series() -> None:
    labels = LabelSets.from_dicts([{"__name__": "floats"}, {"__name__": "both"}, {"__name__": "none"}])
    values = Histograms.from_dicts([{"count": 2.0, "positive": {3: 2.0}}, {"count": 1.0, "hint": "gauge"}])
    histograms = np.array([0, 0, 2, 2]), np.array([40, 50]), np.array([0, 45]), values
    floats = np.array([0, 1, 3, 3]), np.array([10, 20, 30]), np.array([1.0, 2.0, 3.0]), np.array([5, 0, 25])
    exemplars = (
        np.array([0, 1, 1, 1]),
        np.array([9]),
        np.array([0.5]),
        LabelSets.from_dicts([{"trace_id": "abc", "empty": ""}]),
    )
    batch = WriteBatch.from_arrays(labels, (*floats, histograms), exemplars)
    assert (batch.sample_count, batch.histogram_count, batch.exemplar_count) == (3, 2, 1)
    assert [batch.starts(index) for index in range(3)] == [[5], [0, 25], []]
    times_ms, starts_ms, found = batch.histograms(1)
    assert (times_ms, starts_ms) == ([40, 50], [0, 45])
    assert [found[0], found[1]] == [values[0], values[1]]
    assert [len(batch.histograms(index)[0]) for index in (0, 2)] == [0, 0]
    assert batch.exemplars(0) == [(9, 0.5, [("trace_id", "abc")])]
    assert batch.exemplars(1) == []


def test_fingerprints_are_those_of_the_label_sets() -> None:
    labels = [{"__name__": "up", "job": str(number)} for number in range(50)]
    batch = batch_of(labels, list(range(51)), [1] * 50, [0.0] * 50)
    prints = LabelSets.from_dicts(labels).fingerprints()
    assert [batch.fingerprint(index) for index in range(50)] == [
        int(low) | int(high) << 64 for low, high in prints
    ]


def test_every_bit_of_a_value_is_kept() -> None:
    bits = [0x7FF0000000000002, 0xFFF8000000000123, 0x8000000000000000, 0x0000000000000001]
    values = [struct.unpack("<d", struct.pack("<Q", pattern))[0] for pattern in bits]
    batch = batch_of([{"__name__": "up"}], [0, 4], [1, 2, 3, 4], values)
    assert [struct.unpack("<Q", struct.pack("<d", value))[0] for value in batch.series(0)[2]] == bits


@pytest.mark.parametrize("offsets", [[0, 2], [0], [1, 1], [-1, 1], [0, 0], [0, 5, 1]])
def test_arrays_that_do_not_fit_are_refused(offsets: list[int]) -> None:
    with pytest.raises(InvalidData):
        batch_of([{"__name__": "up"}] * (2 if len(offsets) == 3 else 1), offsets, [1], [1.0])


def test_a_series_that_is_not_there_raises() -> None:
    batch = batch_of([], [0], [], [])
    with pytest.raises(IndexError):
        batch.series(0)
    with pytest.raises(IndexError):
        batch.fingerprint(0)
