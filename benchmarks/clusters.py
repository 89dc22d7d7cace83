"""A cluster at replication factor 3 on one machine: CPU of all its processes, and bytes between them."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.ingest import BATCH, INTERVAL_MS, WARM_UP_ROUNDS, bodies_of
from benchmarks.queries import ALL_QUERIES, STEP_S, load, measure
from benchmarks.row import Goal, Row
from benchmarks.targets import TARGETS
from benchmarks.workload import SERIES_PER_INSTANCE, fleet
from deploy.local.cluster import LocalCluster, Shape
from tests.support.client import Client
from tests.support.process import Process

__all__ = ["replicated_ingest", "replicated_queries"]

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


def replicated_queries(directory: Path, *, repeats: int) -> list[Row]:
    """The query set through one querier over three ingesters, and beside it through a standalone server."""
    end_s = (int(time.time()) - 120) // STEP_S * STEP_S
    alone = TARGETS["rondel"]
    whole = replace(alone, name="cluster")
    with ExitStack() as running:
        cluster = running.enter_context(LocalCluster(directory / "queried", Shape(queriers=1)))
        cluster.wait_for_ring()
        one = running.enter_context(alone.start(directory / "alone"))
        load([alone, whole], {alone.name: one, whole.name: cluster.distributors[0]}, end_s)
        clients = {
            alone.name: running.enter_context(Client(one.port)),
            whole.name: running.enter_context(Client(cluster.queriers[0].port)),
        }
        taken = measure(ALL_QUERIES, [alone, whole], clients, end_s, repeats=repeats)
    means = taken.row("", None).figures
    return [
        Row(
            f"cluster of RF 3: {len(ALL_QUERIES)} range queries, geometric mean",
            "ms wall",
            {"rondel": means[whole.name]},
        ),
        Row(
            f"cluster of RF 3: {len(ALL_QUERIES)} range queries, over those of a standalone server",
            "x",
            {"rondel": means[whole.name] / means[alone.name]},
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
