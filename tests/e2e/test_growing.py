"""From three ingesters to six and back while a sender writes: nothing is refused, lost or doubled, and what
moved leaves the memory of those who had it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from rondel.block import BlockStore
from rondel.errors import Unavailable
from rondel.model.labels import Matchers
from rondel.model.merge import MergedStorage
from rondel.objstore import open_bucket
from rondel.ring.instance import State
from rondel.storage import Select
from tests.e2e.test_ingester_processes import IDS, ask, ingester
from tests.support.client import Client
from tests.support.etcd import EtcdCluster
from tests.support.ingesters import EVER
from tests.support.process import Process, free_port
from tests.support.ring_client import RingClient, ring_client
from tests.support.rpc import eventually
from tests.support.servers import RONDEL

pytestmark = pytest.mark.e2e

SERIES = 300
NEWCOMERS = ("a-1", "b-1", "c-1")
EARLY = {"RONDEL_INGESTER__UNOWNED_SHIP_S": "3s", "RONDEL_SHIP__INTERVAL_MS": "1s"}


class Sender(threading.Thread):
    """Writes all series every 0.2 s; the value of a sample is the number of its request."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.times_ms: list[int] = []
        self.refused: list[str] = []
        self._client = Client(port)
        self._ending = threading.Event()

    def run(self) -> None:
        while not self._ending.wait(0.2):
            time_ms, number = int(time.time() * 1000), len(self.times_ms)
            series = [
                ({"__name__": f"m{name}", "job": "test"}, [(time_ms, float(number))])
                for name in range(SERIES)
            ]
            answer = self._client.store(*series)
            if answer.status // 100 == 2:
                self.times_ms.append(time_ms)
            else:
                self.refused.append(f"{answer.status} {answer.text}")

    def end(self) -> None:
        if not self._ending.is_set():
            self._ending.set()
            self.join()
            self._client.close()


@contextmanager
def sending(folder: Path, etcd: EtcdCluster) -> Iterator[Sender]:
    """Through a distributor of its own."""
    port = free_port()
    argv = [
        *RONDEL,
        "distributor",
        f"--data-dir={folder / 'distributor' / 'data'}",
        f"--http-listen=127.0.0.1:{port}",
        f"--etcd={','.join(etcd.endpoints)}",
        "--instance-id=d-0",
    ]
    env = {"RONDEL_CLUSTER__NAME": "c", "RONDEL_CLUSTER__LEASE_S": "4"}
    with Process("distributor", argv, folder / "distributor", port, env=env):
        sender = Sender(port)
        sender.start()
        try:
            yield sender
        finally:
            sender.end()


def started(folder: Path, id: str, etcd: EtcdCluster) -> Process:
    one = ingester(folder, id, etcd)
    one.env |= EARLY
    one.launch()
    return one


def series_in_memory(one: Process) -> int:
    client = Client(one.port)
    try:
        lines = client.get("/metrics").text.splitlines()
    finally:
        client.close()
    return int(sum(float(line.split()[-1]) for line in lines if line.startswith("rondel_head_series{")))


async def wrong(client: RingClient, bucket: str, times_ms: list[int]) -> dict[str, str]:
    """What is not as it was sent, by series."""
    storage = MergedStorage([client.storage, BlockStore(open_bucket(bucket))])

    def look() -> dict[str, str]:
        selection = storage.select(Select("anonymous", Matchers([("job", "=", "test")]), *EVER))
        frame = selection.read(0, len(selection.labels))
        found = {}
        for row in range(len(frame)):
            span = slice(frame.offsets[row], frame.offsets[row + 1])
            known = dict(zip(frame.timestamps_ms[span].tolist(), frame.values[span].tolist(), strict=True))
            lost = [number for number, time_ms in enumerate(times_ms) if known.get(time_ms) != number]
            if lost:
                found[frame.labels[row]["__name__"]] = f"{len(lost)} of {len(times_ms)}: {lost[:5]}"
        assert len(frame) == SERIES
        assert (np.diff(frame.timestamps_ms[: frame.offsets[1]]) > 0).all()
        return found

    for _ in range(2):
        try:
            return await asyncio.to_thread(look)
        except Unavailable:  # As a querier does: by a newer ring, once more.
            await asyncio.sleep(0.2)
    return await asyncio.to_thread(look)


async def test_from_three_to_six_and_back_under_load(tmp_path: Path) -> None:
    bucket = (tmp_path / "bucket").as_uri()
    async with AsyncExitStack() as stack:
        etcd = stack.enter_context(EtcdCluster(tmp_path / "etcd"))
        fleet = {id: started(tmp_path, id, etcd) for id in IDS}
        for one in fleet.values():
            stack.callback(one.close)
            one.wait_until_ready(60)
        sender = stack.enter_context(sending(tmp_path, etcd))
        client = await stack.enter_async_context(ring_client(etcd.endpoints, tmp_path))
        await eventually(lambda: series_in_memory(fleet["a-0"]) == SERIES)
        for id in NEWCOMERS:
            fleet[id] = started(tmp_path, id, etcd)
            stack.callback(fleet[id].close)
        await client.until(a_1=State.ACTIVE, b_1=State.ACTIVE, c_1=State.ACTIVE)
        pairs = [[fleet[f"{zone}-{number}"] for number in (0, 1)] for zone in "abc"]
        await eventually(lambda: all(sum(map(series_in_memory, pair)) == SERIES for pair in pairs), 90)
        assert await wrong(client, bucket, list(sender.times_ms)) == {}
        for id in NEWCOMERS:
            ask(fleet[id], "POST", "/ingester/prepare-shutdown")
            assert await asyncio.to_thread(fleet[id].terminate, 60) == 0
            assert await wrong(client, bucket, list(sender.times_ms)) == {}
        sender.end()
        assert sender.refused == []
        assert len(sender.times_ms) > 20
        assert await wrong(client, bucket, sender.times_ms) == {}
        assert {client.states[id] for id in NEWCOMERS} == {State.LEFT}
