"""`Server`: the calls of one ingester, over gRPC.

Pushes are awaited on the loop; reads run in worker threads of their own. Whoever calls is checked first
(`Identity`), gets errors of ours as they were raised, and a refusal, not a queue, where too much is going on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

import grpc
import grpc.aio

from rondel.errors import ConfigError, RondelError, Unavailable
from rondel.rpc.answer import PushAnswer
from rondel.rpc.channel import MESSAGE_BYTES_MAX, Call, TlsFiles
from rondel.rpc.codec import Encoder
from rondel.rpc.failure import FAILURE_KEY, failure_of, status_of
from rondel.rpc.identity import Identity
from rondel.rpc.intake import Intake, PushHandler
from rondel.rpc.meter import Meter
from rondel.rpc.methods import (
    EXEMPLARS,
    LABEL_NAMES,
    LABEL_VALUES,
    METADATA,
    PUSH,
    REQUESTS,
    SELECT,
    SERIES,
    SERVICE,
    TENANTS,
)
from rondel.rpc.reading import Reading, Source, Standings

__all__ = ["KEEPALIVE", "Server", "ServerConfig"]

KEEPALIVE: Final = (
    # Clients ping every 6 s, in silence too: oftener than gRPC allows unless told otherwise.
    ("grpc.http2.min_ping_interval_without_data_ms", 4_000),
    ("grpc.http2.max_ping_strikes", 3),
    ("grpc.keepalive_permit_without_calls", 1),
    # A caller that is gone without a word is noticed, and its reads end.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
)

_Method = Callable[[Any, Any], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where calls are taken, and how many."""

    listen: str = "127.0.0.1:9095"
    tls_ca_file: str = ""
    """who signs the certificates of callers; with it, callers must have one"""
    tls_cert_file: str = ""
    tls_key_file: str = ""
    calls_max: int = 1_024
    """calls at once; a select is one for as long as it is read"""
    read_threads: int = 8
    read_timeout_s: float = 120.0
    """how long one call may read"""
    push_bytes_max: int = 64 << 20
    """of pushes of one stream that are worked on; more are not read from the connection"""
    drain_s: float = 20.0
    """how long calls may go on after a stop was asked for"""

    def __post_init__(self) -> None:
        if self.tls_ca_file and not self.tls_cert_file:
            raise ConfigError(
                "rpc: callers' certificates are checked over TLS only: tls_cert_file is missing"
            )
        for name in ("calls_max", "read_threads", "read_timeout_s", "push_bytes_max"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"rpc: {name} must be above 0, is {getattr(self, name)}")

    def tls_files(self) -> TlsFiles | None:
        if not (self.tls_cert_file or self.tls_key_file):
            return None
        return TlsFiles(self.tls_ca_file, self.tls_cert_file, self.tls_key_file)


class Bugs(Protocol):
    """Hears of exceptions that are none of ours."""

    def __call__(self, method: str, error: BaseException) -> None: ...


class Server:
    """Serves between `start` and `stop`, once."""

    def __init__(
        self,
        identity: Identity,
        pushes: PushHandler,
        source: Source,
        standings: Standings,
        encoder: Encoder,
        on_bug: Bugs,
        config: ServerConfig = ServerConfig(),
        meter: Meter | None = None,
    ) -> None:
        self._identity = identity
        self._config = config
        self._on_bug = on_bug
        self._meter = meter or Meter("server")
        self._intake = Intake(
            _Counted(pushes, self._meter), config.push_bytes_max, lambda error: on_bug(PUSH.path, error)
        )
        self._reading = Reading(source, standings, encoder, config.read_threads, config.read_timeout_s)
        self._server: Any = None
        self.port = 0
        """where it listens, once it does"""

    async def start(self) -> None:
        """Raises ConfigError where the address or a TLS file cannot be used."""
        options = [
            *KEEPALIVE,
            ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
            ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
            ("grpc.so_reuseport", 0),
        ]
        self._server = grpc.aio.server(options=options, maximum_concurrent_rpcs=self._config.calls_max)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, self._handlers()),)
        )
        try:
            self.port = self._bind()
        except RuntimeError as error:
            raise ConfigError(f"rpc: cannot listen on {self._config.listen}: {error}") from error
        await self._server.start()

    async def stop(self) -> None:
        """Takes no new calls, gives those that run time to end, and ends them."""
        self._intake.close()
        if self._server is not None:
            await self._server.stop(self._config.drain_s)
        self._reading.close()

    def _bind(self) -> int:
        tls, listen = self._config.tls_files(), self._config.listen
        if tls is None:
            return int(self._server.add_insecure_port(listen))
        ca, key, cert = tls.read()
        credentials = grpc.ssl_server_credentials(
            [(key, cert)], root_certificates=ca, require_client_auth=ca is not None
        )
        return int(self._server.add_secure_port(listen, credentials))

    def _handlers(self) -> dict[str, Any]:
        both, one = grpc.stream_stream_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        reading = self._reading
        return dict(
            [
                self._handler(PUSH, both, self._intake.serve),
                self._handler(SELECT, both, reading.select),
                self._handler(LABEL_NAMES, one, reading.label_names),
                self._handler(LABEL_VALUES, one, reading.label_values),
                self._handler(SERIES, one, reading.series),
                self._handler(EXEMPLARS, one, reading.exemplars),
                self._handler(METADATA, one, reading.metadata),
                self._handler(TENANTS, one, reading.tenants),
            ]
        )

    def _handler(self, call: Call, kind: Any, serve: _Method) -> tuple[str, Any]:
        return call.path.rpartition("/")[2], kind(
            self._guarded(call, serve),
            request_deserializer=self._meter.of(call.path).decoder(REQUESTS[call].FromString),
            response_serializer=self._meter.of(call.path).encoder(call.reply.SerializeToString),
        )

    def _guarded(self, call: Call, serve: _Method) -> _Method:
        async def method(request: Any, context: Any) -> None:
            failure: RondelError
            try:
                with self._meter.of(call.path).call():
                    self._identity.check(context.invocation_metadata())
                    await serve(request, context)
                return
            except RondelError as error:
                failure = error
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                if context.done():
                    return  # What fails because the caller is gone is no news.
                self._on_bug(call.path, error)
                failure = Unavailable(f"internal error: {type(error).__name__}")
            await _abort(context, failure)

        return method


class _Counted:
    """Implements `PushHandler`."""

    def __init__(self, pushes: PushHandler, meter: Meter) -> None:
        self._pushes = pushes
        self._meter = meter

    async def push(self, tenant: str, batch: bytes, ring_revision: int) -> PushAnswer:
        return await self._meter.push(self._pushes.push(tenant, batch, ring_revision))


async def _abort(context: Any, error: RondelError) -> None:
    told = failure_of(error)
    trailing = ((FAILURE_KEY, told.SerializeToString()),)
    with suppress(asyncio.InvalidStateError):  # The caller is gone.
        await context.abort(status_of(error), told.message, trailing)
