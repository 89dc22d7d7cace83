"""`POST /api/v1/write` and `/api/v1/push`: remote write at the socket, as a raw ASGI application.

Headers are judged before a byte of the body is read, and the body is bounded while it arrives. What a
status promises: 204, all is durable; 202, the samples of another replica stand for these; 400, all that did
not break a rule is durable; 5xx and 429, send it again. Every answer to remote write 2.0 says in headers how
much was written, once its content type was understood. Bodies of answers are plain text, which is what
senders log.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from starlette.types import Message, Receive, Scope, Send

from rondel.errors import RondelError, UnsupportedMedia
from rondel.model.tenant import TENANT_HEADER, tenant_of
from rondel.model.write import Version, Written
from rondel.runtime import logs
from rondel.runtime.router import Route, raw
from services.distributor.answers import Headers, rejections_text, retry_headers, text_of
from services.distributor.body import Bodies, BodyTimeout, ClientGone
from services.distributor.push import Distributor
from services.distributor.replicas import NotElected

__all__ = ["PATHS", "WriteApp", "routes"]

_log = logs.get(__name__)

PATHS: Final = ("/api/v1/write", "/api/v1/push")

_TENANT: Final = TENANT_HEADER.lower().encode()
_TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")
_NO_CONTENT: Final[Message] = {"type": "http.response.start", "status": 204, "headers": []}
_END: Final[Message] = {"type": "http.response.body", "body": b""}
_ALLOW: Final = [(b"allow", b"POST")]
_MESSAGES: Final = {"prometheus.WriteRequest": Version.V1, "io.prometheus.write.v2.Request": Version.V2}
_WRITTEN: Final = tuple(
    f"x-prometheus-remote-write-{kind}-written".encode() for kind in ("samples", "histograms", "exemplars")
)
_SHOWN_MAX: Final = 100
"""Characters of a refused header that the answer quotes."""


@dataclass(slots=True)
class _Asked:
    """What is known of a request so far."""

    version: Version = Version.V1
    written: Written = field(default_factory=Written)


class WriteApp:
    """The ASGI application. `rng` spreads Retry-After so that senders do not come back as one."""

    def __init__(self, distributor: Distributor, rng: random.Random, *, tenancy: bool) -> None:
        self.distributor = distributor
        self.rng = rng
        self.tenancy = tenancy
        self._inflight = distributor.inflight
        self._bodies = Bodies(distributor.config, distributor.inflight)
        self._metrics = distributor.metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started_s = time.perf_counter()
        asked = _Asked()
        try:
            if scope["method"] != "POST":
                status, text, headers = 405, f"{scope['method']} is not allowed here, only POST", _ALLOW
            else:
                status, text, headers = await self._write(scope, receive, asked)
        except ClientGone:
            self._metrics.count_request(499)
            return
        except BodyTimeout as error:
            status, text, headers = 408, str(error), []
        except RondelError as error:
            status, text, headers = error.status, text_of(error), retry_headers(error, self.rng)
        except Exception as error:
            _log.error("write failed", error=error)
            status, text, headers = 500, "internal error; the server's log has the details", []
        if asked.version is Version.V2:
            headers = headers + _written_headers(asked.written)
        self._metrics.count_request(status)
        self._metrics.duration.observe(time.perf_counter() - started_s)
        await _answer(send, status, text, headers)

    async def _write(self, scope: Scope, receive: Receive, asked: _Asked) -> tuple[int, str, Headers]:
        tenant = self._judge_headers(scope, asked)
        body = await self._bodies.read(receive)
        try:
            self._metrics.body_bytes.value += len(body)
            result = await self.distributor.push(tenant, body, asked.version)
            asked.written = result.accepted
        except NotElected as reason:
            # Senders take anything less for a loss.
            asked.written = reason.counts
            return 202, str(reason), []
        finally:
            self._inflight.give(len(body))
        return (400, rejections_text(result), []) if result.rejections else (204, "", [])

    def _judge_headers(self, scope: Scope, asked: _Asked) -> str:
        """The tenant; raises before anything of the body is read. Notes the version that is spoken."""
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
        version = _version_of(content_type)
        _judge_content_encoding(content_encoding)
        asked.version = version
        named = tenant_of(tenant, tenancy=self.tenancy)
        self._bodies.judge_length(content_length)
        return named


def routes(app: WriteApp) -> list[Route]:
    """Where the application is mounted; also below `/prometheus`, which is the caller's to add."""
    return [raw(path, app) for path in PATHS]


def _version_of(content_type: bytes) -> Version:
    """Raises UnsupportedMedia."""
    version = _spoken(content_type)
    if isinstance(version, str):
        raise UnsupportedMedia(version)
    return version


@lru_cache(maxsize=64)
def _spoken(value: bytes) -> Version | str:
    """The version, or why there is none. A missing header means 1.0. Spaces and quotes are fine."""
    text = value.decode("latin-1")
    kind, *parameters = [part.strip() for part in text.split(";")]
    if kind.lower() not in ("", "application/x-protobuf"):
        return f"content type {text[:_SHOWN_MAX]!r} is not spoken here, only application/x-protobuf"
    for parameter in parameters:
        name, _, message = (part.strip() for part in parameter.partition("="))
        message = message.strip('"')
        if name.lower() == "proto":
            known = ", ".join(_MESSAGES)
            return (
                _MESSAGES.get(message) or f"message {message[:_SHOWN_MAX]!r} is not spoken here, only {known}"
            )
    return Version.V1


def _judge_content_encoding(value: bytes) -> None:
    if value.strip().lower() not in (b"", b"snappy"):
        shown = value.decode("latin-1")[:_SHOWN_MAX]
        raise UnsupportedMedia(f"content encoding {shown!r} is not spoken here, only snappy (block format)")


def _written_headers(written: Written) -> Headers:
    return [(name, str(count).encode()) for name, count in zip(_WRITTEN, written, strict=True)]


async def _answer(send: Send, status: int, text: str, headers: Headers) -> None:
    if status == 204:
        await send({**_NO_CONTENT, "headers": headers} if headers else _NO_CONTENT)
        await send(_END)
        return
    body = text.encode()
    if body:
        headers = [_TEXT, (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
