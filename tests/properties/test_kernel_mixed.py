"""Instant selection, range functions and sums over floats and histograms against their plain twins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rondel.model.frame import HistogramSamples, SeriesFrame
from rondel.model.histogram import Histograms
from rondel.model.labels import LabelSets
from rondel.promql import kernel
from tests.properties.mixed_twin import CUSTOM, FUNCTIONS, Histogram, Sample, Window, stale, summed, visible
from tests.properties.test_kernel_windows import STEPS, arguments, near, started
from tests.properties.window_twin import STALE, is_stale

Series = tuple[list[tuple[int, float]], list[tuple[int, Histogram]]]

BOUNDS = st.sampled_from([[5.0, 10.0], [5.0, 10.0], [5.0], [2.0, 5.0, 10.0], [1.0]])
HINTS = st.sampled_from(["unknown"] * 5 + ["not_reset", "not_reset", "reset", "gauge"])
COUNTS = st.integers(0, 6).map(float)


@st.composite
def histogram(
    draw: st.DrawFn, schemas: st.SearchStrategy[int], bounds: st.SearchStrategy[list[float]]
) -> Histogram:
    schema = draw(schemas)
    custom = draw(bounds) if schema == CUSTOM else []
    indexes = st.integers(0, len(custom)) if schema == CUSTOM else st.integers(-3, 4)
    buckets = st.dictionaries(indexes, COUNTS, max_size=4)
    positive = draw(buckets)
    negative = {} if schema == CUSTOM else draw(buckets)
    zero = 0.0 if schema == CUSTOM else draw(COUNTS)
    return {
        "schema": schema,
        "count": sum(positive.values()) + sum(negative.values()) + zero,
        "sum": draw(st.sampled_from([0.0, 1.5, 7.0, 22.25])),
        "zero_count": zero,
        "zero_threshold": 0.0 if schema == CUSTOM else 0.001,
        "positive": positive,
        "negative": negative,
        "custom_values": custom,
        "hint": draw(HINTS),
    }


FAMILIES = st.sampled_from(
    [
        (st.just(0), BOUNDS),
        (st.integers(-1, 2), BOUNDS),
        (st.just(CUSTOM), BOUNDS),
        (st.sampled_from([0, 0, 1, CUSTOM]), st.just([5.0, 10.0])),
    ]
)


def grown(histograms: list[Histogram]) -> list[Histogram]:
    """Histograms of one layout that only count up."""
    layout = histograms[0]
    histograms = [one for one in histograms if one["schema"] == layout["schema"]]
    histograms = [one for one in histograms if one["custom_values"] == layout["custom_values"]]
    indexes = sorted({at for one in histograms for at in one["positive"]})
    growing: list[Histogram] = []
    counts, total = dict.fromkeys(indexes, 0.0), 0.0
    for one in histograms:
        for at, count in one["positive"].items():
            counts[at] += count
        total += one["sum"]
        count = sum(counts.values())
        kept = {"positive": dict(counts), "negative": {}, "zero_count": 0.0, "hint": one["hint"]}
        growing.append(layout | kept | {"count": count, "sum": total})
    return growing


@st.composite
def series(draw: st.DrawFn) -> Series:
    even = st.builds(lambda gap, count: [gap] * count, st.sampled_from([5, 10, 15]), st.integers(0, 14))
    gaps = draw(st.one_of(st.lists(st.integers(1, 40), max_size=12), even))
    times = [int(time) for time in np.cumsum([draw(st.integers(-50, 100)), *gaps])][1:]
    kind = draw(st.sampled_from(["floats", "histograms", "histograms", "both", "halves"]))
    middle = len(times) // 2
    float_times, times = {
        "floats": (times, []),
        "histograms": ([], times),
        "both": (
            [time for time in times if draw(st.booleans())],
            [time for time in times if draw(st.booleans())],
        ),
        "halves": (times[:middle], times[middle:]),
    }[kind]
    floats = [(time, draw(st.one_of(COUNTS, st.just(STALE)))) for time in float_times]
    family = draw(FAMILIES)
    own = [draw(histogram(*family)) for _ in times]
    if own and draw(st.booleans()):
        own = grown(own)
    marked = [one | {"sum": STALE} if draw(st.integers(0, 9)) == 0 else one for one in own]
    return floats, list(zip(times, marked, strict=False))


FRAMES = st.lists(series(), max_size=3)


def frame_of(rows: Sequence[Series]) -> SeriesFrame:
    def columns(samples: Sequence[Sequence[tuple[int, Any]]]) -> tuple[Any, Any, list[Any]]:
        offsets = np.cumsum([0, *map(len, samples)], dtype=np.int64)
        times = np.array([time for row in samples for time, _ in row], dtype=np.int64)
        return offsets, times, [value for row in samples for _, value in row]

    offsets, times, values = columns([floats for floats, _ in rows])
    own_offsets, own_times, own = columns([histograms for _, histograms in rows])
    samples = HistogramSamples(own_offsets, own_times, Histograms.from_dicts(own))
    labels = LabelSets.from_dicts([{"row": str(row)} for row in range(len(rows))])
    return SeriesFrame(labels, offsets, times, np.array(values, dtype=np.float64), None, samples)


def inside(row: Series, end_ms: int, range_ms: int) -> list[Sample]:
    samples = visible(*row)
    return [one for one in samples if end_ms - range_ms < one[0] <= end_ms and not stale(one[1])]


def same(actual: Histogram, expected: Histogram) -> bool:
    """Equal but for rounding, and for buckets that count nothing."""
    for side in ("positive", "negative"):
        indexes = {*actual[side], *expected[side]}
        if not all(near(actual[side].get(at, 0.0), expected[side].get(at, 0.0)) for at in indexes):
            return False
    numbers = ("count", "sum", "zero_count")
    said = ("schema", "custom_values", "hint")
    return all(near(actual[key], expected[key]) for key in numbers) and all(
        actual[key] == expected[key] for key in said
    )


@settings(max_examples=150, deadline=None)
@given(rows=FRAMES, steps=STEPS, lookback=st.integers(0, 120))
def test_instant_is_the_latest_sample_of_either_kind(
    rows: list[Series], steps: tuple[int, int, int], lookback: int
) -> None:
    frame = frame_of(rows)
    picked = kernel.instant_mixed(frame.arrays(), *steps, lookback)
    assert picked.values.shape == picked.histograms.shape == (len(rows), steps[2])
    assert frame.histograms is not None
    for row, samples in enumerate(rows):
        for k in range(steps[2]):
            end = steps[0] + k * steps[1]
            found = [one for one in visible(*samples) if end - lookback < one[0] <= end]
            time, value = found[-1] if found else (0, STALE)
            present, index = picked.present[row, k], int(picked.histograms[row, k])
            assert present == (isinstance(value, float) and not stale(value))
            assert (index >= 0) == (isinstance(value, dict) and not stale(value))
            if present:
                assert picked.values[row, k] == value
            if index >= 0:
                at = int(frame.histograms.offsets[row]) + [time for time, _ in samples[1]].index(time)
                assert index == at
            if present or index >= 0:
                assert picked.times_s[row, k] == time / 1000


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
@settings(max_examples=30, deadline=None)
@given(rows=FRAMES, steps=STEPS, range_ms=st.integers(1, 150), data=st.data())
def test_range_function_over_both_kinds_is_its_plain_twin(
    function: str, rows: list[Series], steps: tuple[int, int, int], range_ms: int, data: st.DataObject
) -> None:
    args = [np.array(arg) for arg in arguments(function, steps[2], data)]
    answer = kernel.window_mixed(function, frame_of(rows).arrays(), *steps, range_ms, args)
    for row, samples in enumerate(rows):
        notes = 0
        for k in range(steps[2]):
            end = steps[0] + k * steps[1]
            seen = inside(samples, end, range_ms)
            window = Window(seen, end, range_ms, [float(arg[k]) for arg in args])
            expected = FUNCTIONS[function](window, function) if seen else None
            notes |= window.notes
            assert answer.present[row, k] == isinstance(expected, float), (expected, window)
            assert (answer.histograms[row, k] >= 0) == isinstance(expected, dict), (expected, window)
            if isinstance(expected, float):
                assert near(float(answer.values[row, k]), expected), (expected, window)
            elif expected is not None:
                actual = answer.pool[int(answer.histograms[row, k])]
                assert same(actual, expected), (actual, expected, window)
        assert answer.notes[row] == notes


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
@settings(max_examples=10, deadline=None)
@given(rows=FRAMES, steps=STEPS, range_ms=st.integers(1, 150), data=st.data())
def test_series_of_floats_have_the_same_bits_with_and_without_histograms_beside_them(
    function: str, rows: list[Series], steps: tuple[int, int, int], range_ms: int, data: st.DataObject
) -> None:
    args = [np.array(arg) for arg in arguments(function, steps[2], data)]
    frame = frame_of(rows)
    mixed = kernel.window_mixed(function, frame.arrays(), *steps, range_ms, args)
    offsets, times, values, *_ = frame.arrays()
    alone, present = kernel.window(function, offsets, times, values, *steps, range_ms, args)
    for row, (_, histograms) in enumerate(rows):
        if not histograms:
            there = present[row]
            assert np.array_equal(mixed.present[row], there)
            assert mixed.values[row][there].tobytes() == alone[row][there].tobytes()
            assert (mixed.histograms[row] == -1).all()
            assert mixed.notes[row] == 0


@pytest.mark.parametrize(
    "function",
    ["avg_over_time", "changes", "delta", "idelta", "increase", "irate", "rate", "resets", "sum_over_time"],
)
@settings(max_examples=60, deadline=None)
@given(rows=st.lists(started(), max_size=3), steps=STEPS, range_ms=st.integers(1, 150))
def test_a_histogram_without_buckets_fares_as_a_float_of_its_count_also_where_it_has_starts(
    function: str,
    rows: list[tuple[list[int], list[float], list[int]]],
    steps: tuple[int, int, int],
    range_ms: int,
) -> None:
    def number(value: float) -> float:
        if is_stale(value):
            return value
        return value + 0.0 if abs(value) < 1e300 else 7.0

    numbers = [[number(value) for value in values] for _, values, _ in rows]
    offsets = np.cumsum([0, *map(len, numbers)], dtype=np.int64)
    times = np.array([time for times, *_ in rows for time in times], dtype=np.int64)
    starts = np.array([start for *_, starts in rows for start in starts], dtype=np.int64)
    flat = [value for values in numbers for value in values]
    pool = Histograms.from_dicts([{"count": value, "sum": value} for value in flat])
    nothing = np.zeros(len(offsets), dtype=np.int64), times[:0], np.zeros(0)
    frame = (*nothing, None, (offsets, times, starts, pool))
    answer = kernel.window_mixed(function, frame, *steps, range_ms)
    values, present = kernel.window(
        function, offsets, times, np.array(flat, dtype=np.float64), *steps, range_ms, (), starts
    )
    if function in ("changes", "resets"):
        assert np.array_equal(answer.present, present)
        assert np.array_equal(answer.values[present], values[present])
        return
    assert np.array_equal(answer.histograms >= 0, present)
    for row, k in np.argwhere(present):
        made = answer.pool[int(answer.histograms[row, k])]
        assert near(made["count"], float(values[row, k]))
        assert near(made["sum"], float(values[row, k]))


@pytest.mark.parametrize("operator", ["sum", "avg"])
@settings(max_examples=100, deadline=None)
@given(family=FAMILIES, data=st.data())
def test_sums_and_means_by_group_are_their_plain_twins(
    operator: str, family: Any, data: st.DataObject
) -> None:
    rows, steps, groups = (data.draw(st.integers(0, most)) for most in (6, 4, 3))
    rows = rows if groups else 0
    group_of = np.array([data.draw(st.integers(0, groups - 1)) for _ in range(rows)], dtype=np.int32)
    cells = [[data.draw(st.one_of(st.none(), histogram(*family))) for _ in range(steps)] for _ in range(rows)]
    aggregator = kernel.HistogramAggregator(operator, groups, steps)
    cut = data.draw(st.integers(0, rows))
    for part in (slice(0, cut), slice(cut, rows)):
        pool = [one for row in cells[part] for one in row if one is not None]
        numbers = iter(range(len(pool)))
        index = [[-1 if one is None else next(numbers) for one in row] for row in cells[part]]
        shaped = np.array(index, dtype=np.int64).reshape(len(index), steps)
        aggregator.add(group_of[part], shaped, Histograms.from_dicts(pool))
    found, sums, notes = aggregator.finish()
    assert found.shape == (groups, steps)
    for group in range(groups):
        noted = 0
        for k in range(steps):
            members = [cells[row][k] for row in range(rows) if group_of[row] == group]
            present = [one for one in members if one is not None]
            expected, told = summed(present, operator == "avg") if present else (None, 0)
            noted |= told
            assert (found[group, k] >= 0) == (expected is not None)
            if expected is not None:
                assert same(sums[int(found[group, k])], expected)
        assert notes[group] == noted


def test_a_mean_that_would_overflow_as_a_sum_becomes_a_running_one() -> None:
    big = {"count": 1.5e308, "sum": 1.0}
    rows: list[Series] = [([], [(10, big), (20, big), (30, {"count": 0.0, "sum": 4.0})])]
    answer = kernel.window_mixed("avg_over_time", frame_of(rows).arrays(), 30, 0, 1, 100)
    assert math.isclose(answer.pool[0]["count"], 1e308)
    assert math.isclose(answer.pool[0]["sum"], 2.0)
    total = kernel.window_mixed("sum_over_time", frame_of(rows).arrays(), 30, 0, 1, 100)
    assert total.pool[0]["count"] == math.inf


def test_small_sums_survive_large_ones_that_cancel() -> None:
    sums = [5.3, 1e100, 1.0, -1e100, 2.0]
    rows: list[Series] = [([], [(10 * at, {"count": 1.0, "sum": value}) for at, value in enumerate(sums, 1)])]
    answer = kernel.window_mixed("sum_over_time", frame_of(rows).arrays(), 50, 0, 1, 100)
    assert math.isclose(answer.pool[0]["sum"], 8.3)
