"""A process from start to exit: one event loop, signals, exit codes.

SIGTERM or SIGINT drains and exits 0; a second one exits at once. Configuration that cannot be used is one
line on standard error and exit code 2. A failure that only a restart heals drains, too, and exits 1: whoever
started the process starts it again.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from typing import Final, Protocol

from rondel.errors import ConfigError
from rondel.runtime import logs, machine

__all__ = ["Program", "run"]

_log = logs.get(__name__)

_FAILED: Final = 1
_MISUSE: Final = 2


class Program(Protocol):
    """What a process runs."""

    async def start(self) -> None:
        """Returns when the process is ready; raises where it cannot be."""

    async def failure(self) -> BaseException:
        """Returns what only a restart heals, once there is such a thing; otherwise never."""

    async def stop(self) -> None:
        """Drains; also called where `start` failed."""


def run(program: Program) -> int:
    """Runs until a signal or a failure; returns the exit code."""
    import uvloop

    machine.keep_freed_memory()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(_run(program))
        except ConfigError as error:
            print(f"rondel: {error}", file=sys.stderr)
            return _MISUSE


async def _run(program: Program) -> int:
    told = asyncio.Event()
    _on_signals(told)
    signalled = asyncio.ensure_future(told.wait())
    failing = asyncio.ensure_future(program.failure())
    starting = asyncio.ensure_future(program.start())
    try:
        await asyncio.wait({starting, signalled}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            # What start made lives as long as the process: the collector need not walk it again.
            gc.freeze()
            gc.enable()
            await asyncio.wait({signalled, failing}, return_when=asyncio.FIRST_COMPLETED)
        else:
            starting.cancel()
            await asyncio.wait({starting})
        _log.info("stopping")
    finally:
        signalled.cancel()
        try:
            await program.stop()
        finally:
            await asyncio.wait({failing}, timeout=0)
            is_failed = not failing.cancel()
    if is_failed:
        if isinstance(failing.result(), ConfigError):
            raise failing.result()
        print(f"rondel: ended by a failure, start it again: {failing.result()}", file=sys.stderr)
    return _FAILED if is_failed else 0


def _on_signals(told: asyncio.Event) -> None:
    def on_signal(number: int) -> None:
        if told.is_set():
            # Whoever asks twice does not want to wait; what was acknowledged is in the WAL.
            os._exit(128 + number)
        told.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
