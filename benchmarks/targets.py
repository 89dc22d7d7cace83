"""The servers that are measured, each with its own spelling of the same things."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tests.support import servers
from tests.support.client import Client
from tests.support.process import Process

__all__ = ["TARGETS", "Target", "tree_bytes"]


@dataclass(frozen=True)
class Target:
    """How to start a server in a directory, and what it calls the things that are measured."""

    name: str
    start: Callable[[Path], Process]
    stored_bytes: Callable[[Path, Client], int]
    """Put everything into the long-term format; bytes of samples and index there."""
    query_params: tuple[tuple[str, str], ...] = ()
    write_path: str = "/api/v1/write"
    has_wal: bool = True
    has_native_histograms: bool = True


def tree_bytes(directory: Path) -> int:
    """Bytes of all files below a directory, as their length says."""
    return sum(
        os.path.getsize(Path(parent, name)) for parent, _, names in os.walk(directory) for name in names
    )


def _post(client: Client, path: str) -> bytes:
    reply = client.request("POST", path)
    if reply.status // 100 != 2:
        raise RuntimeError(f"POST {path}: {reply.status} {reply.text[:300]}")
    return reply.body


# ---- Rondel ----


def _start_rondel(directory: Path) -> Process:
    bucket = quote(str(directory / "bucket"))
    return servers.rondel(directory, "--objstore", f"file://{bucket}").start()


def _rondel_bytes(directory: Path, client: Client) -> int:
    _post(client, "/ingester/flush")
    return tree_bytes(directory / "bucket")


# ---- Prometheus ----

NATIVE = "--enable-feature=native-histograms"


def _start_prometheus(directory: Path) -> Process:
    return servers.prometheus(directory, "", "--web.enable-admin-api", NATIVE).start(timeout_s=120)


def _prometheus_bytes(directory: Path, client: Client) -> int:
    """A snapshot writes the head as a block, which is what compaction would leave on disk."""
    _post(client, "/api/v1/admin/tsdb/snapshot")
    return tree_bytes(directory / "data" / "snapshots")


# ---- VictoriaMetrics ----


def _start_victoria_metrics(directory: Path) -> Process:
    return servers.victoria_metrics(directory).start(timeout_s=120)


def _victoria_metrics_bytes(directory: Path, client: Client) -> int:
    """A forced merge works in the background: wait until the files stand still."""
    client.get("/internal/force_flush")
    client.get("/internal/force_merge")
    folders = (directory / "data" / "data", directory / "data" / "indexdb")
    before, now = -1, 0
    while now != before:
        time.sleep(3)
        before, now = now, sum(map(tree_bytes, folders))
    return now


TARGETS = {
    "rondel": Target("rondel", _start_rondel, _rondel_bytes),
    "prometheus": Target("prometheus", _start_prometheus, _prometheus_bytes),
    "victoria-metrics": Target(
        "victoria-metrics",
        _start_victoria_metrics,
        _victoria_metrics_bytes,
        query_params=(("nocache", "1"),),
        has_wal=False,
        has_native_histograms=False,
    ),
}
