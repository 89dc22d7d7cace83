"""`Plan`: a ring made ready to route by; it cuts a batch into a lot for each ingester."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rondel.model.parcel import KnownSeries, Parcel, Routing
from rondel.model.write import WriteBatch
from rondel.ring.quorum import write_quorum
from rondel.ring.ring import Ring
from rondel.rpc.push import Reason, Undelivered
from services.distributor.destination import Taken

__all__ = ["Lot", "Lots", "Missing", "Plan", "Target", "lack_of"]


class Target(Protocol):
    """One ingester; `destination.Destination` is one."""

    address: str

    @property
    def down(self) -> str: ...
    @property
    def inflight_bytes(self) -> int: ...
    @property
    def known(self) -> KnownSeries: ...
    def start(self) -> None: ...
    async def close(self, patience_s: float = 0.0) -> None: ...
    async def push(self, tenant: str, parcel: Parcel, epoch: int, timeout_s: float) -> Taken: ...


@dataclass(frozen=True, slots=True)
class Lot:
    """What one ingester is to get."""

    member: int
    """its place in the ring"""
    id: str
    target: Target
    parcel: Parcel


@dataclass(frozen=True, slots=True)
class Missing:
    """An ingester that is to get something and cannot be reached."""

    member: int
    id: str
    why: Undelivered


@dataclass(frozen=True, slots=True, eq=False)
class Lots:
    """A batch in parts."""

    set_of: NDArray[np.int64]
    """int64[items]: replica set of each series, then of each metadata entry"""
    lots: list[Lot]
    missing: list[Missing]


class Plan:
    """Immutable. The constructor computes: for a large ring it belongs into a thread. With a size it is of
    the tenant's shard of the ring."""

    def __init__(self, ring: Ring, tenant: str = "", size: int = 0) -> None:
        self.ring = ring
        routes = ring.writes_of(tenant, size)
        self.routing = Routing(routes.ends, routes.sets)
        self._ids = [one.id for one in ring.entries]

    def reached(self, targets: Mapping[str, Target]) -> Reached:
        """Whom a batch can go to at this moment; not to be called from a thread."""
        reached = Reached()
        for one in self.ring.instances:
            target = targets.get(one.id)
            if target is None:
                reached.down[one.id] = "it has left the ring"
            elif target.down:
                reached.down[one.id] = target.down
            else:
                reached.known[one.id] = target, target.known
        return reached

    def split(self, tenant: str, batch: WriteBatch, reached: Reached) -> Lots:
        """May be called from a thread."""
        routed = self.routing.route(batch, tenant)
        lots, missing = [], []
        for member in routed.members:
            id = self._ids[member]
            if id in reached.known:
                target, known = reached.known[id]
                lots.append(Lot(member, id, target, routed.parcel(member, known)))
            else:
                missing.append(Missing(member, id, Undelivered(Reason.DOWN, reached.down[id])))
        return Lots(routed.set_of, lots, missing)


class Reached:
    """Ingesters by id."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[Target, KnownSeries]] = {}
        self.down: dict[str, str] = {}
        """with the reason"""


def lack_of(ring: Ring) -> str:
    """Why no write quorum can come of this ring; empty where one can."""
    there, needed = sum(one.state.is_written for one in ring.instances), write_quorum(ring.replication_factor)
    if there >= needed:
        return ""
    return (
        f"the ring has {there} ingesters that take writes, a write quorum of replication factor "
        f"{ring.replication_factor} needs {needed}"
    )
