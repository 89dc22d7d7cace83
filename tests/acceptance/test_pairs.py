"""A pair of senders, two distributors and a real etcd: one sender stops, and what is stored goes on."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from rondel.cluster.election import Settings
from rondel.cluster.keys import Keys
from rondel.kv.etcd import EtcdConfig, EtcdStore
from rondel.model.labels import Matchers
from rondel.runtime.clock import SystemClock
from rondel.storage import Select
from services.distributor.config import Config
from services.distributor.main import write_app
from services.distributor.replicas import service, tracker_of
from services.ingester.config import Config as IngesterConfig
from services.ingester.push import Ingester
from services.ingester.read import HeadStorage
from tests.support.asgi import call
from tests.support.etcd import EtcdCluster
from tests.support.remote_write import HEADERS, HEADERS_V2, body_of, write_request, write_request_v2

CONFIG = Config(accept_ha_samples=True, ha=Settings(failover_s=3.0, refresh_s=1.0))
INTERVAL_S = 0.2


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    with EtcdCluster(tmp_path_factory.mktemp("etcd")) as cluster:
        yield cluster


class Sender:
    """One of the pair, with a distributor of its own: the times of what it sent, and of what was written."""

    def __init__(self, replica: str, ingester: Ingester, etcd: EtcdCluster) -> None:
        self.replica = replica
        self.taken: list[int] = []
        self.sent: list[int] = []
        self.statuses: list[int] = []
        self._store = EtcdStore(EtcdConfig(etcd.endpoints))
        clock = SystemClock()
        tracker = tracker_of(CONFIG, {}, self._store, Keys("pairs"), clock)
        assert tracker is not None
        self.tracker = tracker
        self._service = service(tracker)
        registry = CollectorRegistry()
        self._app = write_app(ingester, CONFIG, clock, registry, tenancy=False, replicas=tracker)
        self._random = random.Random(replica)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Sender]:
        await self._service.start()
        try:
            yield self
        finally:
            await self._service.stop()
            await self._store.close()

    async def send_for(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            await self.send()
            await asyncio.sleep(INTERVAL_S)

    async def send(self) -> None:
        now_ms = time.time_ns() // 1_000_000
        labels = {"__name__": "up", "cluster": "prod", "__replica__": self.replica, "job": "x"}
        series = [(labels, [(now_ms, 1.0)])]
        old = body_of(write_request(series)), HEADERS
        new = body_of(write_request_v2(series)), HEADERS_V2
        body, headers = self._random.choice((old, new))
        answer = await call(self._app, "/api/v1/write", headers=headers, body=body)
        self.sent.append(now_ms)
        self.statuses.append(answer.status)
        if answer.status == 204:
            self.taken.append(now_ms)


@pytest.mark.e2e
async def test_the_other_replica_is_taken_after_the_timeout_without_a_second_series(
    etcd: EtcdCluster, tmp_path: Path
) -> None:
    clock, settings = SystemClock(), CONFIG.ha
    ingester = Ingester(IngesterConfig(), tmp_path, clock=clock, registry=CollectorRegistry())
    await ingester.start()
    try:
        async with Sender("a", ingester, etcd).running() as a, Sender("b", ingester, etcd).running() as b:
            await a.send()
            await asyncio.gather(a.send_for(5.0), b.send_for(5.0))
            assert (set(a.statuses), set(b.statuses)) == ({204}, {202})
            async with asyncio.timeout(60):
                while not b.taken:
                    await b.send_for(INTERVAL_S)
            await b.send_for(1.0)
            pauses_s = longest_s(a.sent) + longest_s(b.sent)
            # The first one is back, and is not listened to.
            await asyncio.gather(a.send_for(1.0), b.send_for(1.0))
            assert a.statuses[-1] == 202
            assert (a.tracker.elected("anonymous", "prod"), b.tracker.failovers) == ("b", 1)
        every = Select("anonymous", Matchers([("__name__", "=~", ".+")]), -(2**62), 2**62)
        selection = HeadStorage(ingester.tenants).select(every)
        frame = selection.read(0, len(selection.labels))
    finally:
        await ingester.stop()
    assert [dict(frame.labels[at]) for at in range(len(frame))] == [
        {"__name__": "up", "cluster": "prod", "job": "x"}
    ]
    assert frame.timestamps_ms.tolist() == a.taken + b.taken
    gap_s = longest_s(frame.timestamps_ms.tolist())
    print(f"gap {gap_s:.2f} s at a fail-over timeout of {settings.failover_s:g} s")
    # etcd heard of the first one up to a refresh before it stopped; the clock runs from there.
    assert gap_s > settings.failover_s - 1.25 * settings.refresh_s - pauses_s
    assert gap_s < settings.failover_s + pauses_s + 0.5


def longest_s(times_ms: list[int]) -> float:
    """The longest pause."""
    return max(after - before for before, after in pairwise(times_ms)) / 1000
