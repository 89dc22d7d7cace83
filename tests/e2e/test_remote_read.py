"""A real Prometheus looks into Rondel by remote read; chunks of one are chunks that the other writes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby

import pytest

from rondel.model.tsdb import xor_decode, xor_encode
from tests.support.answers import differences
from tests.support.client import Client
from tests.support.expressions import STEP_MS, Expressions, fleet
from tests.support.remote_read import CHUNKS, Frame, frames_of, request_of
from tests.support.remote_write import body_of, write_request
from tests.support.servers import prometheus, rondel

pytestmark = [pytest.mark.e2e, pytest.mark.peer]

SEED = 7
SCRAPES = 300
EXPRESSIONS = 150
READ_FROM_US = """
remote_read:
  - url: http://127.0.0.1:{port}/api/v1/read
    read_recent: true
"""


@dataclass(frozen=True)
class Servers:
    """`keeper` has the samples itself, `reader` has none and asks `ours`."""

    ours: Client
    keeper: Client
    reader: Client
    start_s: int


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    directory = tmp_path_factory.mktemp("remote-read")
    start_ms = (int(time.time()) - SCRAPES * 15 - 60) // 60 * 60_000
    series = fleet(SEED, start_ms, SCRAPES)
    with ExitStack() as running:
        ours = running.enter_context(
            rondel(directory / "rondel", env={"RONDEL_SELF_SCRAPE__INTERVAL_S": "0"})
        )
        keeper = running.enter_context(prometheus(directory / "keeper", ""))
        config = READ_FROM_US.format(port=ours.port)
        reader = running.enter_context(prometheus(directory / "reader", config))
        clients = [running.enter_context(Client(server.port)) for server in (ours, keeper, reader)]
        for client in clients[:2]:
            reply = client.write(body_of(write_request(series)))
            assert reply.status == 204, reply.text
        yield Servers(*clients, start_ms // 1000)


@pytest.mark.timeout(300)
def test_queries_of_a_prometheus_that_reads_from_us_have_the_same_answers(servers: Servers) -> None:
    expressions = Expressions(SEED)
    failures, answered = [], 0
    for _ in range(EXPRESSIONS):
        text = expressions.draw()
        start_s = servers.start_s + 15 * SCRAPES // 2 + 7
        window = {"query": text, "start": start_s, "end": start_s + 540, "step": STEP_MS // 1000 * 3}
        kept, read = (one.get("/api/v1/query_range", window) for one in (servers.keeper, servers.reader))
        if kept.status != 200 or read.status != 200:
            if kept.status != read.status:
                failures.append(f"{text}: {kept.status} {read.status} {read.text[:300]}")
            continue
        answered += bool(kept.json()["data"]["result"])
        if found := differences(kept.json()["data"], read.json()["data"], ordered=True):
            failures.append(f"{text}: {found[:3]}")
    assert failures == []
    assert answered > EXPRESSIONS // 3


def test_chunks_of_a_prometheus_are_chunks_of_ours_bit_for_bit(servers: Servers) -> None:
    body = request_of((0, 2**62, [("__name__", "=~", ".+")]), accepted=(CHUNKS,))
    theirs, ours = (streamed(one, body) for one in (servers.keeper, servers.ours))
    assert len(ours) > 50
    for frame in theirs:
        for _, _, kind, data in frame.chunks:
            assert kind == 1
            again = xor_encode(*xor_decode(data))
            # Prometheus opens a byte before it has a bit for it.
            assert data in (again, again + b"\0")
    # The same series in the same order, with the same samples.
    assert list(samples_of(ours)) == list(samples_of(theirs))


def streamed(client: Client, body: bytes) -> list[Frame]:
    reply = client.request("POST", "/api/v1/read", body)
    assert reply.status == 200, reply.text
    return list(frames_of(reply.body))


def samples_of(frames: list[Frame]) -> Iterator[tuple[object, list[tuple[int, int]]]]:
    for labels, parts in groupby(frames, key=lambda frame: frame.labels):
        samples = []
        for frame in parts:
            for *_, data in frame.chunks:
                times, values = xor_decode(data)
                samples += zip(times.tolist(), values.view("u8").tolist(), strict=True)
        yield labels, samples
