"""Remote write 2.0 at the socket: what Prometheus' receiver tests ask for, each with the answer that we give.

The receiver tests send labels unsorted and field 6, as older senders did; so do these requests.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from rondel.errors import Unavailable
from rondel.model.write import Rejection
from services.distributor.config import Config
from tests.support.asgi import Answer
from tests.support.remote_write import HEADERS, HEADERS_V2, Request, Symbols, body_of, write_request
from tests.unit.services.distributor.test_http import NOW_MS, Bench

METADATA_TYPES = ["unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"]
KINDS = ("samples", "histograms", "exemplars")
LABELS = [("job", "x"), ("__name__", "up"), ("instance", "a:1")]


class Sender:
    """Builds one request."""

    def __init__(self) -> None:
        self.request = Request()
        self.symbols = Symbols()

    def series(self, labels: list[tuple[str, str]] = LABELS, *values: float) -> Any:
        one = self.request.timeseries.add()
        one.labels_refs.extend(self.symbols.refs(labels))
        for number, value in enumerate(values):
            one.samples.add(timestamp=NOW_MS + 10 * number, value=value)
        return one

    def body(self) -> bytes:
        """Each series with field 6, the old time of creation."""
        del self.request.symbols[:]
        self.request.symbols.extend(self.symbols.texts)
        message = self.request.SerializeToString()
        for series in self.request.timeseries:
            plain = series.SerializeToString()
            dated = plain + bytes.fromhex("3080e8a2a9bc31")
            message = message.replace(_part(plain), _part(dated), 1)
        return body_of(message)

    async def send(self, bench: Bench) -> Answer:
        return await bench.post(self.body(), HEADERS_V2)


def _part(content: bytes) -> bytes:
    length = (
        bytes([len(content)]) if len(content) < 128 else bytes([len(content) & 127 | 128, len(content) >> 7])
    )
    return b"\x2a" + length + content


def written(answer: Answer) -> list[str | None]:
    return [answer.headers.get(f"x-prometheus-remote-write-{kind}-written") for kind in KINDS]


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        "application/x-protobuf; proto=io.prometheus.write.v2.Request",
        'application/x-protobuf ; Proto = "io.prometheus.write.v2.Request"',
        "Application/X-Protobuf;charset=binary;proto=io.prometheus.write.v2.Request",
    ],
)
async def test_content_types_of_version_2_are_taken(content_type: str) -> None:
    sender = Sender()
    sender.series(LABELS, 1.0)
    answer = await Bench().post(sender.body(), {**HEADERS_V2, "Content-Type": content_type})
    assert (answer.status, written(answer)) == (204, ["1", "0", "0"])


@pytest.mark.parametrize(
    "header",
    [
        {"Content-Type": "application/json"},
        {"Content-Type": "image/png"},
        {"Content-Type": "application/x-protobuf;proto=io.prometheus.write.v3.Request"},
        {"Content-Encoding": "gzip"},
        {"Content-Encoding": "deflate"},
    ],
)
async def test_other_media_are_415_before_the_body_is_looked_at(header: dict[str, str]) -> None:
    answer = await Bench().post(b"not even snappy", {**HEADERS_V2, **header})
    assert (answer.status, written(answer)) == (415, [None] * 3)


@pytest.mark.parametrize("body", [b"", b"corrupt", body_of(b"corrupt"), body_of(b"\x2a\x05abc")])
async def test_a_corrupt_body_is_400_and_nothing_was_written(body: bytes) -> None:
    bench = Bench()
    answer = await bench.post(body, HEADERS_V2)
    assert (answer.status, written(answer)) == (400, ["0", "0", "0"])
    assert bench.ingester.pushed == []


@pytest.mark.parametrize("value", [1.0, math.nan, math.inf, -math.inf, 0.0])
async def test_a_sample_of_any_value_is_written(value: float) -> None:
    bench = Bench()
    sender = Sender()
    sender.series(LABELS, value)
    answer = await sender.send(bench)
    assert (answer.status, written(answer)) == (204, ["1", "0", "0"])
    labels, times, _ = bench.ingester.pushed[0][1].series(0)
    assert (labels, times) == (sorted(LABELS), [NOW_MS])


async def test_names_and_values_of_any_utf8_are_written() -> None:
    bench = Bench()
    labels = [("__name__", "a.b c\nd"), ("größe ü", "x\ny"), ("k8s.pod/name", "日本"), ("e", '\u0000"\\')]
    sender = Sender()
    sender.series(labels, 1.0)
    assert (await sender.send(bench)).status == 204
    assert bench.ingester.pushed[0][1].series(0)[0] == sorted(labels)


@pytest.mark.parametrize(
    ("labels", "id"),
    [
        ([("job", "x")], "missing-metric-name"),
        ([], "missing-metric-name"),
        ([("__name__", "")], "missing-metric-name"),
        ([("__name__", "a"), ("b", "1"), ("b", "2")], "duplicate-label-names"),
        ([("__name__", "a"), ("", "1")], "label-invalid"),
    ],
)
async def test_one_bad_series_of_four_is_400_and_the_others_are_written(
    labels: list[tuple[str, str]], id: str
) -> None:
    bench = Bench()
    sender = Sender()
    for number in range(3):
        sender.series([*LABELS, ("n", str(number))], 1.0)
    sender.series(labels, 1.0, 2.0)
    answer = await sender.send(bench)
    assert (answer.status, written(answer)) == (400, ["3", "0", "0"])
    assert f"(err-rondel-{id})" in answer.text
    assert answer.text.endswith(f"samples left out: 2 {id}; samples written: 3")
    assert len(bench.ingester.pushed[0][1]) == 3


@pytest.mark.parametrize("refs", [[1], [1, 2, 3], [1, 99], [99, 1], [1, 2**32 - 1]])
async def test_references_that_lead_nowhere_leave_out_their_series(refs: list[int]) -> None:
    bench = Bench()
    sender = Sender()
    sender.series(LABELS, 1.0)
    sender.series([], 1.0).labels_refs.extend(refs)
    answer = await sender.send(bench)
    assert (answer.status, written(answer)) == (400, ["1", "0", "0"])
    assert "(err-rondel-label-refs-invalid)" in answer.text


async def test_samples_out_of_order_in_one_series_are_written_in_order() -> None:
    bench = Bench()
    sender = Sender()
    one = sender.series(LABELS, 1.0)
    one.samples.add(timestamp=NOW_MS - 3_600_000, value=2.0, start_timestamp=NOW_MS - 3_600_001)
    one.exemplars.add(timestamp=NOW_MS, value=1.0)
    one.exemplars.add(timestamp=NOW_MS - 3_600_000, value=2.0)
    answer = await sender.send(bench)
    assert (answer.status, written(answer)) == (204, ["2", "0", "2"])
    batch = bench.ingester.pushed[0][1]
    assert batch.series(0)[1:] == ([NOW_MS - 3_600_000, NOW_MS], [2.0, 1.0])
    assert batch.starts(0) == [NOW_MS - 3_600_001, 0]
    assert [time_ms for time_ms, _, _ in batch.exemplars(0)] == [NOW_MS - 3_600_000, NOW_MS]


def _histogram(series: Any, **fields: Any) -> None:
    spans = {key: fields.pop(key, ()) for key in ("positive_spans", "negative_spans")}
    one = series.histograms.add(timestamp=NOW_MS, **fields)
    for key, parts in spans.items():
        for offset, length in parts:
            getattr(one, key).add(offset=offset, length=length)


HISTOGRAMS: dict[str, dict[str, Any]] = {
    "empty": {},
    "positive": {"count_int": 3, "sum": 2.5, "positive_spans": [(0, 2)], "positive_deltas": [1, 1]},
    "negative": {"count_int": 3, "sum": -2.5, "negative_spans": [(0, 2)], "negative_deltas": [1, 1]},
    "zero": {"count_int": 3, "sum": 0.0, "zero_count_int": 3, "zero_threshold": 0.001},
    "float": {"count_float": 2.5, "positive_spans": [(0, 1)], "positive_counts": [2.5], "reset_hint": 3},
    "custom": {
        "schema": -53,
        "count_int": 3,
        "sum": 2.5,
        "custom_values": [1.0, 2.0],
        "positive_spans": [(0, 3)],
        "positive_deltas": [1, 0, 0],
    },
}


@pytest.mark.parametrize("kind", HISTOGRAMS)
async def test_histograms_of_every_kind_are_written(kind: str) -> None:
    bench = Bench()
    sender = Sender()
    _histogram(sender.series(), **HISTOGRAMS[kind])
    answer = await sender.send(bench)
    assert (answer.status, written(answer)) == (204, ["0", "1", "0"])
    times, _, found = bench.ingester.pushed[0][1].histograms(0)
    assert (times, len(found)) == ([NOW_MS], 1)


async def test_a_histogram_whose_count_is_not_that_of_its_buckets_is_400() -> None:
    sender = Sender()
    _histogram(sender.series(LABELS, 1.0), **{**HISTOGRAMS["positive"], "count_int": 4})
    answer = await sender.send(Bench())
    assert (answer.status, written(answer)) == (400, ["1", "0", "0"])
    assert "(err-rondel-native-histogram-count-mismatch)" in answer.text


EXEMPLARS: dict[str, dict[str, Any]] = {
    "plain": {"labels": [("trace_id", "abc"), ("span_id", "d")], "value": 0.5},
    "without labels": {"labels": [], "value": 0.5},
    "unicode": {"labels": [("größe", "日本")], "value": 0.5},
    "NaN": {"labels": [("trace_id", "abc")], "value": math.nan},
    "Inf": {"labels": [("trace_id", "abc")], "value": math.inf},
}


@pytest.mark.parametrize("kind", EXEMPLARS)
async def test_exemplars_of_every_kind_are_written(kind: str) -> None:
    bench = Bench()
    sender = Sender()
    labels, value = EXEMPLARS[kind]["labels"], EXEMPLARS[kind]["value"]
    refs = sender.symbols.refs(labels)
    sender.series(LABELS, 1.0).exemplars.add(timestamp=NOW_MS, value=value, labels_refs=refs)
    answer = await sender.send(bench)
    assert (answer.status, written(answer)) == (204, ["1", "0", "1"])
    assert bench.ingester.pushed[0][1].exemplars(0)[0][2] == sorted(labels)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([("id", "v" * 127)], "exemplar_labels_too_long"),
        ([("id", "ü" * 126), ("x", "")], "exemplar_labels_too_long"),
        ([("id", "a"), ("id", "b")], "exemplar_labels_invalid"),
        ([("", "a")], "exemplar_labels_invalid"),
    ],
)
async def test_an_exemplar_that_cannot_be_kept_fails_nothing(
    labels: list[tuple[str, str]], reason: str
) -> None:
    bench = Bench()
    sender = Sender()
    refs = sender.symbols.refs(labels)
    sender.series(LABELS, 1.0).exemplars.add(timestamp=NOW_MS, value=1.0, labels_refs=refs)
    answer = await sender.send(bench)
    assert (answer.status, written(answer)) == (204, ["1", "0", "0"])
    assert bench.metric("discarded_exemplars_total", reason=reason) == 1


async def test_an_exemplar_whose_references_lead_nowhere_is_400() -> None:
    sender = Sender()
    sender.series(LABELS, 1.0).exemplars.add(timestamp=NOW_MS, value=1.0, labels_refs=[1, 999])
    answer = await sender.send(Bench())
    assert (answer.status, written(answer)) == (400, ["1", "0", "0"])
    assert "(err-rondel-exemplar-label-refs-invalid)" in answer.text


@pytest.mark.parametrize(("kind", "name"), list(enumerate(METADATA_TYPES)))
async def test_metadata_of_every_type_goes_along(kind: int, name: str) -> None:
    bench = Bench()
    sender = Sender()
    for number in range(3):
        one = sender.series([*LABELS, ("n", str(number))], 1.0)
        one.metadata.type = kind
        one.metadata.help_ref = sender.symbols.ref("Whether it is up.")
        one.metadata.unit_ref = sender.symbols.ref("bool")
    answer = await sender.send(bench)
    assert (answer.status, written(answer)) == (204, ["3", "0", "0"])
    assert bench.ingester.pushed[0][1].metadata() == [("up", name, "Whether it is up.", "bool")]


async def test_series_of_a_histogram_describe_their_family() -> None:
    bench = Bench()
    sender = Sender()
    for suffix in ("_bucket", "_sum", "_count"):
        sender.series([("__name__", f"took_seconds{suffix}")], 1.0).metadata.type = 3
    assert (await sender.send(bench)).status == 204
    assert set(bench.ingester.pushed[0][1].metadata()) == {("took_seconds", "histogram", "", "")}


@pytest.mark.parametrize("carries", ["metadata", "nothing"])
async def test_a_series_without_samples_is_400_as_with_prometheus(carries: str) -> None:
    bench = Bench()
    sender = Sender()
    one = sender.series()
    if carries == "metadata":
        one.metadata.type = 1
    sender.series([*LABELS, ("n", "good")], 1.0)
    answer = await sender.send(bench)
    assert (answer.status, written(answer)) == (400, ["1", "0", "0"])
    assert "(err-rondel-series-without-samples)" in answer.text
    assert len(bench.ingester.pushed[0][1]) == 1


async def test_exemplars_may_come_in_a_series_of_their_own_as_prometheus_sends_them() -> None:
    bench = Bench()
    sender = Sender()
    sender.series(LABELS, 1.0)
    sender.series(LABELS).exemplars.add(timestamp=NOW_MS, value=1.0)
    answer = await sender.send(bench)
    assert (answer.status, written(answer)) == (204, ["1", "0", "1"])


async def test_a_batch_of_fifty_series_with_everything_is_written() -> None:
    bench = Bench()
    sender = Sender()
    for number in range(50):
        one = sender.series([*LABELS, ("n", str(number))], 1.0, 2.0)
        _histogram(one, **HISTOGRAMS["positive"])
        one.exemplars.add(timestamp=NOW_MS, value=1.0)
    answer = await sender.send(bench)
    assert (answer.status, written(answer)) == (204, ["100", "50", "50"])


async def test_a_request_of_version_1_gets_no_written_headers() -> None:
    body = body_of(write_request([({"__name__": "up"}, [(NOW_MS, 1.0)])]))
    good = await Bench().post(body, HEADERS)
    corrupt = await Bench().post(b"corrupt", HEADERS)
    assert (good.status, corrupt.status) == (204, 400)
    assert written(good) == written(corrupt) == [None] * 3


async def test_a_body_of_one_version_under_the_type_of_the_other_is_400() -> None:
    old = body_of(write_request([({"__name__": "up"}, [(NOW_MS, 1.0)])]))
    sender = Sender()
    sender.series(LABELS, 1.0)
    for body, headers in ((old, HEADERS_V2), (sender.body(), HEADERS)):
        answer = await Bench().post(body, headers)
        assert answer.status == 400
        assert "(err-rondel-remote-write-version)" in answer.text


async def test_every_answer_after_negotiation_says_what_was_written() -> None:
    sender = Sender()
    sender.series(LABELS, 1.0, 2.0)
    full = Bench()
    full.ingester.failure = Unavailable("disk is full")
    partial = Bench()
    partial.ingester.rejections = [Rejection("sample-timestamp-too-old", "too old", 1)]
    limited = Bench(Config(ingestion_rate=1.0, ingestion_burst_size=1))
    small = Bench(Config(body_bytes_max=3))
    nameless = Bench(tenancy=True)
    answers = [await sender.send(bench) for bench in (full, partial, limited, small, nameless)]
    assert [answer.status for answer in answers] == [503, 400, 429, 413, 401]
    assert [written(answer)[0] for answer in answers] == ["0", "1", "0", "0", "0"]
    assert {written(answer)[2] for answer in answers} == {"0"}
