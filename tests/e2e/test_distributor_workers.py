"""`rondel distributor --workers 2`: two processes that are one to whoever writes, scrapes or stops them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from rondel.cluster.keys import Keys
from rondel.kv.etcd import EtcdConfig, EtcdStore
from tests.support.etcd import EtcdCluster
from tests.support.nodes import Node, nodes_of, publish
from tests.support.otlp import HEADERS as OTLP_HEADERS
from tests.support.otlp import Export
from tests.support.process import Process, free_port
from tests.support.remote_write import HEADERS, body_of, write_request
from tests.support.rpc import eventually
from tests.support.servers import RONDEL

pytestmark = pytest.mark.e2e


@asynccontextmanager
async def distributing(
    folder: Path, env: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[tuple[Process, list[Node]]]:
    """Two workers, and three ingesters in the process of the test."""
    with EtcdCluster(folder / "etcd") as etcd:
        store, keys = EtcdStore(EtcdConfig(etcd.endpoints)), Keys("c")
        nodes = nodes_of("c", folder)
        await publish(store, keys, [node.entry(1) for node in nodes])
        await store.close()
        for node in nodes:
            await node.start()
        port = free_port()
        options = {
            "--data-dir": str(folder / "data"),
            "--http-listen": f"127.0.0.1:{port}",
            "--etcd": ",".join(etcd.endpoints),
            "--instance-id": "d",
            "--workers": "2",
        }
        argv = [*RONDEL, "distributor", *(word for option in options.items() for word in option)]
        process = Process(
            "distributor", argv, folder / "distributor", port, env={"RONDEL_CLUSTER__NAME": "c", **env}
        )
        try:
            process.launch()
            await eventually(lambda: process.log.count("writes at") == 2, 60)
            yield process, nodes
        finally:
            process.close()
            for node in nodes:
                await node.kill()


async def write(process: Process, value: float, **labels: str) -> int:
    """On a connection of its own, so any worker may get it."""
    time_ms = time.time_ns() // 1_000_000
    series = {"__name__": "m", "job": "test", **labels}
    return await post(process, "write", body_of(write_request([(series, [(time_ms, value)])])), HEADERS)


async def post(process: Process, path: str, body: bytes, headers: Mapping[str, str]) -> int:
    async with httpx.AsyncClient(timeout=30) as client:
        answer = await client.post(f"{process.url}/api/v1/{path}", content=body, headers=dict(headers))
    return answer.status_code


async def metrics(process: Process, name: str) -> dict[str, float]:
    """The values of a metric by worker."""
    async with httpx.AsyncClient(timeout=30) as client:
        text = (await client.get(f"{process.url}/metrics")).text
    return {
        one.labels["worker"]: one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
        if one.name == name
    }


async def test_workers_write_scrape_die_and_stop_as_one(tmp_path: Path) -> None:
    async with distributing(tmp_path) as (process, nodes):
        for value in range(20):
            assert await write(process, float(value)) == 204
        received = await metrics(process, "rondel_distributor_received_samples_total")
        assert set(received) == {"0", "1"}
        assert sum(received.values()) == 20
        assert min(received.values()) > 0, "twenty connections, and all of them went to one worker"
        await eventually(lambda: [node.last() for node in nodes] == [{"m": 19.0}] * 3)

        os.kill(_children(process.pid)[0], signal.SIGKILL)
        await eventually(lambda: process.log.count("writes at") == 3, 60)
        for value in range(5):
            assert await write(process, float(value)) == 204
        assert set((await metrics(process, "rondel_worker_up")).values()) == {1.0}

        pids = _children(process.pid)
        assert process.terminate() == 0
        assert not any(map(_is_there, pids))


async def test_workers_listen_to_the_same_one_of_a_pair_and_take_otlp(tmp_path: Path) -> None:
    env = {"RONDEL_DISTRIBUTOR__ACCEPT_HA_SAMPLES": "true"}
    async with distributing(tmp_path, env) as (process, nodes):
        statuses: dict[str, set[int]] = {"a": set(), "b": set()}
        for value in range(30):
            for replica, seen in statuses.items():
                labels = {"cluster": "prod", "__replica__": replica}
                seen.add(await write(process, float(value), **labels))
        assert statuses == {"a": {204}, "b": {202}}
        dropped = await metrics(process, "rondel_distributor_deduplicated_samples_total")
        assert sum(dropped.values()) == 30
        assert min(dropped.values()) > 0, "thirty connections, and all of them went to one worker"

        export = Export({"service.name": "test"})
        export.gauge("load", time.time_ns() // 1_000_000, 2.5)
        assert await post(process, "otlp/v1/metrics", export.body(), OTLP_HEADERS) == 200
        await eventually(lambda: [node.last() for node in nodes] == [{"m": 29.0, "load": 2.5}] * 3)


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
