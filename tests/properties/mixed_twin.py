"""Range functions over floats and histograms in plain Python: one window, samples in, one result out.

Histograms are dicts as `Histograms.from_dicts` takes them. The zero thresholds of all are the same.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from rondel.promql.kernel import Note
from tests.properties import window_twin
from tests.properties.window_twin import is_stale

Histogram: TypeAlias = dict[str, Any]
Sample: TypeAlias = tuple[int, float | Histogram]
CUSTOM = -53


@dataclass
class Window:
    """What lies in a window, in order of time: each time once, no staleness markers."""

    samples: list[Sample]
    end_ms: int
    range_ms: int
    args: Sequence[float] = ()
    notes: int = 0
    floats: list[tuple[int, float]] = field(init=False)
    histograms: list[tuple[int, Histogram]] = field(init=False)

    def __post_init__(self) -> None:
        self.floats = [(time, value) for time, value in self.samples if isinstance(value, float)]
        self.histograms = [(time, value) for time, value in self.samples if isinstance(value, dict)]

    def of_floats(self, function: str) -> float | None:
        times, values = [time for time, _ in self.floats], [value for _, value in self.floats]
        view = window_twin.View(times, values, self.end_ms, self.range_ms, self.args)
        return window_twin.FUNCTIONS[function](view) if values else None


def stale(value: float | Histogram) -> bool:
    return is_stale(value if isinstance(value, float) else value["sum"])


def visible(floats: Sequence[tuple[int, float]], histograms: Sequence[tuple[int, Histogram]]) -> list[Sample]:
    """The samples of a series as one list: at one time the histogram, unless only it is a marker."""
    merged: dict[int, float | Histogram] = dict(floats)
    for time, histogram in histograms:
        if time not in merged or stale(merged[time]) or not stale(histogram):
            merged[time] = histogram
    return sorted(merged.items(), key=lambda sample: sample[0])


# --- arithmetic -----------------------------------------------------------------------------------


def coarser(buckets: dict[int, float], by: int) -> Counter[int]:
    merged: Counter[int] = Counter()
    for index, count in buckets.items():
        merged[math.ceil(index / 2**by)] += count
    return merged


def under(histogram: Histogram, bounds: Sequence[float]) -> Counter[int]:
    merged: Counter[int] = Counter()
    for index, count in histogram["positive"].items():
        upper = [*histogram["custom_values"], math.inf][index]
        merged[sum(bound < upper for bound in bounds)] += count
    return merged


def aligned(one: Histogram, other: Histogram) -> tuple[Histogram, Histogram, int] | None:
    """Both in common buckets, and a note where bounds had to be given up; None where there are none."""
    if (one["schema"] == CUSTOM) != (other["schema"] == CUSTOM):
        return None
    if one["schema"] == CUSTOM:
        bounds = [bound for bound in one["custom_values"] if bound in other["custom_values"]]
        pair = [h | {"positive": under(h, bounds), "custom_values": bounds} for h in (one, other)]
        differ = one["custom_values"] != other["custom_values"]
        return pair[0], pair[1], Note.BOUNDS_RECONCILED if differ else 0
    schema = min(one["schema"], other["schema"])
    pair = []
    for histogram in (one, other):
        by = histogram["schema"] - schema
        sides = {side: coarser(histogram[side], by) for side in ("positive", "negative")}
        pair.append(histogram | sides | {"schema": schema})
    return pair[0], pair[1], 0


def combined(one: Histogram, other: Histogram, sign: float) -> tuple[Histogram, int] | None:
    """`one + sign * other`"""
    pair = aligned(one, other)
    if pair is None:
        return None
    mine, theirs, notes = pair
    total = dict(mine)
    for key in ("count", "sum", "zero_count"):
        total[key] = mine[key] + sign * theirs[key]
    for side in ("positive", "negative"):
        indexes = {*mine[side], *theirs[side]}
        total[side] = {at: mine[side].get(at, 0.0) + sign * theirs[side].get(at, 0.0) for at in indexes}
    return total, notes


def scaled(histogram: Histogram, factor: float) -> Histogram:
    total = dict(histogram)
    for key in ("count", "sum", "zero_count"):
        total[key] = histogram[key] * factor
    for side in ("positive", "negative"):
        total[side] = {at: count * factor for at, count in histogram[side].items()}
    return total


def is_reset(now: Histogram, before: Histogram) -> bool:
    if now["hint"] in ("reset", "not_reset"):
        return bool(now["hint"] == "reset")
    if now["count"] < before["count"]:
        return True
    custom = now["schema"] == CUSTOM
    if custom != (before["schema"] == CUSTOM) or (not custom and now["schema"] > before["schema"]):
        return True
    pair = aligned(now, before)
    assert pair is not None
    mine, theirs, _ = pair
    return mine["zero_count"] < theirs["zero_count"] or any(
        mine[side].get(at, 0.0) < count
        for side in ("positive", "negative")
        for at, count in theirs[side].items()
    )


def is_same(one: Histogram, other: Histogram) -> bool:
    return one | {"hint": ""} == other | {"hint": ""}


def hint_of(hints: Sequence[str]) -> str:
    if "gauge" in hints:
        return "gauge"
    return hints[0] if len(set(hints)) == 1 else "unknown"


def summed(histograms: Sequence[Histogram], averaged: bool) -> tuple[Histogram | None, int]:
    """The sum or mean of histograms whose numbers do not overflow, and what to note of it."""
    hints = [histogram["hint"] for histogram in histograms]
    notes = 0
    total = histograms[0]
    for index, histogram in enumerate(histograms[1:], 1):
        done = combined(total, histogram, 1.0)
        if done is None:
            seen = hints[: index + 1]
            return None, notes | Note.MIXED_SCHEMAS | collision(seen)
        total, notes = done[0], notes | done[1]
    if averaged:
        total = scaled(total, 1 / len(histograms))
    return total | {"hint": hint_of(hints)}, notes | collision(hints)


def collision(hints: Sequence[str]) -> int:
    return Note.HINTS_COLLIDE if {"reset", "not_reset"} <= set(hints) else 0


# --- functions ------------------------------------------------------------------------------------


def change(window: Window, function: str) -> float | Histogram | None:
    if not window.histograms:
        return window.of_floats(function)
    if window.floats:
        window.notes |= Note.MIXED
        return None
    if len(window.histograms) < 2:
        return None
    counter = function != "delta"
    points = [histogram for _, histogram in window.histograms]
    gauges = [histogram["hint"] == "gauge" for histogram in points]
    result = difference(window, points, counter)
    if result is None:
        window.notes |= Note.MIXED_SCHEMAS
        return None
    if counter and any(gauges):
        window.notes |= Note.NOT_COUNTER
    if not counter and not (gauges[0] and gauges[-1]):
        window.notes |= Note.NOT_GAUGE
    return scaled(result, factor(window, points[0]["count"], result["count"], function)) | {"hint": "gauge"}


def difference(window: Window, points: list[Histogram], counter: bool) -> Histogram | None:
    first = points[0]
    if counter and is_reset(points[1], first):
        first = scaled(points[1], 0.0)
    relevant = [first, *(points[1:] if counter else points[-1:])]
    if len({point["schema"] == CUSTOM for point in relevant}) > 1:
        return None
    coarsest = scaled(min(relevant, key=lambda point: point["schema"]), 0.0)
    terms = [(points[-1], 1.0), (first, -1.0)]
    if points[-1]["schema"] != CUSTOM:
        terms.append((coarsest, 1.0))
    if counter:
        pairs = itertools.pairwise([first, *points[1:]])
        terms += [(before, 1.0) for before, now in pairs if is_reset(now, before)]
    result = terms[0][0]
    for term, sign in terms[1:]:
        done = combined(result, term, sign)
        assert done is not None
        result = done[0]
        window.notes |= done[1]
    return result


def factor(window: Window, first: float, growth: float, function: str) -> float:
    """How much longer the window is than what the change was seen over; for a rate, divided by its length."""
    times = [time for time, _ in window.histograms]
    sampled = times[-1] - times[0]
    gap = sampled / (len(times) - 1)
    to_start, to_end = times[0] - (window.end_ms - window.range_ms), window.end_ms - times[-1]
    to_start, to_end = (gap / 2 if reach >= gap * 1.1 else reach for reach in (to_start, to_end))
    if function != "delta" and growth > 0 and first >= 0:
        to_start = min(to_start, sampled * (first / growth))
    whole = (sampled + to_start + to_end) / sampled
    return whole / (window.range_ms / 1000) if function == "rate" else whole


def last_two(window: Window, function: str) -> float | Histogram | None:
    if len(window.samples) < 2:
        return None
    (before_ms, before), (now_ms, now) = window.samples[-2:]
    if isinstance(before, float) and isinstance(now, float):
        return window.of_floats(function)
    if isinstance(before, float) or isinstance(now, float):
        window.notes |= Note.MIXED
        return None
    gauges = [before["hint"] == "gauge", now["hint"] == "gauge"]
    counter = function == "irate"
    if counter and any(gauges):
        window.notes |= Note.NOT_COUNTER
    if not counter and not all(gauges):
        window.notes |= Note.NOT_GAUGE
    result = now
    if not counter or not is_reset(now, before):
        done = combined(now, before, -1.0)
        if done is None:
            window.notes |= Note.MIXED_SCHEMAS
            return None
        result = done[0]
        window.notes |= done[1]
    if counter:
        result = scaled(result, 1000 / (now_ms - before_ms))
    return result | {"hint": "gauge"}


def total(window: Window, function: str) -> float | Histogram | None:
    if not window.histograms:
        return window.of_floats(function)
    if window.floats:
        window.notes |= Note.MIXED
        return None
    histograms = [histogram for _, histogram in window.histograms]
    result, notes = summed(histograms, function == "avg_over_time")
    window.notes |= notes
    return result


def events(window: Window, function: str) -> float:
    def differs(before: float | Histogram, now: float | Histogram) -> bool:
        if isinstance(before, dict) and isinstance(now, dict):
            return is_reset(now, before) if function == "resets" else not is_same(before, now)
        if isinstance(before, dict) or isinstance(now, dict):
            return True
        if function == "resets":
            return now < before
        return now != before and not (math.isnan(now) and math.isnan(before))

    values = [value for _, value in window.samples]
    return float(sum(itertools.starmap(differs, itertools.pairwise(values))))


def ignoring(window: Window, function: str) -> float | None:
    if window.floats and window.histograms:
        window.notes |= Note.HISTOGRAMS_IGNORED
    return window.of_floats(function)


Function: TypeAlias = Callable[[Window, str], float | Histogram | None]

FUNCTIONS: dict[str, Function] = {
    **dict.fromkeys(window_twin.FUNCTIONS, ignoring),
    **dict.fromkeys(("rate", "increase", "delta"), change),
    **dict.fromkeys(("irate", "idelta"), last_two),
    **dict.fromkeys(("sum_over_time", "avg_over_time"), total),
    **dict.fromkeys(("changes", "resets"), events),
    "first_over_time": lambda window, _: window.samples[0][1],
    "last_over_time": lambda window, _: window.samples[-1][1],
    "ts_of_first_over_time": lambda window, _: window.samples[0][0] / 1000,
    "ts_of_last_over_time": lambda window, _: window.samples[-1][0] / 1000,
    "count_over_time": lambda window, _: float(len(window.samples)),
    "present_over_time": lambda window, _: 1.0,
}
