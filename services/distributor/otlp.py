"""`POST /api/v1/otlp/v1/metrics`: OpenTelemetry's metrics at the socket, as a raw ASGI application.

Answers are those of OTLP over HTTP: 200 with an `ExportMetricsServiceResponse`, which tells what was left out
(partial success); a `Status` with a text otherwise. 429 and 503 mean: send it again, after Retry-After. What
a 200 does not count as left out is durable. The form of an answer, protobuf or JSON, is that of its request.
"""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from dataclasses import dataclass
from typing import Final

from starlette.types import Receive, Scope, Send

from rondel.errors import InvalidData, RondelError, TooLarge, UnsupportedMedia, text_with_id
from rondel.model.tenant import TENANT_HEADER, tenant_of
from rondel.model.write import PushResult
from rondel.runtime import logs
from rondel.runtime.router import Route, raw
from services.distributor.answers import Headers, rejections_text, retry_headers, text_of
from services.distributor.body import Bodies, BodyTimeout, ClientGone
from services.distributor.http import WriteApp
from services.distributor.otlpjson import message_of

__all__ = ["PATHS", "OtlpApp", "decompressed", "routes"]

_log = logs.get(__name__)

PATHS: Final = ("/api/v1/otlp/v1/metrics", "/otlp/v1/metrics")

_TENANT: Final = TENANT_HEADER.lower().encode()
_PROTOBUF: Final = "application/x-protobuf"
_JSON: Final = "application/json"
_SHOWN_MAX: Final = 100
_JSON_GROWTH: Final = 8
"""JSON is read into objects, which take so many times its bytes"""
_GZIP: Final = 31
"""zlib's number for the gzip format"""
_CODES: Final = {400: 3, 401: 16, 408: 4, 413: 3, 415: 3, 429: 8, 500: 13, 503: 14}
"""HTTP status -> code of google.rpc.Status"""


@dataclass(slots=True)
class _Asked:
    """What the headers of a request say."""

    tenant: str = ""
    is_json: bool = False
    is_gzip: bool = False


class OtlpApp:
    """The ASGI application, beside the one of remote write: both take what they read to one distributor."""

    def __init__(self, beside: WriteApp) -> None:
        self._distributor = beside.distributor
        self._rng = beside.rng
        self._tenancy = beside.tenancy
        self._config = beside.distributor.config
        self._inflight = beside.distributor.inflight
        self._metrics = beside.distributor.metrics
        self._bodies = Bodies(self._config, self._inflight)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started_s = time.perf_counter()
        asked = _Asked()
        headers: Headers = []
        try:
            if scope["method"] != "POST":
                status, text = 405, f"{scope['method']} is not allowed here, only POST"
                headers = [(b"allow", b"POST")]
            else:
                status, text = 200, ""
                result = await self._export(scope, receive, asked)
        except ClientGone:
            self._metrics.count_request(499)
            return
        except BodyTimeout as error:
            status, text = 408, str(error)
        except RondelError as error:
            status, text, headers = error.status, text_of(error), retry_headers(error, self._rng)
        except Exception as error:
            _log.error("export failed", error=error)
            status, text = 500, "internal error; the server's log has the details"
        self._metrics.count_request(status)
        self._metrics.duration.observe(time.perf_counter() - started_s)
        body = _success(result, asked) if status == 200 else _failure(status, text, asked)
        await _answer(send, status, body, asked, headers)

    async def _export(self, scope: Scope, receive: Receive, asked: _Asked) -> PushResult:
        self._judge_headers(scope, asked)
        body = await self._bodies.read(receive)
        held = len(body)
        try:
            self._metrics.body_bytes.value += len(body)
            if len(body) < self._config.thread_body_bytes_min:
                message = self._message(body, asked)
            else:
                message = await asyncio.to_thread(self._message, body, asked)
            if message is not body:
                self._inflight.take(len(message))
                held += len(message)
            return await self._distributor.push_otlp(asked.tenant, message)
        finally:
            self._inflight.give(held)

    def _judge_headers(self, scope: Scope, asked: _Asked) -> None:
        """Raises before anything of the body is read. Notes the form of the answer first."""
        found: dict[bytes, str] = {}
        for name, value in scope["headers"]:
            text = value.decode("latin-1")
            found[name] = f"{found[name]}, {text}" if name in found else text
        content_type = found.get(b"content-type", "")
        kind = content_type.partition(";")[0].strip().lower()
        if kind not in (_PROTOBUF, _JSON):
            shown = content_type[:_SHOWN_MAX]
            raise UnsupportedMedia(f"content type {shown!r} is not spoken here, only {_PROTOBUF} and {_JSON}")
        asked.is_json = kind == _JSON
        encoding = found.get(b"content-encoding", "").strip().lower()
        if encoding not in ("", "identity", "gzip"):
            raise UnsupportedMedia(
                f"content encoding {encoding[:_SHOWN_MAX]!r} is not spoken here, only gzip"
            )
        asked.is_gzip = encoding == "gzip"
        asked.tenant = tenant_of(found.get(_TENANT), tenancy=self._tenancy)
        self._bodies.judge_length(found.get(b"content-length", "").encode())

    def _message(self, body: bytes, asked: _Asked) -> bytes:
        size_max = self._config.limits.message_size_bytes_max
        if asked.is_json:
            size_max //= _JSON_GROWTH
        if asked.is_gzip:
            body = decompressed(body, size_max)
        if not asked.is_json:
            return body
        if len(body) > size_max:
            message = f"JSON of {len(body)} bytes exceeds the limit of {size_max}"
            raise TooLarge(text_with_id(message, "distributor-max-write-message-size"))
        return message_of(body)


def decompressed(body: bytes, size_max: int) -> bytes:
    """What a gzip body holds. Raises InvalidData, and TooLarge beyond `size_max`: no more is made."""
    out = bytearray()
    rest = body
    try:
        while True:  # gzip files one after another are one file
            gzip = zlib.decompressobj(_GZIP)
            out += gzip.decompress(rest, size_max + 1 - len(out))
            if len(out) > size_max:
                message = f"body exceeds the limit of {size_max} bytes once it is decompressed"
                raise TooLarge(text_with_id(message, "distributor-max-write-message-size"))
            if not gzip.eof:
                raise InvalidData("gzip body is cut off", "gzip-malformed")
            rest = gzip.unused_data
            if not rest:
                return bytes(out)
    except zlib.error as error:
        raise InvalidData(f"body is not gzip: {error}", "gzip-malformed") from error


def routes(app: OtlpApp) -> list[Route]:
    """Where the application is mounted: at Prometheus' path and at Mimir's."""
    return [raw(path, app) for path in PATHS]


def _success(result: PushResult, asked: _Asked) -> bytes:
    if not result.rejections:
        return b"{}" if asked.is_json else b""
    left_out = sum(one.samples for one in result.rejections)
    text = rejections_text(result)
    if asked.is_json:
        partial = {"rejectedDataPoints": str(left_out), "errorMessage": text}
        return json.dumps({"partialSuccess": partial}).encode()
    return _bytes_field(1, _number_field(1, left_out) + _bytes_field(2, text.encode()))


def _failure(status: int, text: str, asked: _Asked) -> bytes:
    code = _CODES.get(status, 2)
    if asked.is_json:
        return json.dumps({"code": code, "message": text}).encode()
    return _number_field(1, code) + _bytes_field(2, text.encode())


def _number_field(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _bytes_field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


async def _answer(send: Send, status: int, body: bytes, asked: _Asked, headers: Headers) -> None:
    kind = _JSON if asked.is_json else _PROTOBUF
    length = str(len(body)).encode()
    headers = [(b"content-type", kind.encode()), (b"content-length", length), *headers]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
