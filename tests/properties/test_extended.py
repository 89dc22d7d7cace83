"""Anchored and smoothed windows over histograms against those over floats, which numpy works out apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rondel.model.frame import HistogramSamples
from rondel.model.histogram import Histograms
from rondel.promql import extended
from rondel.promql.extended import ANCHORED, SMOOTHED
from rondel.promql.kernel import Note
from rondel.promql.matrix import Block, Grid
from rondel.promql.operators.node import Samples
from tests.properties.test_kernel_windows import STEPS, near, started
from tests.properties.window_twin import is_stale

ROWS = st.lists(started(), max_size=3)
MODES = st.sampled_from([ANCHORED, SMOOTHED])
CHANGES = ["delta", "increase", "rate"]
EVENTS = ["changes", "resets"]

Started = tuple[list[int], list[float], list[int]]


def number(value: float) -> float:
    """What can be a count of observations: never below 0, where a counter of floats may be."""
    if is_stale(value):
        return value
    return abs(value) if abs(value) < 1e300 else 7.0


def samples_of(rows: list[Started]) -> tuple[Samples, Samples]:
    """Series as floats, and as histograms that count nothing but that number."""
    values = np.array([number(value) for _, values, _ in rows for value in values])
    offsets = np.cumsum([0, *(len(values) for _, values, _ in rows)], dtype=np.int64)
    times_ms = np.array([time for times, *_ in rows for time in times], dtype=np.int64)
    starts_ms = np.array([start for *_, starts in rows for start in starts], dtype=np.int64)
    pool = Histograms.from_dicts([{"count": value, "sum": value} for value in values.tolist()])
    own = HistogramSamples(offsets, times_ms, pool, starts_ms)
    nothing = np.zeros(len(offsets), dtype=np.int64)
    return Samples(offsets, times_ms, values, starts_ms), Samples(
        nothing, times_ms[:0], np.zeros(0), None, own
    )


def check(mixed: Block, floats: Block) -> None:
    cells = mixed.histograms
    assert not mixed.present.any()
    if cells is None:
        assert not floats.present.any()
        return
    assert np.array_equal(cells.index >= 0, floats.present)
    for row, k in np.argwhere(floats.present):
        made = cells.pool[int(cells.index[row, k])]
        assert near(made["count"], float(floats.values[row, k]))
        assert near(made["sum"], float(floats.values[row, k]))


@pytest.mark.parametrize("function", CHANGES)
@settings(max_examples=40, deadline=None)
@given(rows=ROWS, steps=STEPS, range_ms=st.integers(1, 100), lookback_ms=st.integers(1, 100), mode=MODES)
def test_changes_of_a_histogram_without_buckets_are_those_of_a_float_of_its_count(
    function: str,
    rows: list[Started],
    steps: tuple[int, int, int],
    range_ms: int,
    lookback_ms: int,
    mode: str,
) -> None:
    floats, histograms = samples_of(rows)
    where = Grid(*steps), range_ms, lookback_ms
    mixed, notes = extended.mixed_window(function, mode, histograms, *where)
    check(mixed, extended.window(function, mode, floats, *where))
    assert not (notes & ~np.uint32(Note.NOT_GAUGE)).any()


@pytest.mark.parametrize("function", EVENTS)
@settings(max_examples=40, deadline=None)
@given(rows=ROWS, steps=STEPS, range_ms=st.integers(1, 100), lookback_ms=st.integers(1, 100))
def test_events_of_a_histogram_without_buckets_are_those_of_a_float_of_its_count(
    function: str, rows: list[Started], steps: tuple[int, int, int], range_ms: int, lookback_ms: int
) -> None:
    floats, histograms = samples_of(rows)
    where = Grid(*steps), range_ms, lookback_ms
    mixed, _ = extended.mixed_window(function, ANCHORED, histograms, *where)
    alone = extended.window(function, ANCHORED, floats, *where)
    assert np.array_equal(mixed.present, alone.present)
    assert np.array_equal(mixed.values[mixed.present], alone.values[mixed.present])


@settings(max_examples=40, deadline=None)
@given(rows=ROWS, steps=STEPS, lookback_ms=st.integers(1, 100))
def test_gauges_between_two_samples_lie_on_the_line_that_floats_lie_on(
    rows: list[Started], steps: tuple[int, int, int], lookback_ms: int
) -> None:
    floats, histograms = samples_of(rows)
    own = histograms.histograms
    assert own is not None
    dicts = [own.values[at] | {"hint": "gauge"} for at in range(len(own.values))]
    gauges = HistogramSamples(own.offsets, own.timestamps_ms, Histograms.from_dicts(dicts))
    mixed, notes = extended.mixed_instant(histograms._replace(histograms=gauges), Grid(*steps), lookback_ms)
    check(mixed, extended.instant(floats, Grid(*steps), lookback_ms))
    assert not notes.any()


def series(floats: dict[int, float], histograms: dict[int, dict[str, Any]]) -> Samples:
    def column(times: list[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return np.array([0, len(times)], dtype=np.int64), np.array(times, dtype=np.int64)

    own = HistogramSamples(*column(list(histograms)), Histograms.from_dicts(list(histograms.values())))
    return Samples(*column(list(floats)), np.array(list(floats.values())), None, own)


def test_a_window_that_picks_both_kinds_has_no_change_and_a_note() -> None:
    both = series({10: 1.0}, {20: {"count": 2.0}, 30: {"count": 3.0}})
    block, notes = extended.mixed_window("increase", ANCHORED, both, Grid(30, 0, 1), 15, 100)
    assert not block.present.any()
    assert block.histograms is None or (block.histograms.index == -1).all()
    assert notes.tolist() == [Note.MIXED]


def test_a_float_before_the_anchor_is_of_no_account() -> None:
    both = series({10: 1.0}, {20: {"count": 2.0}, 30: {"count": 5.0}})
    block, notes = extended.mixed_window("increase", ANCHORED, both, Grid(30, 0, 1), 10, 100)
    assert block.histograms is not None
    assert block.histograms.pool[0]["count"] == 3.0
    assert notes.tolist() == [0]


def test_a_reset_that_the_left_edge_lies_behind_is_counted_once() -> None:
    counts = {10: 396.0, 20: 110.0, 30: 194.0}
    counter = series({}, {time: {"count": count, "sum": count} for time, count in counts.items()})
    block, _ = extended.mixed_window("increase", SMOOTHED, counter, Grid(25, 0, 1), 10, 100)
    assert block.histograms is not None
    assert block.histograms.pool[0]["count"] == 110 / 2 + 84 / 2
