"""Instant selection and every range function against their plain twins over random series."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rondel.promql import kernel
from tests.properties.window_twin import FUNCTIONS, STALE, View, is_stale

WHOLE = st.integers(0, 30).map(float)
SMOOTH = st.floats(-1e6, 1e6, allow_nan=False)
WILD = st.sampled_from([0.0, -0.0, 1.0, 0.1, 1e308, -1e308, math.inf, -math.inf, math.nan, STALE])
VALUES = st.one_of(WHOLE, SMOOTH, WILD)
FAMILIES = st.sampled_from([WHOLE, SMOOTH, VALUES, st.one_of(WHOLE, st.just(STALE))])


@st.composite
def series(draw: st.DrawFn) -> tuple[list[int], list[float]]:
    uneven = st.lists(st.integers(1, 40), max_size=25)
    even = st.builds(lambda gap, count: [gap] * count, st.sampled_from([1, 5, 10, 15]), st.integers(0, 40))
    gaps = draw(st.one_of(uneven, even))
    times = [int(time) for time in np.cumsum([draw(st.integers(-100, 300)), *gaps])][1:]
    family = draw(FAMILIES)
    values = draw(st.lists(family, min_size=len(times), max_size=len(times)))
    if draw(st.booleans()):
        values.sort()  # As a counter without resets, but for NaN and markers among it.
    return times, values


FRAMES = st.lists(series(), max_size=4)
STRIDES = st.one_of(st.integers(0, 60), st.sampled_from([5, 10, 15, 30]))
STEPS = st.tuples(st.integers(-50, 300), STRIDES, st.integers(0, 24))


def flat(
    frame: Sequence[tuple[list[int], list[float]]],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    offsets = np.cumsum([0, *(len(times) for times, _ in frame)], dtype=np.int64)
    times = np.array([time for times, _ in frame for time in times], dtype=np.int64)
    values = np.array([value for _, values in frame for value in values], dtype=np.float64)
    return offsets, times, values


def near(actual: float, expected: float) -> bool:
    """Equal to a few units of the last place, relative to numbers that may have cancelled."""
    if math.isnan(expected) or math.isinf(expected):
        return actual == expected or (math.isnan(actual) and math.isnan(expected))
    return math.isclose(actual, expected, rel_tol=1e-12, abs_tol=1e-9)


@settings(max_examples=200, deadline=None)
@given(FRAMES, STEPS, st.integers(0, 120))
def test_instant_is_the_latest_sample_of_the_lookback(
    frame: list[tuple[list[int], list[float]]], steps: tuple[int, int, int], lookback: int
) -> None:
    start, step, count = steps
    values, present = kernel.instant(*flat(frame), start, step, count, lookback)
    times, times_present = kernel.instant_timestamps(*flat(frame), start, step, count, lookback)
    assert values.shape == present.shape == times.shape == (len(frame), count)
    assert np.array_equal(present, times_present)
    for row, (sample_times, samples) in enumerate(frame):
        for k in range(count):
            end = start + k * step
            inside = [at for at, time in enumerate(sample_times) if end - lookback < time <= end]
            expected = inside[-1] if inside and not is_stale(samples[inside[-1]]) else None
            assert present[row, k] == (expected is not None)
            if expected is not None:
                assert np.array(samples[expected]).tobytes() == values[row, k].tobytes()
                assert times[row, k] == sample_times[expected] / 1000


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
@settings(max_examples=60, deadline=None)
@given(frame=FRAMES, steps=STEPS, range_ms=st.integers(1, 200), data=st.data())
def test_range_function_is_its_plain_twin(
    function: str,
    frame: list[tuple[list[int], list[float]]],
    steps: tuple[int, int, int],
    range_ms: int,
    data: st.DataObject,
) -> None:
    start, step, count = steps
    args = [np.array(arg) for arg in arguments(function, count, data)]
    values, present = kernel.window(function, *flat(frame), start, step, count, range_ms, args)
    assert values.shape == present.shape == (len(frame), count)
    for row, (times, samples) in enumerate(frame):
        for k in range(count):
            end = start + k * step
            inside = [
                at
                for at, time in enumerate(times)
                if end - range_ms < time <= end and not is_stale(samples[at])
            ]
            view = View(
                [times[at] for at in inside],
                [samples[at] for at in inside],
                end,
                range_ms,
                [float(arg[k]) for arg in args],
            )
            expected = FUNCTIONS[function](view) if inside else None
            assert present[row, k] == (expected is not None)
            if expected is not None:
                assert near(float(values[row, k]), expected), (values[row, k], expected, view)


@pytest.mark.parametrize("operator", ["avg", "max", "sum"])
@settings(max_examples=100, deadline=None)
@given(
    frame=FRAMES,
    steps=STEPS,
    range_ms=st.integers(1, 200),
    function=st.sampled_from(["rate", "delta", "sum_over_time", "max_over_time", "last_over_time"]),
    data=st.data(),
)
def test_windows_added_up_on_the_way_are_those_of_a_matrix_to_the_last_bit(
    operator: str,
    frame: list[tuple[list[int], list[float]]],
    steps: tuple[int, int, int],
    range_ms: int,
    function: str,
    data: st.DataObject,
) -> None:
    samples = flat(frame)
    group_of = np.array([data.draw(st.integers(0, 1)) for _ in frame], dtype=np.int32)
    for cells in (
        kernel.WindowCells(function, *samples, *steps, range_ms),
        kernel.InstantCells(*samples, *steps, range_ms),
    ):
        whole, folded = (kernel.Aggregator(operator, 2, steps[2]) for _ in range(2))
        whole.add(group_of, *cells.matrix())
        cells.add_to(folded, group_of)
        (values, present), (others, others_present) = whole.finish(), folded.finish()
        assert np.array_equal(present, others_present)
        assert values[present].tobytes() == others[present].tobytes()


def arguments(function: str, count: int, data: st.DataObject) -> list[list[float]]:
    def draw(strategy: st.SearchStrategy[float]) -> list[float]:
        return data.draw(st.lists(strategy, min_size=count, max_size=count))

    factors = st.floats(0.01, 0.99)
    match function:
        case "quantile_over_time":
            return [draw(st.one_of(st.floats(-0.2, 1.2), st.just(math.nan)))]
        case "predict_linear":
            return [draw(st.floats(-100, 100)), draw(st.integers(-90, 90).map(lambda ms: ms / 1000))]
        case "double_exponential_smoothing":
            return [draw(factors), draw(factors)]
        case _:
            return []


def views(
    times: list[int], samples: list[float], starts: list[int], steps: tuple[int, int, int], range_ms: int
) -> list[View]:
    """What each window sees of one series."""
    found = []
    for k in range(steps[2]):
        end = steps[0] + k * steps[1]
        inside = [
            at for at, time in enumerate(times) if end - range_ms < time <= end and not is_stale(samples[at])
        ]
        picked = ([values[at] for at in inside] for values in (times, starts))
        own_times, own_starts = picked
        found.append(View(own_times, [samples[at] for at in inside], end, range_ms, [], own_starts))
    return found


@st.composite
def started(draw: st.DrawFn) -> tuple[list[int], list[float], list[int]]:
    """A series whose starts are unknown, its own time, the sample before it, what stood before, or odd."""
    times, samples = draw(series())
    starts: list[int] = []
    for at, time in enumerate(times):
        before = times[at - 1] if at else time - 7
        same = starts[-1] if starts else time - 20
        kinds = st.sampled_from([0, same, same, before, before + 1, time, time - 1, time + 1, before - 3])
        starts.append(draw(kinds))
    return times, samples, starts


@pytest.mark.parametrize("function", sorted({*kernel.STARTED, "delta", "changes", "idelta"}))
@settings(max_examples=60, deadline=None)
@given(frame=st.lists(started(), max_size=4), steps=STEPS, range_ms=st.integers(1, 200))
def test_range_function_with_start_timestamps_is_its_plain_twin(
    function: str,
    frame: list[tuple[list[int], list[float], list[int]]],
    steps: tuple[int, int, int],
    range_ms: int,
) -> None:
    arrays = flat([(times, samples) for times, samples, _ in frame])
    starts_ms = np.array([start for *_, starts in frame for start in starts], dtype=np.int64)
    values, present = kernel.window(function, *arrays, *steps, range_ms, (), starts_ms)
    for row, one in enumerate(frame):
        for k, view in enumerate(views(*one, steps, range_ms)):
            expected = FUNCTIONS[function](view) if view.times else None
            assert present[row, k] == (expected is not None)
            if expected is not None:
                assert near(float(values[row, k]), expected), (values[row, k], expected, view)


@settings(max_examples=100, deadline=None)
@given(frame=st.lists(started(), max_size=4), steps=STEPS, range_ms=st.integers(1, 200))
def test_windows_with_overlapping_starts_are_counted_by_series(
    frame: list[tuple[list[int], list[float], list[int]]], steps: tuple[int, int, int], range_ms: int
) -> None:
    arrays = flat([(times, samples) for times, samples, _ in frame])
    starts_ms = np.array([start for *_, starts in frame for start in starts], dtype=np.int64)
    counts = kernel.start_overlaps(*arrays, starts_ms, *steps, range_ms)
    expected = [sum(view.overlaps() for view in views(*one, steps, range_ms)) for one in frame]
    assert counts.tolist() == expected


@settings(max_examples=60, deadline=None)
@given(frame=FRAMES, steps=STEPS, range_ms=st.integers(1, 200), function=st.sampled_from(["rate", "resets"]))
def test_starts_that_nobody_knows_change_nothing_to_the_last_bit(
    frame: list[tuple[list[int], list[float]]], steps: tuple[int, int, int], range_ms: int, function: str
) -> None:
    arrays = flat(frame)
    unknown = np.zeros(len(arrays[1]), dtype=np.int64)
    without, present = kernel.window(function, *arrays, *steps, range_ms)
    with_starts, as_present = kernel.window(function, *arrays, *steps, range_ms, (), unknown)
    assert np.array_equal(present, as_present)
    assert without[present].tobytes() == with_starts[present].tobytes()


@settings(max_examples=60, deadline=None)
@given(
    frame=st.lists(started(), min_size=1, max_size=4),
    steps=STEPS,
    range_ms=st.integers(1, 200),
    function=st.sampled_from(sorted(kernel.STARTED)),
)
def test_windows_with_starts_added_up_on_the_way_are_those_of_a_matrix_to_the_last_bit(
    frame: list[tuple[list[int], list[float], list[int]]],
    steps: tuple[int, int, int],
    range_ms: int,
    function: str,
) -> None:
    arrays = flat([(times, samples) for times, samples, _ in frame])
    starts_ms = np.array([start for *_, starts in frame for start in starts], dtype=np.int64)
    cells = kernel.WindowCells(function, *arrays, *steps, range_ms, starts_ms)
    group_of = np.zeros(len(frame), dtype=np.int32)
    whole, folded = (kernel.Aggregator("sum", 1, steps[2]) for _ in range(2))
    whole.add(group_of, *cells.matrix())
    cells.add_to(folded, group_of)
    (values, present), (others, others_present) = whole.finish(), folded.finish()
    assert np.array_equal(present, others_present)
    assert values[present].tobytes() == others[present].tobytes()
