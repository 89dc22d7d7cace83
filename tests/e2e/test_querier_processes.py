"""`rondel querier` as a real process: what a distributor wrote is read, whoever of the ingesters is sick."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_ingester_processes import QUICK, ingester
from tests.support.client import Client
from tests.support.etcd import EtcdCluster
from tests.support.process import Process, free_port
from tests.support.servers import RONDEL

pytestmark = pytest.mark.e2e

IDS = ("a-0", "b-0", "c-0")
SERIES = 60


class World:
    """An etcd, three ingesters, a distributor and a querier."""

    def __init__(self, folder: Path, etcd: EtcdCluster) -> None:
        self.folder = folder
        self.etcd = etcd
        self.ingesters = {id: ingester(folder, id, etcd) for id in IDS}
        self.distributor = self.role("distributor")
        self.querier = self.role("querier", f"--objstore={(folder / 'bucket').as_uri()}", "--zone=a")
        self.reader, self.writer = Client(self.querier.port), Client(self.distributor.port)
        self.began_ms = int(time.time() * 1000)

    def role(self, name: str, *options: str) -> Process:
        port = free_port()
        argv = [
            *RONDEL,
            name,
            f"--data-dir={self.folder / name}",
            f"--http-listen=127.0.0.1:{port}",
            f"--etcd={','.join(self.etcd.endpoints)}",
            *options,
        ]
        env = {key: value for key, value in QUICK.items() if "REPAIR" not in key}
        if name == "querier":
            env |= {"RONDEL_STORE__REFRESH_S": "1h", "RONDEL_READ__HEDGE_S": "0.2"}
        return Process(name, argv, self.folder / f"{name}-log", port, env=env)

    @property
    def processes(self) -> list[Process]:
        return [*self.ingesters.values(), self.distributor, self.querier]

    def start(self) -> None:
        for one in self.processes:
            one.launch()
        for one in self.processes:
            one.wait_until_ready(60)

    def write(self, step: int) -> None:
        at = self.began_ms + step * 1000
        series = [
            ({"__name__": "m", "n": str(number)}, [(at, float(step * number))]) for number in range(SERIES)
        ]
        assert self.writer.store(*series).status in (200, 204)

    def ask(self, path: str, **params: Any) -> Any:
        reply = self.reader.get(path, params)
        assert reply.status == 200, reply.text
        return reply.json()["data"]

    def total(self, last: int) -> list[float]:
        """The sum over all series at each step up to the last."""
        return [
            float(value)
            for _, value in self.ask(
                "/api/v1/query_range",
                query="sum(m)",
                start=self.began_ms / 1000,
                end=self.began_ms / 1000 + last,
                step=1,
            )["result"][0]["values"]
        ]

    def flush(self, *ids: str) -> None:
        for id in ids:
            client = Client(self.ingesters[id].port)
            reply = client.request("POST", "/ingester/flush")
            client.close()
            assert reply.status in (200, 204), reply.text


def wanted(last: int) -> list[float]:
    return [float(step * sum(range(SERIES))) for step in range(last + 1)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with EtcdCluster(tmp_path / "etcd") as etcd:
        made = World(tmp_path, etcd)
        try:
            made.start()
            yield made
        finally:
            made.reader.close()
            made.writer.close()
            for one in made.processes:
                one.signal(signal.SIGCONT)
                one.close()


def test_what_was_written_is_read_whoever_is_killed_or_frozen(world: World) -> None:
    for step in range(3):
        world.write(step)
    assert world.total(2) == wanted(2)
    world.ingesters["b-0"].signal(signal.SIGSTOP)
    assert world.total(2) == wanted(2)
    world.ingesters["b-0"].signal(signal.SIGCONT)
    world.ingesters["a-0"].kill()
    world.write(3)
    assert world.total(3) == wanted(3)
    world.ingesters["c-0"].kill()
    reply = world.reader.get("/api/v1/query", {"query": "m"})
    assert reply.status == 503
    assert reply.json()["errorType"] == "unavailable"
    assert "a-0" in reply.text
    assert "c-0" in reply.text
    for id in ("a-0", "c-0"):
        world.ingesters[id].start(60)
    deadline_s = time.monotonic() + 30
    while world.reader.get("/api/v1/query", {"query": "m"}).status != 200:
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
    assert world.total(3) == wanted(3)


def test_what_was_shipped_is_read_from_blocks_that_the_querier_never_listed(world: World) -> None:
    world.write(0)
    assert world.total(0) == wanted(0)
    world.flush("a-0")
    world.write(1)
    assert world.total(1) == wanted(1)
    world.flush(*IDS)
    assert world.total(1) == wanted(1)
    metrics = world.reader.get("/metrics").text
    assert 'rondel_cluster_reads_asked_total{ingester="a-0"}' in metrics
    # After a restart the ingesters still know what they have shipped, and a new querier hears of it.
    for one in (*world.ingesters.values(), world.querier):
        one.kill()
    world.reader.close()
    for one in (*world.ingesters.values(), world.querier):
        one.launch()
    for one in (*world.ingesters.values(), world.querier):
        one.wait_until_ready(60)
    assert world.total(1) == wanted(1)


def test_every_page_of_the_api_answers(world: World) -> None:
    world.write(0)
    assert len(world.ask("/api/v1/series", **{"match[]": "m"})) == SERIES
    assert world.ask("/api/v1/labels") == ["__name__", "n"]
    assert len(world.ask("/api/v1/label/n/values")) == SERIES
    assert world.ask("/api/v1/metadata") == {}
    assert world.ask("/api/v1/query_exemplars", query="m", start=0, end=2_000_000_000) == []
    assert world.ask("/api/v1/status/tsdb")["headStats"]["numSeries"] == SERIES
    assert world.ask("/api/v1/status/tsdb/blocks") == {"blocks": []}
    assert world.ask("/api/v1/status/buildinfo")["version"]
    assert world.ask("/api/v1/status/runtimeinfo")["storageRetention"]
    explained = world.ask("/api/v1/explain", query="sum(m)", analyze="true")
    assert "ingester a-0" in str(explained)
    client = world.reader
    assert client.get("/federate", {"match[]": "m"}).text.count("\nm{") == SERIES
    assert client.get("/ring").status == 200
    assert client.get("/config").status == 200
    assert client.get("/-/healthy").status == 200


def test_no_query_fails_while_ingesters_die_and_come_back_one_by_one(world: World) -> None:
    for step in range(3):
        world.write(step)
    answers: list[Any] = []
    is_over = threading.Event()

    def ask_on() -> None:
        while not is_over.is_set():
            try:
                answers.append(world.total(2))
            except Exception as error:  # Of a thread: the test reports it.
                answers.append(repr(error))

    asking = threading.Thread(target=ask_on)
    asking.start()
    try:
        for one in world.ingesters.values():
            one.kill()
            time.sleep(0.5)
            one.start(60)
    finally:
        is_over.set()
        asking.join()
    assert len(answers) > 5
    assert sorted({str(found) for found in answers if found != wanted(2)}) == []


def test_workers_share_a_port(world: World) -> None:
    bucket = f"--objstore={(world.folder / 'bucket').as_uri()}"
    querier = world.role("querier", bucket, "--instance-id=many", "--workers=2")
    world.write(0)
    try:
        querier.start(60)
        for _ in range(10):
            client = Client(querier.port)
            reply = client.get("/api/v1/query", {"query": "count(m)"})
            client.close()
            assert reply.status == 200, reply.text
        deadline_s = time.monotonic() + 30
        while [f'rondel_worker_up{{worker="{one}"}} 1.0' in metrics_of(querier) for one in (0, 1)] != [
            True
        ] * 2:
            assert time.monotonic() < deadline_s
            time.sleep(0.1)
        assert querier.terminate() == 0
    finally:
        querier.close()


def metrics_of(one: Process) -> str:
    client = Client(one.port)
    text = client.get("/metrics").text
    client.close()
    return text
