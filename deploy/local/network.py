"""Where the processes of a local cluster listen."""

from __future__ import annotations

import json
import random
import socket
from pathlib import Path
from typing import Final, Protocol

__all__ = ["Loopback", "Network", "Ports"]


_ANY: Final = range(15_000, 32_000)
"""Below what systems give to connections that go out: a port stays free while its process is dead."""


class Network(Protocol):
    """What connects the zones."""

    def host(self, zone: str) -> str:
        """Address of the machine that is this zone."""

    def launcher(self, zone: str) -> tuple[str, ...]:
        """Goes before a command that shall run in this zone."""

    def address(self, zone: str, address: str) -> str:
        """How the others reach what listens there in this zone."""

    def view(self, zone: str, addresses: tuple[str, ...]) -> tuple[str, ...]:
        """How this zone reaches what listens there."""


class Loopback:
    """All zones are one machine."""

    def host(self, zone: str) -> str:
        return "127.0.0.1"

    def launcher(self, zone: str) -> tuple[str, ...]:
        return ()

    def address(self, zone: str, address: str) -> str:
        return address

    def view(self, zone: str, addresses: tuple[str, ...]) -> tuple[str, ...]:
        return addresses


class Ports:
    """Ports by name, kept in a file: who starts again listens where it did before, so that others find it.

    They count up from `first`; with 0 they are any free ones.
    """

    def __init__(self, file: Path, first: int = 0) -> None:
        self._file = file
        self._first = first
        self._known: dict[str, int] = json.loads(file.read_bytes()) if file.exists() else {}

    def port(self, name: str) -> int:
        if name not in self._known:
            taken = self._known.values()
            self._known[name] = max(taken, default=self._first - 1) + 1 if self._first else _free()
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(json.dumps(self._known, indent=1), encoding="utf-8")
        return self._known[name]


def _free() -> int:
    while True:
        port = random.choice(_ANY)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
