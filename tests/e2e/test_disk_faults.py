"""The disk fails: full, torn, bit-flipped. What was acknowledged is served, or the damage is named."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest

from tests.support.client import Client, Reply
from tests.support.oracle import METRIC, ROOM, Oracle
from tests.support.process import Process
from tests.support.servers import rondel
from tests.support.smalldisk import small_disk

pytestmark = pytest.mark.e2e

QUIET = {**ROOM, "RONDEL_SELF_SCRAPE__INTERVAL_S": "0"}
SHORT_BLOCKS = {
    **QUIET,
    "RONDEL_SHIP__RANGE_MS": "20s",
    "RONDEL_SHIP__INTERVAL_MS": "1h",
    "RONDEL_COMPACTOR__INTERVAL_S": "1h",
}
RECOVERY_S = 30


def oracle(batches: int) -> Oracle:
    """An oracle that ends now after so many batches, one a second of data time."""
    return Oracle("disk", 50, itertools.count(int(time.time() - batches) * 1000, 1000))


def write(oracle: Oracle, client: Client, batches: int) -> None:
    for _ in range(batches):
        assert oracle.write(client)


def segments(directory: Path) -> list[Path]:
    """Files of the write-ahead log that hold something, oldest first."""
    return sorted(path for path in directory.rglob("*.wal") if path.stat().st_size > 0)


def flip_bit(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 0x10
    path.write_bytes(content)


def kill(server: Process, client: Client) -> None:
    server.kill()
    client.close()


def test_a_full_disk_refuses_writes_and_recovers_by_itself(tmp_path: Path) -> None:
    told = oracle(600)
    with (
        small_disk(tmp_path) as disk,
        rondel(tmp_path, env=QUIET) as server,
        Client(server.port) as client,
    ):
        write(told, client, 20)
        disk.fill(server)
        refused = first_refusal(told, client)
        assert refused.status == 503
        assert int(refused.headers["retry-after"]) > 0
        told.check(client)
        disk.free(server)
        wait_until_written(told, client)
        write(told, client, 20)
        told.check(client)
        kill(server, client)
        server.start()
        told.check(client)


def first_refusal(told: Oracle, client: Client) -> Reply:
    """Pages that were allocated before may take a few more batches."""
    for _ in range(500):
        time_ms = next(told.clock)
        told.sent.add(time_ms)
        body, headers = told.request(time_ms)
        reply = client.write(body, headers=headers)
        if reply.status != 204:
            return reply
        told.acknowledged.add(time_ms)
    raise AssertionError("the disk is full and everything is acknowledged")


def wait_until_written(told: Oracle, client: Client) -> None:
    deadline = time.monotonic() + RECOVERY_S
    time_ms = max(told.sent)
    while not told.write(client, time_ms):
        assert time.monotonic() < deadline, f"still refused {RECOVERY_S} s after there was room again"
        time.sleep(0.2)


TAILS = {
    "one byte": b"\xd7",
    "half a header": b"\xd7WAL\xff\xff",
    "zeros": bytes(64),
    "noise": b"\xff" * 5000,
}


@pytest.mark.parametrize("name", TAILS)
def test_a_torn_tail_of_the_log_is_cut(tmp_path: Path, name: str) -> None:
    """What a power cut leaves of a record that was being written and nobody was told of."""
    told = oracle(30)
    with rondel(tmp_path, env=QUIET) as server, Client(server.port) as client:
        write(told, client, 10)
        kill(server, client)
        with segments(tmp_path)[-1].open("ab") as segment:
            segment.write(TAILS[name])
        server.start()
        told.check(client)
        write(told, client, 10)
        kill(server, client)
        server.start()
        told.check(client)


def test_a_flipped_bit_in_the_log_is_reported_and_costs_one_record(tmp_path: Path) -> None:
    told = oracle(30)
    with rondel(tmp_path, env=QUIET) as server, Client(server.port) as client:
        write(told, client, 20)
        kill(server, client)
        segment = segments(tmp_path)[0]
        flip_bit(segment, segment.stat().st_size * 3 // 4)
        server.start()
        assert segment.name in server.log or segment.stem in server.log
        assert corruptions(client) >= 1
        lost = told.differences(client)
        assert lost, "the record is damaged, so its samples cannot be there"
        assert all(fault.how == "lost" for fault in lost), lost[:3]
        assert len({fault.what for fault in lost if isinstance(fault.what, int)}) == 1, "one batch, no more"
        assert len(lost) >= told.series_count, "and all of it"


def corruptions(client: Client) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("rondel_wal_corruptions_total"))


def test_a_flipped_bit_in_a_block_fails_only_the_queries_that_read_it(tmp_path: Path) -> None:
    told = oracle(120)
    with rondel(tmp_path, env=SHORT_BLOCKS) as server, Client(server.port) as client:
        write(told, client, 100)
        assert client.request("POST", "/ingester/flush").status // 100 == 2
        told.check(client)
        kill(server, client)
        blocks = sorted(tmp_path.rglob("meta.json"))
        assert len(blocks) >= 4
        damaged = blocks[len(blocks) // 2].parent
        flip_bit(damaged / "data", 8 + 16 + 40)
        server.start()
        assert_named(client, damaged.name, told)
        first, last = min(told.sent) / 1000, max(told.sent) / 1000
        for around_s in (first + 10, last):
            assert len(client.instant(f"{METRIC}[5s]", around_s)) == told.series_count
        write(told, client, 1)


def assert_named(client: Client, block: str, told: Oracle) -> None:
    """A query over everything fails and says which block, and where in it."""
    reply = client.get("/api/v1/query", {"query": f"{METRIC}[10m]", "time": max(told.sent) / 1000})
    answer = reply.json()
    assert (reply.status, answer["status"]) == (500, "error")
    assert block in answer["error"]
    assert "offset" in answer["error"] or "page" in answer["error"]


@pytest.mark.parametrize("name", ["index", "meta.json"])
def test_a_block_that_lost_a_file_is_named_and_does_not_stop_the_server(tmp_path: Path, name: str) -> None:
    told = oracle(60)
    with rondel(tmp_path, env=SHORT_BLOCKS) as server, Client(server.port) as client:
        write(told, client, 50)
        assert client.request("POST", "/ingester/flush").status // 100 == 2
        kill(server, client)
        block = min(tmp_path.rglob("meta.json")).parent
        (block / name).write_bytes(b"")
        server.start()
        assert_named_at_all(client, block.name, told)
        write(told, client, 1)


def assert_named_at_all(client: Client, block: str, told: Oracle) -> None:
    reply = client.get("/api/v1/query", {"query": f"{METRIC}[10m]", "time": max(told.sent) / 1000})
    assert (reply.status, block in reply.json()["error"]) == (500, True), reply.text[:300]
