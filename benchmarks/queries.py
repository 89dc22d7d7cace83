"""Wall time of what dashboards ask: range queries over an hour at 15 s, 20,000 series stored."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean, median
from urllib.parse import urlencode

from benchmarks.ingest import BATCH, INTERVAL_MS, send
from benchmarks.row import Goal, Row
from benchmarks.targets import Target
from benchmarks.workload import Values, batches, fleet
from tests.support.client import Client
from tests.support.process import Process

__all__ = ["ALL_QUERIES", "STEP_S", "Taken", "load", "measure", "query_set"]

STEP_S = 15
HOUR_STEPS = 240
LOOKBACK_STEPS = 60
"""stored before the hour, so that no range of a query starts before the data"""

QUERIES = {
    "total rate": "sum(rate(http_requests_total[5m]))",
    "rate by two labels": "sum by (path, status) (rate(http_requests_total[5m]))",
    "error ratio": 'sum(rate(http_requests_total{status=~"5.."}[5m])) / sum(rate(http_requests_total[5m]))',
    "p99 by path": "histogram_quantile(0.99,"
    " sum by (le, path) (rate(http_request_duration_seconds_bucket[5m])))",
    "CPU by host": '100 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m])) * 100',
    "CPU by mode": "sum by (mode) (rate(node_cpu_seconds_total[5m]))",
    "one host": 'rate(node_cpu_seconds_total{instance="host-00042:9100"}[5m])',
    "memory share": "1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes",
    "top namespaces": "topk(3, sum by (namespace) (container_memory_working_set_bytes))",
    "pods by regex": 'sum by (pod) (container_memory_working_set_bytes{pod=~"app-000[1-3].-.*"})',
    "peak over 10 min": "max_over_time(node_load1[10m])",
    "mean latency": "sum by (instance) (rate(http_request_duration_seconds_sum[5m]))"
    " / sum by (instance) (rate(http_request_duration_seconds_count[5m]))",
    "peak of a rate": "max_over_time(sum by (zone) (rate(http_requests_total[1m]))[10m:1m])",
}
LATENCY = "http_request_duration_seconds"
HISTOGRAM_QUERIES = {
    "p50": f"histogram_quantile(0.5, sum by (le) (rate({LATENCY}_bucket[5m])))",
    "p90 by host": f"histogram_quantile(0.9, sum by (le, instance) (rate({LATENCY}_bucket[5m])))",
    "slow hosts": f'count(histogram_quantile(0.99, rate({LATENCY}_bucket{{path="/cart"}}[5m])) > 0.1)',
    "tail": f"histogram_quantile(0.99, sum by (le, zone) (rate({LATENCY}_bucket[5m])))"
    f" - histogram_quantile(0.5, sum by (le, zone) (rate({LATENCY}_bucket[5m])))",
    "slow share": f'1 - sum by (path) (rate({LATENCY}_bucket{{le="0.25"}}[5m]))'
    f" / sum by (path) (rate({LATENCY}_count[5m]))",
    "heat map": f'sum by (le) (increase({LATENCY}_bucket{{path="/search"}}[1m]))',
}
"""classic histograms: the kind that every server has"""
ALL_QUERIES = QUERIES | HISTOGRAM_QUERIES


def query_set(targets: list[Target], directory: Path, *, repeats: int) -> list[Row]:
    """The same samples in every server, then each query in turn on all of them; medians."""
    end_s = (int(time.time()) - 120) // STEP_S * STEP_S
    with ExitStack() as running:
        servers = {
            target.name: running.enter_context(target.start(directory / f"query-{target.name}"))
            for target in targets
        }
        load(targets, servers, end_s)
        clients = {name: running.enter_context(Client(server.port)) for name, server in servers.items()}
        taken = measure(ALL_QUERIES, targets, clients, end_s, repeats=repeats)
        size = f"(1 h, {STEP_S} s, 20,000 series), geometric mean"
        return [
            taken.row(f"{len(ALL_QUERIES)} range queries {size}", Goal(1 / 3, "victoria-metrics")),
            taken.only(HISTOGRAM_QUERIES).row(
                f"{len(HISTOGRAM_QUERIES)} of them on histograms",
                Goal(1 / 2, "victoria-metrics"),
                listed=False,
            ),
            *_replay(targets, servers, clients),
        ]


@dataclass(frozen=True)
class Taken:
    """Milliseconds of each query on each server, medians."""

    times_ms: dict[str, dict[str, float]]

    def only(self, names: Iterable[str]) -> Taken:
        return Taken({name: self.times_ms[name] for name in names})

    def row(self, name: str, goal: Goal | None, *, listed: bool = True) -> Row:
        servers = next(iter(self.times_ms.values()))
        means = {one: geometric_mean([times[one] for times in self.times_ms.values()]) for one in servers}
        return Row(name, "ms wall", means, goal, details=self.times_ms if listed else {})


def measure(
    queries: Mapping[str, str], targets: list[Target], clients: dict[str, Client], end_s: int, *, repeats: int
) -> Taken:
    """Each query in turn on all servers, over the hour up to `end_s`."""
    start_s = end_s - HOUR_STEPS * STEP_S
    times_ms: dict[str, dict[str, float]] = {}
    for name, query in queries.items():
        taken: dict[str, list[float]] = {target.name: [] for target in targets}
        for _ in range(repeats + 1):
            for target in targets:
                taken[target.name].append(_ask(clients[target.name], target, query, start_s, end_s))
        times_ms[name] = {server: median(times[1:]) * 1000 for server, times in taken.items()}
    _check_same_shape(queries, clients, targets, start_s, end_s)
    return Taken(times_ms)


def load(targets: list[Target], servers: Mapping[str, Process], end_s: int) -> None:
    """Writes what the queries are about to every server."""
    series = fleet(100)
    templates, values = batches(series, BATCH), Values(series)
    steps = HOUR_STEPS + LOOKBACK_STEPS
    first_ms = end_s * 1000 - (steps - 1) * INTERVAL_MS
    for start in range(0, steps, 20):
        bodies = []
        for number in range(start, min(start + 20, steps)):
            now = values.next()
            bodies += [batch.body(first_ms + number * INTERVAL_MS, now) for batch in templates]
        for target in targets:
            send(servers[target.name], target, bodies, settle_s=0)
    time.sleep(5)


def _ask(client: Client, target: Target, query: str, start_s: int, end_s: int) -> float:
    params = [("query", query), ("start", start_s), ("end", end_s), ("step", STEP_S), *target.query_params]
    path = f"/api/v1/query_range?{urlencode(params)}"
    started = time.perf_counter()
    reply = client.request("GET", path)
    taken_s = time.perf_counter() - started
    if reply.status != 200:
        raise RuntimeError(f"{target.name}: {query}: {reply.status} {reply.text[:300]}")
    return taken_s


def _check_same_shape(
    queries: Mapping[str, str], clients: dict[str, Client], targets: list[Target], start_s: int, end_s: int
) -> None:
    """A fast wrong answer is no figure: every server must find the same number of series."""
    for name, query in queries.items():
        found = {t.name: len(clients[t.name].range(query, start_s, end_s, STEP_S)) for t in targets}
        if len(set(found.values())) != 1 or 0 in found.values():
            raise RuntimeError(f"{name}: servers disagree on the number of series: {found}")


def _replay(targets: list[Target], servers: dict[str, Process], clients: dict[str, Client]) -> list[Row]:
    """From SIGKILL to ready again, less the start of an empty server."""
    samples = 20_000 * (HOUR_STEPS + LOOKBACK_STEPS)
    figures: dict[str, float] = {}
    for target in targets:
        if not target.has_wal:
            continue
        server = servers[target.name]
        empty_s = server.start_to_ready_s
        clients[target.name].close()
        server.kill()
        server.start(timeout_s=300)
        figures[target.name] = samples / max(server.start_to_ready_s - empty_s, 0.001) / 1e6
    return [Row("WAL replay", "M samples / s", figures, Goal(5, at_least=True))]
