"""Comparison of two answers of the query API, with a relative tolerance on values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["differences"]

RELATIVE = 1e-9
ABSOLUTE = 1e-9

_KINDS = {"value": "values", "histogram": "histograms"}
"""Keys of a point in a vector, and of points in a matrix."""


def differences(expected: Any, got: Any, *, ordered: bool) -> list[str]:
    """What differs between two `data` objects: type, series, sample times, values. Empty when they agree."""
    if expected["resultType"] != got["resultType"]:
        return [f"type {got['resultType']} instead of {expected['resultType']}"]
    if expected["resultType"] in ("scalar", "string"):
        return _sample_differences("", expected["result"], got["result"])
    ours, theirs = _by_labels(got["result"]), _by_labels(expected["result"])
    found = [f"series {key} only in the first: {theirs[key]}" for key in theirs.keys() - ours.keys()]
    found += [f"series {key} only in the second: {ours[key]}" for key in ours.keys() - theirs.keys()]
    if not found and ordered and list(ours) != list(theirs):
        found.append("another order")
    for key in theirs.keys() & ours.keys():
        for kind in _KINDS.values():
            found += _series_differences(f"{key} {kind}", theirs[key][kind], ours[key][kind])
    return found


def _by_labels(result: list[dict[str, Any]]) -> dict[str, dict[str, list[Any]]]:
    rows = {str(sorted(row["metric"].items())): _points(row) for row in result}
    assert len(rows) == len(result), "the same series twice"
    return rows


def _points(row: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Floats and histograms of a row, of a vector or of a matrix."""
    return {
        many: row[many] if many in row else [row[one]] if one in row else [] for one, many in _KINDS.items()
    }


def _series_differences(key: str, expected: list[Any], got: list[Any]) -> list[str]:
    if [time for time, _ in expected] != [time for time, _ in got]:
        return [f"{key}: {len(got)} points instead of {len(expected)}, or other times"]
    pairs = zip(expected, got, strict=True)
    return [text for one, other in pairs for text in _sample_differences(key, one, other)]


def _sample_differences(key: str, expected: Any, got: Any) -> list[str]:
    (time, one), (other_time, other) = expected, got
    if time == other_time and _same(one, other):
        return []
    return [f"{key} at {time}: {other} at {other_time} instead of {one}"]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping):
        return _same_histogram(one, other)
    return _close(float(one), float(other))


def _same_histogram(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """A bucket that is not shown is empty: sums of another order may leave a trace of one. Of a histogram
    without a finite count buckets do not count: which are there at all, and become NaN, is up to the layout
    that a store keeps."""
    if not all(_close(float(one[key]), float(other[key])) for key in ("count", "sum")):
        return False
    if not math.isfinite(float(one["count"])):
        return True
    mine, theirs = _buckets(one), _buckets(other)
    both = ((mine.get(key, 0.0), theirs.get(key, 0.0)) for key in mine.keys() | theirs.keys())
    return all(_close(count, again) for count, again in both)


def _buckets(histogram: Mapping[str, Any]) -> dict[tuple[Any, ...], float]:
    return {tuple(bounds): float(count) for *bounds, count in histogram.get("buckets", [])}


def _close(one: float, other: float) -> bool:
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return one == other or math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
