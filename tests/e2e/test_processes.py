"""Several real processes on one data: two servers on one directory, a compactor beside a server."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.oracle import ROOM, Oracle
from tests.support.process import Process, free_port
from tests.support.servers import RONDEL, rondel

pytestmark = pytest.mark.e2e

QUIET = {**ROOM, "RONDEL_SELF_SCRAPE__INTERVAL_S": "0"}
ROUNDS = 8
MERGING = {
    "RONDEL_COMPACTOR__INTERVAL_S": "0.05",
    "RONDEL_COMPACTOR__RANGES_MS": "20000,100000",
    "RONDEL_COMPACTOR__SETTLE_S": "0",
    "RONDEL_COMPACTOR__DELETION_DELAY_S": "1",
}
SHIPPING = {
    **QUIET,
    "RONDEL_SHIP__RANGE_MS": "5s",
    "RONDEL_SHIP__INTERVAL_MS": "50ms",
    "RONDEL_STORE__REFRESH_S": "0.3",
    "RONDEL_COMPACTOR__INTERVAL_S": "1h",
    "RONDEL_COMPACTOR__DELETION_DELAY_S": "1",
}


def test_a_second_server_on_a_data_directory_refuses_and_harms_nothing(tmp_path: Path) -> None:
    told = Oracle("one", 10, itertools.count(int(time.time() - 300) * 1000, 1000))
    with rondel(tmp_path, env=QUIET) as server, Client(server.port) as client:
        assert told.write(client)
        port = free_port()
        options = ["--data-dir", str(tmp_path / "data"), "--http-listen", f"127.0.0.1:{port}"]
        second = Process("second", [*RONDEL, "standalone", *options], tmp_path / "second", port, env=QUIET)
        second.launch()
        assert second.wait() == 2
        assert "another process uses the data directory" in second.log
        assert len(second.log.splitlines()) == 1
        assert told.write(client)
        server.kill()
        client.close()
        server.start()
        told.check(client)


def compactor(tmp_path: Path) -> Process:
    port = free_port()
    where = (tmp_path / "data" / "blocks").as_uri()
    argv = [*RONDEL, "compactor", "--objstore", where, "--http-listen", f"127.0.0.1:{port}"]
    return Process("compactor", argv, tmp_path / "compactor", port, env=MERGING)


@pytest.mark.timeout(300)
def test_a_compactor_beside_a_server_that_ships_loses_nothing_though_it_is_killed(tmp_path: Path) -> None:
    told = Oracle("two", 10, itertools.count(int(time.time() - 6 * 3600) * 1000, 1000))
    merged = 0.0
    with rondel(tmp_path, env=SHIPPING) as server, Client(server.port) as client:
        for number in range(ROUNDS):
            with compactor(tmp_path) as beside, Client(beside.port) as its:
                for _ in range(10):
                    assert told.write(client)
                assert client.request("POST", "/ingester/flush").status == 200
                told.check(client)
                time.sleep(0.02 * (number % 5))
                told.check(client)
                merged += total(its, "rondel_compactor_jobs_total")
                beside.kill()
        assert merged > 0
        assert total(client, "rondel_compactor_jobs_total") == 0
        server.kill()
        client.close()
        server.start()
        told.check(client)


def total(client: Client, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))
