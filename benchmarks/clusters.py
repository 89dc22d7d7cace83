"""A cluster at replication factor 3 on one machine: CPU of all its processes, and bytes between them."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.ingest import BATCH, INTERVAL_MS, WARM_UP_ROUNDS, bodies_of
from benchmarks.row import Goal, Row
from benchmarks.workload import SERIES_PER_INSTANCE, fleet
from deploy.local.cluster import LocalCluster, Shape
from tests.support.client import Client
from tests.support.process import Process

__all__ = ["replicated_ingest"]

REPLICAS: Final = 3
SENDERS: Final = 4
SETTLE_S: Final = 3.0
HOSTS: Final = 100
BATCHES: Final = HOSTS * SERIES_PER_INSTANCE // BATCH
"""in a round"""
_RECEIVED: Final = "rondel_rpc_server_received_bytes_total"


def replicated_ingest(directory: Path, *, rounds: int, repeats: int) -> list[Row]:
    """20,000 known series, batches of 2,000, by four senders through two distributors to three ingesters."""
    series = fleet(HOSTS)
    start_ms = int(time.time() * 1000) - (rounds + WARM_UP_ROUNDS) * INTERVAL_MS
    bodies = bodies_of(series, start_ms, rounds + WARM_UP_ROUNDS)
    warm_up = WARM_UP_ROUNDS * len(series.labels) // BATCH
    samples = rounds * len(series.labels)
    cpu: list[dict[str, float]] = []
    wall: list[float] = []
    wire: list[float] = []
    for repeat in range(repeats):
        with LocalCluster(directory / f"cluster-{repeat}", Shape(queriers=1)) as cluster:
            cluster.wait_for_ring()
            _send(cluster, bodies[:warm_up])
            before, bytes_before = _cpu_s(cluster), _received_bytes(cluster)
            wall.append(_send(cluster, bodies[warm_up:]))
            time.sleep(SETTLE_S)
            after = _cpu_s(cluster)
            cpu.append({role: (after[role] - before[role]) / samples * 1e6 for role in after})
            wire.append((_received_bytes(cluster) - bytes_before) / samples / REPLICAS)
    middle = {role: median(one[role] for one in cpu) for role in cpu[0]}
    return [
        Row(
            "cluster of RF 3: ingest, known series (20,000), all processes",
            "CPU s / M samples",
            {"rondel": median(sum(one.values()) for one in cpu)},
            Goal(4),
            details={role: {"rondel": figure} for role, figure in middle.items()},
        ),
        Row(
            "cluster of RF 3: ingest, four senders",
            "wall s / M samples",
            {"rondel": median(wall) / samples * 1e6},
        ),
        Row(
            "cluster of RF 3: bytes from distributor to ingester, known series",
            "B / sample / replica",
            {"rondel": median(wire)},
            Goal(40),
        ),
    ]


def _send(cluster: LocalCluster, bodies: list[bytes]) -> float:
    """Every body to one of the distributors; series keep their order. Seconds until the last answer."""
    started = time.monotonic()
    with ThreadPoolExecutor(SENDERS) as senders:
        for done in [senders.submit(_sender, cluster, number, bodies) for number in range(SENDERS)]:
            done.result()
    return time.monotonic() - started


def _sender(cluster: LocalCluster, number: int, bodies: list[bytes]) -> None:
    """A sender has series of its own, as a Prometheus server and each of its shards do."""
    to = cluster.distributors[number % len(cluster.distributors)]
    with Client(to.port) as client:
        for body in (one for at, one in enumerate(bodies) if at % BATCHES % SENDERS == number):
            reply = client.write(body)
            if reply.status // 100 != 2:
                raise RuntimeError(f"{to.name} refused a batch: {reply.status} {reply.text[:300]}")


def _cpu_s(cluster: LocalCluster) -> dict[str, float]:
    ingesters = list(cluster.ingesters.values())
    others = [*cluster.queriers, cluster.compactor]
    groups = {
        "distributors": cluster.distributors,
        "ingesters": ingesters,
        "etcd": cluster.etcd.members,
        "querier and compactor": others,
    }
    return {name: sum(one.cpu_s() for one in group) for name, group in groups.items()}


def _received_bytes(cluster: LocalCluster) -> float:
    return sum(_pushed_bytes(one) for one in cluster.ingesters.values())


def _pushed_bytes(ingester: Process) -> float:
    """Bytes of pushes that an ingester has received, as it counts them."""
    with Client(ingester.port) as client:
        lines = client.get("/metrics").text.splitlines()
    pushed = [line for line in lines if line.startswith(_RECEIVED) and "Push" in line]
    return sum(float(line.rpartition(" ")[2]) for line in pushed)
