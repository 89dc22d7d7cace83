"""The standalone server in this process, on a free port: written to, queried, stopped, started again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from rondel.errors import ConfigError
from rondel.runtime.config import load
from services.standalone.config import Config
from services.standalone.main import Standalone
from tests.support.otlp import HEADERS as OTLP_HEADERS
from tests.support.otlp import Export
from tests.support.remote_write import body_of, write_request

HEADERS = {"content-encoding": "snappy", "content-type": "application/x-protobuf"}


@asynccontextmanager
async def started(
    directory: Path, environ: dict[str, str] | None = None
) -> AsyncIterator[tuple[Standalone, httpx.AsyncClient]]:
    options = {"data_dir": str(directory), "http.listen": "127.0.0.1:0", "instance_id": "one"}
    program = Standalone(load(Config, environ=environ or {}, options=options))
    try:
        await program.start()
        async with httpx.AsyncClient(base_url=f"http://{program.server.address}") as client:
            yield program, client
    finally:
        await program.stop()


async def ask(client: httpx.AsyncClient, query: str, time_s: float | None = None) -> list[list[object]]:
    form = {"query": query} if time_s is None else {"query": query, "time": str(time_s)}
    body = (await client.post("/api/v1/query", data=form)).json()
    assert body["status"] == "success", body
    return [[row["metric"], row["value"][1]] for row in body["data"]["result"]]


async def test_the_first_query_is_about_the_process_itself(tmp_path: Path) -> None:
    async with started(tmp_path) as (_, client):
        assert await ask(client, "up") == [[{"__name__": "up", "instance": "one", "job": "rondel"}, "1"]]
        assert (await client.get("/-/ready")).text == "Rondel is Ready.\n"


async def test_what_is_written_is_there_after_a_flush_and_after_a_restart(tmp_path: Path) -> None:
    async with started(tmp_path) as (program, client):
        at_ms = program.clock.now_ms()
        body = body_of(write_request([({"__name__": "kept", "n": "1"}, [(at_ms, 4.5)])]))
        assert (
            await client.post("/prometheus/api/v1/write", content=body, headers=HEADERS)
        ).status_code == 204
        expected = [[{"__name__": "kept", "n": "1"}, "4.5"]]
        assert await ask(client, "kept", at_ms / 1000) == expected
        assert (await client.post("/ingester/flush")).json()["blocks"] >= 1
        blocks = (await client.get("/api/v1/status/tsdb/blocks")).json()["data"]["blocks"]
        assert sum(block["stats"]["numSamples"] for block in blocks) >= 1
        assert await ask(client, "kept", at_ms / 1000) == expected
    async with started(tmp_path) as (_, client):
        assert await ask(client, "kept", at_ms / 1000) == expected


@pytest.mark.parametrize(("grace", "status"), [("10m", 400), ("1h", 204)])
async def test_one_setting_says_how_far_ahead_a_sample_may_be(
    tmp_path: Path, grace: str, status: int
) -> None:
    environ = {"RONDEL_DISTRIBUTOR__LIMITS__CREATION_GRACE_PERIOD_MS": grace}
    async with started(tmp_path, environ) as (program, client):
        at_ms = program.clock.now_ms() + 30 * 60_000
        body = body_of(write_request([({"__name__": "ahead"}, [(at_ms, 1.0)])]))
        answer = await client.post("/api/v1/write", content=body, headers=HEADERS)
        assert answer.status_code == status, answer.text


async def test_a_server_that_is_alone_listens_to_one_of_a_pair(tmp_path: Path) -> None:
    async with started(tmp_path, {"RONDEL_DISTRIBUTOR__ACCEPT_HA_SAMPLES": "true"}) as (program, client):
        at_ms = program.clock.now_ms()
        statuses = []
        for replica in "abab":
            labels = {"__name__": "kept", "cluster": "prod", "__replica__": replica}
            body = body_of(write_request([(labels, [(at_ms, 4.5)])]))
            answer = await client.post("/api/v1/write", content=body, headers=HEADERS)
            statuses.append(answer.status_code)
        assert statuses == [204, 202, 204, 202]
        expected = [[{"__name__": "kept", "cluster": "prod"}, "4.5"]]
        assert await ask(client, "kept", at_ms / 1000) == expected


async def test_metrics_of_opentelemetry_are_written_and_found(tmp_path: Path) -> None:
    async with started(tmp_path) as (program, client):
        at_ms = program.clock.now_ms()
        export = Export({"service.name": "shop"})
        export.sum("requests", at_ms, 3, {"http.method": "GET"})
        answer = await client.post("/api/v1/otlp/v1/metrics", content=export.body(), headers=OTLP_HEADERS)
        assert (answer.status_code, answer.content) == (200, b"")
        expected = [[{"__name__": "requests_total", "http_method": "GET", "job": "shop"}, "3"]]
        assert await ask(client, "requests_total", at_ms / 1000) == expected


async def test_what_the_replay_read_is_shown(tmp_path: Path) -> None:
    seen = []
    for _ in range(2):
        async with started(tmp_path) as (_, client):
            seen.append((await client.get("/api/v1/status/walreplay")).json()["data"])
    assert seen == [{"min": 0, "max": 0, "current": 0}, {"min": 1, "max": 1, "current": 1}]


async def test_pages_for_people_and_scrapers(tmp_path: Path) -> None:
    async with started(tmp_path) as (program, client):
        page = await client.get("/")
        assert f"http://{program.server.address}/api/v1/write" in page.text
        assert "listen: 127.0.0.1:0" in (await client.get("/config")).text
        metrics = (await client.get("/metrics")).text
        assert "rondel_build_info{" in metrics
        assert "rondel_query_running 0.0" in metrics


async def test_a_process_that_stops_is_not_ready(tmp_path: Path) -> None:
    async with started(tmp_path) as (program, _):
        assert program.waiting() == []
    assert program.waiting()[0] == "stopping"


async def test_a_part_that_fails_makes_the_process_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with started(tmp_path) as (program, client):
        with monkeypatch.context() as patched:
            patched.setattr(program.shipper._tasks, "failure", ValueError("a bug"))
            answer = await client.get("/-/ready")
            assert answer.status_code == 503
            assert "shipper: a bug" in answer.text


@pytest.mark.parametrize("setting", ["data_dir", "objstore"])
async def test_a_directory_that_cannot_be_is_one_clear_line(tmp_path: Path, setting: str) -> None:
    (tmp_path / "file").touch()
    place = str(tmp_path / "file" / "below")
    given = {"data_dir": str(tmp_path), setting: place if setting == "data_dir" else f"file://{place}"}
    with pytest.raises(ConfigError, match=r"cannot use the directory .*Not a directory"):
        Standalone(Config(**given))


async def test_how_far_the_replay_has_come_is_shown_while_it_goes_on(tmp_path: Path) -> None:
    program = Standalone(Config(data_dir=str(tmp_path)))
    program.ingester.replayed.first_segment = 3
    program.ingester.replayed.last_segment = 9
    program.ingester.replayed.current_segment = 4
    transport = httpx.ASGITransport(program.server._app)
    async with httpx.AsyncClient(transport=transport, base_url="http://rondel") as client:
        answer = await client.get("/api/v1/status/walreplay")
    assert answer.json()["data"] == {"min": 3, "max": 9, "current": 4}
