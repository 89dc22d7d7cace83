"""What becomes of OpenTelemetry's points, and what is left out of them."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from rondel.errors import InvalidData
from rondel.model.write import Decoder, WriteBatch, WriteLimits
from tests.support.otlp import DELTA, NO_VALUE, STALE_BITS, Export

NOW_MS = 1_700_000_000_000
START_MS = NOW_MS - 60_000
SHOP = {"service.name": "shop", "service.namespace": "eu", "service.instance.id": "pod-1"}
IDENTITY = {"job": "eu/shop", "instance": "pod-1"}


def decode(export: Export, limits: WriteLimits | None = None, **options: Any) -> WriteBatch:
    return Decoder(limits or WriteLimits(), seed=1).decode_otlp(export.body(), NOW_MS, **options)


def floats(batch: WriteBatch) -> dict[str, list[tuple[int, float]]]:
    """By the text of the labels, without those that name the sender."""
    out: dict[str, list[tuple[int, float]]] = {}
    for at in range(len(batch)):
        labels, times, values = batch.series(at)
        assert dict(labels).items() >= IDENTITY.items()
        rest = {name: value for name, value in labels if name not in IDENTITY}
        text = rest.pop("__name__") + "".join(f" {name}={value}" for name, value in rest.items())
        out[text] = list(zip(times, values, strict=True))
    return out


def rejected(batch: WriteBatch) -> dict[str, int]:
    return {id: count for id, _, count in batch.rejections}


def test_gauges_and_sums_are_samples_with_names_of_their_unit_and_kind() -> None:
    export = Export(SHOP)
    export.gauge("memory.used", NOW_MS, 5, {"pool.name": "a"}, "By")
    export.sum("requests", NOW_MS, 7.5, unit="1", start_ms=START_MS)
    export.sum("queue.size", NOW_MS, -2, is_monotonic=False, start_ms=START_MS)
    batch = decode(export)
    assert floats(batch) == {
        "memory_used_bytes pool_name=a": [(NOW_MS, 5.0)],
        "requests_total": [(NOW_MS, 7.5)],
        "queue_size": [(NOW_MS, -2.0)],
    }
    assert [batch.starts(at) for at in range(3)] == [[0], [START_MS], [0]]
    assert [entry[:2] for entry in batch.metadata()] == [
        ("memory_used_bytes", "gauge"),
        ("requests_total", "counter"),
        ("queue_size", "gauge"),
    ]


def test_a_histogram_is_a_series_a_bucket() -> None:
    export = Export(SHOP)
    point = export.histogram("latency", NOW_MS, [0.5, 1.0], [1, 2, 3], unit="s", sum=4.5)
    point.start_time_unix_nano = START_MS * 1_000_000
    batch = decode(export)
    assert floats(batch) == {
        "latency_seconds_sum": [(NOW_MS, 4.5)],
        "latency_seconds_count": [(NOW_MS, 6.0)],
        "latency_seconds_bucket le=0.5": [(NOW_MS, 1.0)],
        "latency_seconds_bucket le=1": [(NOW_MS, 3.0)],
        "latency_seconds_bucket le=+Inf": [(NOW_MS, 6.0)],
    }
    assert {tuple(batch.starts(at)) for at in range(5)} == {(START_MS,)}


def test_a_histogram_without_a_sum_or_buckets_has_no_series_of_them() -> None:
    export = Export(SHOP)
    export.histogram("latency", NOW_MS, [], [3])
    assert floats(decode(export)) == {
        "latency_count": [(NOW_MS, 3.0)],
        "latency_bucket le=+Inf": [(NOW_MS, 3.0)],
    }


def test_an_exponential_histogram_is_a_native_one() -> None:
    export = Export(SHOP)
    export.exponential("latency", NOW_MS, 3, (-2, [1, 0, 2]), (4, [5]), zero_count=7, sum=1.5)
    batch = decode(export)
    (times, _, values) = batch.histograms(0)
    assert times == [NOW_MS]
    assert values[0] == {
        "schema": 3,
        "count": 15.0,
        "sum": 1.5,
        "zero_count": 7.0,
        "zero_threshold": 1e-128,
        "positive": {-1: 1.0, 0: 0.0, 1: 2.0},
        "negative": {5: 5.0},
        "custom_values": [],
        "hint": "unknown",
    }


def test_a_summary_is_a_series_a_quantile() -> None:
    export = Export(SHOP)
    export.summary("latency", NOW_MS, {0.5: 1.5, 1.0: 9.0}, 4, 8.0)
    assert floats(decode(export)) == {
        "latency_sum": [(NOW_MS, 8.0)],
        "latency_count": [(NOW_MS, 4.0)],
        "latency quantile=0.5": [(NOW_MS, 1.5)],
        "latency quantile=1": [(NOW_MS, 9.0)],
    }


def test_a_point_without_a_recorded_value_ends_its_series() -> None:
    export = Export(SHOP)
    export.gauge("a", NOW_MS, 1.0).flags = NO_VALUE
    export.histogram("b", NOW_MS, [1.0], [1, 1]).flags = NO_VALUE
    export.exponential("c", NOW_MS, 0, (0, [1])).flags = NO_VALUE
    batch = decode(export)
    ends = [value for at in range(4) for value in batch.series(at)[2]]
    ends.append(batch.histograms(4)[2][0]["sum"])
    assert [struct.pack("<d", value) for value in ends] == [struct.pack("<Q", STALE_BITS)] * 5


def test_a_resource_that_says_more_has_a_series_of_it() -> None:
    export = Export({**SHOP, "host.name": "h", "tags": ["a", 1]})
    export.gauge("a", NOW_MS - 200_000, 1.0)
    export.gauge("a", NOW_MS, 1.0)
    times = [(NOW_MS - 200_000, 1.0), (NOW_MS - 50_000, 1.0), (NOW_MS, 1.0)]
    rows = [decode(export).series(at) for at in range(2, 5)]
    assert {dict(row[0])["tags"] for row in rows} == {'["a",1]'}
    assert [(row[1][0], row[2][0]) for row in rows] == times


def test_samples_of_a_resource_are_bounded_however_long_its_points_reach() -> None:
    export = Export({**SHOP, "host.name": "h"})
    export.gauge("a", 0, 1.0)
    export.gauge("a", NOW_MS, 1.0)
    assert len(decode(export)) == 102


def test_points_that_tell_changes_are_left_out_unless_asked_for() -> None:
    export = Export(SHOP)
    export.sum("requests", NOW_MS, 3, temporality=DELTA, start_ms=START_MS)
    export.sum("requests", NOW_MS, 3, temporality=0)
    export.gauge("a", NOW_MS, 1.0)
    batch = decode(export)
    assert floats(batch) == {"a": [(NOW_MS, 1.0)]}
    [(id, text, count)] = batch.rejections
    assert (id, count) == ("otlp-temporality", 2)
    assert 'metric "requests" is not cumulative' in text
    taken = decode(export, accept_delta=True)
    assert floats(taken) == {"requests_total": [(NOW_MS, 3.0)], "a": [(NOW_MS, 1.0)]}
    assert rejected(taken) == {"otlp-temporality": 1}


def test_attributes_of_the_resource_can_become_labels() -> None:
    export = Export({**SHOP, "host.name": "h", "k8s.pod": "p"})
    export.gauge("a", NOW_MS, 1.0, {"k8s_pod": "own"})
    labels = dict(decode(export, promoted=("host.name", "k8s.pod", "absent")).series(0)[0])
    assert labels == {"__name__": "a", "host_name": "h", "k8s_pod": "own", **IDENTITY}


def test_what_breaks_a_rule_is_left_out_and_the_rest_is_there() -> None:
    export = Export(SHOP)
    export.gauge("a", NOW_MS, 1.0)
    export.gauge("...", NOW_MS, 1.0)
    export.gauge("b", NOW_MS, 1.0, {f"l{number}": "x" for number in range(40)})
    export.gauge("c", NOW_MS, 1.0, {"long": "x" * 3_000})
    export.gauge("d", NOW_MS + 3_600_000, 1.0)
    export.metric("e").gauge.data_points.add(time_unix_nano=NOW_MS * 1_000_000)
    export.exponential("f", NOW_MS, -5, (0, [1]))
    export.exponential("g", NOW_MS, 0, (0, [1])).count = 9
    batch = decode(export)
    assert floats(batch) == {"a": [(NOW_MS, 1.0)]}
    assert rejected(batch) == {
        "missing-metric-name": 1,
        "max-label-names-per-series": 1,
        "label-value-too-long": 1,
        "too-far-in-future": 1,
        "otlp-point-without-value": 1,
        "otlp-scale": 1,
        "native-histogram-count-mismatch": 1,
    }


def many_buckets(count: int, attribute: str = "x") -> Export:
    export = Export(SHOP)
    export.histogram("h", NOW_MS, [float(bound) for bound in range(count)], [1] * count, {"a": attribute})
    return export


@pytest.mark.parametrize(
    ("export", "limits", "id"),
    [
        (many_buckets(50), WriteLimits(samples_per_request_max=20), "max-samples-per-request"),
        (
            many_buckets(4_000, "x" * 2_000),
            WriteLimits(message_size_bytes_max=1 << 20),
            "distributor-max-write-message-size",
        ),
        (many_buckets(50), WriteLimits(message_size_bytes_max=100), "distributor-max-write-message-size"),
        (many_buckets(5), WriteLimits(metadata_per_request_max=0), "max-metadata-per-request"),
    ],
)
def test_a_request_is_refused_before_it_takes_much_memory(
    export: Export, limits: WriteLimits, id: str
) -> None:
    with pytest.raises(InvalidData) as caught:
        decode(export, limits)
    assert caught.value.id == id


def test_what_is_no_message_is_refused_and_never_more_than_that() -> None:
    export = Export({**SHOP, "nested": {"a": [1, {"b": 2.5}]}})
    export.histogram("h", NOW_MS, [1.0, 2.0], [1, 2, 3], {"a": "b"}, sum=1.0)
    export.exponential("e", NOW_MS, 2, (0, [1, 2]))
    export.summary("s", NOW_MS, {0.5: 1.0}, 1, 1.0)
    body = export.body()
    decoder = Decoder(WriteLimits(), seed=1)
    refused = []
    for at in range(len(body)):
        for broken in (body[:at], body[:at] + bytes([body[at] ^ 0xFF]) + body[at + 1 :]):
            try:
                decoder.decode_otlp(broken, NOW_MS)
            except InvalidData as error:
                refused.append(error.id)
    assert len(refused) > len(body)
    assert set(refused) == {"protobuf-malformed"}
