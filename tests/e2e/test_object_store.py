"""Blocks in a real S3 server, over a network that fails: nothing lost, nothing missing in silence."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from rondel.objstore import open_bucket
from tests.support.client import Client
from tests.support.cut_proxy import CutProxy
from tests.support.oracle import METRIC, ROOM, Oracle
from tests.support.process import free_port
from tests.support.servers import rondel

pytestmark = pytest.mark.e2e

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
SETTINGS = {
    **ROOM,
    **CREDENTIALS,
    "RONDEL_SELF_SCRAPE__INTERVAL_S": "0",
    "RONDEL_SHIP__RANGE_MS": "20s",
    "RONDEL_SHIP__INTERVAL_MS": "1h",
    "RONDEL_COMPACTOR__INTERVAL_S": "1h",
}
RECOVERY_S = 60


@dataclass(frozen=True)
class Store:
    url: str
    network: CutProxy


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Store]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    import boto3

    port = free_port()
    s3 = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    s3.start()
    try:
        boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}").create_bucket(Bucket="metrics")
        with CutProxy(port) as network:
            endpoint = f"http://127.0.0.1:{network.port}"
            place = f"s3://metrics/{tmp_path.name}"  # what it stores outlives the server, in this process
            yield Store(f"{place}?endpoint={endpoint}&allow_http=true&region=us-east-1", network)
    finally:
        s3.stop()


def oracle() -> Oracle:
    return Oracle("s3", 40, itertools.count(int(time.time() - 200) * 1000, 1000))


def flush(client: Client) -> int:
    return client.request("POST", "/ingester/flush").status


def test_blocks_in_s3_outlive_the_disk_of_the_server(store: Store, tmp_path: Path) -> None:
    told = oracle()
    with (
        rondel(tmp_path / "first", "--objstore", store.url, env=SETTINGS) as server,
        Client(server.port) as client,
    ):
        for _ in range(60):
            assert told.write(client)
        assert flush(client) // 100 == 2
        assert told.check(client) == 60 * 40
    assert any(one.key.endswith("meta.json") for one in open_bucket(store.url).list(""))
    with (
        rondel(tmp_path / "second", "--objstore", store.url, env=SETTINGS) as server,
        Client(server.port) as client,
    ):
        assert told.check(client) == 60 * 40


def test_an_outage_of_s3_stops_no_write_and_hides_no_sample(store: Store, tmp_path: Path) -> None:
    told = oracle()
    with ExitStack() as running:
        server = running.enter_context(rondel(tmp_path, "--objstore", store.url, env=SETTINGS))
        client = running.enter_context(Client(server.port))
        for _ in range(60):
            assert told.write(client)
        assert flush(client) // 100 == 2

        store.network.cut()
        for _ in range(30):
            assert told.write(client), "writes go on without the object store"
        assert flush(client) // 100 == 5
        reply = client.get("/api/v1/query", {"query": f"count_over_time({METRIC}[10m])", "time": time.time()})
        assert reply.status // 100 == 5 or told.check(client) == 90 * 40, "complete, or an error"
        assert reply.json()["status"] in ("error", "success")

        store.network.join()
        deadline = time.monotonic() + RECOVERY_S
        while flush(client) // 100 != 2:
            assert time.monotonic() < deadline, server.log[-2000:]
            time.sleep(0.5)
        assert told.check(client) == 90 * 40
