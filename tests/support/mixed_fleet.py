"""A small fleet of series that hold floats, native histograms, or both in turn, and its remote writes.

A histogram is a mapping as `Histograms.from_dicts` takes it, with `integers` for how it is sent. Counters of
every layout rise, reset to what is not near zero, have gaps and end; gauges go anywhere. Restless ones
change their schema and their zero bucket.
"""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby, zip_longest
from typing import Any, Final

from tests.support.expressions import STEP_MS, fleet
from tests.support.remote_write import (
    HEADERS,
    HEADERS_V2,
    Request,
    Symbols,
    WriteRequest,
    body_of,
    fill_histogram,
)

__all__ = ["FLOATS", "MIXED", "RESTLESS", "STEADY", "MixedSeries", "mixed_fleet", "writes"]

Histogram = Mapping[str, Any]
Sample = tuple[int, float | Histogram]
MixedSeries = tuple[dict[str, str], list[Sample]]

FLOATS: Final = ("requests_total", "temperature", "latency_seconds_bucket")
STEADY: Final = ("call_seconds", "wait_seconds", "size_bytes", "depth", "swing")
"""Each series keeps its buckets: what Prometheus 3.5 can add up over time, see `since_prometheus_35`."""
RESTLESS: Final = ("restless_seconds", "odd_seconds")
MIXED: Final = ("moody", "half_seconds")
STALE: Final[float] = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]

_BOUNDS: Final = (0.1, 0.5, 1.0, 2.5, 10.0)
_FINEST: Final = 3
_VALUES: Final = tuple(1.37**power for power in range(-12, 13))
"""What a series observes that keeps its buckets."""


def mixed_fleet(seed: int, start_ms: int, count: int) -> list[MixedSeries]:
    """`count` scrapes from `start_ms`, reproducible."""
    rng = random.Random(seed)
    found: list[MixedSeries] = [
        (labels, list[Sample](samples))
        for labels, samples in fleet(seed, start_ms, count)
        if labels["__name__"] in FLOATS
    ]
    for job in ("api", "db"):
        for instance in ("a", "b", "c"):
            where = {"job": job, "instance": instance}
            for name in (*STEADY, *RESTLESS, *MIXED):
                meter = _Meter(rng, name, instance)
                found.append(({"__name__": name, **where}, list(_samples(rng, meter, name, start_ms, count))))
            utf8 = {"__name__": "größe.total", "pod.name": instance, "job": job}
            found.append((utf8, list(_samples(rng, _Meter(rng, "moody", "a"), "moody", start_ms, count))))
    return found


def _samples(rng: random.Random, meter: _Meter, name: str, start_ms: int, count: int) -> Iterator[Sample]:
    """What a scraper would have seen: now and then nothing for a while, after a marker or without one."""
    silent, as_float = 0, name == "half_seconds" and meter.is_float
    for step in range(count):
        time_ms = start_ms + step * STEP_MS
        if name == "moody" and rng.random() < 0.04:
            as_float = not as_float
            meter.is_float = rng.random() < 0.5
        meter.observe()
        if silent:
            silent -= 1
        elif rng.random() < 0.012:
            silent = rng.randint(1, 12)
            yield time_ms, _marker(rng, meter, as_float=as_float)
        elif rng.random() > 0.03:
            yield time_ms, meter.total if as_float else meter.histogram()


def _marker(rng: random.Random, meter: _Meter, *, as_float: bool) -> float | Histogram:
    if as_float or (rng.random() < 0.5 and not meter.is_gauge):
        return STALE
    return {**meter.histogram(), "sum": STALE}


@dataclass
class _Meter:
    """A histogram that observes: exact buckets of the finest schema, shown in what layout it has now."""

    rng: random.Random
    name: str
    instance: str
    schema: int = _FINEST
    threshold_exponent: int = -10
    sum: float = 0.0
    nans: float = 0.0
    buckets: dict[int, float] = field(default_factory=dict)
    negative: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.is_float = self.name == "wait_seconds" or self.instance == "b"
        self.is_custom = self.name == "size_bytes"
        self.is_gauge = self.name in ("depth", "swing")
        self.unit = 0.5 if self.is_float and self.name != "moody" else 1.0
        self.is_steady = self.name not in RESTLESS
        if self.is_steady:
            self.schema = self.rng.randint(0, _FINEST)
            self.threshold_exponent = self.rng.choice([-10, -4, -2])
        self.restart(observed=200)

    @property
    def total(self) -> float:
        return math.fsum((*self.buckets.values(), *self.negative.values(), self.nans))

    def observe(self) -> None:
        if self.is_gauge or self.rng.random() < 0.02:
            self.restart(observed=30)
        if not self.is_steady and self.rng.random() < 0.03:
            self.schema = self.rng.randint(-1, _FINEST)
            self.threshold_exponent = self.rng.choice([-10, -4, -2])
        for _ in range(self.rng.choice([0, 1, 1, 2, 5])):
            self._observe(self._value())
        if self.name == "odd_seconds" and self.rng.random() < 0.02:
            self.nans, self.sum = self.nans + self.unit, math.nan

    def restart(self, observed: int) -> None:
        """Never near zero: Prometheus 3.5 extrapolates a histogram to less than nothing."""
        self.sum, self.nans, self.buckets, self.negative = 0.0, 0.0, {}, {}
        for value in _VALUES if self.is_steady else ():
            self._observe(value)
            self._observe(-value)
        for _ in range(observed):
            self._observe(self._value())

    def _value(self) -> float:
        sign = self.rng.choice([-1, 1])
        return sign * (self.rng.choice(_VALUES) if self.is_steady else self.rng.lognormvariate(-0.5, 1.2))

    def _observe(self, value: float) -> None:
        below_zero = value < 0 and self.name in ("swing", "wait_seconds", "restless_seconds")
        value = abs(value)
        self.sum += -value * self.unit if below_zero else value * self.unit
        side = self.negative if below_zero else self.buckets
        index = self._index(value)
        side[index] = side.get(index, 0.0) + self.unit

    def _index(self, value: float) -> int:
        if self.is_custom:
            return sum(bound < value for bound in _BOUNDS)
        return math.ceil(math.log2(value) * 2**_FINEST)

    def histogram(self) -> Histogram:
        zero = 0.0
        sides: dict[str, dict[int, float]] = {"positive": {}, "negative": {}}
        for side, exact in (("positive", self.buckets), ("negative", self.negative)):
            for index, amount in exact.items():
                if not self.is_custom and index <= self.threshold_exponent * 2**_FINEST:
                    zero += amount
                else:
                    shown = index if self.is_custom else ((index - 1) >> (_FINEST - self.schema)) + 1
                    sides[side][shown] = sides[side].get(shown, 0.0) + amount
        return {
            "schema": -53 if self.is_custom else self.schema,
            "count": self.total,
            "sum": self.sum,
            "zero_count": zero,
            "zero_threshold": 0.0 if self.is_custom else 2.0**self.threshold_exponent,
            "custom_values": _BOUNDS if self.is_custom else (),
            "hint": "gauge" if self.is_gauge else "unknown",
            "integers": not self.is_float,
            **sides,
        }


def writes(series: list[MixedSeries]) -> Iterator[tuple[bytes, Mapping[str, str]]]:
    """Bodies and headers, in turn of version 1.0 and 2.0.

    Prometheus 3.5 takes the samples of a request by kind, and turns a staleness marker into one of the kind
    that it stored last. So a request holds, of each series, a run of one kind, or a marker.
    """
    runs = ([(labels, list(run)) for _, run in groupby(samples, key=_kind)] for labels, samples in series)
    for number, request in enumerate(zip_longest(*runs)):
        parts = [part for part in request if part]
        yield (_version_2(parts), HEADERS_V2) if number % 2 else (_version_1(parts), HEADERS)


def _version_1(series: list[MixedSeries]) -> bytes:
    request = WriteRequest()
    for labels, samples in series:
        one = request.timeseries.add()
        for name, value in sorted(labels.items()):
            one.labels.add(name=name, value=value)
        _fill(one, samples)
    return body_of(request)


def _version_2(series: list[MixedSeries]) -> bytes:
    request, symbols = Request(), Symbols()
    for labels, samples in series:
        one = request.timeseries.add()
        one.labels_refs.extend(symbols.refs(sorted(labels.items())))
        _fill(one, samples)
    request.symbols.extend(symbols.texts)
    return body_of(request)


def _fill(message: Any, samples: list[Sample]) -> None:
    for time_ms, value in samples:
        if isinstance(value, float):
            message.samples.add(timestamp=time_ms, value=value)
        else:
            fill_histogram(message.histograms.add(), time_ms, value, as_integers=value["integers"])


def _kind(sample: Sample) -> str:
    time_ms, value = sample
    if _is_marker(value if isinstance(value, float) else value["sum"]):
        return f"marker of {time_ms}"
    return "float" if isinstance(value, float) else "integers" if value["integers"] else "floats"


def _is_marker(value: float) -> bool:
    return struct.pack("<d", value) == struct.pack("<d", STALE)
