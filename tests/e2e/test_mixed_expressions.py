"""Thousands of random expressions over floats and native histograms: Prometheus 3.5 and Rondel agree on all.

Both take the same remote writes and answer data, warnings and infos. What fails prints its text, so it can
be asked again by hand; the seed is fixed, so it comes back. Where 3.5 is known to answer otherwise than
3.14, which Rondel follows, `tests/support/since_prometheus_35.py` says so.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest

from tests.support.answers import differences
from tests.support.client import Client, Reply
from tests.support.mixed_expressions import MixedExpressions
from tests.support.mixed_fleet import mixed_fleet, writes
from tests.support.servers import prometheus, rondel
from tests.support.since_prometheus_35 import (
    annotation_differences,
    contradicts_itself,
    merged_since,
    refused_since,
)

pytestmark = [pytest.mark.e2e, pytest.mark.peer, pytest.mark.current_peer]

COUNT = int(os.environ.get("E2E_EXPRESSIONS", "2000"))
SEED = int(os.environ.get("E2E_SEED", "1"))
SCRAPES = 120
CHUNK = 100
NAMES_DROPPED_LATE = "promql-delayed-name-removal"
FEATURES = ("promql-experimental-functions",)
THEIRS = ("native-histograms", "promql-duration-expr")
STEPS_S = (15, 30, 45, 37)


@dataclass(frozen=True)
class Pair:
    theirs: Client
    ours: Client
    start_s: int
    fresh: Callable[[], AbstractContextManager[Client]]
    """another Prometheus with the same samples, that was asked nothing before"""


@pytest.fixture(scope="module", params=[FEATURES, (*FEATURES, NAMES_DROPPED_LATE)], ids=["early", "late"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two servers with the same samples; metric names are dropped by each operation, or at the end."""
    directory = tmp_path_factory.mktemp("mixed")
    start_s = (int(time.time()) - SCRAPES * 15 - 60) // 60 * 60
    env = {"RONDEL_SELF_SCRAPE__INTERVAL_S": "0", "RONDEL_QUERY__FEATURES": ",".join(request.param)}
    flags = f"--enable-feature={','.join((*request.param, *THEIRS))}"
    config = "global: {evaluation_interval: 1m}"
    numbers = count()

    @contextmanager
    def fresh() -> Iterator[Client]:
        where = directory / f"prometheus-{next(numbers)}"
        with prometheus(where, config, flags, current=True) as server, Client(server.port) as client:
            fill(client, start_s)
            yield client

    with rondel(directory / "rondel", env=env) as server, Client(server.port) as ours, fresh() as theirs:
        fill(ours, start_s)
        yield Pair(theirs, ours, start_s, fresh)


def fill(client: Client, start_s: int) -> None:
    for body, headers in writes(mixed_fleet(SEED, start_s * 1000, SCRAPES)):
        reply = client.write(body, headers=headers)
        assert reply.status == 204, reply.text


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("first", range(0, COUNT, 2 * CHUNK))
def test_random_expressions_have_the_same_answers(pair: Pair, first: int) -> None:
    seed = SEED * 1_000_003 + first
    rng, failures = random.Random(seed), []
    moments = [pair.start_s + 15 * scrape + odd for scrape in (20, 60, 100) for odd in (0, 4)]
    expressions = MixedExpressions(seed, moments)
    for _ in range(min(CHUNK, (COUNT - first) // 2)):
        query = expressions.draw()
        failures += [f"{query}\n    {text}" for text in compare(pair, query, rng)[:2]]
    assert not failures, f"{len(failures)} differences:\n" + "\n".join(failures[:40])


def compare(pair: Pair, query: str, rng: random.Random) -> list[str]:
    """Asks both, at instants on scrapes and between them; where they differ, a Prometheus that is fresh.

    3.5 keeps histograms of queries before in pools, and one there may be two at once: now and then its
    answers mix them, so that they depend on what it was asked before.
    """
    at_s = pair.start_s + 15 * rng.randrange(SCRAPES // 3, SCRAPES) + rng.choice([0, 0, 0, 7, 0.5])
    path, params = "/api/v1/query", {"query": query, "time": at_s}
    if rng.random() < 0.5:
        path, step_s = "/api/v1/query_range", rng.choice(STEPS_S)
        params = {"query": query, "start": at_s, "end": at_s + 12 * step_s, "step": step_s}
    ordered = query.startswith("sort_by_label") and path.endswith("query")
    got = pair.ours.get(path, params)
    found = answer_differences(pair.theirs.get(path, params), got, ordered=ordered)
    if not found or contradicts_itself(query):
        return []
    with pair.fresh() as fresh:
        expected = fresh.get(path, params)
        found = answer_differences(expected, got, ordered=ordered)
    if not found or (is_torn(expected) and not is_torn(got)):
        return []
    if path.endswith("range"):
        with pair.fresh() as fresh:
            found = step_by_step(fresh, query, params, got) and found
    return [f"{text} {params}" for text in found]


def is_torn(reply: Reply) -> bool:
    """Whether a histogram counts other than its buckets do: something was added to it, or to a part of it."""
    return reply.status == 200 and any(
        abs(float(histogram["count"]) - sum(float(bucket[3]) for bucket in histogram.get("buckets", ())))
        > 1e-6
        for row in reply.json()["data"]["result"]
        if isinstance(row, dict)
        for _, histogram in (*row.get("histograms", ()), *([row["histogram"]] if "histogram" in row else ()))
    )


def step_by_step(fresh: Client, query: str, params: dict[str, Any], got: Reply) -> list[str]:
    """What differs from instant queries at each step, which a range query is defined by.

    3.5 adds to histograms in place that it still needs for later steps of the same query.
    """
    if got.status != 200:
        return ["refused"]
    start_s, end_s, step_s = (float(params[name]) for name in ("start", "end", "step"))
    pinned = query.replace("@ start()", f"@ {start_s}").replace("@ end()", f"@ {end_s}")
    found = []
    for number in range(int((end_s - start_s) / step_s) + 1):
        at_s = start_s + number * step_s
        expected = fresh.get("/api/v1/query", {"query": pinned, "time": at_s})
        if expected.status != 200:
            return [f"status {expected.status} {_error(expected)} at {at_s}"]
        found += differences(expected.json()["data"], _at(got.json()["data"], at_s), ordered=False)
    return found


def _at(matrix: dict[str, Any], at_s: float) -> dict[str, Any]:
    """The step of a range query as an instant query shows it."""
    rows = []
    for row in matrix["result"]:
        for many, one in (("values", "value"), ("histograms", "histogram")):
            rows += [{"metric": row["metric"], one: point} for point in row.get(many, []) if point[0] == at_s]
    return {"resultType": "vector", "result": rows}


def answer_differences(expected: Reply, got: Reply, *, ordered: bool) -> list[str]:
    if expected.status == 422 and "runtime error" in _error(expected):
        return []  # 3.5 lost its way among histograms of several layouts.
    if expected.status != got.status:
        if expected.status == 200 and refused_since(_error(got)):
            return []
        if got.status == 200 and merged_since(_error(expected)):
            return []
        return [f"status {got.status} {_error(got)} instead of {expected.status} {_error(expected)}"]
    if expected.status != 200:
        return []
    theirs, ours = expected.json(), got.json()
    return differences(theirs["data"], ours["data"], ordered=ordered) + annotation_differences(theirs, ours)


def _error(reply: Reply) -> str:
    return str(reply.json().get("error", ""))[:300]
