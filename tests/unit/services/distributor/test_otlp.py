"""OTLP at the socket: what is asked for, what is answered, and that bodies stay within their bounds."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Mapping

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict

from rondel.errors import InvalidData, RateLimited, TooLarge, Unavailable
from rondel.model.write import Rejection, WriteLimits
from rondel.runtime.router import Router
from services.distributor.config import Config, OtlpConfig
from services.distributor.main import mount
from services.distributor.otlp import OtlpApp, decompressed
from services.distributor.otlpjson import message_of
from tests.support.asgi import Answer, call
from tests.support.otlp import DELTA, HEADERS, Export, varied_export
from tests.support.prompb.otlp_metrics_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
    Status,
)
from tests.unit.services.distributor.test_http import NOW_MS, Bench

PATH = "/api/v1/otlp/v1/metrics"
JSON = {"Content-Type": "application/json"}


def export(value: float = 1.5) -> Export:
    one = Export({"service.name": "shop"})
    one.gauge("a", NOW_MS, value)
    return one


async def post(
    bench: Bench, body: bytes | list[bytes], headers: Mapping[str, str] = HEADERS, method: str = "POST"
) -> Answer:
    return await call(OtlpApp(bench.app), PATH, method=method, headers=headers, body=body)


def partial(answer: Answer) -> tuple[int, str]:
    told = ExportMetricsServiceResponse.FromString(answer.body).partial_success
    return told.rejected_data_points, told.error_message


async def test_an_export_is_200_and_empty_and_reaches_the_ingester() -> None:
    bench = Bench()
    answer = await post(bench, export().body())
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-type"] == "application/x-protobuf"
    ((tenant, batch),) = bench.ingester.pushed
    assert tenant == "anonymous"
    assert batch.series(0) == ([("__name__", "a"), ("job", "shop")], [NOW_MS], [1.5])
    assert bench.metric("requests_total", status="200") == 1
    assert bench.metric("received_samples_total") == 1
    assert bench.nothing_is_inside()


@pytest.mark.parametrize("path", [PATH, "/otlp/v1/metrics", "/prometheus" + PATH])
async def test_paths_of_prometheus_and_mimir_are_mounted(path: str) -> None:
    bench = Bench()
    router = Router([])
    direct = mount(router, bench.app)
    assert (await call(router, path, headers=HEADERS, body=export().body())).status == 200
    assert (await call(direct[path], path, headers=HEADERS, body=export().body())).status == 200
    assert (await call(router, path, method="GET")).status == 405


async def test_what_is_left_out_is_told_with_200() -> None:
    bench = Bench()
    one = export()
    one.sum("requests", NOW_MS, 3, temporality=DELTA)
    count, text = partial(await post(bench, one.body()))
    assert count == 1
    assert "err-rondel-otlp-temporality" in text
    assert len(bench.ingester.pushed) == 1
    bench.ingester.rejections = [Rejection("sample-timestamp-too-old", "too old", 1)]
    count, text = partial(await post(bench, export().body()))
    assert (count, "too old" in text) == (1, True)


async def test_an_answer_to_json_is_json() -> None:
    bench = Bench()
    one = export()
    answer = await post(bench, json.dumps(MessageToDict(one.request)).encode(), JSON)
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"{}", "application/json")
    one.sum("requests", NOW_MS, 3, temporality=DELTA)
    answer = await post(bench, json.dumps(MessageToDict(one.request)).encode(), JSON)
    told = ParseDict(json.loads(answer.body), ExportMetricsServiceResponse())
    assert told.partial_success.rejected_data_points == 1
    answer = await post(bench, b"[]", JSON)
    assert (answer.status, json.loads(answer.body)["code"]) == (400, 3)


async def test_failures_that_a_sender_should_repeat_say_when() -> None:
    bench = Bench()
    for failure, status, code in (
        (Unavailable("full"), 503, 14),
        (RateLimited("slow", id="x", retry_after_s=3.0), 429, 8),
    ):
        bench.ingester.failure = failure
        answer = await post(bench, export().body())
        told = Status.FromString(answer.body)
        assert (answer.status, told.code) == (status, code)
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.headers["content-type"] == "application/x-protobuf"
        assert bench.nothing_is_inside()


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "text/plain"}, b"", 415),
        ({}, b"", 415),
        ({**HEADERS, "Content-Encoding": "zstd"}, b"", 415),
        (HEADERS, b"\xff", 400),
        ({**HEADERS, "Content-Encoding": "gzip"}, b"no gzip", 400),
        ({**HEADERS, "Content-Encoding": "gzip"}, gzip.compress(b"x" * 5_000), 413),
        (HEADERS, b"x" * 5_000, 413),
        ({**HEADERS, "Content-Length": "9999999"}, b"", 413),
        (JSON, b"{" + b" " * 600 + b"}", 413),
        (JSON, b'{"resourceMetrics": {}}', 400),
        (JSON, b'{"a":' * 90_000, 413),
    ],
)
async def test_what_is_not_taken(headers: dict[str, str], body: bytes, status: int) -> None:
    limits = WriteLimits(message_size_bytes_max=4_000)
    bench = Bench(Config(limits=limits, body_bytes_max=4_000))
    answer = await post(bench, body, headers)
    assert answer.status == status
    text = json.loads(answer.body)["message"] if headers == JSON else Status.FromString(answer.body).message
    assert text
    assert bench.nothing_is_inside()


async def test_a_tenant_is_asked_for_where_there_are_several() -> None:
    bench = Bench(tenancy=True)
    assert (await post(bench, export().body())).status == 401
    assert (await post(bench, export().body(), {**HEADERS, "X-Scope-OrgID": "a"})).status == 200
    assert bench.ingester.pushed[0][0] == "a"


async def test_settings_reach_the_translation() -> None:
    bench = Bench(Config(otlp=OtlpConfig(accept_delta=True, promote_resource_attributes=("service.name",))))
    one = Export({"service.name": "shop"})
    one.sum("requests", NOW_MS, 3, temporality=DELTA)
    assert (await post(bench, one.body())).body == b""
    assert ("service_name", "shop") in bench.ingester.pushed[0][1].series(0)[0]


def test_gzip_in_parts_is_one_body_and_a_bomb_is_not_unpacked() -> None:
    assert decompressed(gzip.compress(b"a" * 10) + gzip.compress(b"b"), 11) == b"a" * 10 + b"b"
    with pytest.raises(TooLarge):
        decompressed(gzip.compress(b"a" * 10) + gzip.compress(b"bb"), 11)
    with pytest.raises(TooLarge):
        decompressed(gzip.compress(bytes(1 << 26)), 1 << 20)
    for broken in (gzip.compress(b"abc")[:-3], gzip.compress(b"abc") + b"x", b""):
        with pytest.raises(InvalidData):
            decompressed(broken, 100)


@pytest.mark.parametrize("seed", range(20))
def test_json_becomes_the_message_that_it_stands_for(seed: int) -> None:
    request = varied_export(NOW_MS, seed).request
    point = request.resource_metrics[0].scope_metrics[0].metrics[1].sum.data_points[0]
    point.exemplars.add(as_double=1.5, trace_id=b"\x01" * 16, span_id=b"\xab" * 8, time_unix_nano=7)
    tree = MessageToDict(request)
    _spell_ids(tree)
    if random.Random(seed).random() < 0.5:
        tree["unknown"] = {"field": [1]}
    assert ExportMetricsServiceRequest.FromString(message_of(json.dumps(tree).encode())) == request


def _spell_ids(tree: object) -> None:
    """Protobuf's JSON has bytes in base64, and OTLP's has ids in hexadecimal."""
    if isinstance(tree, list):
        for one in tree:
            _spell_ids(one)
    elif isinstance(tree, dict):
        for name, value in tree.items():
            if name == "traceId":
                tree[name] = "01" * 16
            elif name == "spanId":
                tree[name] = "AB" * 8
            else:
                _spell_ids(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "{",
        "[" * 100_000,
        '{"resourceMetrics": [1]}',
        '{"resourceMetrics": [{"resource": {"attributes": [{"key": 1}]}}]}',
        '{"resourceMetrics": [{"resource": {"attributes": [{"key": "a", "value": {"intValue": "x"}}]}}]}',
        '{"resourceMetrics": [{"resource": {"attributes": [{"key": "a", "value": {"bytesValue": "?"}}]}}]}',
        '{"resourceMetrics": [{"resource": {"attributes": [{"key": "a", "value": {"boolValue": 1}}]}}]}',
    ],
)
def test_json_that_is_no_export_is_refused(text: str) -> None:
    with pytest.raises(InvalidData) as caught:
        message_of(text.encode())
    assert caught.value.id == "otlp-json-malformed"
