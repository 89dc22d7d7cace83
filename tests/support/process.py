"""One server as a real process: start, readiness, resources, end. Only processes started here are ended."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["ROOT", "NotStarted", "Process", "find_server", "free_port", "is_installed"]

ROOT = Path(__file__).resolve().parents[2]
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class NotStarted(RuntimeError):
    """A server that was asked for is not installed, ended early or never became ready."""


def free_port() -> int:
    """A TCP port of the loopback interface that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def find_server(name: str) -> str:
    """The path of a real server: from the PATH, or from what `make peers` unpacked."""
    peers = ROOT / ".peers"
    folders = {"prometheus-3": peers / "prometheus-3/usr/bin/prometheus"}
    unpacked = folders.get(name, peers / "usr/bin" / name)
    found = shutil.which(name) or (str(unpacked) if unpacked.exists() else None)
    if found is None:
        raise NotStarted(
            f"{name} is not installed: run `make peers` (Debian), put it on the PATH, "
            f"or leave out the tests that need it with `make test PEERS=no`"
        )
    return found


def is_installed(name: str) -> bool:
    """Whether `find_server` finds it."""
    try:
        return bool(find_server(name))
    except NotStarted:
        return False


class Process:
    """A server in its own directory, listening on `port` of `host`, logging to `directory/log`."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        directory: Path,
        port: int,
        *,
        ready_path: str = "/-/ready",
        env: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.name = name
        self.argv = list(argv)
        self.directory = directory
        self.host = host
        self.port = port
        self.ready_path = ready_path
        self.env = {**os.environ, **(env or {})}
        self.process_group: int | None = None
        """0 for one of its own: then Ctrl-C is for who started it, who ends it in good order"""
        self.start_to_ready_s = 0.0
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        if self._popen is None:
            raise NotStarted(f"{self.name} is not running")
        return self._popen.pid

    @property
    def log(self) -> str:
        path = self.directory / "log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def start(self, timeout_s: float = 30.0) -> Process:
        """Start and wait until it says that it is ready."""
        self.launch()
        return self.wait_until_ready(timeout_s)

    def wait_until_ready(self, timeout_s: float = 30.0) -> Process:
        """For what was launched."""
        started = time.monotonic()
        while not self.is_ready():
            if self.returncode is not None:
                raise NotStarted(f"{self.name} ended with {self.returncode}:\n{self.log[-4000:]}")
            if time.monotonic() - started > timeout_s:
                self.kill()
                raise NotStarted(f"{self.name} was not ready after {timeout_s} s:\n{self.log[-4000:]}")
            time.sleep(0.005)
        self.start_to_ready_s = time.monotonic() - started
        return self

    def launch(self) -> None:
        """Start without waiting."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "log").open("ab") as log:
            self._popen = subprocess.Popen(
                self.argv,
                cwd=ROOT,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=self.process_group,
            )

    def is_ready(self) -> bool:
        """Whether it says so now."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=2)
        try:
            connection.request("GET", self.ready_path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    @property
    def returncode(self) -> int | None:
        return None if self._popen is None else self._popen.poll()

    def wait(self, timeout_s: float = 30.0) -> int:
        """The exit code, once it ends by itself."""
        if self._popen is None:
            raise NotStarted(f"{self.name} is not running")
        return self._popen.wait(timeout_s)

    def signal(self, number: signal.Signals) -> None:
        if self._popen is not None:
            self._popen.send_signal(number)

    def freeze(self) -> None:
        """SIGSTOP: it is there and does nothing."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL: no chance to tidy up."""
        if self._popen is not None:
            self._popen.kill()
            self._popen.wait()

    def terminate(self, timeout_s: float = 30.0) -> int:
        """SIGTERM, then the exit code; SIGKILL if it does not end in time."""
        if self._popen is None:
            return 0
        if self._popen.poll() is None:
            self._popen.send_signal(signal.SIGTERM)
        try:
            return self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def close(self) -> None:
        """End it in whatever way; a second call does nothing."""
        if self.returncode is None:
            self.kill()

    def __enter__(self) -> Process:
        return self.start() if self._popen is None else self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def cpu_s(self) -> float:
        """CPU seconds of the whole process so far, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def resident_bytes(self) -> int:
        """Anonymous and mapped memory that is in RAM now."""
        for line in Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise NotStarted(f"{self.name} has no memory")
