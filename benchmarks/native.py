"""Native histograms: what a sample costs to write, to keep and to query; VictoriaMetrics 1.79 has none."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.ingest import INTERVAL_MS, send
from benchmarks.queries import HOUR_STEPS, LOOKBACK_STEPS, STEP_S, measure
from benchmarks.row import Goal, Row
from benchmarks.targets import Target
from tests.support.client import Client
from tests.support.prompb.remote_write_v1_pb2 import WriteRequest
from tests.support.remote_write import body_of

__all__ = ["QUERIES", "native_histograms"]

METRIC = "rpc_duration_seconds"
SCHEMA = 3
BUCKETS = 32
"""of 9 % width each: a factor of 16 from the fastest to the slowest request"""
HOSTS = 50
PATHS = ("/", "/login", "/search", "/cart", "/checkout")

QUERIES = {
    "p99": f"histogram_quantile(0.99, sum(rate({METRIC}[5m])))",
    "p99 by path": f"histogram_quantile(0.99, sum by (path) (rate({METRIC}[5m])))",
    "p50 of one host": f'histogram_quantile(0.5, rate({METRIC}{{instance="host-00042"}}[5m]))',
    "share of fast ones": f"histogram_fraction(0, 0.01, sum by (path) (rate({METRIC}[5m])))",
    "requests": f"histogram_count(sum by (path) (rate({METRIC}[5m])))",
    "mean by host": f"histogram_sum(sum by (instance) (rate({METRIC}[5m])))"
    f" / histogram_count(sum by (instance) (rate({METRIC}[5m])))",
}


def native_histograms(targets: list[Target], directory: Path, *, repeats: int) -> list[Row]:
    """250 series of 32 buckets at 15 s for 75 minutes, then queries over an hour of them."""
    able = [target for target in targets if target.has_native_histograms]
    end_s = (int(time.time()) - 120) // STEP_S * STEP_S
    steps = HOUR_STEPS + LOOKBACK_STEPS
    bodies = list(_bodies(end_s * 1000 - (steps - 1) * INTERVAL_MS, steps))
    samples = steps * HOSTS * len(PATHS)
    places = {target.name: directory / f"native-{target.name}" for target in able}
    with ExitStack() as running:
        servers = {target.name: running.enter_context(target.start(places[target.name])) for target in able}
        clients = {name: running.enter_context(Client(server.port)) for name, server in servers.items()}
        cpu = {t.name: send(servers[t.name], t, bodies).cpu_s / samples * 1e6 for t in able}
        queries = measure(QUERIES, able, clients, end_s, repeats=repeats)
        stored = {t.name: t.stored_bytes(places[t.name], clients[t.name]) / samples for t in able}
    return [
        Row(f"ingest, native histograms of {BUCKETS} buckets", "CPU s / M samples", cpu),
        Row(f"bytes per histogram sample on disk ({BUCKETS} buckets)", "B", stored),
        queries.row(
            f"{len(QUERIES)} native histogram queries (1 h, {STEP_S} s, {HOSTS * len(PATHS)} series)", Goal(1)
        ),
    ]


def _bodies(first_ms: int, steps: int) -> Iterator[bytes]:
    """A request a step, with one integer histogram of every series; buckets hold what was observed so far."""
    random = np.random.default_rng(11)
    series = [(f"host-{host:05d}", path) for host in range(HOSTS) for path in PATHS]
    shares = _shares(random, len(series))
    counts = np.zeros((len(series), BUCKETS), np.int64)
    sums = np.zeros(len(series))
    middles = 2.0 ** ((np.arange(BUCKETS) - 0.5) / 2**SCHEMA) / 256
    for step in range(steps):
        seen = random.poisson(shares)
        counts += seen
        sums += seen @ middles
        request = WriteRequest()
        for (host, path), own, total in zip(series, counts, sums, strict=True):
            _add(request, host, path, first_ms + step * INTERVAL_MS, own, float(total))
        yield body_of(request)


def _shares(random: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Mean observations of each bucket in a step: a hump a series, wide and busy as it happens to be."""
    centre = random.uniform(8, 24, (count, 1))
    width = random.uniform(2, 6, (count, 1))
    hump = np.exp(-0.5 * ((np.arange(BUCKETS) - centre) / width) ** 2)
    return np.asarray(hump / hump.sum(axis=1, keepdims=True) * random.gamma(1.5, 200, (count, 1)))


def _add(
    request: WriteRequest, host: str, path: str, time_ms: int, counts: NDArray[np.int64], total: float
) -> None:
    one = request.timeseries.add()
    for name, value in (("__name__", METRIC), ("instance", host), ("job", "rpc"), ("path", path)):
        one.labels.add(name=name, value=value)
    sample = one.histograms.add(
        timestamp=time_ms, schema=SCHEMA, sum=total, count_int=int(counts.sum()), zero_threshold=1e-128
    )
    sample.positive_spans.add(offset=-8 * 2**SCHEMA, length=BUCKETS)
    sample.positive_deltas.extend(np.diff(counts, prepend=0).tolist())
