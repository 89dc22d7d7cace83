"""A real Prometheus writes into a cluster, and every process of it is killed once: nothing is missing.

What Prometheus has itself, its own log of what it scraped and sent, is the judge.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deploy.local.cluster import LocalCluster, wait_until
from tests.support.answers import differences
from tests.support.client import Client
from tests.support.exporter import Exporter
from tests.support.process import Process
from tests.support.servers import prometheus
from tests.support.traffic import is_out
from tests.support.trial import SETTINGS

pytestmark = [pytest.mark.e2e, pytest.mark.peer, pytest.mark.faults, pytest.mark.timeout(600)]

SCRAPING = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - {{job_name: app, metrics_path: /kills, static_configs: [{{targets: ["127.0.0.1:{exporter}"]}}]}}
  - {{job_name: self, static_configs: [{{targets: ["127.0.0.1:{own}"]}}]}}
remote_write:
"""
WRITING = """
  - url: {url}/api/v1/write
    name: door-{number}
    send_native_histograms: true
    queue_config: {{batch_send_deadline: 200ms, max_shards: 1, min_backoff: 30ms, max_backoff: 500ms}}
    write_relabel_configs: [{{target_label: door, replacement: "{number}"}}]
"""
"""One queue for each distributor, so that both are written to; a label keeps their series apart."""
FEATURES = "--enable-feature=native-histograms"
GIVEN_UP = "prometheus_remote_storage_samples_failed_total"
"""counts samples that Prometheus gave up"""


@dataclass
class Watch:
    """Asks both queriers for what is true all the time, while processes die."""

    queriers: list[Process]
    failed: list[str] = field(default_factory=list)
    asked: int = 0
    is_over: bool = False

    def run(self) -> None:
        clients = [Client(one.port, host=one.host, timeout_s=10) for one in self.queriers]
        while not self.is_over:
            self._ask(clients)
            time.sleep(0.1)
        for client in clients:
            client.close()

    def _ask(self, clients: list[Client]) -> None:
        # As a load balancer does: who gives no answer at all, or is not ready yet, is left out.
        replies = []
        for client in clients:
            with suppress(OSError, http.client.HTTPException):
                reply = client.get("/api/v1/query", {"query": "count(up) by (job, door)"})
                if not is_out(reply):
                    replies.append(reply)
        self.asked += 1
        right = [reply.status == 200 and len(reply.json()["data"]["result"]) == 4 for reply in replies]
        if not right or not all(right):
            self.failed.append(str([(reply.status, reply.text[:300]) for reply in replies]))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path / "cluster", settings=SETTINGS) as found:
        found.wait_for_ring()
        yield found


def test_killing_every_process_once_loses_nothing_and_fails_no_query(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    with Exporter(ends_after=10_000, resets_after=10_000) as exporter:
        source = prometheus(tmp_path / "prometheus", "", FEATURES)
        config = SCRAPING.format(exporter=exporter.port, own=source.port)
        for number, process in enumerate(cluster.distributors):
            config += WRITING.format(url=process.url, number=number)
        (tmp_path / "prometheus" / "prometheus.yml").write_text(config, encoding="utf-8")
        # Before the first scrape, so that no sample lies at the edge of what is compared.
        started_s = time.time() - 1
        with source, Client(source.port) as theirs:
            wait_until(lambda: arrived(cluster, time.time() - 2), 60, lambda: "nothing arrives")
            watch = Watch(cluster.queriers)
            with ThreadPoolExecutor(1) as pool:
                watching = pool.submit(watch.run)
                try:
                    for process in (*cluster.processes(), *cluster.etcd.members):
                        kill_and_start(cluster, process)
                finally:
                    watch.is_over = True
                watching.result()
            end_s = time.time()
            wait_until(lambda: arrived(cluster, end_s + 1), 60, lambda: "it does not catch up")
            samples = same_samples(theirs, cluster, started_s, end_s)
            print(f"{samples} samples, found through every querier; {watch.asked} live queries")
            assert samples > 1_000
            assert [row["value"][1] for row in theirs.instant(f"sum({GIVEN_UP})", time.time())] == ["0"]
    assert watch.asked > 100
    assert watch.failed == []


def kill_and_start(cluster: LocalCluster, process: Process) -> None:
    process.kill()
    time.sleep(2)
    process.start(timeout_s=60)
    cluster.wait_for_ring()


def arrived(cluster: LocalCluster, time_s: float) -> bool:
    """Whether the samples of all jobs through all doors are there, up to a time."""
    with Client(cluster.queriers[0].port, host=cluster.queriers[0].host) as client:
        rows = client.instant("timestamp(up)", time.time())
    return len(rows) == 4 and all(float(row["value"][1]) >= time_s for row in rows)


def same_samples(theirs: Client, cluster: LocalCluster, start_s: float, end_s: float) -> int:
    """Every sample of every series, as Prometheus has it, through every querier and door; how many."""
    window = f"[{int(end_s - start_s)}s]"
    right = theirs.data("/api/v1/query", {"query": '{job=~"app|self"}' + window, "time": f"{end_s:.3f}"})
    for querier in cluster.queriers:
        with Client(querier.port, host=querier.host) as client:
            for door in range(len(cluster.distributors)):
                selector = f'{{job=~"app|self",door="{door}"}}{window}'
                found = client.data("/api/v1/query", {"query": selector, "time": f"{end_s:.3f}"})
                for row in found["result"]:
                    del row["metric"]["door"]
                assert differences(right, found, ordered=False) == []
    return sum(len(row.get("values", ())) + len(row.get("histograms", ())) for row in right["result"])
