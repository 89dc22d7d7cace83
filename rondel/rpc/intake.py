"""`Intake`: the server's side of streams of pushes.

Pushes of one stream start in the order of their arrival and end when they end; answers that are there at the
same time leave together. What is worked on is bounded: more is left in the connection, and so in the client's
queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

from rondel.errors import RondelError, Unavailable
from rondel.model.tenant import check_tenant
from rondel.rpc.answer import PushAnswer, failed, reply_of
from rondel.rpc.parts import grouped
from rondel.rpc.pb import ingester_pb2 as pb

__all__ = ["Intake", "PushHandler"]


class PushHandler(Protocol):
    """Takes batches."""

    def push(self, tenant: str, batch: bytes, ring_revision: int) -> Awaitable[PushAnswer]:
        """Returns when the batch is in a synced WAL; raises an error of ours where nothing was written."""


class Intake:
    """Serves any number of streams until `close`, which lets each of them end in peace."""

    def __init__(self, handler: PushHandler, bytes_max: int, on_bug: Callable[[BaseException], None]) -> None:
        self._handler = handler
        self._bytes_max = bytes_max
        self._on_bug = on_bug
        self._streams: set[_Stream] = set()
        self._closing = False

    async def serve(self, messages: AsyncIterator[Any], context: Any) -> None:
        """One stream, to its end."""
        if self._closing:
            raise Unavailable("the process is shutting down")
        stream = _Stream(self._answered, self._bytes_max)
        self._streams.add(stream)
        try:
            await stream.run(messages, context)
        finally:
            self._streams.discard(stream)

    def close(self) -> None:
        """Asks all clients to send nothing more; their streams end when they have their answers."""
        self._closing = True
        for stream in self._streams:
            stream.close()

    async def _answered(self, request: Any) -> Any:
        """The `PushReply` to a `PushRequest`."""
        try:
            tenant = check_tenant(request.tenant)
            answer = await self._handler.push(tenant, request.batch, request.ring_revision)
        except RondelError as error:
            return failed(request.id, error)
        except Exception as error:
            self._on_bug(error)
            return failed(request.id, Unavailable(f"internal error: {type(error).__name__}"))
        return reply_of(request.id, answer)


class _Stream:
    def __init__(self, answered: Callable[[Any], Awaitable[Any]], bytes_max: int) -> None:
        self._answered = answered
        self._bytes_max = bytes_max
        self._inside_bytes = 0
        self._room = asyncio.Event()
        self._replies: list[Any] = []
        self._wake = asyncio.Event()
        self._closing = False
        self._ended = False

    def close(self) -> None:
        self._closing = True
        self._wake.set()

    async def run(self, messages: AsyncIterator[Any], context: Any) -> None:
        await context.write(pb.PushReplies())  # The greeting.
        async with asyncio.TaskGroup() as tasks:
            writer = tasks.create_task(self._write(context))
            async with asyncio.TaskGroup() as pushes:
                async for message in messages:
                    for request in message.requests:
                        await self._enter(request)
                        pushes.create_task(self._push(request))
            self._ended = True
            self._wake.set()
            await writer

    async def _enter(self, request: Any) -> None:
        """Waits for room; one push alone always has it."""
        size_bytes = len(request.batch)
        while self._inside_bytes and self._inside_bytes + size_bytes > self._bytes_max:
            self._room.clear()
            await self._room.wait()
        self._inside_bytes += size_bytes

    async def _push(self, request: Any) -> None:
        try:
            reply = await self._answered(request)
            self._replies.append(reply)  # To the list as it is now, not as it was before the answer.
            self._wake.set()
        finally:
            self._inside_bytes -= len(request.batch)
            self._room.set()

    async def _write(self, context: Any) -> None:
        """Sends what is answered until all is; says once that the server is closing."""
        told = False
        while not (self._ended and not self._replies):
            await self._wake.wait()
            self._wake.clear()
            await self._write_replies(context)
            if self._closing and not told:
                told = True
                await context.write(pb.PushReplies(closing=True))

    async def _write_replies(self, context: Any) -> None:
        ready, self._replies = self._replies, []
        for group in grouped(ready, lambda reply: reply.ByteSize() + 8):
            await context.write(pb.PushReplies(replies=group))
