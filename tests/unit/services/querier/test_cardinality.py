"""Statistics of series, from their labels."""

from __future__ import annotations

from rondel.model.labels import LabelSets
from services.querier.cardinality import Cardinality

SERIES = [
    {"__name__": "up", "job": "a", "pod": "p1"},
    {"__name__": "up", "job": "b", "pod": "p2"},
    {"__name__": "up", "job": "b"},
    {"__name__": "down", "job": "b", "pod": "ü3"},
]


def test_the_largest_come_first() -> None:
    found = Cardinality(LabelSets.from_dicts(SERIES), 5, 9)
    assert (found.series_count, found.bounds_ms()) == (4, (5, 9))
    counts = found.cardinality(2)
    assert counts["label_pairs"] == 2 + 2 + 3
    assert counts["series_by_metric"] == [("up", 3), ("down", 1)]
    assert counts["values_by_name"] == [("pod", 3), ("__name__", 2)]
    assert counts["series_by_pair"] == [("__name__=up", 3), ("job=b", 3)]
    assert counts["bytes_by_name"] == [("__name__", 10), ("pod", 7)]


def test_no_series_have_no_bounds() -> None:
    found = Cardinality(LabelSets.from_dicts([]), 5, 9)
    assert found.bounds_ms() is None
    assert found.cardinality(10)["label_pairs"] == 0
