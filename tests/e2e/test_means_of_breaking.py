"""What trials are made with does what it says: a network that loses packets, a clock that is wrong, an oracle
that misses what is gone, a table of results."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deploy.local.network import Ports
from tests.support.fault_table import Row, write_rows
from tests.support.netns import Zones, may_make_namespaces
from tests.support.oracle import ROOM
from tests.support.servers import rondel
from tests.support.skewed_clock import SkewedClock
from tests.support.traffic import Traffic
from tests.support.trial import looked_through

pytestmark = pytest.mark.e2e

KNOCK = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], 1), timeout=0.5)
except ConnectionRefusedError:
    print("there", end="")
except OSError:
    print("lost", end="")
"""
TELL = """
import time
while input():
    print(time.time(), flush=True)
"""


def knocked(network: Zones, source: str, target: str) -> str:
    argv = [*network.launcher(source), sys.executable, "-c", KNOCK, network.host(target)]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


@pytest.mark.skipif(not may_make_namespaces(), reason="network namespaces need root")
def test_a_zone_that_is_cut_off_hears_and_reaches_nobody() -> None:
    with Zones("abc") as network:
        assert knocked(network, "a", "b") == knocked(network, "c", "a") == "there"
        network.isolate("a")
        assert knocked(network, "a", "b") == knocked(network, "c", "a") == "lost"
        assert knocked(network, "b", "c") == "there"
        network.heal()
        assert knocked(network, "a", "b") == knocked(network, "c", "a") == "there"


def test_a_clock_moves_under_a_running_process(tmp_path: Path) -> None:
    clock = SkewedClock(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", TELL],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **clock.env},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for ahead_s in (0, 300, -600):
            clock.move_to(ahead_s)
            process.stdin.write("now\n")
            process.stdin.flush()
            assert float(process.stdout.readline()) - time.time() == pytest.approx(ahead_s, abs=20)
        process.stdin.write("\n")


def test_samples_that_a_server_has_forgotten_are_missed(tmp_path: Path) -> None:
    with rondel(tmp_path, env={**ROOM, "RONDEL_SELF_SCRAPE__INTERVAL_S": "0"}) as server:
        with Traffic([server], [server], writers=2, readers=1) as traffic:
            traffic.passes(2)
            server.kill()
            shutil.rmtree(tmp_path / "data")
            server.start()
            told = traffic.tally.counts["answer wrong"]
            traffic.passes(3)
            assert traffic.finish()
        found, faults = looked_through([server], traffic)
    assert told == 0
    assert traffic.tally.counts["answer wrong"] > 0
    assert 0 < found < traffic.acknowledged
    assert {fault.how for fault in faults} == {"lost"}


def test_a_row_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("text\n<!-- faults: begin -->\n<!-- faults: end -->\nmore\n", encoding="utf-8")
    write_rows(page, [Row("one", 1, 1, 0, 0, 9, 0, 0, 1.25), Row("two", 2_000, 2_000, 0, 0, 9, 0, 0, 1.0)])
    write_rows(page, [Row("one", 7, 7, 0, 0, 9, 0, 0, 1.0)])
    lines = page.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith(("| one", "| two"))] == [
        "| one | 7 | 7 | 0 | 0 | 9 | 0 | 0 | 1.0 |",
        "| two | 2,000 | 2,000 | 0 | 0 | 9 | 0 | 0 | 1.0 |",
    ]
    assert (lines[0], lines[-1]) == ("text", "more")


def test_ports_stay_when_the_cluster_starts_again(tmp_path: Path) -> None:
    first = Ports(tmp_path / "ports.json", 9_100)
    assert [first.port("one"), first.port("two"), first.port("one")] == [9_100, 9_101, 9_100]
    again = Ports(tmp_path / "ports.json", 9_100)
    assert [again.port("three"), again.port("two")] == [9_102, 9_101]
    anywhere = Ports(tmp_path / "others.json")
    assert anywhere.port("one") == Ports(tmp_path / "others.json").port("one")
