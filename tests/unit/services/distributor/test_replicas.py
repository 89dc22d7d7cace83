"""What a pair of Prometheus servers is answered, and what of theirs is written."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import pytest
from prometheus_client import CollectorRegistry

from rondel.cluster.keys import Keys
from rondel.errors import LimitExceeded, Unavailable
from rondel.kv.memory import MemoryStore
from rondel.kv.store import Snapshot
from rondel.runtime.clock import FakeClock
from rondel.runtime.service import State
from services.distributor.config import Config
from services.distributor.push import Distributor
from services.distributor.replicas import service, tracker_of
from tests.support.remote_write import HEADERS, HEADERS_V2, body_of, write_request, write_request_v2
from tests.unit.services.distributor.test_http import NOW_MS, Bench, FakeIngester

CONFIG = Config(accept_ha_samples=True, ingestion_rate=1.0, ingestion_burst_size=2)


@dataclass
class FakeReplicas:
    """`a` is elected of every pair, or `failure` is raised."""

    failovers: int = 3
    failure: Exception | None = None
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    def elected(self, tenant: str, pair: str) -> str:
        return "a"

    async def accepts(self, tenant: str, pair: str, replica: str) -> bool:
        self.asked.append((tenant, pair, replica))
        if self.failure:
            raise self.failure
        return replica == "a"


def bench(config: Config = CONFIG, **tenants: Config) -> tuple[Bench, FakeReplicas]:
    replicas = FakeReplicas()
    return Bench(config, tenancy=bool(tenants), tenants=tenants, replicas=replicas), replicas


def series(replica: str, cluster: str = "prod") -> tuple[dict[str, str], list[tuple[int, float]]]:
    return {"__name__": "up", "cluster": cluster, "__replica__": replica}, [(NOW_MS, 1.0), (NOW_MS + 1, 2.0)]


def sent_by(replica: str) -> bytes:
    return body_of(write_request([series(replica)]))


async def test_the_elected_one_is_written_without_its_name_and_the_other_is_202() -> None:
    one, replicas = bench()
    assert (await one.post(sent_by("a"))).status == 204
    answer = await one.post(sent_by("b"))
    assert (answer.status, answer.text) == (202, "replica 'b' of 'prod' is not listened to, 'a' is")
    assert replicas.asked == [("anonymous", "prod", "a"), ("anonymous", "prod", "b")]
    ((_, batch),) = one.ingester.pushed
    assert batch.series(0)[0] == [("__name__", "up"), ("cluster", "prod")]
    assert one.metric("deduplicated_samples_total") == 2
    assert one.metric("received_samples_total") == 4
    assert one.metric("ha_failovers_total") == 3
    assert one.metric("requests_total", status="202") == 1
    assert one.nothing_is_inside()


async def test_what_is_not_written_takes_nothing_of_the_quota() -> None:
    one, _ = bench()
    for _ in range(5):
        assert (await one.post(sent_by("b"))).status == 202
    assert (await one.post(sent_by("a"))).status == 204
    assert (await one.post(sent_by("a"))).status == 429


async def test_version_2_is_told_that_the_samples_are_there() -> None:
    one, _ = bench()
    answer = await one.post(body_of(write_request_v2([series("b")])), HEADERS_V2)
    assert answer.status == 202
    assert answer.headers["x-prometheus-remote-write-samples-written"] == "2"


async def test_the_first_series_speaks_for_a_request_of_several_pairs() -> None:
    one, replicas = bench(replace(CONFIG, ingestion_rate=0.0))
    assert (await one.post(body_of(write_request([series("b"), series("a", "test")])))).status == 202
    assert (await one.post(body_of(write_request([series("a", "test"), series("b")])))).status == 204
    assert [pair for _, pair, _ in replicas.asked] == ["prod", "test"]
    ((_, batch),) = one.ingester.pushed
    assert [dict(batch.series(at)[0])["cluster"] for at in range(len(batch))] == ["test", "prod"]


async def test_samples_without_a_pair_and_metadata_are_taken_from_all() -> None:
    one, replicas = bench()
    labels = {"__name__": "up", "__replica__": "b"}
    assert (await one.post(body_of(write_request([(labels, [(NOW_MS, 1.0)])])))).status == 204
    assert (await one.post(body_of(write_request([], [{"metric_family_name": "up"}])))).status == 204
    assert replicas.asked == []
    assert dict(one.ingester.pushed[0][1].series(0)[0]) == labels


async def test_a_tenant_can_be_alone_in_sending_pairs_or_in_not_doing_so() -> None:
    plain = Config()
    one, replicas = bench(plain, pairs=replace(plain, accept_ha_samples=True))
    for tenant in ("pairs", "other"):
        await one.post(sent_by("b"), {**HEADERS, "X-Scope-OrgID": tenant})
    assert [tenant for tenant, _, _ in replicas.asked] == ["pairs"]
    assert [tenant for tenant, _ in one.ingester.pushed] == ["other"]
    two, replicas = bench(CONFIG, plain=plain)
    for tenant in ("plain", "other"):
        await two.post(sent_by("b"), {**HEADERS, "X-Scope-OrgID": tenant})
    assert [tenant for tenant, _, _ in replicas.asked] == ["other"]
    assert dict(two.ingester.pushed[0][1].series(0)[0])["__replica__"] == "b"


async def test_one_pair_too_many_is_400_and_no_election_is_503() -> None:
    one, replicas = bench()
    replicas.failure = LimitExceeded("too many pairs", "ha-pairs")
    answer = await one.post(sent_by("a"))
    assert (answer.status, "err-rondel-ha-pairs" in answer.text) == (400, True)
    replicas.failure = Unavailable("nobody is there")
    answer = await one.post(sent_by("a"))
    assert answer.status == 503
    assert "retry-after" in answer.headers
    assert one.ingester.pushed == []
    assert one.nothing_is_inside()


async def test_a_tracker_that_dies_is_a_failure_of_its_process() -> None:
    class Broken(MemoryStore):
        async def snapshot(self, prefix: str) -> Snapshot:
            raise RuntimeError("a bug")

    clock = FakeClock(NOW_MS)
    tracker = tracker_of(CONFIG, {}, Broken(clock.monotonic_s), Keys("c"), clock)
    assert tracker is not None
    ha = service(tracker)
    failed = asyncio.Event()
    ha.on_failure = lambda _: failed.set()
    await ha.start()
    await asyncio.wait_for(failed.wait(), 10)
    assert ha.state is State.FAILED
    await ha.stop()


def test_no_tenant_no_tracker() -> None:
    clock = FakeClock(NOW_MS)
    assert tracker_of(Config(), {}, MemoryStore(clock.monotonic_s), Keys("c"), clock) is None


def test_pairs_need_somebody_who_elects() -> None:
    with pytest.raises(ValueError, match="accept_ha_samples needs somebody who elects"):
        Distributor(FakeIngester(), CONFIG, FakeClock(NOW_MS), CollectorRegistry(), seed=1)
