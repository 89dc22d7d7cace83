"""Two real Prometheus servers scrape one target: one is stored, and the other once the first is killed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise

import pytest

from tests.support.client import Client
from tests.support.process import Process, is_installed
from tests.support.servers import prometheus, rondel

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.peer,
    pytest.mark.current_peer,
    pytest.mark.skipif(
        not is_installed("prometheus-3"), reason="needs `tests/support/fetch-peers prometheus-3`"
    ),
]

INTERVAL_S = 0.25
FAILOVER_S = 3.0
REFRESH_S = 1.0
CONFIG = """
global:
  scrape_interval: 250ms
  scrape_timeout: 250ms
  external_labels: {{cluster: prod, __replica__: {replica}}}
scrape_configs:
  - {{job_name: app, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}
remote_write:
  - url: http://127.0.0.1:{port}/api/v1/write
    protobuf_message: {message}
    queue_config: {{batch_send_deadline: 100ms, max_shards: 1}}
"""
MESSAGES = {"1.0": "prometheus.WriteRequest", "2.0": "io.prometheus.write.v2.Request"}


@dataclass
class Scene:
    """Rondel, and what it is sent."""

    ours: Client
    pair: dict[str, Process]

    def elected(self) -> str:
        """Whose scrapes the last samples here are."""
        ours = times(self.ours)
        found = []
        for name, process in self.pair.items():
            with Client(process.port) as theirs:
                found += [name] * (not times(theirs).isdisjoint(sorted(ours)[-5:]))
        [one] = found
        return one


@pytest.fixture(params=MESSAGES)
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    directory = tmp_path_factory.mktemp("pair")
    settings = {
        "RONDEL_SELF_SCRAPE__INTERVAL_S": "0",
        "RONDEL_DISTRIBUTOR__ACCEPT_HA_SAMPLES": "true",
        "RONDEL_DISTRIBUTOR__HA__FAILOVER_S": str(FAILOVER_S),
        "RONDEL_DISTRIBUTOR__HA__REFRESH_S": str(REFRESH_S),
    }
    with ExitStack() as running:
        server = running.enter_context(rondel(directory / "rondel", env=settings))
        pair = {}
        for name in "ab":
            config = CONFIG.format(replica=name, port=server.port, message=MESSAGES[request.param])
            pair[name] = running.enter_context(prometheus(directory / name, config, current=True))
        yield Scene(running.enter_context(Client(server.port)), pair)


def wait(holds: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(0.1)


def test_one_of_them_is_stored_and_then_the_other(scene: Scene) -> None:
    dropped = "rondel_distributor_deduplicated_samples_total"
    wait(lambda: counted(scene.ours, dropped) > 1_000)
    first = scene.elected()
    [second] = set(scene.pair) - {first}
    scene.pair[first].kill()
    time.sleep(0.5)  # for what was under way
    before = times(scene.ours)
    wait(lambda: len(times(scene.ours) - before) > 10)
    assert counted(scene.ours, "rondel_distributor_ha_failovers_total") == 1
    with Client(scene.pair[second].port) as theirs:
        assert times(scene.ours) - before <= times(theirs)
        assert counted(theirs, "prometheus_remote_storage_samples_total") > 1_000
        for bad in ("failed", "retried", "dropped"):
            assert counted(theirs, f"prometheus_remote_storage_samples_{bad}_total") == 0, bad
    [series] = scene.ours.instant('up{job="app"}[5m]', time.time())
    assert set(series["metric"]) == {"__name__", "cluster", "instance", "job"}
    gap_s = max(after - before for (before, _), (after, _) in pairwise(series["values"]))
    print(f"gap {gap_s:.2f} s at a fail-over timeout of {FAILOVER_S:g} s")
    # The store heard of the first one up to a refresh before its end.
    assert gap_s > FAILOVER_S - 1.25 * REFRESH_S - 2 * INTERVAL_S


def counted(client: Client, metric: str) -> float:
    """What a server counts of itself."""
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith((metric + " ", metric + "{")))


def times(client: Client) -> set[float]:
    """Of the scrapes that a server has."""
    rows = client.instant('up{job="app"}[5m]', time.time())
    return {at for row in rows for at, _ in row["values"]}
