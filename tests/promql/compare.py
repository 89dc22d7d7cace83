"""What came against what was expected: labels exactly, values within a relative 1e-6."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np

from rondel.model.frame import SeriesFrame
from rondel.model.labels import LabelSets
from rondel.promql.result import InstantVector, RangeMatrix, Result, Scalar, Text
from tests.promql.script import Eval, Expectation, RangeTimes
from tests.promql.series import Histogram, Item, SeriesLine, is_stale

__all__ = [
    "Matrix",
    "Mismatch",
    "almost_equal",
    "instant",
    "matrix",
    "middle_step",
    "notes",
    "range_result",
    "same",
]

_EPSILON = 1e-6
_PARTICULARS = re.compile(r"(?:, from buckets .* over \d+ samples from \S+ to \S+)? \(\d+:\d+\)$")

Labels: TypeAlias = dict[str, str]
Value: TypeAlias = float | dict[str, Any]
"""A float, or a histogram as `Histograms` shows it."""
Matrix: TypeAlias = list[tuple[Labels, list[tuple[int, Value]]]]
"""Series with `(timestamp_ms, value)` points."""


class Mismatch(AssertionError):
    """The answer is not the expected one; says what differs."""


def almost_equal(left: float, right: float) -> bool:
    """Equal within the tolerance; NaN equals NaN, but a staleness marker only another."""
    if is_stale(left) or is_stale(right):
        return is_stale(left) and is_stale(right)
    if math.isnan(left) and math.isnan(right):
        return True
    if left == right:
        return True
    total, difference = abs(left) + abs(right), abs(left - right)
    if left == 0 or right == 0 or total < sys.float_info.min:
        return difference < _EPSILON * sys.float_info.min
    return difference / min(total, sys.float_info.max) < _EPSILON


def same(item: Item, value: Value) -> bool:
    """Whether the value is the expected one; empty buckets do not count, nor does a hint unasked."""
    if isinstance(item, Histogram):
        return isinstance(value, dict) and _same_histogram(item, value)
    return item is not None and not isinstance(value, dict) and almost_equal(item, value)


def _same_histogram(item: Histogram, value: dict[str, Any]) -> bool:
    wanted = item.fields
    exact = ["schema", "zero_threshold", "custom_values", *(["hint"] if item.says_hint else [])]
    if any(wanted[key] != value[key] for key in exact):
        return False
    if not all(almost_equal(wanted[key], value[key]) for key in ("count", "sum", "zero_count")):
        return False
    return all(_same_buckets(wanted[side], value[side]) for side in ("positive", "negative"))


def _same_buckets(wanted: dict[int, float], got: dict[int, float]) -> bool:
    wanted, got = ({at: count for at, count in side.items() if count != 0} for side in (wanted, got))
    return wanted.keys() == got.keys() and all(almost_equal(wanted[at], got[at]) for at in wanted)


def _key(labels: Labels) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))


def _shown(labels: Labels) -> str:
    rest = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()) if name != "__name__")
    return f"{labels.get('__name__', '')}{{{rest}}}"


# --- instant ------------------------------------------------------------------------------------------


def instant(command: Eval, result: Result) -> None:
    """Raises Mismatch where the answer of an instant query is not as the command expects."""
    data = result.data
    if command.string is not None:
        if not isinstance(data, Text) or data.value != command.string:
            raise Mismatch(f"expected string {command.string!r}, got {data}")
    elif isinstance(data, Text):
        raise Mismatch(f"unexpected string {data.value!r}")
    elif isinstance(data, Scalar):
        _scalar(command, data.value)
    elif command.range_vector is not None:
        _matrix(command.series, command.range_vector, matrix(result))
    elif isinstance(data, InstantVector):
        vector(command, list(zip(_each(data.labels), _samples(data), strict=True)))
    else:
        raise Mismatch("got a range vector where an instant vector was expected")


def _samples(data: InstantVector) -> list[Value]:
    own = data.histograms
    if own is None:
        return data.values.tolist()
    pairs = zip(data.values.tolist(), own.index.tolist(), strict=True)
    return [own.pool[at] if at >= 0 else value for value, at in pairs]


def _scalar(command: Eval, value: float) -> None:
    expected = command.scalar
    if expected is None and len(command.series) == 1 and len(command.series[0].items) == 1:
        item = command.series[0].items[0]
        expected = item if isinstance(item, float) else None
    if expected is None:
        raise Mismatch(f"got scalar {value}, expected {len(command.series)} series")
    if not almost_equal(expected, value):
        raise Mismatch(f"expected scalar {expected}, got {value}")


def vector(command: Eval, samples: Iterable[tuple[Labels, Value]], *, ordered: bool | None = None) -> None:
    """Raises Mismatch where the samples are not those that the command expects."""
    ordered = command.ordered if ordered is None else ordered
    expected = {_key(line.labels): (index, line) for index, line in enumerate(command.series)}
    if command.scalar is not None:
        raise Mismatch(f"expected scalar {command.scalar}, got a vector")
    seen = set()
    for index, (labels, value) in enumerate(samples):
        key = _key(labels)
        if key not in expected:
            raise Mismatch(f"unexpected series {_shown(labels)} with value {value}")
        if key in seen:
            raise Mismatch(f"series {_shown(labels)} came twice")
        seen.add(key)
        wanted_index, line = expected[key]
        if ordered and index != wanted_index:
            raise Mismatch(f"{_shown(labels)} came at position {index + 1}, expected {wanted_index + 1}")
        item = line.items[0] if line.items else None
        if not same(item, value):
            raise Mismatch(f"expected {item} for {_shown(labels)}, got {value}")
    for key, (_, line) in expected.items():
        if key not in seen:
            raise Mismatch(f"expected series {_shown(line.labels)} with {line.items[:1]} did not come")


# --- ranges -------------------------------------------------------------------------------------------


def matrix(result: Result) -> Matrix:
    """The series of a range result, or of an instant query of a range vector."""
    data = result.data
    if isinstance(data, RangeMatrix):
        rows = _matrix_rows(data)
    elif isinstance(data, Text | Scalar | InstantVector):
        raise Mismatch(f"expected a matrix, got {type(data).__name__}")
    else:
        rows = _frame_rows(data)
    return [(labels, sorted(row, key=itemgetter(0))) for labels, row in zip(_each(data.labels), rows)]


def _matrix_rows(data: RangeMatrix) -> Iterator[list[tuple[int, Value]]]:
    times = (data.start_ms + data.step_ms * np.arange(data.values.shape[1], dtype=np.int64)).tolist()
    own = data.histograms
    for row, (values, present) in enumerate(zip(data.values.tolist(), data.present.tolist(), strict=True)):
        points: list[tuple[int, Value]] = [
            (t, v) for t, v, is_there in zip(times, values, present) if is_there
        ]
        if own is not None:
            points += [(t, own.pool[at]) for t, at in zip(times, own.index[row].tolist()) if at >= 0]
        yield points


def _frame_rows(data: SeriesFrame) -> Iterator[list[tuple[int, Value]]]:
    own = data.histograms
    for row in range(len(data)):
        at = slice(data.offsets[row], data.offsets[row + 1])
        points: list[tuple[int, Value]] = list(zip(data.timestamps_ms[at].tolist(), data.values[at].tolist()))
        if own is not None:
            ours = range(own.offsets[row], own.offsets[row + 1])
            points += [(int(own.timestamps_ms[i]), own.values[i]) for i in ours]
        yield points


def _each(labels: LabelSets) -> Iterator[Labels]:
    return (labels[index] for index in range(len(labels)))


def range_result(command: Eval, result: Result) -> None:
    """Raises Mismatch where the answer of a range query is not as the command expects."""
    assert command.times is not None
    series = matrix(result)
    keys = [_key(labels) for labels, _ in series]
    if keys != sorted(keys):
        raise Mismatch(f"series are not sorted by labels: {[_shown(labels) for labels, _ in series]}")
    expected = list(command.series)
    if command.scalar is not None:
        expected.append(SeriesLine({}, (command.scalar,)))
    _matrix(expected, command.times, series)


def _matrix(lines: list[SeriesLine], times: RangeTimes, series: Matrix) -> None:
    expected = {_key(line.labels): line for line in lines}
    for labels, points in series:
        line = expected.pop(_key(labels), None)
        if line is None:
            raise Mismatch(f"unexpected series {_shown(labels)} with {points}")
        wanted = [(times.start_ms + i * times.step_ms, v) for i, v in enumerate(line.items) if v is not None]
        if len(points) != len(wanted):
            raise Mismatch(f"expected {len(wanted)} points {wanted} for {_shown(labels)}, got {points}")
        for (at_ms, value), (wanted_ms, item) in zip(points, wanted):
            if at_ms != wanted_ms or not same(item, value):
                raise Mismatch(
                    f"expected {item} at {wanted_ms} ms for {_shown(labels)}, got {value} at {at_ms} ms"
                )
    if expected:
        missing = [_shown(line.labels) for line in expected.values()]
        raise Mismatch(f"expected series did not come: {', '.join(missing)}")


def middle_step(command: Eval, result: Result, time_ms: int, *, is_scalar: bool) -> None:
    """Raises Mismatch where a range query's step at `time_ms` is not what the instant query gives."""
    rows = [(labels, dict(points)) for labels, points in matrix(result)]
    samples = [(labels, points[time_ms]) for labels, points in rows if time_ms in points]
    if is_scalar:
        if len(samples) != 1:
            raise Mismatch(f"expected one series of a scalar, got {len(samples)}")
        value = samples[0][1]
        if isinstance(value, dict):
            raise Mismatch(f"expected a scalar, got {value}")
        _scalar(command, value)
    else:
        vector(command, samples, ordered=False)


# --- annotations --------------------------------------------------------------------------------------


def notes(command: Eval, result: Result) -> None:
    """Raises Mismatch where warnings or infos are not as the command expects."""
    _check_notes("warning", command.warn, command.no_warn, result.warnings)
    _check_notes("info", command.info, command.no_info, result.infos)


def _check_notes(kind: str, expected: list[Expectation], none: bool, actual: list[str]) -> None:
    if none and actual:
        raise Mismatch(f"unexpected {kind}: {actual}")
    if not expected:
        return
    if not actual:
        raise Mismatch(f"no {kind} came, expected {[each.text for each in expected]}")
    plain = [_essence(text) for text in actual]
    for text, bare in zip(actual, plain):
        if not any(each.matches(text) or each.matches(bare) for each in expected):
            raise Mismatch(f"unexpected {kind}: {text!r}")
    for each in expected:
        if not any(each.matches(text) or each.matches(bare) for text, bare in zip(actual, plain)):
            raise Mismatch(f"expected {kind} did not come: {each.text!r}, got {actual}")


def _essence(text: str) -> str:
    """Scripts of some versions expect the text without its place and the particulars before it."""
    return _PARTICULARS.sub("", text)
