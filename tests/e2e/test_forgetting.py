"""An ingester whose machine is gone is forgotten by an operator's word; what it had is still read, and it may
come back.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from rondel.ring.instance import State
from tests.e2e.test_ingester_processes import IDS, both, ingester, pushed
from tests.support.etcd import EtcdCluster
from tests.support.process import Process
from tests.support.ring_client import ring_client

pytestmark = pytest.mark.e2e


def told(one: Process, method: str, path: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", one.port, timeout=60)
    try:
        connection.request(method, path, headers={"Accept": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def forgotten(one: Process, id: str) -> Any:
    """Its lease ends first; then it may take several steps."""
    end_s = time.monotonic() + 40
    while True:
        status, answer = told(one, "POST", f"/ring/forget?id={id}")
        if status == 200:
            return answer["data"]
        assert status == 202 or "is alive" in answer["error"], answer
        assert time.monotonic() < end_s, answer
        time.sleep(0.5)


async def test_one_that_is_gone_is_forgotten_and_comes_back_with_an_empty_disk(tmp_path: Path) -> None:
    with EtcdCluster(tmp_path / "etcd") as etcd:
        fleet = {id: ingester(tmp_path, id, etcd) for id in (*IDS, "a-1")}
        try:
            for one in fleet.values():
                one.launch()
            for one in fleet.values():
                one.wait_until_ready(60)
            async with ring_client(etcd.endpoints, tmp_path) as client:
                await client.until(a_0=State.ACTIVE, a_1=State.ACTIVE, b_0=State.ACTIVE, c_0=State.ACTIVE)
                await pushed(client, 0)
                fleet["a-1"].kill()
                done = await asyncio.to_thread(forgotten, fleet["b-0"], "a-1")
                assert done == {"id": "a-1", "state": "LEFT", "waits_for": ""}
                await client.until(a_0=State.ACTIVE, a_1=State.LEFT, b_0=State.ACTIVE, c_0=State.ACTIVE)
                assert await client.read() == both(0)
                shutil.rmtree(tmp_path / "a-1" / "data")
                fleet["a-1"].start(60)
                await client.until_complete("a-1")
                await pushed(client, 1)
                assert await client.read() == both(0, 1)
        finally:
            for one in fleet.values():
                one.close()
