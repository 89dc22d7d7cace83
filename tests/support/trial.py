"""A trial: a cluster under traffic, one fault, and what became of everything."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from deploy.local.cluster import LocalCluster, wait_until
from tests.support.client import Client
from tests.support.fault_table import Row
from tests.support.oracle import ROOM, Fault
from tests.support.process import Process
from tests.support.traffic import Traffic

__all__ = ["SETTINGS", "Promise", "Scene", "looked_through", "try_fault"]

RECOVERY_S = 180.0
BEFORE_S, AFTER_S = 5, 3
LEASE_S = 5

SETTINGS = {
    "": {},
    "distributor": {"RONDEL_CLUSTER__LEASE_S": f"{LEASE_S}", "RONDEL_CLUSTER__PATIENCE_S": "10"},
    "querier": {
        "RONDEL_CLUSTER__LEASE_S": f"{LEASE_S}",
        "RONDEL_CLUSTER__PATIENCE_S": "10",
        "RONDEL_QUERY__FEATURES": ROOM["RONDEL_QUERY__FEATURES"],
        "RONDEL_STORE__REFRESH_S": "5",
    },
    "ingester": {
        "RONDEL_CLUSTER__LEASE_S": f"{LEASE_S}",
        "RONDEL_CLUSTER__PATIENCE_S": "10",
        "RONDEL_HEAD__EXEMPLARS_PER_SERIES_MAX": ROOM["RONDEL_HEAD__EXEMPLARS_PER_SERIES_MAX"],
        "RONDEL_HEAD__MAX_GLOBAL_EXEMPLARS_PER_USER": ROOM["RONDEL_HEAD__MAX_GLOBAL_EXEMPLARS_PER_USER"],
        "RONDEL_HEAD__OUT_OF_ORDER_TIME_WINDOW_MS": "30s",
        "RONDEL_SHIP__RANGE_MS": "10s",
        "RONDEL_SHIP__INTERVAL_MS": "1s",
        "RONDEL_WAL__SEGMENT_SIZE_BYTES_MAX": "256KiB",
    },
    "compactor": {
        "RONDEL_COMPACTOR__INTERVAL_S": "1",
        "RONDEL_COMPACTOR__RANGES_MS": "20000,60000",
        "RONDEL_COMPACTOR__SETTLE_S": "0",
        "RONDEL_COMPACTOR__DELETION_DELAY_S": "30",
    },
}
"""Ranges are short and blocks are merged at once, so that faults fall into shipping and merging as well."""


@dataclass(frozen=True)
class Promise:
    """What must not fail while a fault lasts."""

    queries: bool = True
    writes: bool = True
    but_at: frozenset[str] = frozenset()
    """Queriers that are cut off from too many and must say so."""


@dataclass(frozen=True)
class Scene:
    """What a fault is made in."""

    cluster: LocalCluster
    traffic: Traffic

    def passes(self, seconds: float) -> None:
        self.traffic.passes(seconds)


def try_fault(name: str, cluster: LocalCluster, fault: Callable[[Scene], None], promise: Promise) -> Row:
    """Starts, breaks, waits until all is as before, and looks at everything: in memory, then in blocks."""
    with cluster:
        cluster.wait_for_ring()
        with Traffic(cluster.distributors, cluster.queriers) as traffic:
            wait_until(lambda: traffic.is_caught_up, RECOVERY_S, lambda: f"no start: {told(traffic)}")
            traffic.passes(BEFORE_S)
            fault(Scene(cluster, traffic))
            recovery_s = recovered(cluster, traffic)
            traffic.passes(AFTER_S)
            assert traffic.finish(), f"batches are left that nobody acknowledges: {told(traffic)}"
        row = verdict(name, cluster, traffic, recovery_s)
        print(row)
        judge(row, traffic, promise)
    return row


def recovered(cluster: LocalCluster, traffic: Traffic) -> float:
    """Seconds from now until everybody is ready, at rest in the ring, and was asked and answered well."""
    since_s = time.monotonic()
    wait_until(
        lambda: traffic.is_well_since(since_s) and cluster.is_settled(),
        RECOVERY_S,
        lambda: f"not as before: {cluster.told()} {told(traffic)}",
    )
    return time.monotonic() - since_s


def verdict(name: str, cluster: LocalCluster, traffic: Traffic, recovery_s: float) -> Row:
    """Everything that was acknowledged is looked for through every querier, before and after a flush."""
    found, faults = looked_through(cluster.queriers, traffic)
    for process in cluster.ingesters.values():
        with Client(process.port, host=process.host) as client:
            reply = client.request("POST", "/ingester/flush")
            assert reply.status // 100 == 2, f"{process.name}: {reply.status} {reply.text[:300]}"
    wait_until(lambda: has_merged(cluster), RECOVERY_S, lambda: "no blocks were merged")
    again, more = looked_through(cluster.queriers, traffic)
    lost = {one for one in (*faults, *more) if one.how == "lost"}
    wrong = {one for one in (*faults, *more) if one.how != "lost"}
    for one in (*sorted(lost)[:5], *sorted(wrong)[:5]):
        traffic.tally.count("fault", str(one))
    counts = traffic.tally.counts
    return Row(
        name,
        traffic.acknowledged,
        min(found, again),
        len(lost),
        len(wrong) + counts["answer wrong"],
        counts["query"],
        counts["query failed"],
        counts["write failed"],
        recovery_s,
    )


def has_merged(cluster: LocalCluster) -> bool:
    """Whether any block was made of others."""
    for meta in (cluster.directory / "blocks").glob("*/*/meta.json"):
        with suppress(FileNotFoundError):  # It was merged and deleted in between.
            if len(json.loads(meta.read_bytes())["sources"]) > 1:
                return True
    return False


def looked_through(queriers: Iterable[Process], traffic: Traffic) -> tuple[int, list[Fault]]:
    """The fewest samples that a querier found, and what is lost or wrong by any."""
    fewest, faults = [], []
    for process in queriers:
        seen = 0
        with Client(process.port, host=process.host) as client:
            for oracle in traffic.oracles:
                samples, found = oracle.checked(client)
                seen += samples
                faults += [one._replace(series=f"{oracle.name} {one.series}") for one in found]
        fewest.append(seen)
    return min(fewest), faults


def judge(row: Row, traffic: Traffic, promise: Promise) -> None:
    counts = traffic.tally.counts
    allowed = sum(counts[f"query failed at {name}"] for name in promise.but_at)
    assert row.lost == row.wrong == 0, told(traffic)
    assert row.found == row.acknowledged, told(traffic)
    assert counts["write refused"] == 0, told(traffic)
    assert row.queries > 20, "too little was asked"
    if promise.queries:
        assert row.queries_failed <= allowed, told(traffic)
    if promise.writes:
        assert row.writes_failed == 0, told(traffic)


def told(traffic: Traffic) -> str:
    lines = [f"{what}: {count}" for what, count in traffic.tally.counts.items()]
    lines += [f"  {what}: {one}" for what, found in traffic.tally.examples.items() for one in found]
    return "\n".join(["", *lines])
