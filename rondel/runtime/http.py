"""The HTTP server of a process: uvicorn on uvloop and httptools, started and stopped as a part.

Signals belong to the process, not to the server; the access log is the query log and the metrics.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
import uvicorn
from starlette.types import ASGIApp

from rondel.errors import ConfigError
from rondel.runtime.connection import connection
from rondel.runtime.service import Group
from rondel.runtime.tasks import TaskOwner

__all__ = ["EVERYWHERE", "Config", "Server", "address_of", "bind", "listen_address", "reachable"]

EVERYWHERE: Final = ("", "0.0.0.0", "::")
"""hosts that stand for every address of a machine"""


@dataclass(frozen=True, slots=True)
class Config:
    """The HTTP listener."""

    listen: str = "127.0.0.1:9009"
    """Host and port to listen on; port 0 takes a free one, an empty host all addresses."""
    cors_origin: str = ".*"
    """Regular expression of the origins from which browsers may call."""
    requests_max: Annotated[int, msgspec.Meta(ge=1)] = 1000
    """Requests inside at once; more get 503."""
    keep_alive_s: Annotated[float, msgspec.Meta(gt=0)] = 75.0
    """How long an idle connection stays open."""
    connections_max: Annotated[int, msgspec.Meta(ge=1)] = 8192
    """Connections open at once; more are closed at once."""
    receive_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    """How long a request may take to arrive, and a new connection may stay silent."""
    send_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    """How long a client may leave an answer unread before its connection is cut."""
    drain_s: Annotated[float, msgspec.Meta(ge=0)] = 20.0
    """How long requests may take to finish when the server stops."""


def listen_address(text: str, setting: str = "http.listen") -> tuple[str, int]:
    """Host and port of `host:port`, `[v6]:port` or `:port`; raises ConfigError, which names the setting."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535 or (":" in host and not host.startswith("[")):
        raise ConfigError(f"{setting}: want host:port, not {text!r}")
    return host.strip("[]"), int(port)


def reachable(bound: str) -> str:
    """Where others find what is bound there: the machine's name stands for every address of it."""
    host, port = listen_address(bound)
    return f"{socket.gethostname()}:{port}" if host in EVERYWHERE else bound


class Server:
    """Binds, serves until `stop`, lets requests finish within `drain_s`.

    With `is_shared` other processes may listen on the same address; each gets a part of the connections.
    """

    def __init__(self, app: ASGIApp, config: Config, *, is_shared: bool = False) -> None:
        self._config = config
        self.is_shared = is_shared
        self._app = app
        self._tasks = TaskOwner("http")
        self._server: _Uvicorn | None = None
        self._serving: asyncio.Task[None] | None = None
        self.address = ""
        """`host:port` as bound, once started."""

    async def start(self) -> None:
        """Returns when connections are accepted; raises ConfigError where the address cannot be had."""
        bound = bind(self._config.listen, is_shared=self.is_shared)
        self.address = address_of(bound)
        self._server = _Uvicorn(
            uvicorn.Config(
                self._app,
                http=connection(
                    receive_timeout_s=self._config.receive_timeout_s,
                    send_timeout_s=self._config.send_timeout_s,
                    connections_max=self._config.connections_max,
                ),
                ws="none",
                lifespan="off",
                interface="asgi3",
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,
                backlog=2048,
                timeout_keep_alive=max(1, round(self._config.keep_alive_s)),
                timeout_graceful_shutdown=round(self._config.drain_s),
            )
        )
        self._serving = self._tasks.spawn(self._server.serve(sockets=[bound]), name="serve")
        while not self._server.started:
            if self._serving.done():
                self._serving.result()
                raise RuntimeError("the HTTP server ended before it served")
            await asyncio.sleep(0.001)

    async def start_with(self, parts: Group) -> None:
        """Starts the parts as well: after the listener, so that readiness can be asked for meanwhile; before
        it where the address is shared, since whoever connects gets any of the processes."""
        if not self.is_shared:
            await self.start()
        await parts.start()
        if self.is_shared:
            await self.start()

    async def stop(self) -> None:
        """Closes the listener, waits for requests inside, closes idle connections."""
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await asyncio.wait([self._serving])
        await self._tasks.close()


def address_of(bound: socket.socket) -> str:
    """`host:port` as it is bound."""
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bind(listen: str, *, is_shared: bool = False) -> socket.socket:
    """A socket with that address, which does not listen yet; raises ConfigError where it cannot be had."""
    host, port = listen_address(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise ConfigError(f"http.listen: cannot listen on {listen}: {error.strerror or error}") from error
    bound.setblocking(False)
    return bound


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals alone."""
        yield
