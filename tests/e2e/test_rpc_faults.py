"""A process that is killed or frozen in the middle of calls, and those who call it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from rondel.errors import QueryTimeout, Unavailable
from rondel.model.labels import Matchers
from rondel.promql.control import Control
from rondel.rpc.push import PushStream
from rondel.storage import Select
from tests.support.rpc import eventually, pushing, reading

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
NOTICED_S = 20.0
"""Pings go out every 6 s and are waited for 3 s; the rest is for slow machines."""


class Process:
    def __init__(self) -> None:
        self._run = subprocess.Popen(
            [sys.executable, "-m", "tests.support.rpc_server"], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert self._run.stdout is not None
        self.endpoint = f"127.0.0.1:{int(self._run.stdout.readline())}"

    def signal(self, number: signal.Signals) -> None:
        self._run.send_signal(number)

    def end(self) -> None:
        self._run.kill()
        self._run.wait()
        assert self._run.stdout is not None
        self._run.stdout.close()


@pytest.fixture
def process() -> Iterator[Process]:
    started = Process()
    yield started
    started.end()


async def many(stream: PushStream, until_s: float) -> list[bool]:
    """Pushes one after the other; whether each was answered. None may take longer than its time."""
    found = []
    while time.monotonic() < until_s:
        began_s = time.monotonic()
        try:
            answer = await stream.push("a", b"x" * 100, 1, timeout_s=2)
            assert answer.result.accepted.samples == 100
            found.append(True)
        except Unavailable:
            found.append(False)
            await asyncio.sleep(0.01)
        assert time.monotonic() - began_s < 5
    return found


async def test_pushes_to_a_process_that_is_killed_all_end(process: Process) -> None:
    async with pushing(process.endpoint) as stream:
        until_s = time.monotonic() + 2
        pushers = [asyncio.ensure_future(many(stream, until_s)) for _ in range(20)]
        await asyncio.sleep(1)
        process.signal(signal.SIGKILL)
        results = await asyncio.gather(*pushers)
        assert all(any(one) and not one[-1] for one in results)
        assert (stream.inflight, stream.inflight_bytes) == (0, 0)


async def test_a_process_that_is_frozen_is_noticed_and_used_again_when_it_is_back(process: Process) -> None:
    async with pushing(process.endpoint) as stream:
        await stream.push("a", b"x", 1, timeout_s=10)
        process.signal(signal.SIGSTOP)
        with pytest.raises(Unavailable):
            await stream.push("a", b"x", 1, timeout_s=1)
        await eventually(lambda: not stream.connected, NOTICED_S)
        process.signal(signal.SIGCONT)
        await eventually(lambda: stream.connected, NOTICED_S)
        assert (await stream.push("a", b"xy", 1, timeout_s=10)).result.accepted.samples == 2


async def test_a_read_from_a_process_that_is_frozen_or_killed_ends(process: Process) -> None:
    async with reading(process.endpoint) as remote:

        def read(timeout_s: float) -> None:
            control = Control(timeout_s=timeout_s)
            selection = remote.select(Select("a", Matchers([("__name__", "=", "m")]), 0, 100, watch=control))
            for at in range(0, 100, 10):
                assert selection.read(at, at + 10).samples == 1_000

        await asyncio.to_thread(read, 20)
        process.signal(signal.SIGSTOP)
        with pytest.raises(QueryTimeout):
            await asyncio.to_thread(read, 0.5)
        process.signal(signal.SIGCONT)
        with suppress(Unavailable):
            await asyncio.to_thread(read, 20)
        process.signal(signal.SIGKILL)
        with pytest.raises(Unavailable):
            await asyncio.to_thread(read, 20)
