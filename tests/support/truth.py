"""What is true of a series of the oracle at a time: everything follows from its number and the time.

All values are exact in a float64, and every text that the API makes of them is known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

__all__ = ["EVERY", "Shape", "exemplar_at", "fill", "histogram_at", "is_rich", "start_at", "value_at"]

EVERY = 8
"""series from one with more than floats to the next"""
ZERO_THRESHOLD = 2.0**-10
BOUNDS = (1.0, 2.0, 4.0, 8.0)
CUSTOM = -53


def value_at(number: int, time_ms: int) -> float:
    """The only right value of a series at a time."""
    return float((number * 1_000_003 + time_ms * 7_919) % 1_000_000_007) / 4


def is_rich(time_ms: int) -> bool:
    """Whether the batch of that time has more than floats: so logs and blocks hold both kinds of batches."""
    return time_ms // 1000 % 2 == 0


def start_at(number: int, time_ms: int) -> int:
    """Start timestamp of a sample, in milliseconds; 0 for none."""
    return time_ms - 1 - int(value_at(number, time_ms)) % 100_000 if is_rich(time_ms) else 0


def exemplar_at(number: int, time_ms: int) -> tuple[int, float, dict[str, str]]:
    """Time, value and labels of the exemplar that comes with a sample; it may be of the range before."""
    own_ms = time_ms - number % 300
    return own_ms, value_at(number, time_ms), {"trace_id": f"{number:04x}-{time_ms:x}"}


@dataclass(frozen=True)
class Shape:
    """A histogram by its buckets; of integers or of floats, with exponential (schema 0) or custom buckets."""

    sum: float
    zero: int
    positive: dict[int, int]
    negative: dict[int, int]
    is_custom: bool
    is_float: bool

    @property
    def count(self) -> int:
        return self.zero + sum(self.positive.values()) + sum(self.negative.values())

    def told(self) -> tuple[float, float, list[tuple[float, ...]]]:
        """Count, sum and `(kind, lower, upper, count)` of every bucket, as the API tells them."""
        buckets = [
            (1, -(2.0**i), -(2.0 ** (i - 1)), n) for i, n in sorted(self.negative.items(), reverse=True)
        ]
        if self.zero:
            buckets.append((3, -ZERO_THRESHOLD, ZERO_THRESHOLD, self.zero))
        if self.is_custom:
            ends = (float("-inf"), *BOUNDS, float("inf"))
            buckets += [(0 if i else 3, ends[i], ends[i + 1], n) for i, n in self.positive.items()]
        else:
            buckets += [(0, 2.0 ** (i - 1), 2.0**i, n) for i, n in self.positive.items()]
        return float(self.count), self.sum, [tuple(map(float, bucket)) for bucket in buckets]


def histogram_at(number: int, time_ms: int) -> Shape:
    """The only right histogram of a series at a time: its buckets come and go."""
    value = value_at(number, time_ms)
    bits = int(value)
    is_custom, is_float = number // EVERY % 3 == 2, number // EVERY % 2 == 1
    positive = {i: (bits >> i) % 50 + 1 for i in range(5) if bits >> i & 1}
    negative = {} if is_custom else {i: (bits >> 7 + i) % 9 + 1 for i in range(3) if bits >> 5 + i & 1}
    return Shape(value, 0 if is_custom else bits % 4, positive, negative, is_custom, is_float)


def fill(message: Any, shape: Shape, time_ms: int, start_ms: int) -> None:
    """Put it into a histogram of remote write 2.0."""
    message.timestamp, message.start_timestamp, message.sum = time_ms, start_ms, shape.sum
    message.schema = CUSTOM if shape.is_custom else 0
    if shape.is_custom:
        message.custom_values.extend(BOUNDS)
    else:
        message.zero_threshold = ZERO_THRESHOLD
    if shape.is_float:
        message.count_float, message.zero_count_float = shape.count, shape.zero
        message.positive_counts.extend(shape.positive.values())
        message.negative_counts.extend(shape.negative.values())
    else:
        message.count_int, message.zero_count_int = shape.count, shape.zero
        message.positive_deltas.extend(_deltas(shape.positive.values()))
        message.negative_deltas.extend(_deltas(shape.negative.values()))
    _spans(message.positive_spans, shape.positive)
    _spans(message.negative_spans, shape.negative)


def _deltas(counts: Iterable[int]) -> list[int]:
    counts = list(counts)
    return [count - before for before, count in zip([0, *counts], counts, strict=False)]


def _spans(spans: Any, indexes: Iterable[int]) -> None:
    """One span a bucket."""
    following = 0
    for index in indexes:
        spans.add(offset=index - following, length=1)
        following = index + 1
