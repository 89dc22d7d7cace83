"""A fan-out over ingesters that do as they are told, with real rings, routes and parcels."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
from prometheus_client import CollectorRegistry

from rondel.model.labels import LabelSets
from rondel.model.parcel import KnownSeries, Parcel
from rondel.model.write import WriteBatch
from rondel.ring.instance import Instance, State
from rondel.ring.ring import Ring
from rondel.ring.shard import UNSHARDED, Sizes
from rondel.rpc.push import Reason, Undelivered
from rondel.runtime.clock import SystemClock
from services.distributor.config import FanoutConfig
from services.distributor.destination import Refused, Sent, Taken
from services.distributor.fanout import Fanout
from services.distributor.fanoutmetrics import FanoutMetrics

__all__ = [
    "Given",
    "Scripted",
    "World",
    "batch_of",
    "fanning",
    "lost",
    "member",
    "refusing",
    "ring_of",
    "took",
]

Answer = Callable[[Parcel], Awaitable[Taken]]


def member(number: int, zones: int = 3, **more: object) -> Instance:
    entry = {"address": f"10.0.0.{number}:9095", "state": State.ACTIVE, "epoch": 1, **more}
    return Instance(f"i-{number}", f"zone-{number % zones}", ordinal=number // zones, **entry)  # type: ignore[arg-type]  # by name


def ring_of(count: int = 3, *, zones: int = 3, factor: int = 3, epoch: int = 1) -> Ring:
    return Ring(tuple(member(number, zones) for number in range(count)), factor, epoch=epoch)


def batch_of(series: int, samples: int = 1) -> WriteBatch:
    labels = LabelSets.from_dicts([{"__name__": f"m{number}", "job": "x"} for number in range(series)])
    offsets = np.arange(series + 1, dtype=np.int64) * samples
    times = np.tile(np.arange(1, samples + 1, dtype=np.int64), series)
    values = np.arange(series * samples, dtype=np.float64)
    return WriteBatch.from_arrays(labels, (offsets, times, values, None, None))


async def took(parcel: Parcel) -> Taken:
    return Taken()


async def lost(parcel: Parcel) -> Taken:
    raise Undelivered(Reason.CUT, "a push was cut off: test")


def refusing(items: set[int], id: str = "sample-timestamp-too-old", times: int = 1) -> Answer:
    """Refuses so many samples of each of these items of the batch, and takes the others."""

    async def answer(parcel: Parcel) -> Taken:
        own = [item for item in parcel.rows.tolist() if item in items for _ in range(times)]
        return Taken([Refused(id, f"{id}: text", np.array(own, np.int64))] if own else [])

    return answer


@dataclass
class Scripted:
    """Implements `services.distributor.plan.Target`."""

    address: str
    answer: Answer
    down: str = ""
    inflight_bytes: int = 0
    known: KnownSeries = field(default_factory=lambda: KnownSeries(1_000))
    pushes: list[tuple[str, list[int], int]] = field(default_factory=list)
    """tenant, items, epoch"""
    is_closed: bool = False

    def start(self) -> None:
        return None

    async def close(self, patience_s: float = 0.0) -> None:
        self.is_closed = True

    async def push(self, tenant: str, parcel: Parcel, epoch: int, timeout_s: float) -> Taken:
        self.pushes.append((tenant, parcel.rows.tolist(), epoch))
        return await self.answer(parcel)


class Given:
    """Implements `services.distributor.fanout.Rings`."""

    def __init__(self, ring: Ring) -> None:
        self.ring = ring
        self._told: list[Callable[[Ring], None]] = []

    def subscribe(self, on_ring: Callable[[Ring], None]) -> None:
        self._told.append(on_ring)
        on_ring(self.ring)

    def change(self, ring: Ring) -> None:
        self.ring = ring
        for on_ring in self._told:
            on_ring(ring)


@dataclass
class World:
    """A fan-out, the ring that it follows, and the ingesters by id; `closed` has those that were replaced."""

    fanout: Fanout
    rings: Given
    targets: dict[str, Scripted]
    closed: list[Scripted]
    registry: CollectorRegistry

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"rondel_distributor_{name}", labels)


@asynccontextmanager
async def fanning(
    ring: Ring,
    answers: dict[str, Answer] | None = None,
    config: FanoutConfig | None = None,
    sizes: Sizes = UNSHARDED,
) -> AsyncIterator[World]:
    """Ingesters answer as `answers` says by id; the others take everything."""
    answers = answers or {}
    targets: dict[str, Scripted] = {}
    closed: list[Scripted] = []

    def opened(instance: Instance, sent: Sent) -> Scripted:
        if instance.id in targets:
            closed.append(targets[instance.id])
        targets[instance.id] = Scripted(instance.address, answers.get(instance.id, took))
        return targets[instance.id]

    rings, registry = Given(ring), CollectorRegistry()
    metrics = FanoutMetrics(registry)
    config = config or FanoutConfig(ring_wait_s=0.2)
    fanout = Fanout(rings, config, SystemClock(), metrics, opened, sizes)
    await fanout.start()
    try:
        yield World(fanout, rings, targets, closed, registry)
    finally:
        await fanout.stop()
        await asyncio.sleep(0)
