"""Rondel and the real servers that it is compared with, each as a `Process`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.process import Process, find_server, free_port

__all__ = ["node_exporter", "prometheus", "rondel", "victoria_metrics"]

RONDEL = [sys.executable, "-c", "from services.standalone.cli import main; main()"]


def rondel(
    directory: Path,
    *options: str,
    env: Mapping[str, str] | None = None,
    port: int | None = None,
    launcher: tuple[str, ...] = (),
) -> Process:
    """`rondel standalone` with its data below `directory`; `launcher` goes before the command."""
    port = port or free_port()
    argv = [
        *launcher,
        *RONDEL,
        "standalone",
        "--data-dir",
        str(directory / "data"),
        "--http-listen",
        f"127.0.0.1:{port}",
        *options,
    ]
    # An installed package is compiled; the variable would have every start compile it again.
    compiled = {"PYTHONDONTWRITEBYTECODE": ""}
    return Process("rondel", argv, directory, port, env={**compiled, **(env or {})})


def prometheus(directory: Path, config: str, *options: str, current: bool = False) -> Process:
    """Debian's Prometheus with a configuration given as text; it also takes remote writes.

    `current` is the one of Debian's unstable suite, which `fetch-peers prometheus-3` fetches.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "prometheus.yml").write_text(config, encoding="utf-8")
    port = free_port()
    argv = [
        find_server("prometheus-3" if current else "prometheus"),
        f"--config.file={directory}/prometheus.yml",
        f"--storage.tsdb.path={directory}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-remote-write-receiver",
        "--log.level=warn",
        *options,
    ]
    return Process("prometheus", argv, directory, port)


def victoria_metrics(directory: Path, *options: str) -> Process:
    """Debian's VictoriaMetrics, single node."""
    port = free_port()
    argv = [
        find_server("victoria-metrics"),
        f"-httpListenAddr=127.0.0.1:{port}",
        f"-storageDataPath={directory}/data",
        "-retentionPeriod=100y",
        "-loggerLevel=WARN",
        *options,
    ]
    return Process("victoria-metrics", argv, directory, port, ready_path="/health")


def node_exporter(directory: Path) -> Process:
    """Debian's node_exporter: real metrics of this machine."""
    port = free_port()
    argv = [
        find_server("prometheus-node-exporter"),
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    return Process("node-exporter", argv, directory, port, ready_path="/metrics")
