"""Zones as machines of their own: network namespaces with a router between, which loses what it is told to.

A cut is silent, as a broken switch is: packets vanish, connections stay open. The test itself has a line
to every zone that is never cut. Needs root, as namespaces do.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from types import TracebackType
from typing import Self

__all__ = ["Zones", "may_make_namespaces"]

_TESTER = 250
"""number of the network between the router and the test"""


def may_make_namespaces() -> bool:
    """Whether this user may, on this machine."""
    probe = ["unshare", "--net", "ip", "link", "add", "probe", "type", "veth", "peer", "name", "other"]
    try:
        return os.geteuid() == 0 and subprocess.run(probe, check=False, capture_output=True).returncode == 0
    except OSError:
        return False


class Zones:
    """A `deploy.local.network.Network`. Several may be at once, of different processes."""

    def __init__(self, names: Iterable[str]) -> None:
        self._numbers = {name: number for number, name in enumerate(names, start=1)}
        self._tag = f"rondel{os.getpid()}"
        self._net = f"10.{64 + os.getpid() % 128}"
        self._rules: list[str] = []

    def host(self, zone: str) -> str:
        return f"{self._net}.{self._numbers[zone]}.2"

    def launcher(self, zone: str) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self._namespace(zone))

    def address(self, zone: str, address: str) -> str:
        return address

    def view(self, zone: str, addresses: tuple[str, ...]) -> tuple[str, ...]:
        return addresses

    def isolate(self, zone: str) -> None:
        """Nothing passes between this zone and the others."""
        for other in self._numbers:
            if other != zone:
                self.cut(zone, other)
                self.cut(other, zone)

    def cut(self, source: str, target: str) -> None:
        """Nothing passes from one zone to another; the way back stays open."""
        number = self._numbers[target]
        rule = f"iif {self._link(self._numbers[source])} to {self._net}.{number}.0/24 blackhole"
        self._core(f"rule add {rule}")
        self._rules.append(rule)

    def heal(self) -> None:
        """Everything passes."""
        while self._rules:
            self._core(f"rule del {self._rules.pop()}")

    def __enter__(self) -> Self:
        _ip(f"netns add {self._router}")
        self._core("link set lo up")
        _run("ip", "netns", "exec", self._router, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        for zone, number in self._numbers.items():
            _ip(f"netns add {self._namespace(zone)}")
            _ip(f"-n {self._namespace(zone)} link set lo up")
            self._connect(number, self._namespace(zone))
        self._connect(_TESTER, None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The links go with the namespaces, the test's own end with the router's.
        for name in [*map(self._namespace, self._numbers), self._router]:
            subprocess.run(["ip", "netns", "del", name], check=False)

    def _connect(self, number: int, namespace: str | None) -> None:
        """A line from the router to a namespace; None is the one that the test runs in."""
        ours, theirs = self._link(number), f"{self._link(number)}p"
        there = f"-n {namespace} " if namespace else ""
        place = f" netns {namespace}" if namespace else ""
        # The peer lands where it is named to, and without a name where this process is.
        if namespace:
            _ip(f"-n {self._router} link add {ours} type veth peer name {theirs}{place}")
        else:
            _ip(f"link add {theirs} type veth peer name {ours} netns {self._router}")
        self._core(f"addr add {self._net}.{number}.1/24 dev {ours}")
        self._core(f"link set {ours} up")
        _ip(f"{there}addr add {self._net}.{number}.2/24 dev {theirs}")
        _ip(f"{there}link set {theirs} up")
        _ip(f"{there}route add {self._net}.0.0/16 via {self._net}.{number}.1")

    def _core(self, command: str) -> None:
        _ip(f"-n {self._router} {command}")

    @property
    def _router(self) -> str:
        return f"{self._tag}-core"

    def _namespace(self, zone: str) -> str:
        return f"{self._tag}-{zone}"

    def _link(self, number: int) -> str:
        return f"r{os.getpid()}n{number}"


def _ip(command: str) -> None:
    _run("ip", *command.split())


def _run(*argv: str) -> None:
    run = subprocess.run(argv, check=False, capture_output=True, text=True)
    if run.returncode:
        raise OSError(f"{' '.join(argv)}: {run.stderr.strip()}")
