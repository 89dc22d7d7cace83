"""SIGKILL at random moments, over and over: every acknowledged sample is there afterwards, and none is wrong.

So is every native histogram, every exemplar and every start timestamp.

Block ranges are short and blocks are compacted at once, so that kills fall into shipping, uploading,
compacting and deleting as well as into plain writes. `make torture` does the same for longer.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import random
import threading
import time
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.oracle import ROOM, Oracle
from tests.support.process import Process
from tests.support.servers import rondel

pytestmark = pytest.mark.e2e

ROUNDS = int(os.environ.get("E2E_KILL_ROUNDS", "20"))
WRITERS = 3
SERIES_PER_WRITER = 40
STEP_MS = 1_000
RECENT_MS = 300_000
"""of histograms, starts and exemplars so much is looked at between two kills, and everything in the end"""
LIFE_S = (0.05, 1.2)
"""how long a server lives after it is ready"""

SETTINGS = {
    **ROOM,
    "RONDEL_SHIP__RANGE_MS": "20s",
    "RONDEL_SHIP__INTERVAL_MS": "100ms",
    "RONDEL_HEAD__OUT_OF_ORDER_TIME_WINDOW_MS": "60s",
    "RONDEL_COMPACTOR__INTERVAL_S": "0.2",
    "RONDEL_COMPACTOR__RANGES_MS": "60000,300000",
    "RONDEL_COMPACTOR__SETTLE_S": "0",
    "RONDEL_COMPACTOR__DELETION_DELAY_S": "1",
    "RONDEL_WAL__SEGMENT_SIZE_BYTES_MAX": "256KiB",
    "RONDEL_SELF_SCRAPE__INTERVAL_S": "0",
}


@pytest.mark.timeout(900 if ROUNDS <= 20 else 0)
def test_every_acknowledged_sample_survives(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    choice = random.Random(seed)
    clock = itertools.count(int(time.time() - 6 * 3600) * 1000, STEP_MS)
    oracles = [Oracle(f"writer-{n}", SERIES_PER_WRITER, clock) for n in range(WRITERS)]
    halves: set[str] = set()
    for _ in range(ROUNDS):
        with rondel(tmp_path, env=SETTINGS) as server:
            check_all(server, oracles, RECENT_MS)
            write_until_killed(server, oracles, choice)
        halves |= half_done(tmp_path)
    with rondel(tmp_path, env=SETTINGS) as server:
        check_all(server, oracles)
        with Client(server.port) as client:
            assert client.request("POST", "/ingester/flush").status // 100 == 2
        check_all(server, oracles)
        assert server.terminate() == 0
    with rondel(tmp_path, env=SETTINGS) as server:
        check_all(server, oracles)
    samples = sum(len(oracle.acknowledged) * SERIES_PER_WRITER for oracle in oracles)
    print(f"{ROUNDS} kills, {len(halves)} blocks left half done, {samples} samples acknowledged, none lost")
    assert compacted(tmp_path), "no block was compacted, so no kill can have fallen into it"
    assert min(len(oracle.acknowledged) for oracle in oracles) >= ROUNDS, "too little was written"


def compacted(directory: Path) -> list[Path]:
    """Blocks that were made of others."""
    metas = directory.rglob("meta.json")
    return [meta.parent for meta in metas if len(json.loads(meta.read_bytes())["sources"]) > 1]


def check_all(server: Process, oracles: list[Oracle], recent_ms: int | None = None) -> None:
    with Client(server.port) as client:
        for oracle in oracles:
            oracle.check(client, recent_ms)


def write_until_killed(server: Process, oracles: list[Oracle], choice: random.Random) -> None:
    """Writers at once, so that group commits hold several requests; flushes in every other life; SIGKILL."""
    killer = threading.Timer(choice.uniform(*LIFE_S), server.kill)
    threads = [threading.Thread(target=write_on, args=(server, oracle)) for oracle in oracles]
    if choice.random() < 0.5:
        threads.append(threading.Thread(target=flush_often, args=(server, choice.uniform(0, 0.3))))
    for thread in [*threads, killer]:
        thread.start()
    for thread in [*threads, killer]:
        thread.join()


def write_on(server: Process, oracle: Oracle) -> None:
    """Write until the connection breaks. What was in flight before the last kill is sent again first."""
    with Client(server.port) as client:
        unknown = oracle.sent - oracle.acknowledged
        again = max(unknown) if unknown else None
        while oracle.write(client, again):
            again = None


def flush_often(server: Process, pause_s: float) -> None:
    """Ranges that still grow are shipped in parts; the kill comes in the middle of it, or after."""
    try:
        with Client(server.port) as client:
            while client.request("POST", "/ingester/flush").status == 200:
                time.sleep(pause_s)
    except (OSError, http.client.HTTPException):
        pass  # killed, which is the point


def half_done(directory: Path) -> set[str]:
    """Blocks that a kill left between their first object and their `meta.json`, on the way in or out."""
    blocks = directory / "data" / "blocks" / "anonymous"
    folders = blocks.iterdir() if blocks.exists() else iter(())
    return {folder.name for folder in folders if not (folder / "meta.json").exists()}
