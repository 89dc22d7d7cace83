"""A response whose body a worker thread makes part by part, so that it is never whole in memory.

The thread waits for each part to leave: a client that reads slowly slows down the work, and holds no more
than one part of it. What is raised before the first part is an error like any other; after it, the
connection is cut, because an answer that ends early must not look complete.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from rondel.errors import QueryCanceled
from rondel.promql.control import Control
from services.querier.execute import Executor

__all__ = ["Emit", "Streamed"]

Emit: TypeAlias = Callable[[bytes], None]
"""Called by the worker thread with one part of the body; returns when the part has left."""


class Streamed(Response):
    """Runs `work` under the executor's limits when the response is sent."""

    def __init__(
        self,
        executor: Executor,
        kind: str,
        control: Control,
        work: Callable[[Emit], None],
        *,
        timeout_s: float,
        media_type: str,
    ) -> None:
        super().__init__(media_type=media_type)
        del self.headers["content-length"]
        self._executor = executor
        self._kind = kind
        self._control = control
        self._work = work
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        parts = _Parts(send, self.raw_headers)
        try:
            await self._executor.run(
                self._kind,
                self._control,
                receive,
                lambda: self._work(parts.emit),
                timeout_s=self._timeout_s,
            )
            await parts.send(b"", more=False)
        finally:
            parts.close()


class _Parts:
    """The body on its way from the thread to the event loop; the head leaves with the first part."""

    def __init__(self, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
        self._send = send
        self._headers = headers
        self._loop = asyncio.get_running_loop()
        self._started = False
        self._closed = False

    def emit(self, part: bytes) -> None:
        """Called in the thread."""
        if part:
            asyncio.run_coroutine_threadsafe(self.send(part), self._loop).result()

    async def send(self, part: bytes, *, more: bool = True) -> None:
        if self._closed:  # the answer was given up while the thread worked on
            raise QueryCanceled("query was canceled in query execution")
        if not self._started:
            self._started = True
            await self._send({"type": "http.response.start", "status": 200, "headers": self._headers})
        await self._send({"type": "http.response.body", "body": part, "more_body": more})

    def close(self) -> None:
        self._closed = True
