"""A real Prometheus scrapes native histograms and exemplars, and writes them to Rondel: both answer alike.

The exporter has integer, float and gauge histograms with negative buckets, buckets that come, a counter
reset, exemplars and a series that ends. The current Prometheus writes everything twice, in remote write 1.0
and in 2.0, to two servers; it also scrapes itself, whose own latencies are native histograms.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.answers import differences
from tests.support.client import Client
from tests.support.exporter import ENDING, Exporter
from tests.support.process import is_installed
from tests.support.servers import prometheus, rondel

pytestmark = [pytest.mark.e2e, pytest.mark.peer]

SCRAPES = 20
INTERVAL_S = 0.25
SCRAPING = """
global: {{scrape_interval: 250ms, scrape_timeout: 250ms}}
scrape_configs:
  - {{job_name: app, metrics_path: /{name}, static_configs: [{{targets: ["127.0.0.1:{exporter}"]}}]}}
  - {{job_name: self, static_configs: [{{targets: ["127.0.0.1:{own}"]}}]}}
remote_write:
"""
WRITING = """
  - url: http://127.0.0.1:{port}/api/v1/write
    send_exemplars: true
    send_native_histograms: true
    queue_config: {{batch_send_deadline: 100ms, max_shards: 1}}
"""
VERSIONS = {"1.0": "", "2.0": "    protobuf_message: io.prometheus.write.v2.Request\n"}
FEATURES = "--enable-feature=native-histograms,exemplar-storage"

SAME_IN_ALL_VERSIONS = (
    "histogram_count({m})",
    "histogram_sum({m})",
    "{m}",
    "sum without (instance) ({m})",
    "rate({m}[3s])",
    "histogram_count(increase({m}[4s]))",
    "count_over_time({m}[3s])",
)
SAME_SINCE_3 = (
    "histogram_quantile(0.9, {m})",
    "histogram_quantile(0.5, rate({m}[3s]))",
    "histogram_fraction(0, 1, {m})",
    "histogram_avg(rate({m}[3s]))",
    "histogram_stddev({m})",
    "delta({m}[3s])",
    "sum_over_time({m}[2s])",
    "avg(rate({m}[3s]))",
    "resets({m}[4s])",
)


METRICS = ("latency_seconds", "queue_seconds", "waiting_seconds", ENDING)


@dataclass(frozen=True)
class Scene:
    """Everything was sent; `end_s` is a time shortly after the last sample that both have."""

    theirs: Client
    ours: dict[str, Client]
    """by version of remote write"""
    end_s: float
    is_current: bool


STABLE = pytest.param(False, id="2.42")
NEEDED = "needs `tests/support/fetch-peers prometheus-3`"
IS_THERE = pytest.mark.skipif(not is_installed("prometheus-3"), reason=NEEDED)
CURRENT = pytest.param(True, id="3.5", marks=[pytest.mark.current_peer, IS_THERE])


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, Scene]]:
    """Of each Prometheus that is there, by whether it is the current one; all collect at the same time."""
    directory = tmp_path_factory.mktemp("histograms")
    with ExitStack() as running:
        exporter = running.enter_context(Exporter(ends_after=SCRAPES // 2, resets_after=SCRAPES // 3))
        kinds = [False, True] if is_installed("prometheus-3") else [False]
        started = {kind: _start(running, directory / str(kind), exporter, kind) for kind in kinds}
        yield {kind: Scene(*clients, _wait(*clients), kind) for kind, clients in started.items()}


@pytest.fixture(params=[STABLE, CURRENT])
def scene(request: pytest.FixtureRequest, scenes: dict[bool, Scene]) -> Scene:
    return scenes[request.param]


def _start(
    running: ExitStack, directory: Path, exporter: Exporter, is_current: bool
) -> tuple[Client, dict[str, Client]]:
    """A Prometheus, and a server for each version that it writes."""
    versions = list(VERSIONS) if is_current else ["1.0"]
    quiet = {"RONDEL_SELF_SCRAPE__INTERVAL_S": "0"}
    ours = {one: running.enter_context(rondel(directory / one, env=quiet)) for one in versions}
    theirs = prometheus(directory / "prometheus", "", FEATURES, current=is_current)
    config = SCRAPING.format(name=directory.name, exporter=exporter.port, own=theirs.port)
    config += "".join(WRITING.format(port=server.port) + VERSIONS[one] for one, server in ours.items())
    (directory / "prometheus" / "prometheus.yml").write_text(config, encoding="utf-8")
    running.enter_context(theirs)
    clients = {one: running.enter_context(Client(server.port)) for one, server in ours.items()}
    return running.enter_context(Client(theirs.port)), clients


def _wait(theirs: Client, ours: dict[str, Client]) -> float:
    """Until everybody has all scrapes up to a moment, which is between scrapes."""
    deadline = time.monotonic() + 60
    while True:
        times = [_times(client) for client in (theirs, *ours.values())]
        if min(map(len, times)) > SCRAPES:
            newest = min(one[-1] for one in times)
            phases = sorted(_times(theirs, job)[-1] % INTERVAL_S for job in ("app", "self"))
            gap = (phases[1] - phases[0]) / 2
            middle = phases[0] + gap + (0 if gap > INTERVAL_S / 4 else INTERVAL_S / 2)
            return round((newest // INTERVAL_S - 3) * INTERVAL_S + middle, 3)
        assert time.monotonic() < deadline, f"remote write does not arrive: {[len(t) for t in times]}"
        time.sleep(0.2)


def _times(client: Client, job: str = "app") -> list[float]:
    rows = client.instant(f'up{{job="{job}"}}[1m]', time.time())
    return [float(t) for row in rows for t, value in row["values"] if value == "1"]


def _data(client: Client, query: str, time_s: float) -> Any:
    return client.data("/api/v1/query", {"query": query, "time": f"{time_s:.3f}"})


def _same(scene: Scene, query: str, *times_s: float) -> int:
    """Asked of all; the number of series, which are the same with the same points."""
    seen = 0
    for time_s in times_s or (scene.end_s,):
        expected = _data(scene.theirs, query, time_s)
        for version, client in scene.ours.items():
            found = differences(expected, _data(client, query, time_s), ordered=False)
            assert found == [], (query, time_s, version)
        seen += len(expected["result"])
    return seen


def test_every_sample_of_every_series_arrived(scene: Scene) -> None:
    width_s = int(SCRAPES * INTERVAL_S) - 2
    assert _same(scene, f'{{__name__=~".+"}}[{width_s}s]') > 300
    kinds = _data(scene.theirs, f'{{job="app"}}[{width_s}s]', scene.end_s)["result"]
    assert sum("histograms" in row for row in kinds) >= 3
    if scene.is_current:
        own = _data(scene.theirs, f'{{job="self"}}[{width_s}s]', scene.end_s)["result"]
        assert sum("histograms" in row for row in own) >= 3


@pytest.mark.parametrize("metric", METRICS)
def test_queries_of_histograms_agree(scene: Scene, metric: str) -> None:
    expressions = (*SAME_IN_ALL_VERSIONS, *(SAME_SINCE_3 if scene.is_current else ()))
    rows = _data(scene.theirs, f"{metric}[1m]", scene.end_s)["result"]
    last_s = min(max(t for t, _ in row["histograms"]) for row in rows)
    times = (scene.end_s, scene.end_s - 3 * INTERVAL_S, last_s + INTERVAL_S / 2)
    for expression in expressions:
        assert _same(scene, expression.replace("{m}", metric), *times) > 0, expression


def test_a_series_that_ended_is_gone_for_both(scene: Scene) -> None:
    assert _same(scene, f"{ENDING}[1m]") > 0
    assert _same(scene, ENDING) == 0


def test_exemplars_come_back(scene: Scene) -> None:
    window = {"query": '{job="app"}', "start": scene.end_s - SCRAPES * INTERVAL_S + 1, "end": scene.end_s}
    expected = _exemplars(scene.theirs, window)
    assert len(expected) >= 10
    assert {version: _exemplars(client, window) for version, client in scene.ours.items()} == dict.fromkeys(
        scene.ours, expected
    )


def _exemplars(client: Client, window: dict[str, Any]) -> list[tuple[str, ...]]:
    rows = client.data("/api/v1/query_exemplars", window)
    return sorted(
        (
            str(sorted(row["seriesLabels"].items())),
            str(sorted(one["labels"].items())),
            str(float(one["value"])),
            one["timestamp"],
        )
        for row in rows
        for one in row["exemplars"]
    )


def test_the_sender_counts_no_failure_and_the_receiver_leaves_nothing_out(scene: Scene) -> None:
    sent = _metrics(scene.theirs.get("/metrics").text, "prometheus_remote_storage_")
    for kind in ("samples", "histograms", "exemplars"):
        assert sent[f"prometheus_remote_storage_{kind}_total"] > 0
        for fault in ("failed", "retried"):
            assert sent[f"prometheus_remote_storage_{kind}_{fault}_total"] == 0
    for client in scene.ours.values():
        taken = _metrics(client.get("/metrics").text, "rondel_distributor_")
        for kind in ("histograms", "exemplars"):
            assert taken[f"rondel_distributor_{kind}_total"] > 0
        for kind in ("samples", "exemplars"):
            assert taken.get(f"rondel_distributor_discarded_{kind}_total", 0) == 0


def _metrics(text: str, prefix: str) -> dict[str, float]:
    """Sums over the series of each metric."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        if line.startswith(prefix):
            name = line.partition("{")[0].partition(" ")[0]
            found[name] = found.get(name, 0) + float(line.rsplit(" ", 1)[1])
    return found


def test_blocks_answer_as_the_head_did(scene: Scene) -> None:
    for client in scene.ours.values():
        assert client.request("POST", "/ingester/flush").status == 200
        assert client.data("/api/v1/status/tsdb/blocks")["blocks"]
    test_every_sample_of_every_series_arrived(scene)
    test_exemplars_come_back(scene)
    for metric in METRICS:
        test_queries_of_histograms_agree(scene, metric)
