"""From the body of a POST to samples that a query reads, through a real ingester and its WAL."""

from __future__ import annotations

import random
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry

from rondel.model.labels import Matchers
from rondel.runtime.clock import FakeClock
from rondel.storage import MetricMetadata, Select
from services.distributor.config import Config
from services.distributor.http import WriteApp
from services.distributor.push import Distributor
from services.ingester.config import Config as IngesterConfig
from services.ingester.push import Ingester
from services.ingester.read import HeadStorage
from tests.support.asgi import Answer, call
from tests.support.remote_write import (
    HEADERS,
    HEADERS_V2,
    Request,
    Series,
    body_of,
    write_request,
    write_request_v2,
)

NOW_MS = 1_700_000_000_000
STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]

Found = dict[tuple[tuple[str, str], ...], list[tuple[int, bytes]]]


class Process:
    """One process: distributor and ingester, wired in memory."""

    def __init__(self, ingester: Ingester, app: WriteApp) -> None:
        self.ingester = ingester
        self.app = app

    async def post(self, body: bytes, tenant: str = "a", headers: dict[str, str] = HEADERS) -> Answer:
        return await call(self.app, "/api/v1/write", headers={**headers, "X-Scope-OrgID": tenant}, body=body)

    def read(self, tenant: str = "a") -> Found:
        every = Select(tenant, Matchers([("__name__", "=~", ".+")]), -(2**62), 2**62)
        selection = HeadStorage(self.ingester.tenants).select(every)
        frame = selection.read(0, len(selection.labels))
        found: Found = {}
        for index in range(len(frame)):
            part = slice(frame.offsets[index], frame.offsets[index + 1])
            values = [np.float64(value).tobytes() for value in frame.values[part]]
            samples = list(zip(frame.timestamps_ms[part].tolist(), values, strict=True))
            found[tuple(frame.labels[index].items())] = samples
        return found


@asynccontextmanager
async def process(folder: Path) -> AsyncIterator[Process]:
    clock = FakeClock(NOW_MS)
    registry = CollectorRegistry()
    ingester = Ingester(IngesterConfig(), folder, clock=clock, registry=registry)
    await ingester.start()
    distributor = Distributor(ingester, Config(), clock, registry, seed=1)
    try:
        yield Process(ingester, WriteApp(distributor, random.Random(1), tenancy=True))
    finally:
        await ingester.stop()


def packed(value: float) -> bytes:
    return struct.pack("<d", value)


async def test_what_was_acknowledged_is_read_bit_for_bit_also_after_a_restart(tmp_path: Path) -> None:
    series: list[Series] = [
        ({"__name__": "up", "job": "x"}, [(NOW_MS - 2, 1.0), (NOW_MS, STALE)]),
        ([("zone", "z"), ("empty", ""), ("__name__", "größe")], [(NOW_MS - 1, float("-inf"))]),
    ]
    expected = {
        (("__name__", "up"), ("job", "x")): [(NOW_MS - 2, packed(1.0)), (NOW_MS, packed(STALE))],
        (("__name__", "größe"), ("zone", "z")): [(NOW_MS - 1, packed(float("-inf")))],
    }
    async with process(tmp_path) as first:
        assert (await first.post(body_of(write_request(series)))).status == 204
        assert first.read() == expected
    async with process(tmp_path) as second:
        assert second.read() == expected


async def test_sending_again_is_204_and_changes_nothing(tmp_path: Path) -> None:
    body = body_of(write_request([({"__name__": "up"}, [(NOW_MS, 1.0), (NOW_MS + 1, 2.0)])]))
    async with process(tmp_path) as one:
        assert [(await one.post(body)).status for _ in range(3)] == [204, 204, 204]
        assert [len(samples) for samples in one.read().values()] == [2]


async def test_another_value_for_a_time_is_400_by_name_and_the_first_stays(tmp_path: Path) -> None:
    async with process(tmp_path) as one:
        assert (await one.post(body_of(write_request([({"__name__": "up"}, [(NOW_MS, 1.0)])])))).status == 204
        answer = await one.post(
            body_of(write_request([({"__name__": "up"}, [(NOW_MS, 2.0), (NOW_MS + 1, 3.0)])]))
        )
        assert answer.status == 400
        assert "err-rondel-sample-duplicate-timestamp" in answer.text
        assert answer.text.endswith("samples written: 1")
        assert list(one.read().values()) == [[(NOW_MS, packed(1.0)), (NOW_MS + 1, packed(3.0))]]


async def test_tenants_do_not_see_each_other(tmp_path: Path) -> None:
    body = body_of(write_request([({"__name__": "up"}, [(NOW_MS, 1.0)])]))
    async with process(tmp_path) as one:
        assert (await one.post(body, "a")).status == 204
        assert one.read("b") == {}
        assert (await one.post(body, "b")).status == 204
        assert one.read("a") == one.read("b") != {}


async def test_metadata_is_kept_also_after_a_restart(tmp_path: Path) -> None:
    entry = {"metric_family_name": "up", "type": 2, "help": "Whether.", "unit": ""}
    kept = [MetricMetadata("up", "gauge", "Whether.", "")]
    async with process(tmp_path) as first:
        assert (await first.post(body_of(write_request([], [entry])))).status == 204
        assert HeadStorage(first.ingester.tenants).metadata("a", None) == kept
    async with process(tmp_path) as second:
        assert HeadStorage(second.ingester.tenants).metadata("a", "up") == kept


def everything() -> Request:
    """A series with a float, histograms and exemplars, in remote write 2.0."""
    request = write_request_v2([({"__name__": "took_seconds", "job": "x"}, [(NOW_MS, 1.5)])])
    request.symbols.extend(["trace_id", "abc"])
    (series,) = request.timeseries
    series.samples[0].start_timestamp = NOW_MS - 60_000
    series.metadata.type = 3
    for number, count in enumerate((3, 5)):
        one = series.histograms.add(timestamp=NOW_MS + number + 1, count_int=count, sum=2.5)
        one.start_timestamp = NOW_MS - 60_000
        one.positive_spans.add(offset=1, length=1)
        one.positive_deltas.append(count)
    series.histograms.add(timestamp=NOW_MS + 3, sum=STALE)
    refs = [len(request.symbols) - 2, len(request.symbols) - 1]
    series.exemplars.add(timestamp=NOW_MS, value=0.25, labels_refs=refs)
    return request


def check_everything(one: Process) -> None:
    storage = HeadStorage(one.ingester.tenants)
    matchers = Matchers([("__name__", "=", "took_seconds")])
    frame = storage.select(Select("a", matchers, NOW_MS - 10, NOW_MS + 10)).read(0, 1)
    assert (frame.timestamps_ms.tolist(), frame.values.tolist()) == ([NOW_MS], [1.5])
    assert frame.starts_ms is not None
    assert frame.starts_ms.tolist() == [NOW_MS - 60_000]
    assert frame.histograms is not None
    found = frame.histograms
    assert found.timestamps_ms.tolist() == [NOW_MS + 1, NOW_MS + 2, NOW_MS + 3]
    assert found.starts_ms is not None
    assert found.starts_ms.tolist() == [NOW_MS - 60_000, NOW_MS - 60_000, 0]
    assert found.values[1]["positive"] == {1: 5.0}
    assert packed(found.values[2]["sum"]) == packed(STALE)
    exemplars = storage.exemplars("a", [matchers], NOW_MS, NOW_MS)
    assert exemplars.values.tolist() == [0.25]
    assert exemplars.exemplar_labels[0] == {"trace_id": "abc"}
    assert storage.metadata("a", None) == [MetricMetadata("took_seconds", "histogram", "", "")]


async def test_everything_of_version_2_is_read_also_after_a_restart(tmp_path: Path) -> None:
    body = body_of(everything())
    names = [f"x-prometheus-remote-write-{kind}-written" for kind in ("samples", "histograms", "exemplars")]
    async with process(tmp_path) as first:
        for _sent_again in range(2):
            answer = await first.post(body, headers=HEADERS_V2)
            assert (answer.status, [answer.headers[name] for name in names]) == (204, ["1", "3", "1"])
        check_everything(first)
    async with process(tmp_path) as second:
        check_everything(second)
