"""A channel to one process: TLS, keep-alive, size caps; what gRPC raises becomes our errors.

gRPC must not be used before a fork: worker processes are spawned.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol, Self, TypeVar

import grpc
import grpc.aio

from rondel.errors import ConfigError, InvalidData, RondelError, Unauthenticated, Unavailable
from rondel.rpc.failure import told_in
from rondel.rpc.meter import OK, Meter, outcome_of

__all__ = ["MESSAGE_BYTES_MAX", "Call", "Channel", "Message", "Stream", "TlsFiles"]

Metadata = tuple[tuple[str, str], ...]

MESSAGE_BYTES_MAX: Final = 64 << 20

KEEPALIVE: Final = (
    # A member that is frozen, not dead, answers no ping. Oftener than every 5 s, etcd would call it abuse.
    ("grpc.keepalive_time_ms", 6_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.ping_timeout_ms", 2_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    # Despite its name the time that one attempt to connect has, TLS and a busy peer included.
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)

_RETRYABLE: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.CANCELLED,
    }
)


class Message(Protocol):
    """A protobuf message."""

    def SerializeToString(self) -> bytes: ...  # noqa: N802 (protobuf's name)

    @classmethod
    def FromString(cls, data: bytes) -> Self: ...  # noqa: N802 (protobuf's name)


_Reply = TypeVar("_Reply", bound=Message)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files; empty ones are not used. A certificate needs its key."""

    ca: str = ""
    """who signed the other side; the system's authorities where it is empty"""
    cert: str = ""
    key: str = ""
    server_name: str = ""
    """the name that the server's certificate must have, where it is not the host that is called"""

    def read(self) -> list[bytes | None]:
        """The contents of ca, key and cert. Raises ConfigError."""
        if bool(self.cert) != bool(self.key):
            raise ConfigError("a TLS certificate and its key go together: one of them is missing")
        return [_content(path) for path in (self.ca, self.key, self.cert)]


def _content(path: str) -> bytes | None:
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the TLS file {path}: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class Call:
    """One method: its full path and the type of its replies."""

    path: str
    reply: type[Any]


class Stream:
    """A stream of replies, of one request or of many. One task may send while another receives."""

    def __init__(self, call: Any, what: str, on_end: Callable[[str], None] = lambda _: None) -> None:
        self._call = call
        self._what = what
        self._on_end = on_end

    async def send(self, message: Message) -> None:
        """Raises Unavailable when the stream has ended."""
        with _our_errors(self._what):
            await self._call.write(message)

    async def finish(self) -> None:
        """Says that nothing more will be sent; replies may still come."""
        with _our_errors(self._what):
            await self._call.done_writing()

    async def receive(self) -> Any | None:
        """The next reply, None at the end of the stream; raises what `Channel.call` raises when it breaks."""
        with _our_errors(self._what, self._on_end):
            reply = await self._call.read()
        if reply is grpc.aio.EOF:
            self._on_end(OK)
            return None
        return reply

    async def replies(self) -> AsyncIterator[Any]:
        """Replies until the other side ends the stream; raises as `receive` does."""
        while (reply := await self.receive()) is not None:
            yield reply

    def close(self) -> None:
        """Ends the stream at once, in both directions."""
        self._on_end(OK)
        self._call.cancel()


class Channel:
    """A connection to `host:port` that is opened by the first call and opened again when it breaks.

    Raises ConfigError where a TLS file cannot be read.
    """

    def __init__(self, endpoint: str, tls: TlsFiles | None = None, meter: Meter | None = None) -> None:
        self.endpoint = endpoint
        self.meter = meter or Meter("client")
        self._options: list[tuple[str, int | str]] = [
            *KEEPALIVE,
            ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
            ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
        ]
        self._credentials: Any = None
        if tls is not None:
            self._credentials = grpc.ssl_channel_credentials(*tls.read())
            if tls.server_name:
                self._options.append(("grpc.ssl_target_name_override", tls.server_name))

    @cached_property
    def _channel(self) -> Any:
        """Made on the loop that uses it first."""
        if self._credentials is None:
            return grpc.aio.insecure_channel(self.endpoint, self._options)
        return grpc.aio.secure_channel(self.endpoint, self._credentials, self._options)

    async def call(self, call: Call, request: Message, *, timeout_s: float, metadata: Metadata = ()) -> Any:
        """The reply to one request.

        Raises what the other side raised, where it is one of ours; else Unavailable, Unauthenticated or
        InvalidData.
        """
        method = self._channel.unary_unary(call.path, *self._codec(call))
        with self.meter.of(call.path).call(), _our_errors(f"{self.endpoint} {call.path}"):
            return await method(request, timeout=timeout_s, metadata=metadata)

    def stream(self, call: Call, *, metadata: Metadata = (), timeout_s: float | None = None) -> Stream:
        """A stream that is open until it is closed or breaks, or its time is over."""
        method = self._channel.stream_stream(call.path, *self._codec(call))
        return self._stream(call, method(metadata=metadata, timeout=timeout_s))

    def ask(self, call: Call, request: Message, *, timeout_s: float, metadata: Metadata = ()) -> Stream:
        """The replies to one request; nothing can be sent after it."""
        method = self._channel.unary_stream(call.path, *self._codec(call))
        return self._stream(call, method(request, timeout=timeout_s, metadata=metadata))

    def _codec(self, call: Call) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
        meter = self.meter.of(call.path)
        return meter.encoder(_encode), meter.decoder(call.reply.FromString)

    def _stream(self, call: Call, made: Any) -> Stream:
        return Stream(made, f"{self.endpoint} {call.path}", self.meter.of(call.path).begun())

    async def close(self) -> None:
        if "_channel" in self.__dict__:
            await self._channel.close()


def _encode(message: Message) -> bytes:
    return message.SerializeToString()


@contextmanager
def _our_errors(what: str, on_end: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    try:
        yield
    except grpc.aio.AioRpcError as error:
        ours = _translated(what, error)
        on_end(outcome_of(ours))
        raise ours from error
    except (grpc.aio.UsageError, asyncio.InvalidStateError) as error:  # The stream has ended before.
        raise Unavailable(f"{what}: {error}") from error
    except asyncio.CancelledError as error:
        if _is_cancelled_itself():
            raise
        # `close` was called while this task was at it: the stream is cancelled, the task is not.
        raise Unavailable(f"{what}: closed") from error


def _is_cancelled_itself() -> bool:
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _translated(what: str, error: grpc.aio.AioRpcError) -> RondelError:
    told = told_in(error.trailing_metadata())
    if told is not None:
        return told
    code, text = error.code(), f"{what}: {error.details() or error.code().name}"
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return Unauthenticated(text, "rpc-unauthenticated")
    if code in _RETRYABLE:
        return Unavailable(f"{text} ({code.name})")
    return InvalidData(f"{text} ({code.name})", "rpc-refused")
