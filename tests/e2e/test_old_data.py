"""A data directory of a program from before native histograms, exemplars and starts is read, and goes on.

`floats_only.tar.xz` holds four blocks of 20 s each and a write-ahead log with 20 more batches, as SIGKILL
left them: every second one of `FIRST_MS`, `FIRST_MS + 2000` and so on, 60 in all, written by the oracle.
"""

from __future__ import annotations

import itertools
import json
import tarfile
import time
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.oracle import ROOM, Oracle
from tests.support.servers import rondel

pytestmark = pytest.mark.e2e

FIRST_MS = 1_790_000_001_000
BATCHES = 60
SETTINGS = {
    **ROOM,
    "RONDEL_SELF_SCRAPE__INTERVAL_S": "0",
    "RONDEL_SHIP__RANGE_MS": "20s",
    "RONDEL_SHIP__INTERVAL_MS": "1h",
    "RONDEL_COMPACTOR__INTERVAL_S": "0.1",
    "RONDEL_COMPACTOR__RANGES_MS": "60000,300000",
    "RONDEL_COMPACTOR__SETTLE_S": "0",
}


@pytest.fixture
def told(tmp_path: Path) -> Oracle:
    """Of what is in the directory; it goes on with everything there is now, late and in order."""
    with tarfile.open(Path(__file__).with_name("floats_only.tar.xz")) as archive:
        archive.extractall(tmp_path, filter="data")
    times = range(FIRST_MS, FIRST_MS + BATCHES * 2000, 2000)
    clock = itertools.count(FIRST_MS + (BATCHES - 5) * 2000 + 1000, 1000)
    return Oracle("old", 10, clock, sent=set(times), acknowledged=set(times))


def test_its_log_and_its_blocks_are_read_and_merged_with_what_is_new(tmp_path: Path, told: Oracle) -> None:
    old = {path.parent.name for path in tmp_path.rglob("meta.json")}
    with rondel(tmp_path, env=SETTINGS) as server, Client(server.port) as client:
        assert told.check(client) == BATCHES * told.series_count
        for _ in range(60):
            assert told.write(client)
        told.check(client)
        assert client.request("POST", "/ingester/flush").status == 200
        told.check(client)
        deadline = time.monotonic() + 30
        while not any(old & made for made in sources(tmp_path)):
            assert time.monotonic() < deadline, "no block of before was compacted"
            time.sleep(0.1)
        told.check(client)
        server.kill()
        client.close()
        server.start()
        told.check(client)


def sources(directory: Path) -> list[set[str]]:
    """Of the blocks that were made of others."""
    metas = [json.loads(path.read_bytes()) for path in directory.rglob("meta.json")]
    return [set(meta["sources"]) for meta in metas if len(meta["sources"]) > 1]
