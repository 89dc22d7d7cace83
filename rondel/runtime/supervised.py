"""`Supervised`: a program as a worker of a supervisor, to which its standard input leads."""

from __future__ import annotations

import asyncio
import os
import socket

from rondel.errors import RondelError
from rondel.runtime.process import Program
from rondel.runtime.supervisor import READY

__all__ = ["Supervised"]


class Supervised:
    """Says when it is ready, and ends when the supervisor has died: nobody would end it otherwise."""

    def __init__(self, program: Program, descriptor: int = 0) -> None:
        self._program = program
        self._descriptor = descriptor
        self._line: socket.socket | None = None
        self._listening: asyncio.Task[RondelError] | None = None

    async def start(self) -> None:
        """Raises also where the supervisor dies meanwhile."""
        starting = asyncio.ensure_future(self._program.start())
        try:
            await asyncio.wait({starting, self._alone()}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                raise self._alone().result()
            starting.result()
            await asyncio.get_running_loop().sock_sendall(self._open(), READY)
        finally:
            starting.cancel()

    async def failure(self) -> BaseException:
        """Of the program, or that it is alone."""
        own = asyncio.ensure_future(self._program.failure())
        try:
            await asyncio.wait({own, self._alone()}, return_when=asyncio.FIRST_COMPLETED)
            return own.result() if own.done() else self._alone().result()
        finally:
            own.cancel()

    async def stop(self) -> None:
        await self._program.stop()
        self._alone().cancel()

    def _alone(self) -> asyncio.Task[RondelError]:
        """Ends when the supervisor has. There is one: two readers of one socket would take turns."""
        if self._listening is None:
            self._listening = asyncio.get_running_loop().create_task(self._until_alone())
        return self._listening

    async def _until_alone(self) -> RondelError:
        loop = asyncio.get_running_loop()
        try:
            while await loop.sock_recv(self._open(), 64):
                pass
        except OSError:
            pass
        return RondelError("the supervisor has ended")

    def _open(self) -> socket.socket:
        if self._line is None:
            self._line = socket.socket(fileno=os.dup(self._descriptor))
            self._line.setblocking(False)
        return self._line
