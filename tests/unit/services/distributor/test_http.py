"""The table of status codes of remote write, and what each promises."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import pytest
from prometheus_client import CollectorRegistry
from starlette.types import Message, Scope

from rondel.errors import RateLimited, Unavailable
from rondel.model.write import PushResult, Rejection, WriteBatch, WriteLimits, Written
from rondel.runtime.clock import FakeClock
from rondel.runtime.router import Router
from services.distributor.config import Config
from services.distributor.http import WriteApp, routes
from services.distributor.push import Distributor
from services.distributor.replicas import Replicas
from tests.support.asgi import Answer, call
from tests.support.remote_write import HEADERS, body_of, write_request

NOW_MS = 1_700_000_000_000
PATH = "/api/v1/write"


class FakeIngester:
    """Keeps what it is given; answers with `result`, raises `failure`, waits for `gate`."""

    def __init__(self) -> None:
        self.pushed: list[tuple[str, WriteBatch]] = []
        self.rejections: list[Rejection] = []
        self.failure: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.entered = asyncio.Event()

    async def push(self, tenant: str, batch: WriteBatch) -> PushResult:
        self.entered.set()
        if self.gate:
            await self.gate.wait()
        if self.failure:
            raise self.failure
        self.pushed.append((tenant, batch))
        left_out = sum(one.samples for one in self.rejections)
        accepted = Written(batch.sample_count - left_out, batch.histogram_count, batch.exemplar_count)
        return PushResult(accepted, list(self.rejections))


class Bench:
    """A distributor over a fake ingester."""

    def __init__(
        self,
        config: Config | None = None,
        *,
        tenancy: bool = False,
        tenants: Mapping[str, Config] = MappingProxyType({}),
        replicas: Replicas | None = None,
    ) -> None:
        self.ingester = FakeIngester()
        self.registry = CollectorRegistry()
        self.clock = FakeClock(NOW_MS)
        self.distributor = Distributor(
            self.ingester,
            config or Config(),
            self.clock,
            self.registry,
            seed=1,
            tenants=tenants,
            replicas=replicas,
        )
        self.app = WriteApp(self.distributor, random.Random(1), tenancy=tenancy)

    async def post(self, body: bytes | list[bytes], headers: Mapping[str, str] = HEADERS) -> Answer:
        return await call(self.app, PATH, headers=headers, body=body)

    def metric(self, name: str, **labels: str) -> float:
        value = self.registry.get_sample_value(f"rondel_distributor_{name}", labels)
        return 0.0 if value is None else value

    def nothing_is_inside(self) -> bool:
        inflight = self.distributor.inflight
        return (inflight.requests, inflight.size_bytes) == (0, 0)


def one_sample(name: str = "up", timestamp_ms: int = NOW_MS, **labels: str) -> bytes:
    return body_of(write_request([({"__name__": name, **labels}, [(timestamp_ms, 1.0)])]))


async def test_a_good_request_is_204_without_a_body_and_reaches_the_ingester() -> None:
    bench = Bench()
    answer = await bench.post(one_sample(job="x"))
    assert (answer.status, answer.body) == (204, b"")
    ((tenant, batch),) = bench.ingester.pushed
    assert tenant == "anonymous"
    assert batch.series(0) == ([("__name__", "up"), ("job", "x")], [NOW_MS], [1.0])
    assert bench.metric("requests_total", status="204") == 1
    assert bench.metric("received_samples_total") == 1
    assert bench.metric("request_duration_seconds_count") == 1
    assert bench.nothing_is_inside()


@pytest.mark.parametrize("path", ["/api/v1/write", "/api/v1/push"])
async def test_both_paths_are_mounted(path: str) -> None:
    bench = Bench()
    router = Router(routes(bench.app))
    assert (await call(router, path, headers=HEADERS, body=one_sample())).status == 204
    refused = await call(router, path, method="GET")
    assert (refused.status, refused.headers["allow"]) == (405, "POST")


async def test_another_method_is_405_with_allow() -> None:
    answer = await call(Bench().app, PATH, method="PUT", headers=HEADERS, body=one_sample())
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-protobuf",
        "application/x-protobuf;proto=prometheus.WriteRequest",
        "application/x-protobuf; proto=prometheus.WriteRequest",
        'application/x-protobuf ; proto = "prometheus.WriteRequest"',
        "Application/X-Protobuf; charset=binary",
        "",
        None,
    ],
)
async def test_content_types_of_remote_write_1_are_taken(content_type: str | None) -> None:
    headers = {name: value for name, value in HEADERS.items() if name != "Content-Type"}
    if content_type is not None:
        headers["Content-Type"] = content_type
    assert (await Bench().post(one_sample(), headers)).status == 204


@pytest.mark.parametrize(
    "header",
    [
        {"Content-Type": "application/json"},
        {"Content-Type": "image/png"},
        {"Content-Type": "application/x-protobuf;proto=something.Else"},
        {"Content-Encoding": "gzip"},
        {"Content-Encoding": "deflate"},
        {"Content-Encoding": "x-snappy-framed"},
    ],
)
async def test_other_media_are_415_before_the_body_is_looked_at(header: dict[str, str]) -> None:
    bench = Bench()
    answer = await bench.post(b"not even snappy", {**HEADERS, **header})
    assert answer.status == 415
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert bench.ingester.pushed == []


@pytest.mark.parametrize("encoding", ["", "snappy", "Snappy"])
async def test_a_missing_or_empty_content_encoding_is_snappy(encoding: str) -> None:
    assert (await Bench().post(one_sample(), {**HEADERS, "Content-Encoding": encoding})).status == 204
    without = {name: value for name, value in HEADERS.items() if name != "Content-Encoding"}
    assert (await Bench().post(one_sample(), without)).status == 204


@pytest.mark.parametrize(
    ("body", "id"),
    [
        (b"", "snappy-corrupt"),
        (b"\xff\xff\xff\xff\x0f\x00", "distributor-max-write-message-size"),
        (b"\x80\x80\x80\x08\x00\x00", "snappy-corrupt"),
        (b"\xff\x06\x00\x00sNaPpY\x01\x00", "snappy-corrupt"),
        (body_of(b"\x0a\x05abc"), "protobuf-malformed"),
        (body_of(b"\x0b"), "protobuf-malformed"),
    ],
)
async def test_a_damaged_body_is_400_with_its_id(body: bytes, id: str) -> None:
    bench = Bench()
    answer = await bench.post(body)
    assert answer.status == 400
    assert f"(err-rondel-{id})" in answer.text
    assert bench.ingester.pushed == []
    assert bench.nothing_is_inside()


async def test_good_series_are_written_and_bad_ones_are_400_with_counts() -> None:
    bench = Bench()
    request = write_request(
        [
            ({"__name__": "good"}, [(NOW_MS, 1.0)]),
            ({"job": "nameless"}, [(NOW_MS, 1.0), (NOW_MS + 1, 1.0)]),
            ({"__name__": "ahead"}, [(NOW_MS + 600_001, 1.0), (NOW_MS + 600_000, 2.0)]),
        ]
    )
    answer = await bench.post(body_of(request))
    assert answer.status == 400
    assert answer.text.startswith(
        'series has no metric name: {job="nameless"} (err-rondel-missing-metric-name)'
    )
    assert "samples left out: 2 missing-metric-name, 1 too-far-in-future; samples written: 2" in answer.text
    assert len(bench.ingester.pushed[0][1]) == 2
    assert bench.metric("discarded_samples_total", reason="missing_metric_name") == 2
    assert bench.metric("discarded_samples_total", reason="too_far_in_future") == 1
    assert bench.metric("received_samples_total") == 5


async def test_what_the_ingester_leaves_out_is_400_too() -> None:
    bench = Bench()
    bench.ingester.rejections = [Rejection("sample-timestamp-too-old", "too old", 1)]
    answer = await bench.post(one_sample())
    assert answer.status == 400
    assert answer.text == (
        "too old (err-rondel-sample-timestamp-too-old); samples left out: 1 sample-timestamp-too-old; "
        "samples written: 0"
    )


async def test_metadata_alone_is_204_and_reaches_the_ingester() -> None:
    bench = Bench()
    entry = {"metric_family_name": "up", "type": 2, "help": "Whether it is up.", "unit": "bool"}
    assert (await bench.post(body_of(write_request([], [entry])))).status == 204
    assert bench.ingester.pushed[0][1].metadata() == [("up", "gauge", "Whether it is up.", "bool")]
    assert bench.metric("metadata_total") == 1


async def test_an_empty_request_is_204_and_nobody_is_asked() -> None:
    bench = Bench()
    bench.ingester.failure = Unavailable("must not be called")
    assert (await bench.post(body_of(b""))).status == 204


async def test_histograms_are_samples_and_a_bad_one_is_left_out_by_name() -> None:
    bench = Bench()
    request = write_request([({"__name__": "both"}, [(NOW_MS, 1.0)])])
    request.timeseries[0].histograms.add(count_int=1, zero_count_int=1, timestamp=NOW_MS)
    request.timeseries[0].histograms.add(count_int=1, timestamp=NOW_MS)
    answer = await bench.post(body_of(request))
    assert answer.status == 400
    assert "(err-rondel-native-histogram-count-mismatch)" in answer.text
    assert answer.text.endswith("samples left out: 1 native-histogram-count-mismatch; samples written: 2")
    batch = bench.ingester.pushed[0][1]
    assert (batch.sample_count, batch.histogram_count) == (1, 1)
    assert bench.metric("received_samples_total") == 3
    assert bench.metric("histograms_total") == 1


async def test_exemplars_never_fail_a_request_of_version_1() -> None:
    bench = Bench()
    request = write_request([({"__name__": "up"}, [(NOW_MS, 1.0)])])
    request.timeseries[0].exemplars.add(value=1, timestamp=NOW_MS)
    request.timeseries[0].exemplars.add(value=1).labels.add(name="id", value="v" * 127)
    assert (await bench.post(body_of(request))).status == 204
    assert bench.ingester.pushed[0][1].exemplar_count == 1
    assert bench.metric("exemplars_total") == 1
    assert bench.metric("discarded_exemplars_total", reason="exemplar_labels_too_long") == 1


async def test_no_room_in_the_ingester_is_503_with_a_spread_retry_after() -> None:
    bench = Bench()
    bench.ingester.failure = Unavailable("disk is full", retry_after_s=20)
    answers = [await bench.post(one_sample()) for _ in range(20)]
    assert {(answer.status, answer.text) for answer in answers} == {(503, "disk is full")}
    waits = {int(answer.headers["retry-after"]) for answer in answers}
    assert len(waits) > 3
    assert min(waits) >= 10
    assert max(waits) <= 30
    assert bench.nothing_is_inside()


async def test_a_bug_is_500_and_says_nothing_of_itself() -> None:
    bench = Bench()
    bench.ingester.failure = ZeroDivisionError("secret")
    answer = await bench.post(one_sample())
    assert answer.status == 500
    assert "secret" not in answer.text
    assert bench.nothing_is_inside()


async def test_a_body_over_the_limit_is_413_by_its_header_and_by_its_bytes() -> None:
    bench = Bench(Config(body_bytes_max=100))
    declared = await bench.post(b"", {**HEADERS, "Content-Length": "101"})
    chunked = await bench.post([b"x" * 60, b"x" * 60])
    assert (declared.status, chunked.status) == (413, 413)
    assert bench.nothing_is_inside()


async def test_a_body_in_pieces_is_put_together() -> None:
    body = one_sample(job="in pieces")
    bench = Bench()
    assert (await bench.post([body[at : at + 1] for at in range(len(body))])).status == 204
    assert (await bench.post([body, b""])).status == 204
    assert len(bench.ingester.pushed) == 2
    assert bench.nothing_is_inside()


async def test_a_client_that_leaves_in_the_middle_breaks_nothing() -> None:
    bench = Bench()
    body = one_sample()
    gone = await call(bench.app, PATH, headers=HEADERS, body=[body[:5]], complete=False)
    assert gone.status == 0
    assert bench.ingester.pushed == []
    assert bench.nothing_is_inside()
    assert bench.metric("requests_total", status="499") == 1
    assert (await bench.post(body)).status == 204


async def test_a_body_that_does_not_come_is_408() -> None:
    bench = Bench(Config(body_timeout_s=0.01))
    sent: list[Message] = []

    async def never() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "method": "POST", "path": PATH, "headers": []}
    await bench.app(scope, never, send)
    assert sent[0]["status"] == 408
    assert bench.nothing_is_inside()


async def test_more_requests_than_the_limit_are_503() -> None:
    bench = Bench(Config(max_inflight_push_requests=1))
    bench.ingester.gate = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(bench.post(one_sample()))
        await bench.ingester.entered.wait()
        assert bench.metric("inflight_requests") == 1
        assert bench.metric("inflight_bytes") > len(one_sample())
        second = await bench.post(one_sample())
        bench.ingester.gate.set()
    assert (first.result().status, second.status) == (204, 503)
    assert "err-rondel-distributor-max-inflight-push-requests)" in second.text
    assert bench.nothing_is_inside()


async def test_more_bytes_than_the_limit_are_503() -> None:
    body = one_sample()
    bench = Bench(Config(max_inflight_push_requests_bytes=len(body) + 10))
    answer = await bench.post(body)
    assert answer.status == 503
    assert "err-rondel-distributor-max-inflight-push-requests-bytes)" in answer.text
    assert bench.nothing_is_inside()


async def test_a_tenant_over_its_rate_is_429_until_time_has_passed() -> None:
    bench = Bench(Config(ingestion_rate=1.0, ingestion_burst_size=2), tenancy=True)

    async def post(tenant: str) -> Answer:
        return await bench.post(one_sample(), {**HEADERS, "X-Scope-OrgID": tenant})

    assert [(await post("a")).status for _ in range(3)] == [204, 204, 429]
    refused = await post("a")
    assert "(err-rondel-tenant-max-ingestion-rate)" in refused.text
    assert int(refused.headers["retry-after"]) >= 1
    assert (await post("b")).status == 204
    await bench.clock.advance(1)
    assert (await post("a")).status == 204
    assert bench.metric("discarded_samples_total", reason="tenant_max_ingestion_rate") == 2


async def test_a_tenant_may_have_a_rate_of_its_own() -> None:
    one = Config(ingestion_rate=1.0, ingestion_burst_size=1)
    bench = Bench(one, tenancy=True, tenants={"eager": Config(), "slow": replace(one, ingestion_rate=0.5)})

    async def statuses(tenant: str) -> list[int]:
        headers = {**HEADERS, "X-Scope-OrgID": tenant}
        return [(await bench.post(one_sample(), headers)).status for _ in range(2)]

    assert await statuses("eager") == [204, 204]
    assert await statuses("other") == [204, 429]
    assert await statuses("slow") == [204, 429]
    await bench.clock.advance(1)
    assert await statuses("other") == [204, 429]
    assert await statuses("slow") == [429, 429]


async def test_a_quota_of_the_ingester_is_429() -> None:
    bench = Bench()
    bench.ingester.failure = RateLimited("too fast", id="tenant-max-ingestion-rate", retry_after_s=2)
    assert (await bench.post(one_sample())).status == 429


async def test_with_tenancy_the_header_names_the_tenant() -> None:
    bench = Bench(tenancy=True)
    assert (await bench.post(one_sample(), {**HEADERS, "X-Scope-OrgID": "team-a"})).status == 204
    assert bench.ingester.pushed[0][0] == "team-a"
    assert (await bench.post(one_sample())).status == 401
    assert (await bench.post(one_sample(), {**HEADERS, "X-Scope-OrgID": "../x"})).status == 400
    twice = {**HEADERS, "X-Scope-OrgID": "team-a", "x-scope-orgid": "team-b"}
    assert (await bench.post(one_sample(), twice)).status == 400


async def test_a_large_body_is_decoded_in_a_thread_to_the_same_end() -> None:
    bench = Bench(Config(thread_body_bytes_min=0))
    assert (await bench.post(one_sample())).status == 204
    assert (await bench.post(body_of(b"\x0b"))).status == 400
    assert len(bench.ingester.pushed) == 1


async def test_limits_of_the_configuration_are_applied() -> None:
    bench = Bench(Config(limits=WriteLimits(max_label_names_per_series=2, creation_grace_period_ms=1000)))
    assert (await bench.post(one_sample(a="1"))).status == 204
    many = await bench.post(one_sample(a="1", b="2"))
    assert "more than max_label_names_per_series 2" in many.text
    ahead = await bench.post(one_sample(timestamp_ms=NOW_MS + 1001))
    assert "err-rondel-too-far-in-future" in ahead.text


async def test_long_texts_from_outside_are_cut_in_answers() -> None:
    answer = await Bench().post(one_sample(long="v" * 10_000))
    assert answer.status == 400
    assert len(answer.body) < 500


async def test_the_series_cache_shows_in_metrics() -> None:
    bench = Bench()
    for _ in range(3):
        await bench.post(one_sample())
    assert bench.metric("series_cache_series") == 1
    assert bench.metric("series_cache_misses_total") == 1
    assert bench.metric("series_cache_size_bytes") > 0
