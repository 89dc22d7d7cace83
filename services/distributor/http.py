"""`POST /api/v1/write` and `/api/v1/push`: remote write at the socket, as a raw ASGI application.

Headers are judged before a byte of the body is read, and the body is bounded while it arrives. What a
status promises: 204, all is durable; 400, all that did not break a rule is durable; 5xx and 429, send it
again. Bodies of answers are plain text, which is what senders log.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from functools import lru_cache
from typing import Final, TypeAlias

from starlette.types import Message, Receive, Scope, Send

from rondel.errors import (
    RateLimited,
    RondelError,
    TooLarge,
    Unavailable,
    UnsupportedMedia,
    text_with_id,
)
from rondel.model.tenant import TENANT_HEADER, tenant_of
from rondel.model.write import PushResult
from rondel.runtime import logs
from rondel.runtime.router import Route, raw
from services.distributor.push import Distributor

__all__ = ["PATHS", "WriteApp", "routes"]

_log = logs.get(__name__)

PATHS: Final = ("/api/v1/write", "/api/v1/push")

Headers: TypeAlias = list[tuple[bytes, bytes]]

_TENANT: Final = TENANT_HEADER.lower().encode()
_TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")
_NO_CONTENT: Final[Message] = {"type": "http.response.start", "status": 204, "headers": []}
_END: Final[Message] = {"type": "http.response.body", "body": b""}
_ALLOW: Final = [(b"allow", b"POST")]
_SHOWN_MAX: Final = 100
"""Characters of a refused header that the answer quotes."""


class _ClientGone(Exception):
    """The client closed its connection before its request was complete."""


class _BodyTimeout(Exception):
    """The client did not send its body in time."""


class WriteApp:
    """The ASGI application. `rng` spreads Retry-After so that senders do not come back as one."""

    def __init__(self, distributor: Distributor, rng: random.Random, *, tenancy: bool) -> None:
        self._distributor = distributor
        self._config = distributor.config
        self._inflight = distributor.inflight
        self._metrics = distributor.metrics
        self._rng = rng
        self._tenancy = tenancy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started_s = time.perf_counter()
        try:
            if scope["method"] != "POST":
                status, text, headers = 405, f"{scope['method']} is not allowed here, only POST", _ALLOW
            else:
                status, text, headers = await self._write(scope, receive)
        except _ClientGone:
            self._metrics.count_request(499)
            return
        except _BodyTimeout:
            text = f"the body did not arrive within {self._config.body_timeout_s:g} s"
            status, headers = 408, []
        except RondelError as error:
            status, text, headers = error.status, _text_of(error), self._headers_of(error)
        except Exception as error:
            _log.error("write failed", error=error)
            status, text, headers = 500, "internal error; the server's log has the details", []
        self._metrics.count_request(status)
        self._metrics.duration.observe(time.perf_counter() - started_s)
        await _answer(send, status, text, headers)

    async def _write(self, scope: Scope, receive: Receive) -> tuple[int, str, Headers]:
        tenant = self._judge_headers(scope)
        body = await self._read(receive)
        try:
            self._metrics.body_bytes.value += len(body)
            result = await self._distributor.push(tenant, body)
        finally:
            self._inflight.give(len(body))
        return (400, _rejections_text(result), []) if result.rejections else (204, "", [])

    def _judge_headers(self, scope: Scope) -> str:
        """The tenant; raises before anything of the body is read."""
        content_type = content_encoding = content_length = b""
        tenant = None
        for name, value in scope["headers"]:
            if name == b"content-type":
                content_type = value
            elif name == b"content-encoding":
                content_encoding = value
            elif name == b"content-length":
                content_length = value
            elif name == _TENANT:
                again = "" if tenant is None else f"{tenant}, "  # as HTTP joins them; two name no tenant
                tenant = again + value.decode("latin-1")
        _judge_content_type(content_type)
        _judge_content_encoding(content_encoding)
        named = tenant_of(tenant, tenancy=self._tenancy)
        if content_length.isdigit():
            self._judge_size(int(content_length))
        return named

    def _judge_size(self, size_bytes: int) -> None:
        if size_bytes > self._config.body_bytes_max:
            message = (
                f"body of {size_bytes} bytes or more exceeds body_bytes_max {self._config.body_bytes_max}"
            )
            raise TooLarge(text_with_id(message, "distributor-max-write-message-size"))

    async def _read(self, receive: Receive) -> bytes:
        """The body. Its bytes are counted as inside; on success the caller gives them back."""
        body = bytearray()
        part: bytes = b""
        size_bytes = 0
        try:
            async with asyncio.timeout(self._config.body_timeout_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _ClientGone
                    part = message.get("body", b"")
                    self._judge_size(size_bytes + len(part))
                    self._inflight.take(len(part))
                    size_bytes += len(part)
                    if not message.get("more_body"):
                        break
                    body += part  # not a list: a client may send a byte at a time
        except TimeoutError as error:
            self._inflight.give(size_bytes)
            raise _BodyTimeout from error
        except BaseException:
            self._inflight.give(size_bytes)
            raise
        if not body:
            return part
        body += part
        return bytes(body)

    def _headers_of(self, error: RondelError) -> Headers:
        if not isinstance(error, Unavailable | RateLimited):
            return []
        seconds = max(1, math.ceil(error.retry_after_s * self._rng.uniform(0.5, 1.5)))
        return [(b"retry-after", str(seconds).encode())]


def routes(app: WriteApp) -> list[Route]:
    """Where the application is mounted; also below `/prometheus`, which is the caller's to add."""
    return [raw(path, app) for path in PATHS]


def _judge_content_type(value: bytes) -> None:
    if problem := _content_type_problem(value):
        raise UnsupportedMedia(problem)


@lru_cache(maxsize=64)
def _content_type_problem(value: bytes) -> str | None:
    """None for remote write 1.0, which a missing header means too. Spaces around parameters are fine."""
    text = value.decode("latin-1")
    kind, *parameters = [part.strip() for part in text.split(";")]
    if kind.lower() not in ("", "application/x-protobuf"):
        return f"content type {text[:_SHOWN_MAX]!r} is not spoken here, only application/x-protobuf"
    for parameter in parameters:
        name, _, message = (part.strip() for part in parameter.partition("="))
        message = message.strip('"')
        if name.lower() != "proto" or message == "prometheus.WriteRequest":
            continue
        if message == "io.prometheus.write.v2.Request":
            return "remote write 2.0 is not spoken here yet; set protobuf_message to prometheus.WriteRequest"
        return f"message {message[:_SHOWN_MAX]!r} is not spoken here, only prometheus.WriteRequest"
    return None


def _judge_content_encoding(value: bytes) -> None:
    if value.strip().lower() not in (b"", b"snappy"):
        shown = value.decode("latin-1")[:_SHOWN_MAX]
        raise UnsupportedMedia(f"content encoding {shown!r} is not spoken here, only snappy (block format)")


def _text_of(error: RondelError) -> str:
    id = getattr(error, "id", None)
    return text_with_id(str(error), id) if id else str(error)


def _rejections_text(result: PushResult) -> str:
    """One line: the first reason in full, then how many samples each reason took, then what was written."""
    first = result.rejections[0]
    counts = ", ".join(f"{one.samples} {one.id}" for one in result.rejections)
    text = text_with_id(first.message, first.id)
    return f"{text}; samples left out: {counts}; samples written: {result.accepted.samples}"


async def _answer(send: Send, status: int, text: str, headers: Headers) -> None:
    if status == 204:
        await send(_NO_CONTENT)
        await send(_END)
        return
    body = text.encode()
    if body:
        headers = [_TEXT, (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
