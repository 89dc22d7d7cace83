"""`rondel ingester` as real processes: start, restart, kill, scale-in, a lost disk, and configuration."""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rondel.ring.instance import State
from rondel.rpc.answer import PushAnswer
from tests.support.etcd import EtcdCluster
from tests.support.ingesters import Samples
from tests.support.process import Process, free_port
from tests.support.ring_client import RingClient, ring_client
from tests.support.rpc import eventually
from tests.support.servers import RONDEL

pytestmark = pytest.mark.e2e

IDS = ("a-0", "b-0", "c-0")
BEGAN_MS = int(time.time() * 1000)
QUICK = {
    "PYTHONDONTWRITEBYTECODE": "",
    "RONDEL_CLUSTER__NAME": "c",
    "RONDEL_CLUSTER__LEASE_S": "4",
    "RONDEL_CLUSTER__PATIENCE_S": "10",
    "RONDEL_REPAIR__NOTE_INTERVAL_S": "500ms",
    # Samples are of the time when all tests began, which may be a while ago.
    "RONDEL_REPAIR__MARGIN_S": "1h",
}


def points(step: int) -> Samples:
    return {f"m{name}": [(BEGAN_MS + step, float(name))] for name in range(50)}


def both(*steps: int) -> Samples:
    return {name: [points(step)[name][0] for step in steps] for name in points(0)}


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdCluster]:
    with EtcdCluster(tmp_path / "etcd") as cluster:
        yield cluster


@pytest.fixture
def fleet(etcd: EtcdCluster, tmp_path: Path) -> Iterator[dict[str, Process]]:
    """Three ingesters, started together, one a zone."""
    made = {id: ingester(tmp_path, id, etcd) for id in IDS}
    try:
        for one in made.values():
            one.launch()
        for one in made.values():
            one.wait_until_ready(60)
        yield made
    finally:
        for one in made.values():
            one.close()


def ingester(folder: Path, id: str, etcd: EtcdCluster, *options: str) -> Process:
    port = free_port()
    argv = [
        *RONDEL,
        "ingester",
        f"--data-dir={folder / id / 'data'}",
        f"--http-listen=127.0.0.1:{port}",
        f"--grpc-listen=127.0.0.1:{free_port()}",
        f"--etcd={','.join(etcd.endpoints)}",
        f"--objstore={(folder / 'bucket').as_uri()}",
        f"--instance-id={id}",
        f"--zone={id[0]}",
        *options,
    ]
    return Process(f"ingester {id}", argv, folder / id, port, env=QUICK)


def ask(one: Process, method: str, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", one.port, timeout=30)
    try:
        connection.request(method, path, headers={"Accept": "application/json"})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        return json.loads(body)
    finally:
        connection.close()


async def pushed(client: RingClient, step: int, *but: str) -> None:
    """Taken by all but these."""
    answers = await client.push(points(step))
    taken = {id for id, answer in answers.items() if isinstance(answer, PushAnswer)}
    assert taken == set(answers) - set(but)


async def test_three_start_together_take_pushes_and_survive_a_kill(
    fleet: dict[str, Process], etcd: EtcdCluster, tmp_path: Path
) -> None:
    async with ring_client(etcd.endpoints, tmp_path) as client:
        await client.until(a_0=State.ACTIVE, b_0=State.ACTIVE, c_0=State.ACTIVE)
        await pushed(client, 0)
        epoch = client.ring.epoch
        fleet["a-0"].kill()
        await pushed(client, 1, "a-0")
        assert await client.read() == both(0, 1)
        fleet["a-0"].start()
        await eventually(lambda: repaired(fleet["a-0"]))
        fleet["c-0"].kill()
        assert await client.read() == both(0, 1)
        assert client.ring.epoch == epoch
        fleet["c-0"].start()


def repaired(one: Process) -> bool:
    return metric(one, 'rondel_repair_runs_total{outcome="done"}') == 1


def metric(one: Process, name: str) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", one.port, timeout=30)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))


async def test_who_was_frozen_fetches_what_it_missed(
    fleet: dict[str, Process], etcd: EtcdCluster, tmp_path: Path
) -> None:
    async with ring_client(etcd.endpoints, tmp_path) as client:
        await client.until(a_0=State.ACTIVE, b_0=State.ACTIVE, c_0=State.ACTIVE)
        await pushed(client, 0)
        epoch = client.ring.epoch
        fleet["a-0"].signal(signal.SIGSTOP)
        try:
            await pushed(client, 1, "a-0")
            await asyncio.sleep(10)  # Longer than its lease.
        finally:
            fleet["a-0"].signal(signal.SIGCONT)
        await eventually(lambda: metric(fleet["a-0"], "rondel_repair_samples_total") == 50, 30)
        fleet["b-0"].kill()
        assert await client.read() == both(0, 1)
        assert client.ring.epoch == epoch
        assert client.states["a-0"] is State.ACTIVE


async def test_sigterm_is_a_restart_until_the_ingester_is_told_otherwise(
    fleet: dict[str, Process], etcd: EtcdCluster, tmp_path: Path
) -> None:
    async with ring_client(etcd.endpoints, tmp_path) as client:
        await client.until(a_0=State.ACTIVE, b_0=State.ACTIVE, c_0=State.ACTIVE)
        await pushed(client, 0)
        began_s = time.monotonic()
        assert fleet["a-0"].terminate() == 0
        assert time.monotonic() - began_s < 10
        assert client.states["a-0"] is State.ACTIVE
        fleet["a-0"].start()
        assert not list((tmp_path / "bucket").glob("a/*"))

        newcomer = ingester(tmp_path, "a-1", etcd)
        try:
            newcomer.start(60)
            await client.until(a_1=State.ACTIVE)
            await pushed(client, 1)
            told = ask(newcomer, "GET", "/ingester/prepare-shutdown")
            assert told == {"status": "unset", "timestamp": 0}
            armed = ask(newcomer, "POST", "/ingester/prepare-shutdown")
            assert armed["status"] == "set"
            assert ask(newcomer, "POST", "/ingester/prepare-shutdown") == armed
            assert ask(newcomer, "DELETE", "/ingester/prepare-shutdown") == told
            ask(newcomer, "POST", "/ingester/prepare-shutdown")
            assert newcomer.terminate(60) == 0
            await client.until(a_1=State.LEFT)
            assert list((tmp_path / "bucket").glob("a/*/meta.json"))
        finally:
            newcomer.close()
        states = {one["id"]: one["state"] for one in ask(fleet["b-0"], "GET", "/ring")["instances"]}
        assert states == dict.fromkeys(IDS, "ACTIVE")


async def test_a_lost_disk_does_not_count_until_it_is_repaired(
    fleet: dict[str, Process], etcd: EtcdCluster, tmp_path: Path
) -> None:
    async with ring_client(etcd.endpoints, tmp_path) as client:
        await client.until(a_0=State.ACTIVE, b_0=State.ACTIVE, c_0=State.ACTIVE)
        await pushed(client, 0)
        fleet["a-0"].kill()
        shutil.rmtree(tmp_path / "a-0" / "data")
        fleet["a-0"].start(60)  # Ready when it is repaired.
        await client.until_complete("a-0")
        fleet["b-0"].signal(signal.SIGSTOP)
        try:
            assert await client.read() == both(0)
        finally:
            fleet["b-0"].signal(signal.SIGCONT)


def test_another_process_of_the_name_ends_with_one_and_a_clear_line(
    fleet: dict[str, Process], etcd: EtcdCluster, tmp_path: Path
) -> None:
    second = ingester(tmp_path, "a-0", etcd, f"--data-dir={tmp_path / 'other'}")
    second.directory = tmp_path / "second"
    second.launch()
    assert second.wait(60) == 1
    line = [one for one in second.log.splitlines() if one.startswith("rondel:")]
    assert len(line) == 1
    assert "belongs to another process that is alive" in line[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--grpc-listen=0.0.0.0:0"], "--advertise"),
        (["--instance-id=nameless"], "does not end in a number"),
        (["--objstore="], "name the object store"),
        (["--etcd="], "name the members of etcd"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_one_line(
    etcd: EtcdCluster, tmp_path: Path, options: list[str], message: str
) -> None:
    one = ingester(tmp_path, "a-0", etcd, *options)
    one.launch()
    assert one.wait() == 2
    [line] = one.log.splitlines()
    assert message in line
