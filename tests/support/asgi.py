"""Calls an ASGI application in process: the body in given parts, the answer as values."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message

__all__ = ["Answer", "call"]


@dataclass
class Answer:
    """What the application sent."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def text(self) -> str:
        return self.body.decode()


async def call(
    app: ASGIApp,
    path: str,
    *,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    body: bytes | Iterable[bytes] = b"",
    complete: bool = True,
    query: str = "",
) -> Answer:
    """One request. A body in parts comes chunked; where it is not `complete` the client then goes away."""
    parts = [body] if isinstance(body, bytes) else list(body)
    last = len(parts) if complete else -1
    messages: list[Message] = [
        {"type": "http.request", "body": part, "more_body": number != last}
        for number, part in enumerate(parts, start=1)
    ]
    waiting = iter(messages)
    answer = Answer()

    async def receive() -> Message:
        message = next(waiting, None)
        if message is None and complete:
            await asyncio.Event().wait()  # the client waits for its answer
        return message or {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            answer.body += message.get("body", b"")

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(n.lower().encode(), v.encode("latin-1")) for n, v in (headers or {}).items()],
        "query_string": query.encode(),
    }
    await app(scope, receive, send)
    return answer
