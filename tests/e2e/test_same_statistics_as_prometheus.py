"""A real Prometheus and Rondel hold the same samples, and count them alike: by query and by step."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.process import is_installed
from tests.support.remote_write import WriteRequest, body_of, write_request
from tests.support.servers import prometheus, rondel

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.peer,
    pytest.mark.current_peer,
    pytest.mark.skipif(
        not is_installed("prometheus-3"), reason="needs `tests/support/fetch-peers prometheus-3`"
    ),
]

FLAGS = "promql-per-step-stats,promql-experimental-functions,native-histograms"
STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0_0000_0000_0002))[0]
SCRAPE_S = 15
SCRAPES = 80
STALE_AT = 40
"""number of the scrape at which one series ends"""
EXPRESSIONS = [
    "requests_total",
    "requests_total offset 2m",
    "sum(requests_total)",
    "sum by (job) (rate(requests_total[1m]))",
    "increase(requests_total[5m] offset 1m)",
    "count_over_time(requests_total[10s])",
    "requests_total / ignoring(x) requests_total",
    "requests_total and on(nothing) absent_metric",
    "absent_metric or requests_total unless requests_total",
    "sum(requests_total @ $T) + requests_total",
    "rate(requests_total[2m] @ $T)",
    "predict_linear(requests_total[2m] @ $T, 60)",
    "max_over_time(rate(requests_total[1m])[5m:30s])",
    "max_over_time(sum(requests_total)[5m:1m] offset 90s)",
    "quantile_over_time(0.5, requests_total[90s])",
    "timestamp(requests_total)",
    "scalar(requests_total{i='0'}) + topk(1, requests_total)",
    "absent_over_time(requests_total[1m])",
    "absent(absent_metric)",
    "vector(1) + 3",
    "latency",
    "rate(latency[2m])",
    "timestamp(latency)",
    "histogram_quantile(0.9, sum(rate(latency[1m])))",
    "histogram_count(latency)",
    "histogram_sum(rate(latency[90s]))",
    "sum_over_time(latency[5m:1m])",
    "{__name__=~'latency|requests_total'}",
]
ONLY_INSTANT = ["requests_total[3m]", "latency[3m]", "requests_total[3m:30s]", "latency[3m:30s]"]


@dataclass(frozen=True)
class Pair:
    theirs: Client
    ours: Client
    start_s: int


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    directory = tmp_path_factory.mktemp("statistics")
    start_s = (int(time.time()) - SCRAPES * SCRAPE_S - 60) // 60 * 60
    ours_env = {
        "RONDEL_SELF_SCRAPE__INTERVAL_S": "0",
        "RONDEL_QUERY__FEATURES": "all",
    }
    with ExitStack() as running:
        ours = running.enter_context(rondel(directory / "rondel", env=ours_env))
        config = "global: {evaluation_interval: 1m}"
        flag = f"--enable-feature={FLAGS}"
        theirs = running.enter_context(prometheus(directory / "prometheus", config, flag, current=True))
        clients = [running.enter_context(Client(server.port)) for server in (theirs, ours)]
        for client in clients:
            reply = client.write(body_of(fleet(start_s)))
            assert reply.status == 204, reply.text
        yield Pair(*clients, start_s)


def fleet(start_s: int) -> WriteRequest:
    """Counters of which one has gaps and one ends, and histograms with gaps between their buckets."""
    times_ms = [(start_s + at * SCRAPE_S) * 1000 for at in range(SCRAPES)]
    series = []
    for i in range(4):
        at = [(t, float(n)) for n, t in enumerate(times_ms) if i != 1 or n % 5]
        if i == 2:
            at = [*at[:STALE_AT], (times_ms[STALE_AT], STALE)]
        series.append(({"__name__": "requests_total", "i": f"{i}", "job": f"{i % 2}"}, at))
    request = write_request(series)
    for i in range(3):
        one = request.timeseries.add()
        one.labels.add(name="__name__", value="latency")
        one.labels.add(name="i", value=f"{i}")
        for n, t in enumerate(times_ms):
            _add_histogram(one, t, n + 1, spans=i + 1)
    return request


def _add_histogram(series: Any, time_ms: int, count: int, spans: int) -> None:
    one = series.histograms.add(
        count_int=count * 2 * spans, sum=count * 3.0, zero_count_int=0, timestamp=time_ms
    )
    one.zero_threshold = 1e-9
    for _ in range(spans):
        one.positive_spans.add(offset=3, length=2)
    one.positive_deltas.extend([count] + [0] * (2 * spans - 1))


def asked(pair: Pair, text: str, *, ranged: bool) -> tuple[str, dict[str, str]]:
    middle_s = pair.start_s + SCRAPE_S * SCRAPES // 2 + 7
    params = {"query": text.replace("$T", f"{middle_s}"), "stats": "all"}
    if not ranged:
        return "/api/v1/query", {**params, "time": f"{middle_s}"}
    return "/api/v1/query_range", {**params, "start": f"{middle_s}", "end": f"{middle_s + 400}", "step": "40"}


@pytest.mark.parametrize("text", [*EXPRESSIONS, *ONLY_INSTANT])
def test_samples_are_counted_alike(pair: Pair, text: str) -> None:
    for ranged in (False, True)[: 1 if text in ONLY_INSTANT else 2]:
        path, params = asked(pair, text, ranged=ranged)
        expected, got = (client.data(path, params)["stats"]["samples"] for client in (pair.theirs, pair.ours))
        for name in ("totalQueryableSamples", "totalQueryableSamplesPerStep"):
            assert got[name] == expected[name], (path, params)
