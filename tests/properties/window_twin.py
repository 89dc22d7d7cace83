"""The range functions in plain Python: one window, lists in, one value or None out."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

STALE_BITS = 0x7FF0000000000002
STALE = struct.unpack("<d", struct.pack("<Q", STALE_BITS))[0]
NAN = math.nan
INF = math.inf


def is_stale(value: float) -> bool:
    return bool(struct.unpack("<Q", struct.pack("<d", value))[0] == STALE_BITS)


def divide(left: float, right: float) -> float:
    """IEEE division, which Python refuses for zero."""
    if right != 0:
        return left / right
    if left == 0 or math.isnan(left):
        return NAN
    return math.copysign(INF, left) * math.copysign(1.0, right)


@dataclass(frozen=True)
class View:
    """The samples of one window and where it stands."""

    times: list[int]
    values: list[float]
    end_ms: int
    range_ms: int
    args: Sequence[float]
    starts: list[int] | None = None
    """Since when each sample counts, 0 where nobody said."""

    def began_anew(self, at: int) -> bool:
        """Whether the start of sample `at` says that there was a reset before it."""
        if self.starts is None:
            return False
        start, time_before, start_before = self.starts[at], self.times[at - 1], self.starts[at - 1]
        if start == 0 or start >= self.times[at] or start < time_before:
            return False
        return start > time_before or (start_before != 0 and start_before < time_before)

    def overlaps(self) -> bool:
        starts = self.starts or []
        return any(
            starts[at] != 0 and starts[at] < self.times[at - 1] and starts[at] != starts[at - 1]
            for at in range(1, len(starts))
        )


def plus(value: float, total: float, lost: float) -> tuple[float, float]:
    new = total + value
    if math.isinf(new):
        return new, 0.0
    if abs(total) >= abs(value):
        return new, lost + ((total - new) + value)
    return new, lost + ((value - new) + total)


def compensated_sum(values: Sequence[float]) -> float:
    total, lost = 0.0, 0.0
    for value in values:
        total, lost = plus(value, total, lost)
    return total if math.isinf(total) else total + lost


def mean(values: Sequence[float]) -> float:
    total, lost, running = values[0], 0.0, False
    for count, value in enumerate(values[1:], 2):
        if not running:
            new = plus(value, total, lost)
            if not math.isinf(new[0]):
                total, lost = new
                continue
            running = True
            total, lost = total / (count - 1), lost / (count - 1)
        kept = (count - 1) / count
        total, lost = plus(value / count, kept * total, kept * lost)
    return total + lost if running else total / len(values) + lost / len(values)


def variance(values: Sequence[float]) -> float:
    average, average_lost, squares, squares_lost = 0.0, 0.0, 0.0, 0.0
    for count, value in enumerate(values, 1):
        delta = value - (average + average_lost)
        average, average_lost = plus(delta / count, average, average_lost)
        distance = value - (average + average_lost)
        squares, squares_lost = plus(delta * distance, squares, squares_lost)
    return (squares + squares_lost) / len(values)


def quantile(q: float, values: Sequence[float]) -> float:
    if not values or math.isnan(q):
        return NAN
    if q < 0 or q > 1:
        return math.copysign(INF, q - 0.5)
    ordered = sorted(values, key=lambda value: (not math.isnan(value), 0 if math.isnan(value) else value))
    rank = q * (len(ordered) - 1)
    lower = math.floor(rank)
    upper = min(len(ordered) - 1, lower + 1)
    weight = rank - lower
    return ordered[lower] * (1 - weight) + ordered[upper] * weight


def change(view: View, *, counter: bool, per_second: bool) -> float | None:
    times, values, begin_ms = view.times, view.values, view.end_ms - view.range_ms
    result = values[-1] - values[0]
    if counter:
        for at in range(1, len(values)):
            if values[at] < values[at - 1] or view.began_anew(at):
                result += values[at - 1]
    to_start = (times[0] - begin_ms) / 1000
    to_end = (view.end_ms - times[-1]) / 1000
    sampled = (times[-1] - times[0]) / 1000
    gap = sampled / (len(times) - 1) if len(times) > 1 else 0
    if counter and view.starts and view.starts[0] != 0 and begin_ms < view.starts[0] < times[0]:
        result += values[0]
        sampled = (times[-1] - view.starts[0]) / 1000
        to_start = 0
    elif len(values) < 2:
        return None
    else:
        if to_start >= gap * 1.1:
            to_start = gap / 2
        if counter and result > 0 and values[0] >= 0:
            to_start = min(to_start, sampled * (values[0] / result))
    if to_end >= gap * 1.1:
        to_end = gap / 2
    factor = (sampled + to_start + to_end) / sampled
    if per_second:
        factor /= view.range_ms / 1000
    return result * factor


def last_two(view: View, *, counter: bool) -> float | None:
    if len(view.values) < 2:
        return None
    before, after = view.values[-2:]
    if not counter:
        return after - before
    growth = after if after < before or view.began_anew(len(view.values) - 1) else after - before
    return growth / ((view.times[-1] - view.times[-2]) / 1000)


def line(view: View, zero_ms: int) -> tuple[float, float]:
    values = view.values
    if all(value == values[0] for value in values[1:]):
        return (NAN, NAN) if math.isinf(values[0]) else (0.0, values[0])
    xs = [(time - zero_ms) / 1000 for time in view.times]
    sums = []
    for terms in (
        xs,
        values,
        [x * y for x, y in zip(xs, values, strict=True)],
        [x * x for x in xs],
    ):
        total, lost = 0.0, 0.0
        for term in terms:
            total, lost = plus(term, total, lost)
        sums.append(total + lost)
    x, y, xy, xx = sums
    n = len(xs)
    slope = divide(xy - x * y / n, xx - x * x / n)
    return slope, y / n - slope * x / n


def deriv(view: View) -> float | None:
    return line(view, view.times[0])[0] if len(view.values) >= 2 else None


def predict_linear(view: View) -> float | None:
    if len(view.values) < 2:
        return None
    slope, intercept = line(view, view.end_ms + round(view.args[1] * 1000))
    return slope * view.args[0] + intercept


def smoothed(view: View) -> float | None:
    if len(view.values) < 2:
        return None
    level_factor, trend_factor = view.args
    before, level, trend = 0.0, view.values[0], view.values[1] - view.values[0]
    for index, value in enumerate(view.values[1:]):
        if index > 0:
            trend = trend_factor * (level - before) + (1 - trend_factor) * trend
        before, level = level, level_factor * value + (1 - level_factor) * (level + trend)
    return level


def extreme(view: View, sign: int) -> int:
    """Index of the first smallest (sign 1) or largest (-1) sample; any NaN where there is nothing else."""
    numbers = [at for at, value in enumerate(view.values) if not math.isnan(value)]
    return min(numbers, key=lambda at: sign * view.values[at], default=0)


def time_of_extreme(view: View, sign: int) -> float:
    """Time of the last smallest or largest sample."""
    numbers = [at for at, value in enumerate(view.values) if not math.isnan(value)]
    at = min(reversed(numbers), key=lambda at: sign * view.values[at], default=len(view.values) - 1)
    return view.times[at] / 1000


def neighbours(view: View, differ: Callable[[float, float], bool]) -> float:
    return float(sum(differ(a, b) for a, b in zip(view.values, view.values[1:], strict=False)))


def resets(view: View) -> float:
    values = view.values
    return float(sum(values[at] < values[at - 1] or view.began_anew(at) for at in range(1, len(values))))


def median_deviation(view: View) -> float:
    if any(math.isnan(value) for value in view.values):
        return NAN
    median = quantile(0.5, view.values)
    return quantile(0.5, [abs(value - median) for value in view.values])


FUNCTIONS: dict[str, Callable[[View], float | None]] = {
    "rate": lambda view: change(view, counter=True, per_second=True),
    "increase": lambda view: change(view, counter=True, per_second=False),
    "delta": lambda view: change(view, counter=False, per_second=False),
    "irate": lambda view: last_two(view, counter=True),
    "idelta": lambda view: last_two(view, counter=False),
    "changes": lambda view: neighbours(view, lambda a, b: a != b and not (math.isnan(a) and math.isnan(b))),
    "resets": resets,
    "sum_over_time": lambda view: compensated_sum(view.values),
    "avg_over_time": lambda view: mean(view.values),
    "min_over_time": lambda view: view.values[extreme(view, 1)],
    "max_over_time": lambda view: view.values[extreme(view, -1)],
    "ts_of_min_over_time": lambda view: time_of_extreme(view, 1),
    "ts_of_max_over_time": lambda view: time_of_extreme(view, -1),
    "ts_of_first_over_time": lambda view: view.times[0] / 1000,
    "ts_of_last_over_time": lambda view: view.times[-1] / 1000,
    "count_over_time": lambda view: float(len(view.values)),
    "present_over_time": lambda view: 1.0,
    "first_over_time": lambda view: view.values[0],
    "last_over_time": lambda view: view.values[-1],
    "stddev_over_time": lambda view: math.sqrt(variance(view.values)),
    "stdvar_over_time": lambda view: variance(view.values),
    "mad_over_time": median_deviation,
    "quantile_over_time": lambda view: quantile(view.args[0], view.values),
    "deriv": deriv,
    "predict_linear": predict_linear,
    "double_exponential_smoothing": smoothed,
}
