"""A response whose body a worker thread makes part by part, so that it is never whole in memory.

The thread waits for each part to leave: a client that reads slowly slows down the work, and holds no more
than one part of it. What is raised before the first part is an error like any other; after it, the
connection is cut, because an answer that ends early must not look complete.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from rondel.errors import QueryCanceled

__all__ = ["Emit", "Streamed"]

Emit: TypeAlias = Callable[[bytes], None]
"""Called by the worker thread with one part of the body; returns when the part has left. Raises
QueryCanceled once the answer is given up."""


class Streamed(Response):
    """Has `run` call the work in a worker thread when the response is sent."""

    def __init__(
        self,
        run: Callable[[Callable[[], None]], Awaitable[None]],
        work: Callable[[Emit], None],
        *,
        media_type: str,
    ) -> None:
        super().__init__(media_type=media_type)
        del self.headers["content-length"]
        self._run = run
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        parts = _Parts(send, self.raw_headers)
        try:
            await self._run(lambda: self._work(parts.emit))
            await parts.send(b"", more=False)
        except QueryCanceled:
            # The client went away or the server stops: who would read an error? The server cuts a
            # connection whose answer was not completed.
            if not parts.started:
                raise
        finally:
            parts.close()


class _Parts:
    """The body on its way from the thread to the event loop; the head leaves with the first part."""

    def __init__(self, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
        self._send = send
        self._headers = headers
        self._loop = asyncio.get_running_loop()
        self.started = False
        self._lock = threading.Lock()
        self._closed = False
        self._leaving: concurrent.futures.Future[None] | None = None

    def emit(self, part: bytes) -> None:
        """Called in the thread."""
        if not part:
            return
        with self._lock:
            if self._closed:  # the answer was given up while the thread worked on
                raise QueryCanceled("query was canceled in query execution")
            self._leaving = leaving = asyncio.run_coroutine_threadsafe(self.send(part), self._loop)
        try:
            leaving.result()
        except concurrent.futures.CancelledError as error:
            raise QueryCanceled("query was canceled while its answer was sent") from error

    async def send(self, part: bytes, *, more: bool = True) -> None:
        if not self.started:
            self.started = True
            await self._send({"type": "http.response.start", "status": 200, "headers": self._headers})
        await self._send({"type": "http.response.body", "body": part, "more_body": more})

    def close(self) -> None:
        """No part leaves from here on, and a thread that waits for one waits no longer."""
        with self._lock:
            self._closed = True
        if self._leaving is not None:
            self._leaving.cancel()
