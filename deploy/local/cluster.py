"""`LocalCluster`: etcd and every role as real processes, a zone of ingesters each where there is one.

Each process has a directory of its own below that of the cluster, with `log` in it and its data. Started
again in the same directory, the cluster goes on with what it has.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from deploy.local.network import Loopback, Network, Ports
from tests.support.client import Client
from tests.support.etcd import EtcdCluster, Seat
from tests.support.process import NotStarted, Process

__all__ = ["LocalCluster", "Shape", "wait_until"]

_COMMAND: Final = [sys.executable, "-c", "from services.standalone.cli import main; main()"]
_START_S: Final = 90.0
_STOP_S: Final = 90.0
_LEAVE_S: Final = 180.0


@dataclass(frozen=True)
class Shape:
    """How many of what."""

    zones: tuple[str, ...] = ("a", "b", "c")
    ingesters: int = 1
    """in each zone"""
    distributors: int = 2
    queriers: int = 2
    etcd_members: int = 3


@dataclass
class LocalCluster:
    """Starts, ends, kills and freezes; grows and shrinks. Nothing runs before `start`."""

    directory: Path
    shape: Shape = field(default_factory=Shape)
    network: Network = field(default_factory=Loopback)
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """variables by role, `RONDEL_...`; those under an empty name are for every role"""
    first_port: int = 0
    """where ports count up from; 0 for any that are free"""
    objstore: str = ""
    """empty for a directory"""
    is_detached: bool = False
    """Whether Ctrl-C reaches only us, so that we end the others in good order."""

    def __post_init__(self) -> None:
        self.directory = self.directory.resolve()
        self._ports = Ports(self.directory / "ports.json", self.first_port)
        seats = [self._seat(number) for number in range(self.shape.etcd_members)]
        self.etcd = EtcdCluster(self.directory / "etcd", seats=seats)
        for member in self.etcd.members:
            member.process_group = self._group
        self.distributors = [self._stateless("distributor", n) for n in range(self.shape.distributors)]
        self.queriers = [self._stateless("querier", n, 1) for n in range(self.shape.queriers)]
        self.compactor = self._compactor()
        self.ingesters: dict[str, Process] = {}
        for name in self._remembered() or self._first_ones():
            self._place(name)

    # ---- the whole ----

    def start(self) -> Self:
        """Returns when everybody is ready."""
        try:
            self.etcd.start()
            everybody = list(self.processes())
            for process in everybody:
                process.launch()
            for process in everybody:
                process.wait_until_ready(_START_S)
        except BaseException:
            self.close()
            raise
        return self

    def stop(self) -> dict[str, int]:
        """SIGTERM to everybody, writers first, etcd last; the exit codes of all but etcd, which ends by the
        signal."""
        codes: dict[str, int] = {}
        for group in (self.distributors, [*self.queriers, self.compactor], self.ingesters.values()):
            codes |= _terminated(group)
        _terminated(self.etcd.members)
        return codes

    def close(self) -> None:
        """Ends in whatever way what still runs."""
        for process in (*self.processes(), *self.etcd.members):
            process.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def processes(self) -> Iterator[Process]:
        """All of Rondel; etcd is not among them."""
        yield from self.ingesters.values()
        yield from (*self.distributors, *self.queriers, self.compactor)

    def in_zone(self, zone: str) -> list[Process]:
        """The ingesters of a zone."""
        return [one for name, one in self.ingesters.items() if _zone_of(name) == zone]

    def zone_of(self, process: Process) -> str:
        """Where it runs."""
        number = int(process.name.rpartition("-")[2])
        if process.name in self.ingesters:
            return _zone_of(process.name)
        return self._zone(number + (process in self.queriers))

    # ---- growing and shrinking ----

    def add_ingester(self, zone: str) -> Process:
        """Launches the next one of a zone; `wait_for_ring` tells when it has joined."""
        numbers = [int(name.rpartition("-")[2]) for name in self.ingesters if _zone_of(name) == zone]
        process = self._place(f"ingester-{zone}-{max(numbers, default=-1) + 1}")
        process.launch()
        return process

    def leave(self, name: str) -> None:
        """Tells an ingester that the end of it, when it comes, is one for good."""
        process = self.ingesters[name]
        with Client(process.port, host=process.host) as client:
            reply = client.request("POST", "/ingester/prepare-shutdown")
        if reply.status // 100 != 2:
            raise NotStarted(f"{name} is not prepared: {reply.status} {reply.text[:300]}")

    def remove_ingester(self, name: str) -> int:
        """It leaves the ring, with all that it has in blocks, and ends; the exit code."""
        self.leave(name)
        code = self.ingesters[name].terminate(_LEAVE_S)
        self.forget(name)
        return code

    def forget(self, name: str) -> None:
        """It is no part of the cluster any more."""
        del self.ingesters[name]

    # ---- what everybody says ----

    def ring(self, process: Process) -> dict[str, Any]:
        """`/ring` of a process."""
        with Client(process.port, host=process.host, timeout_s=5) as client:
            reply = client.request("GET", "/ring", headers={"Accept": "application/json"})
        if reply.status != 200:
            raise OSError(f"/ring of {process.name}: {reply.status} {reply.text[:200]}")
        return dict(reply.json())

    def states(self, process: Process | None = None) -> dict[str, str]:
        """State of each ingester that has not left, as a process sees them."""
        seen = self.ring(process or self.distributors[0])
        return {one["id"]: one["state"] for one in seen["instances"]}

    def is_settled(self) -> bool:
        """Whether all run and are ready, and everybody sees all our ingesters, and only them, at rest."""
        try:
            return all(process.is_ready() for process in self.processes()) and all(
                self._sees_us_at_rest(one) for one in (*self.distributors, *self.queriers)
            )
        except OSError:
            return False

    def _sees_us_at_rest(self, process: Process) -> bool:
        seen = self.ring(process)
        at_rest = {
            one["id"]
            for one in seen["instances"]
            if one["state"] == "ACTIVE" and one["is_alive"] and not one["behind_since_ms"]
        }
        return at_rest == self.ingesters.keys() == {one["id"] for one in seen["instances"]}

    def wait_for_ring(self, timeout_s: float = 120.0) -> float:
        """Seconds until it is settled."""
        return wait_until(self.is_settled, timeout_s, lambda: f"the ring does not settle: {self.told()}")

    def told(self) -> dict[str, Any]:
        """What each process says of itself, for people."""
        told: dict[str, Any] = {}
        for process in self.processes():
            try:
                told[process.name] = (process.is_ready(), self.states(process))
            except (OSError, ValueError, KeyError) as error:
                told[process.name] = repr(error)
        return told

    # ---- single processes ----

    def _seat(self, number: int) -> Seat:
        zone = self._zone(number)
        port, peer_port = (self._ports.port(f"etcd-{number}-{kind}") for kind in ("client", "peer"))
        return Seat(self.network.host(zone), port, peer_port, self.network.launcher(zone))

    def _stateless(self, role: str, number: int, zones_on: int = 0) -> Process:
        zone = self._zone(number + zones_on)
        store = ("--objstore", self._objstore) if role == "querier" else ()
        return self._process(role, f"{role}-{number}", zone, *self._belonging(zone), *store)

    def _compactor(self) -> Process:
        return self._process("compactor", "compactor-0", self._zone(0), "--objstore", self._objstore)

    def _place(self, name: str) -> Process:
        zone = _zone_of(name)
        listen = f"{self.network.host(zone)}:{self._ports.port(f'{name}-grpc')}"
        options = (*self._belonging(zone), "--objstore", self._objstore, "--grpc-listen", listen)
        known_as = self.network.address(zone, listen)
        if known_as != listen:
            options = (*options, "--advertise", known_as)
        self.ingesters[name] = self._process("ingester", name, zone, *options)
        return self.ingesters[name]

    def _belonging(self, zone: str) -> tuple[str, ...]:
        return ("--zone", zone, "--etcd", ",".join(self.network.view(zone, self.etcd.endpoints)))

    def _process(self, role: str, name: str, zone: str, *options: str) -> Process:
        host, port = self.network.host(zone), self._ports.port(name)
        directory = self.directory / name
        own = () if role == "compactor" else ("--data-dir", str(directory / "data"), "--instance-id", name)
        argv = [*self.network.launcher(zone), *_COMMAND, role, "--http-listen", f"{host}:{port}", *own]
        env = {"PYTHONDONTWRITEBYTECODE": "", **self.settings.get("", {}), **self.settings.get(role, {})}
        process = Process(name, [*argv, *options], directory, port, env=env, host=host)
        process.process_group = self._group
        return process

    @property
    def _group(self) -> int | None:
        return 0 if self.is_detached else None

    @property
    def _objstore(self) -> str:
        return self.objstore or (self.directory / "blocks").as_uri()

    def _zone(self, number: int) -> str:
        return self.shape.zones[number % len(self.shape.zones)]

    def _first_ones(self) -> list[str]:
        return [f"ingester-{zone}-{n}" for n in range(self.shape.ingesters) for zone in self.shape.zones]

    def _remembered(self) -> list[str]:
        """Ingesters that have data here: to start without one of them would be to lose it."""
        return sorted(one.parent.name for one in self.directory.glob("ingester-*/data"))


def wait_until(holds: Callable[[], bool], timeout_s: float, told: Callable[[], str]) -> float:
    """Seconds until something holds; `NotStarted`, with what is told, if it does not in time."""
    started = time.monotonic()
    while not holds():
        if time.monotonic() - started > timeout_s:
            raise NotStarted(f"after {timeout_s} s: {told()}")
        time.sleep(0.05)
    return time.monotonic() - started


def _zone_of(name: str) -> str:
    return name.removeprefix("ingester-").rpartition("-")[0]


def _terminated(group: Iterable[Process]) -> dict[str, int]:
    """All at once."""
    group = list(group)
    with ThreadPoolExecutor(max(1, len(group))) as pool:
        codes = pool.map(lambda process: process.terminate(_STOP_S), group)
        return {process.name: code for process, code in zip(group, codes, strict=True)}
