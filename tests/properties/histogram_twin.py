"""Native histograms in plain Python: buckets as dicts, bounds as powers, nothing clever."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

CUSTOM = -53
INF = math.inf
NAN = math.nan

Buckets = dict[int, float]


@dataclass(frozen=True)
class Twin:
    schema: int = 0
    count: float = 0.0
    sum: float = 0.0
    zero: float = 0.0
    threshold: float = 0.0
    positive: Buckets = field(default_factory=dict)
    negative: Buckets = field(default_factory=dict)
    bounds: tuple[float, ...] = ()
    hint: str = "unknown"

    @property
    def is_custom(self) -> bool:
        return self.schema == CUSTOM

    def bound(self, index: int) -> float:
        if not self.is_custom:
            return power(index, self.schema)
        if index < 0:
            return -INF
        return self.bounds[index] if index < len(self.bounds) else INF

    def as_dict(self) -> dict[str, Any]:
        return {
            "schema": self.schema,
            "count": self.count,
            "sum": self.sum,
            "zero_count": self.zero,
            "zero_threshold": self.threshold,
            "positive": self.positive,
            "negative": self.negative,
            "custom_values": list(self.bounds),
            "hint": self.hint,
        }

    def compacted(self) -> Twin:
        return replace(self, positive=populated(self.positive), negative=populated(self.negative))

    def parts(self) -> Iterator[tuple[float, float, float]]:
        """`(lower, upper, count)` of what is populated, by rising value."""
        for index in sorted(populated(self.negative), reverse=True):
            lower, upper = -self.bound(index), -self.bound(index - 1)
            yield lower, min(upper, -self.threshold), self.negative[index]
        if self.zero > 0:
            yield -self.threshold, self.threshold, self.zero
        for index in sorted(populated(self.positive)):
            lower, upper = self.bound(index - 1), self.bound(index)
            yield lower if self.is_custom else max(lower, self.threshold), upper, self.positive[index]


def power(index: int, schema: int) -> float:
    """Where an exponential bucket ends, exactly where that is a power of two."""
    exponent = Fraction(index) / (Fraction(2) ** schema)
    whole = math.floor(exponent)
    return math.ldexp(2.0 ** float(exponent - whole), whole)


def populated(buckets: Buckets) -> Buckets:
    return {index: count for index, count in buckets.items() if count != 0}


# --- addition -------------------------------------------------------------------------------------


def add(left: Twin, right: Twin, sign: int) -> tuple[Twin, bool] | None:
    """`(left + sign * right without empty buckets, whether bounds had to be reconciled)`."""
    if left.is_custom != right.is_custom:
        return None
    total = replace(
        left,
        count=left.count + sign * right.count,
        sum=left.sum + sign * right.sum,
        hint="gauge" if sign < 0 else joined_hint(left.hint, right.hint),
    )
    if left.is_custom:
        bounds = tuple(bound for bound in left.bounds if bound in right.bounds)
        buckets = added(under(left, bounds), under(right, bounds), sign)
        return replace(total, positive=buckets, bounds=bounds).compacted(), left.bounds != right.bounds
    left, right = widened(left, right)
    schema = min(left.schema, right.schema)
    return replace(
        total,
        schema=schema,
        threshold=left.threshold,
        zero=left.zero + sign * right.zero,
        positive=added(
            coarser(left.positive, left.schema, schema), coarser(right.positive, right.schema, schema), sign
        ),
        negative=added(
            coarser(left.negative, left.schema, schema), coarser(right.negative, right.schema, schema), sign
        ),
    ).compacted(), False


def added(left: Buckets, right: Buckets, sign: int) -> Buckets:
    return {i: left.get(i, 0.0) + sign * right.get(i, 0.0) for i in sorted({*left, *right})}


def joined_hint(left: str, right: str) -> str:
    if "gauge" in (left, right):
        return "gauge"
    return left if left == right else "unknown"


def collide(left: str, right: str) -> bool:
    return {left, right} == {"reset", "not_reset"}


def coarser(buckets: Buckets, schema: int, target: int) -> Buckets:
    merged: Buckets = {}
    for index, count in buckets.items():
        place = math.ceil(Fraction(index, 2 ** (schema - target)))
        merged[place] = merged.get(place, 0.0) + count
    return merged


def under(twin: Twin, bounds: tuple[float, ...]) -> Buckets:
    merged: Buckets = {}
    for index, count in twin.positive.items():
        upper = twin.bound(index)
        place = next((at for at, bound in enumerate(bounds) if bound >= upper), len(bounds))
        merged[place] = merged.get(place, 0.0) + count
    return merged


def widened(left: Twin, right: Twin) -> tuple[Twin, Twin]:
    """Both with the smallest common threshold that lies inside no populated bucket of either."""
    threshold = max(left.threshold, right.threshold)
    while True:
        cut = [
            upper
            for twin in (left, right)
            if twin.threshold < threshold
            for buckets in (twin.positive, twin.negative)
            for index in populated(buckets)
            for lower, upper in [(twin.bound(index - 1), twin.bound(index))]
            if lower < threshold < upper
        ]
        if not cut:
            return covered(left, threshold), covered(right, threshold)
        threshold = max(cut)


def covered(twin: Twin, threshold: float) -> Twin:
    """With every bucket below the threshold in the zero bucket."""
    if threshold == twin.threshold:
        return twin
    inside = lambda index: twin.bound(index - 1) < threshold  # noqa: E731
    moved = [
        count
        for buckets in (twin.positive, twin.negative)
        for index, count in buckets.items()
        if inside(index)
    ]
    return replace(
        twin,
        threshold=threshold,
        zero=twin.zero + sum(moved),
        positive={index: count for index, count in twin.positive.items() if not inside(index)},
        negative={index: count for index, count in twin.negative.items() if not inside(index)},
    )


# --- distribution ---------------------------------------------------------------------------------


def natural(twin: Twin) -> list[tuple[float, float, float]]:
    """The parts, with bounds that the other side's emptiness gives: zero for one that crosses it."""
    parts = []
    above, beneath = any(twin.positive.values()), any(twin.negative.values())
    for lower, upper, count in twin.parts():
        if lower <= 0 <= upper:
            if above and not beneath:
                lower = 0.0
            elif beneath and not above:
                upper = 0.0
        parts.append((lower, upper, count))
    return parts


def below(twin: Twin, value: float) -> float:
    """How many of the observations that buckets show lie below the value."""
    total = 0.0
    for lower, upper, count in natural(twin):
        if lower >= value:
            break
        if upper <= value:
            total += count
        elif lower == -INF:
            return count
        else:
            total += count * share(twin, lower, upper, value)
    return total


def share(twin: Twin, lower: float, upper: float, value: float) -> float:
    if twin.is_custom or lower <= 0 <= upper:
        return (value - lower) / (upper - lower)
    if lower > 0:
        return math.log(value / lower) / math.log(upper / lower)
    return 1 - math.log(value / upper) / math.log(lower / upper)


def fraction(twin: Twin, lower: float, upper: float) -> float:
    if twin.count == 0 or math.isnan(lower) or math.isnan(upper):
        return NAN
    if lower >= upper:
        return 0.0
    shown = sum(count for _, _, count in twin.parts()) if math.isnan(twin.sum) else twin.count
    reach = [shown if beyond(twin, value) else min(below(twin, value), shown) for value in (lower, upper)]
    return (reach[1] - reach[0]) / twin.count


def beyond(twin: Twin, value: float) -> bool:
    """Whether the value is above every bucket."""
    return all(lower < value and upper <= value for lower, upper, _ in natural(twin))


def quantile(twin: Twin, q: float) -> float:
    if q < 0 or q > 1:
        return math.copysign(INF, q)
    if twin.count == 0 or math.isnan(q):
        return NAN
    upwards = math.isnan(twin.sum) or q < 0.5
    rank = (q if upwards else 1 - q) * twin.count
    parts = natural_for_quantile(twin)
    seen = 0.0
    for lower, upper, count in parts if upwards else reversed(parts):
        seen += count
        if seen >= rank:
            return inside(twin, lower, upper, (rank - (seen - count)) / count, upwards=upwards)
    return NAN


def natural_for_quantile(twin: Twin) -> list[tuple[float, float, float]]:
    return list(twin.parts()) if twin.is_custom else natural(twin)


def inside(twin: Twin, lower: float, upper: float, part: float, *, upwards: bool) -> float:
    if twin.is_custom and lower == -INF:
        if upper <= 0:
            return upper
        lower = 0.0
    elif twin.is_custom and upper == INF:
        return lower
    part = part if upwards else 1 - part
    if twin.is_custom or lower <= 0 <= upper:
        return lower + (upper - lower) * part
    if lower > 0:
        return lower * (upper / lower) ** part
    return upper * (lower / upper) ** (1 - part)


def variance(twin: Twin) -> float:
    if twin.count == 0:
        return NAN
    mean = twin.sum / twin.count
    return sum(count * (middle(twin, lo, up) - mean) ** 2 for lo, up, count in twin.parts()) / twin.count


def middle(twin: Twin, lower: float, upper: float) -> float:
    if twin.is_custom:
        return (lower + upper) / 2
    if lower <= 0 <= upper:
        return 0.0
    return math.copysign(math.sqrt(lower * upper), lower)
