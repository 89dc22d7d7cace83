"""Range vectors as answers: what is stored of both kinds, within the window."""

from __future__ import annotations

import struct

import numpy as np

from rondel.model.frame import HistogramSamples, SeriesFrame
from rondel.model.histogram import Histograms
from rondel.model.labels import LabelSets
from rondel.promql.engine import Engine
from rondel.storage import Select
from tests.support.memory_storage import MemoryStorage, StoredSelection

STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0_0000_0000_0002))[0]


class OneFrame(StoredSelection):
    """Two series: one of floats, one with samples of both kinds at the same times."""

    def __init__(self) -> None:
        self.labels = LabelSets.from_dicts([{"i": "2"}, {"i": "1"}])

    def read(self, start: int, stop: int) -> SeriesFrame:
        times_ms = np.array([1_000, 61_000, 1_000, 2_000, 61_000, 62_000], dtype=np.int64)
        own_ms = np.array([1_000, 2_000, 61_000, 62_000, 63_000], dtype=np.int64)
        pool = Histograms.from_dicts(
            [{"sum": value, "hint": "reset"} for value in (10.0, STALE, 30.0, STALE, 50.0)]
        )
        return SeriesFrame(
            self.labels,
            np.array([0, 2, 6], dtype=np.int64),
            times_ms,
            np.array([1.0, STALE, 1.0, 2.0, 3.0, STALE]),
            histograms=HistogramSamples(np.array([0, 0, 5], dtype=np.int64), own_ms, pool),
        )


class Storage(MemoryStorage):
    def select(self, request: Select) -> StoredSelection:
        return OneFrame()


def test_of_a_float_and_a_histogram_at_one_time_the_one_that_is_seen_is_shown() -> None:
    one = Engine(Storage())
    data = one.instant("t", '{i=~".+"}[1m]', 61_500, one.control()).data
    assert isinstance(data, SeriesFrame)
    assert [data.labels[i] for i in range(len(data))] == [{"i": "1"}]
    assert (data.timestamps_ms.tolist(), data.values.tolist()) == ([2_000], [2.0])
    assert data.histograms is not None
    assert data.histograms.timestamps_ms.tolist() == [61_000]
    assert data.histograms.values[0]["sum"] == 30.0


def test_rows_are_in_the_order_of_their_labels_with_their_own_samples() -> None:
    one = Engine(Storage())
    data = one.instant("t", '{i=~".+"}[5m]', 70_000, one.control()).data
    assert isinstance(data, SeriesFrame)
    assert [data.labels[i] for i in range(len(data))] == [{"i": "1"}, {"i": "2"}]
    assert data.offsets.tolist() == [0, 1, 2]
    assert data.timestamps_ms.tolist() == [2_000, 1_000]
    assert data.histograms is not None
    assert data.histograms.offsets.tolist() == [0, 3, 3]
    assert data.histograms.timestamps_ms.tolist() == [1_000, 61_000, 63_000]
    assert data.histograms.values.hints().tolist() == [0, 0, 0]
