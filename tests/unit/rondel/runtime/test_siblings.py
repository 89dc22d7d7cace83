"""Whichever worker is scraped shows the metrics of all."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import Counter, Histogram
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request

from rondel.errors import ConfigError
from rondel.runtime.siblings import Siblings, Worker, routes
from rondel.runtime.telemetry import new_registry


def worker(folder: Path, number: int, count: int = 3) -> Siblings:
    registry = new_registry("test")
    pushes = Counter("pushes", "Pushes.", ["outcome"], registry=registry)
    pushes.labels("ok").inc(10 + number)
    Histogram("wait_seconds", "Waits.", buckets=[1.0], registry=registry).observe(number)
    return Siblings(registry, folder, Worker(number, count))


async def shown(siblings: Siblings, accept: str = "") -> str:
    [metrics] = routes(siblings)
    parts: list[bytes] = []

    async def send(message: object) -> None:
        parts.append(message.get("body", b""))  # type: ignore[attr-defined]

    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    headers = [(b"accept", accept.encode())]
    scope = {"type": "http", "method": "GET", "path": "/metrics", "headers": headers, "query_string": b""}
    assert Request(scope).method == "GET"
    await metrics.app(scope, receive, send)  # type: ignore[arg-type]
    return b"".join(parts).decode()


def values(text: str) -> dict[tuple[str, str, str], float]:
    return {
        (one.name, one.labels["worker"], one.labels.get("le", "")): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


async def test_one_shows_all_that_live_and_says_who_does_not(tmp_path: Path) -> None:
    everybody = [worker(tmp_path, number) for number in range(3)]
    for one in everybody[:2]:
        await one.start()
    for asked in everybody[:2]:
        found = values(await shown(asked))
        assert [found["rondel_worker_up", str(number), ""] for number in range(3)] == [1, 1, 0]
        assert (found["pushes_total", "0", ""], found["pushes_total", "1", ""]) == (10, 11)
        assert found["wait_seconds_bucket", "1", "1.0"] == 1
        assert ("pushes_total", "2", "") not in found
    for one in everybody[:2]:
        await one.stop()
    assert not any(tmp_path.glob("*"))  # noqa: ASYNC240 (a test may block)


async def test_each_family_is_told_once_in_every_format(tmp_path: Path) -> None:
    pair = [worker(tmp_path, number, 2) for number in range(2)]
    for one in pair:
        await one.start()
    for accept in ("", "application/openmetrics-text"):
        text = await shown(pair[0], accept)
        lines = [line for line in text.splitlines() if line.startswith("# TYPE")]
        assert len(lines) == len(set(lines)) > 3
    assert text.endswith("# EOF\n")
    for one in pair:
        await one.stop()


async def test_a_worker_that_was_killed_leaves_nothing_in_the_way_of_the_next(tmp_path: Path) -> None:
    first, second = worker(tmp_path, 0, 1), worker(tmp_path, 0, 1)
    await first.start()
    await second.start()
    assert values(await shown(second))["pushes_total", "0", ""] == 10
    await first.stop()
    await second.stop()


def test_a_directory_whose_name_is_too_long_for_a_socket_is_refused() -> None:
    with pytest.raises(ConfigError, match="too long for a socket"):
        worker(Path("/tmp") / ("x" * 100), 0)
