"""`Supervisor`: several processes of one program that share an HTTP port, as one process to the outside.

Workers are spawned, never forked. Each has a socket to the supervisor as its standard input: it says there
that it is ready, and each side learns by its end that the other has died. A worker that dies is started
again; where workers cannot start at all, the supervisor ends, too.
"""

from __future__ import annotations

import asyncio
import random
import signal
import socket
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from rondel.errors import ConfigError, RondelError
from rondel.runtime import http, logs
from rondel.runtime.tasks import TaskOwner

__all__ = ["READY", "Patience", "Supervisor"]

READY: Final = b"ready\n"
_MISUSE: Final = 2
"""exit code of a worker whose configuration cannot be used; it has said why"""

_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """With workers that die."""

    failures_max: int = 5
    """starts in a row that fail before the supervisor ends"""
    pause_s_min: float = 0.2
    """before a worker is started again; doubles with each failure"""
    pause_s_max: float = 5.0
    stop_s: float = 40.0
    """that workers have to drain before they are killed"""


class Supervisor:
    """Implements `rondel.runtime.process.Program`. `command` gives the command line of worker `n`."""

    def __init__(
        self,
        workers: int,
        listen: str,
        command: Callable[[int, str], Sequence[str]],
        patience: Patience = Patience(),
    ) -> None:
        """`command` is told the number of the worker and the address on which all of them are to listen."""
        self.address = ""
        self._count = workers
        self._listen = listen
        self._command = command
        self._patience = patience
        self._processes: dict[int, Process] = {}
        self._ready: set[int] = set()
        self._everybody = asyncio.Event()
        self._failed = asyncio.Event()
        self._failure: RondelError | None = None
        self._failures = 0
        self._stopping = False
        self._tasks = TaskOwner("supervisor")
        self._bound: socket.socket | None = None

    async def start(self) -> None:
        """Returns when every worker is ready; raises where they cannot be."""
        http.bind(self._listen).close()  # Nobody else listens there, not even a supervisor like us.
        # Bound and not listening, it keeps the port ours while no worker lives.
        self._bound = http.bind(self._listen, is_shared=True)
        self.address = http.address_of(self._bound)
        for number in range(self._count):
            self._tasks.spawn(self._keep(number), name=f"worker {number}")
        either = [asyncio.ensure_future(one.wait()) for one in (self._everybody, self._failed)]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in either:
                one.cancel()
        if self._failure is not None:
            raise self._failure

    async def failure(self) -> BaseException:
        """Returns why workers cannot start any more, once it is so."""
        while self._failure is None:
            await self._failed.wait()
        return self._failure

    async def stop(self) -> None:
        """Asks all workers to drain, and kills those that do not in time."""
        self._stopping = True
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(self._patience.stop_s):
                await asyncio.gather(*(one.wait() for one in self._processes.values()))
        except TimeoutError:
            for process in self._processes.values():
                with suppress(ProcessLookupError):
                    process.kill()
        await self._tasks.close()
        if self._bound is not None:
            self._bound.close()

    async def _keep(self, number: int) -> None:
        """Runs one worker, again and again."""
        while not self._stopping:
            code, was_ready = await self._run(number)
            if self._stopping:
                return
            _log.warning("worker ended", worker=number, code=code, was_ready=was_ready)
            self._failures = 0 if was_ready else self._failures + 1
            if not was_ready and (code == _MISUSE or self._failures >= self._patience.failures_max):
                self._give_up(number, code)
                return
            longest = min(
                self._patience.pause_s_max, self._patience.pause_s_min * 2.0 ** min(self._failures, 20)
            )
            await asyncio.sleep(random.uniform(0.5, 1.0) * longest)

    def _give_up(self, number: int, code: int) -> None:
        if self._failure is None:
            text = f"worker {number} ended with {code} before it was ready"
            is_misuse = code == _MISUSE  # It has said why.
            self._failure = ConfigError(f"{text}, see above") if is_misuse else RondelError(text)
            self._failed.set()

    async def _run(self, number: int) -> tuple[int, bool]:
        """One life of a worker: how it ended, and whether it had been ready."""
        ours, theirs = socket.socketpair()
        with theirs:
            ours.setblocking(False)
            process = await asyncio.create_subprocess_exec(
                *self._command(number, self.address),
                stdin=theirs.fileno(),
                # A signal from the terminal is for us; we pass it on.
                start_new_session=True,
            )
        self._processes[number] = process
        if self._stopping:
            process.send_signal(signal.SIGTERM)
        with ours:
            was_ready = await self._hear(ours)
            if was_ready:
                self._ready.add(number)
                if len(self._ready) == self._count:
                    self._everybody.set()
            return await process.wait(), was_ready

    async def _hear(self, ours: socket.socket) -> bool:
        """Whether the worker says that it is ready; not, where it ends before."""
        loop, heard = asyncio.get_running_loop(), b""
        while not heard.endswith(READY):
            try:
                part = await loop.sock_recv(ours, len(READY))
            except OSError:
                return False
            if not part:
                return False
            heard += part
        return True
