"""A TCP proxy on loopback that can be cut and joined again: a network that fails on command."""

from __future__ import annotations

import contextlib
import socket
import threading
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from deploy.local.network import Loopback

__all__ = ["CutProxies", "CutProxy"]

_CHUNK_BYTES = 1 << 16


class CutProxy:
    """Forwards connections to `port` of 127.0.0.1; while it is cut, none is served and open ones break."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._is_cut = False

    def __enter__(self) -> CutProxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        self._listener.close()

    def cut(self) -> None:
        """Breaks what is open and serves nothing from now on."""
        with self._lock:
            self._is_cut = True
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def join(self) -> None:
        """Serves new connections again."""
        with self._lock:
            self._is_cut = False

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            server = self._connect(client)
            if server is None:
                return
            with server:
                back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
                back.start()
                self._pump(client, server)
                back.join()
            with self._lock:
                self._open -= {client, server}

    def _connect(self, client: socket.socket) -> socket.socket | None:
        with self._lock:
            if self._is_cut:
                return None
        server = socket.create_connection(self._target)
        with self._lock:
            if self._is_cut:
                server.close()
                return None
            self._open |= {client, server}
        return server

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK_BYTES):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


class CutProxies(Loopback):
    """A network whose zones can be cut off where namespaces are not to be had. What runs in such a zone
    reaches no etcd, and nobody reaches its ingesters; what it calls itself goes through."""

    def __init__(self) -> None:
        self._running = ExitStack()
        self._ways: dict[tuple[str, str], CutProxy] = {}

    def address(self, zone: str, address: str) -> str:
        return self.view(zone, (address,))[0]

    def view(self, zone: str, addresses: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"127.0.0.1:{self._way(zone, one).port}" for one in addresses)

    def isolate(self, zone: str) -> None:
        for (name, _), way in self._ways.items():
            if name == zone:
                way.cut()

    def heal(self) -> None:
        for way in self._ways.values():
            way.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def _way(self, zone: str, address: str) -> CutProxy:
        if (zone, address) not in self._ways:
            proxy = CutProxy(int(address.rpartition(":")[2]))
            self._ways[zone, address] = self._running.enter_context(proxy)
        return self._ways[zone, address]
