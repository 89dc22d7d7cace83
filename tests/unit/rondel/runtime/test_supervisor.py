"""Workers that share a port: they are one process to the outside, whatever happens to each of them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]

WORKER = """
import os, sys
from starlette.responses import PlainTextResponse
from rondel.errors import ConfigError
from rondel.runtime.http import Config, Server
from rondel.runtime.process import run
from rondel.runtime.router import Router, route
from rondel.runtime.supervised import Supervised

number, address = sys.argv[1:]

class Program:
    async def start(self):
        {start}
        async def who(request):
            return PlainTextResponse(f"{{number}} {{os.getpid()}}")
        self.server = Server(Router([route("/", who)]), Config(listen=address), is_shared=True)
        await self.server.start()
    async def failure(self):
        import asyncio
        await asyncio.sleep(600)
    async def stop(self):
        if hasattr(self, "server"):
            await self.server.stop()

sys.exit(run(Supervised(Program())))
"""

SUPERVISOR = """
import sys
from rondel.runtime.process import run
from rondel.runtime.supervisor import Patience, Supervisor

worker, listen = sys.argv[1:]

class Told(Supervisor):
    async def start(self):
        await super().start()
        print(self.address, flush=True)

def command(number, address):
    return [sys.executable, "-c", worker, str(number), address]

patience = Patience(failures_max=3, pause_s_min=0.05, pause_s_max=0.1, stop_s=20)
sys.exit(run(Told(2, listen, command, patience)))
"""


def launched(start: str = "pass", listen: str = "127.0.0.1:0") -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    argv = [sys.executable, "-c", SUPERVISOR, WORKER.format(start=start), listen]
    return subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True, cwd=ROOT)


@contextmanager
def supervised() -> Iterator[tuple[subprocess.Popen[str], Callable[[], dict[str, int]]]]:
    """The supervisor, and who answers at its address: pids by number, as found by a few requests."""
    process = launched()
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    assert address, process.communicate()[1]

    def answering() -> dict[str, int]:
        found = {}
        for _ in range(20):  # Each on a connection of its own.
            connection = HTTPConnection(address, timeout=5)
            with suppress(OSError, HTTPException):
                connection.request("GET", "/")
                number, pid = connection.getresponse().read().decode().split()
                found[number] = int(pid)
            connection.close()
        return found

    try:
        yield process, answering
    finally:
        process.kill()
        process.communicate()


def until(holds: Callable[[], bool], timeout_s: float = 30) -> None:
    give_up_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < give_up_s, "it did not come about"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_workers_share_the_port_until_a_signal_drains_all_of_them() -> None:
    with supervised() as (process, answering):
        until(lambda: len(answering()) == 2)
        pids = list(answering().values())
        process.terminate()
        assert process.wait(30) == 0
        assert not any(is_alive(pid) for pid in pids)


def test_a_worker_that_dies_is_started_again() -> None:
    with supervised() as (_, answering):
        until(lambda: len(answering()) == 2)
        before = answering()
        os.kill(before["1"], signal.SIGKILL)
        until(lambda: answering().get("1", before["1"]) != before["1"])
        assert answering()["0"] == before["0"]


def test_workers_end_when_their_supervisor_is_killed() -> None:
    with supervised() as (process, answering):
        until(lambda: len(answering()) == 2)
        pids = list(answering().values())
        process.kill()
        until(lambda: not any(is_alive(pid) for pid in pids))


@pytest.mark.parametrize(
    ("start", "code", "text"),
    [
        ('raise ConfigError("x: is wrong")', 2, "rondel: x: is wrong"),
        ("os._exit(7)", 1, "ended with 7 before it was ready"),
    ],
)
def test_workers_that_cannot_start_end_the_supervisor(start: str, code: int, text: str) -> None:
    process = launched(start)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert text in err


def test_a_port_that_somebody_listens_on_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        process = launched(listen=address)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err == f"rondel: http.listen: cannot listen on {address}: Address already in use\n"
