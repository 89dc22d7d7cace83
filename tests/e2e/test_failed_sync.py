"""A sync fails: nobody knows what the disk holds. Nothing is acknowledged, the process ends and says so, and
its restart serves everything that was acknowledged before.
"""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.oracle import ROOM, Oracle
from tests.support.process import Process, free_port
from tests.support.servers import rondel

pytestmark = pytest.mark.e2e

SERVER = """
import os, pathlib, sys
sync, trouble = os.fdatasync, pathlib.Path(sys.argv.pop(1))
def fdatasync(descriptor):
    if trouble.exists():
        raise OSError(5, "Input/output error")
    sync(descriptor)
os.fdatasync = fdatasync
from services.standalone.cli import main
main()
"""


@pytest.mark.parametrize("mode", ["always", "interval"])
def test_a_failed_sync_ends_the_process_and_loses_nothing(tmp_path: Path, mode: str) -> None:
    told = Oracle("sync", 20, itertools.count(int(time.time() - 6 * 3600) * 1000, 1000))
    trouble = tmp_path / "trouble"
    env = {**ROOM, "RONDEL_SELF_SCRAPE__INTERVAL_S": "0", "RONDEL_WAL__SYNC": mode}
    options = ["standalone", "--data-dir", str(tmp_path / "data"), "--http-listen"]
    port = free_port()
    argv = [sys.executable, "-c", SERVER, str(trouble), *options, f"127.0.0.1:{port}"]
    with Process("rondel", argv, tmp_path, port, env=env) as server, Client(server.port) as client:
        for _ in range(10):
            assert told.write(client)
        trouble.touch()
        while told.write(client):
            assert mode == "interval", "acknowledged without a sync"
            assert server.returncode is None
        assert server.wait() == 1
        assert "a restart is needed" in server.log
    with rondel(tmp_path, env=env) as server, Client(server.port) as client:
        told.check(client)
        assert told.write(client, max(told.sent))
        told.check(client)
