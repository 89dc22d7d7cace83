"""A client of OTLP: builds requests with the protobuf runtime, not with our code."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from tests.support.prompb.otlp_metrics_pb2 import AnyValue, ExportMetricsServiceRequest

__all__ = ["CUMULATIVE", "DELTA", "HEADERS", "NO_VALUE", "STALE_BITS", "Export", "value_of", "varied_export"]

HEADERS = {"Content-Type": "application/x-protobuf"}
DELTA = 1
CUMULATIVE = 2
NO_VALUE = 1
STALE_BITS = 0x7FF0000000000002
"""of the value that says that a series has ended"""
MS = 1_000_000
"""nanoseconds"""

Attributes = Mapping[str, Any]


def value_of(value: Any) -> AnyValue:
    """Of a text, a truth value, a number, bytes, a list, a mapping, or nothing."""
    one = AnyValue()
    match value:
        case None:
            pass
        case bool():
            one.bool_value = value
        case str():
            one.string_value = value
        case int():
            one.int_value = value
        case float():
            one.double_value = value
        case bytes():
            one.bytes_value = value
        case list():
            one.array_value.values.extend(value_of(each) for each in value)
        case dict():
            one.kvlist_value.SetInParent()
            put_attributes(one.kvlist_value.values, value)
        case _:
            raise TypeError(type(value))
    return one


def put_attributes(out: Any, attributes: Attributes) -> None:
    for key, value in attributes.items():
        out.add(key=key).value.CopyFrom(value_of(value))


class Export:
    """One request. `resource` begins another resource; a metric belongs to the last one."""

    def __init__(self, resource: Attributes | None = None) -> None:
        self.request = ExportMetricsServiceRequest()
        self.resource(resource or {})

    def resource(self, attributes: Attributes) -> Export:
        one = self.request.resource_metrics.add()
        put_attributes(one.resource.attributes, attributes)
        self._metrics = one.scope_metrics.add().metrics
        return self

    def metric(self, name: str, unit: str = "", description: str = "") -> Any:
        return self._metrics.add(name=name, unit=unit, description=description)

    def gauge(
        self, name: str, at_ms: int, value: float, attributes: Attributes | None = None, unit: str = ""
    ) -> Any:
        point = self.metric(name, unit).gauge.data_points.add(time_unix_nano=at_ms * MS)
        return _filled(point, value, attributes)

    def sum(
        self,
        name: str,
        at_ms: int,
        value: float,
        attributes: Attributes | None = None,
        unit: str = "",
        *,
        start_ms: int = 0,
        temporality: int = CUMULATIVE,
        is_monotonic: bool = True,
    ) -> Any:
        data = self.metric(name, unit).sum
        data.aggregation_temporality = temporality
        data.is_monotonic = is_monotonic
        point = data.data_points.add(time_unix_nano=at_ms * MS, start_time_unix_nano=start_ms * MS)
        return _filled(point, value, attributes)

    def histogram(
        self,
        name: str,
        at_ms: int,
        bounds: list[float],
        counts: list[int],
        attributes: Attributes | None = None,
        unit: str = "",
        **fields: Any,
    ) -> Any:
        data = self.metric(name, unit).histogram
        data.aggregation_temporality = CUMULATIVE
        point = data.data_points.add(
            time_unix_nano=at_ms * MS,
            explicit_bounds=bounds,
            bucket_counts=counts,
            count=sum(counts),
            **fields,
        )
        put_attributes(point.attributes, attributes or {})
        return point

    def exponential(
        self,
        name: str,
        at_ms: int,
        scale: int,
        positive: tuple[int, list[int]],
        negative: tuple[int, list[int]] = (0, []),
        zero_count: int = 0,
        attributes: Attributes | None = None,
        **fields: Any,
    ) -> Any:
        data = self.metric(name).exponential_histogram
        data.aggregation_temporality = CUMULATIVE
        count = zero_count + sum(positive[1]) + sum(negative[1])
        point = data.data_points.add(
            time_unix_nano=at_ms * MS, scale=scale, zero_count=zero_count, count=count, **fields
        )
        for side, (offset, counts) in ((point.positive, positive), (point.negative, negative)):
            side.offset = offset
            side.bucket_counts.extend(counts)
        put_attributes(point.attributes, attributes or {})
        return point

    def summary(
        self, name: str, at_ms: int, quantiles: Mapping[float, float], count: int, total: float
    ) -> Any:
        data = self.metric(name).summary
        point = data.data_points.add(time_unix_nano=at_ms * MS, count=count, sum=total)
        for quantile, value in quantiles.items():
            point.quantile_values.add(quantile=quantile, value=value)
        return point

    def body(self) -> bytes:
        message: bytes = self.request.SerializeToString()
        return message


def _filled(point: Any, value: float, attributes: Attributes | None) -> Any:
    if isinstance(value, int):
        point.as_int = value
    else:
        point.as_double = value
    put_attributes(point.attributes, attributes or {})
    return point


VALUES: tuple[Any, ...] = (
    "text", "", "ü;<&>\n", True, False, 0, -7, 2**62, 0.5, 1.0, 1e21, 1.5e-7, b"\x00\xff", [], [1, "a", 0.5],
    {"b": [True], "a": {"x": "<y>"}},
)  # fmt: skip
KEYS = (
    "http.method",
    "http_method",
    "http-method",
    "zone",
    "1st",
    "_own",
    "__sys",
    "grün",
    "a:b",
    "job",
    "x.y.z",
)
UNITS = (
    "",
    "s",
    "ms",
    "By",
    "1",
    "%",
    "{request}",
    "By/s",
    "{packet}/s",
    "km/h",
    "m/mo",
    "MiBy",
    "foo_/bar_",
)
NAMES = (
    "http.server.requests",
    "cpu_total_time",
    "__weird--name__",
    "2xx.ratio",
    "größe",
    "a:b.seconds",
    "q",
)


def varied_export(at_ms: int, seed: int) -> Export:
    """Metrics of every kind with every sort of name, unit and attribute."""
    rng = random.Random(seed)
    export = Export()
    del export.request.resource_metrics[:]
    for number in range(4):
        identity = {"service.name": f"shop{number}", "service.instance.id": f"pod-{number}"}
        if number == 1:
            identity["service.namespace"] = "space"
        if number == 2:
            del identity["service.instance.id"]
        export.resource({**identity, **_attributes(rng, 3 * (number % 3))})
        for place, name in enumerate(NAMES):
            _put(export, rng, f"{name}.{place}", at_ms)
    return export


def _attributes(rng: random.Random, most: int) -> dict[str, Any]:
    keys = rng.sample(KEYS, rng.randint(min(1, most), min(most, len(KEYS))))
    return {key: rng.choice(VALUES) for key in keys}


def _put(export: Export, rng: random.Random, name: str, at_ms: int) -> None:
    unit, attributes = rng.choice(UNITS), _attributes(rng, 4)
    export.gauge(f"{name}.gauge", at_ms, rng.choice([1, -2.5, 0.0]), attributes, unit)
    export.sum(f"{name}.sum", at_ms, rng.randint(0, 9), attributes, unit, start_ms=at_ms - 60_000)
    export.sum(f"{name}.level", at_ms, -1.5, attributes, unit, is_monotonic=False)
    bounds = rng.choice([[], [0.005, 1.0, 2.5, 1e6], [-1.0, 0.0, 1e-7]])
    counts = [rng.randint(0, 5) for _ in range(len(bounds) + 1)]
    more = {"sum": 12.25} if rng.random() < 0.8 else {}
    export.histogram(f"{name}.histogram", at_ms, bounds, counts, attributes, unit, **more)
    scale = rng.choice([-4, 0, 3, 8, 9, 12])
    # Where it brings a scale down to 8, Prometheus counts what follows an empty bucket in the bucket before.
    few = 0 if scale <= 8 else 1
    side = [max(few, rng.choice([0, 0, 0, 1, 2, 9])) for _ in range(rng.randint(0, 12))]
    other = [rng.randint(few, 2) for _ in range(rng.randint(0, 4))]
    export.exponential(
        f"{name}.exponential",
        at_ms,
        scale,
        (rng.randint(-20, 20), side),
        (rng.randint(-5, 5), other),
        zero_count=rng.randint(0, 3),
        attributes=attributes,
        sum=1.5,
    )
    export.summary(f"{name}.summary", at_ms, {0.5: 1.5, 0.99: 7.0, 1.0: 1e9}, count=3, total=9.5)
