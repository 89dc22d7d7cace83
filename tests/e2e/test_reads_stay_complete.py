"""Queries while samples move from the head to blocks and from block to block: never one less, never one more.

One thread writes in order, one writes late, one flushes without pause, the compactor merges and deletes at
once, and readers ask for exact counts, sums and samples of windows that are wholly acknowledged. Series come
and go, so that the head drops them under the readers.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.process import Process
from tests.support.remote_write import body_of, write_request
from tests.support.servers import rondel

pytestmark = pytest.mark.e2e

SECONDS = float(os.environ.get("E2E_READ_SECONDS", "12"))
METRIC = "moving"
HISTOGRAM = "moving_histogram"
HISTOGRAMS = 3
"""series of them; a step observes as many things as its number, in two buckets that depend on it"""
SERIES = 12
STEP_MS = 500
LATE_STEPS = 60
"""how far the late writer is behind; odd steps are its own"""
STEPS_PER_LIFE = 100
"""after so many steps all series are replaced by new ones"""
READERS = 3

SETTINGS = {
    "RONDEL_SHIP__RANGE_MS": "5s",
    "RONDEL_SHIP__INTERVAL_MS": "50ms",
    "RONDEL_HEAD__OUT_OF_ORDER_TIME_WINDOW_MS": "120s",
    "RONDEL_COMPACTOR__INTERVAL_S": "0.05",
    "RONDEL_COMPACTOR__RANGES_MS": "20000,100000",
    "RONDEL_COMPACTOR__SETTLE_S": "0",
    "RONDEL_COMPACTOR__DELETION_DELAY_S": "1",
    "RONDEL_WAL__SEGMENT_SIZE_BYTES_MAX": "64KiB",
    "RONDEL_SELF_SCRAPE__INTERVAL_S": "0",
    "RONDEL_HEAD__EXEMPLARS_PER_SERIES_MAX": "1000000",
}


@dataclass
class Scene:
    """What is written so far, who works on it, and what went wrong."""

    server: Process
    start_ms: int
    even: int = -2
    """the newest step of the writer in order"""
    odd: int = -1
    """the newest step of the late writer"""
    checks: int = 0
    flushes: int = 0
    faults: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def run(self, *work: Callable[[Scene, Client], None]) -> None:
        threads = [threading.Thread(target=self._repeat, args=(one,)) for one in work]
        for thread in threads:
            thread.start()
        self.over.wait(SECONDS)
        self.over.set()
        for thread in threads:
            thread.join()

    def _repeat(self, work: Callable[[Scene, Client], None]) -> None:
        try:
            with Client(self.server.port) as client:
                while not self.over.is_set():
                    work(self, client)
        except Exception as error:  # Of a thread: the test reports it.
            self.faults.append(f"{work.__name__}: {error!r}")
            self.over.set()

    def body(self, step: int) -> bytes:
        life = str(step // STEPS_PER_LIFE)
        time_ms = self.start_ms + step * STEP_MS
        request = write_request(
            ({"__name__": METRIC, "life": life, "n": str(number)}, [(time_ms, float(step))])
            for number in range(SERIES)
        )
        for number in range(HISTOGRAMS):
            series = request.timeseries.add()
            for name, value in (("__name__", HISTOGRAM), ("life", life), ("n", str(number))):
                series.labels.add(name=name, value=value)
            add_histogram(series, step, time_ms)
        return body_of(request)

    @property
    def complete(self) -> int:
        """All steps up to this one are acknowledged."""
        return min(self.even + 1, self.odd)


def add_histogram(series: Any, step: int, time_ms: int) -> None:
    """And an exemplar beside it."""
    one = series.histograms.add(timestamp=time_ms, count_float=step + 1, sum=step, zero_count_float=1)
    one.positive_spans.add(offset=step % 3, length=1)
    one.positive_spans.add(offset=step % 2, length=1)
    one.positive_counts.extend([step / 2, step / 2])
    series.exemplars.add(timestamp=time_ms, value=step).labels.add(name="trace_id", value=str(step))


def write(scene: Scene, client: Client) -> None:
    step = scene.even + 2
    assert client.write(scene.body(step)).status == 204
    scene.even = step


def write_late(scene: Scene, client: Client) -> None:
    step = scene.odd + 2
    if step > scene.even - LATE_STEPS:
        time.sleep(0.001)
        return
    assert client.write(scene.body(step)).status == 204
    scene.odd = step


def flush(scene: Scene, client: Client) -> None:
    reply = client.request("POST", "/ingester/flush")
    assert reply.status == 200, reply.text
    scene.flushes += 1
    time.sleep(random.random() / 10)


def read(scene: Scene, client: Client) -> None:
    """A window of acknowledged steps, whole or part, asked for in one of several ways."""
    newest = scene.complete
    if newest < 1:
        return
    last = random.randint(0, newest)
    steps = random.choice([last + 1, random.randint(1, last + 1), min(40, last + 1)])
    expected = range(last - steps + 1, last + 1)
    at_s = (scene.start_ms + last * STEP_MS) / 1000
    window = f"{METRIC}[{steps * STEP_MS}ms]"
    kind = random.choice(["count", "sum", "samples", "names", "histograms", "observed", "exemplars"])
    if kind == "count":
        found = number_of(client, f"sum(count_over_time({window}))", at_s)
        check(scene, kind, expected, found, len(expected) * SERIES)
    elif kind == "sum":
        found = number_of(client, f"sum(sum_over_time({window}))", at_s)
        check(scene, kind, expected, found, sum(expected) * SERIES)
    elif kind == "histograms":
        rows = client.instant(f'{HISTOGRAM}{{n="1"}}[{steps * STEP_MS}ms]', at_s)
        seen = sorted(int(one["count"]) - 1 for row in rows for _, one in row["histograms"])
        check(scene, kind, expected, seen, list(expected))
    elif kind == "observed":
        found = number_of(
            client, f"histogram_sum(sum(sum_over_time({HISTOGRAM}[{steps * STEP_MS}ms])))", at_s
        )
        check(scene, kind, expected, found, sum(expected) * HISTOGRAMS)
    elif kind == "exemplars":
        span = {"start": str(at_s - (steps - 1) * STEP_MS / 1000), "end": str(at_s)}
        rows = client.data("/api/v1/query_exemplars", {"query": f'{HISTOGRAM}{{n="2"}}', **span})
        seen = sorted(int(float(one["value"])) for row in rows for one in row["exemplars"])
        check(scene, kind, expected, seen, list(expected))
    elif kind == "samples":
        rows = client.instant(f'{window[: len(METRIC)]}{{n="3"}}{window[len(METRIC) :]}', at_s)
        seen = sorted(int(float(text)) for row in rows for _, text in row["values"])
        check(scene, kind, expected, seen, list(expected))
    else:
        span = {"start": str(at_s - (steps - 1) * STEP_MS / 1000), "end": str(at_s), "match[]": METRIC}
        lives = client.data("/api/v1/label/life/values", span)
        wanted = {str(step // STEPS_PER_LIFE) for step in expected}
        check(scene, kind, expected, sorted(wanted - set(lives)), [])
    scene.checks += 1


def number_of(client: Client, query: str, at_s: float) -> float:
    rows = client.instant(query, at_s)
    return float(rows[0]["value"][1]) if rows else 0.0


def check(scene: Scene, kind: str, steps: range, found: object, expected: object) -> None:
    if found != expected:
        scene.faults.append(
            f"{kind} of steps {steps.start} to {steps.stop - 1}: {found}, want {expected}"[:400]
        )
        scene.over.set()


@pytest.mark.timeout(SECONDS + 120)
@pytest.mark.parametrize("refresh_s", ["60", "0.2"], ids=["announced", "listed"])
def test_a_query_never_misses_or_doubles_a_sample_that_moves(tmp_path: Path, refresh_s: str) -> None:
    with rondel(tmp_path, env={**SETTINGS, "RONDEL_STORE__REFRESH_S": refresh_s}) as server:
        start_ms = int(time.time() - 24 * 3600) * 1000
        scene = Scene(server, start_ms)
        scene.run(write, write_late, flush, *[read] * READERS)
        assert scene.faults == []
        with Client(server.port) as client:
            metrics = client.get("/metrics").text
    moved = {
        name: sum(float(line.split()[-1]) for line in metrics.splitlines() if line.startswith(name))
        for name in ("rondel_ingester_blocks_shipped_total", "rondel_compactor_blocks_deleted_total")
    }
    print(f"{scene.checks} checks, {scene.flushes} flushes, {scene.complete} steps, {moved}")
    assert scene.checks > 20
    assert min(moved.values()) > 0, moved
