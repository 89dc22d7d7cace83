"""`ClusterIntake`: pushes of distributors, from the bytes of a parcel to the answer.

A push counts for the ring by which it was routed. One that was routed by a ring that is too old goes
elsewhere now, so it is refused before anything of it is looked at, and the distributor routes it once more.
"""

from __future__ import annotations

from collections.abc import Callable

from rondel.errors import Unavailable
from rondel.model.write import WriteBatch
from rondel.ring.membership import RING_EPOCH, admits
from rondel.ring.ring import Ring
from rondel.rpc.answer import PushAnswer
from services.ingester.push import Ingester

__all__ = ["ClusterIntake", "refuse_epoch"]


class ClusterIntake:
    """Implements `rondel.rpc.intake.PushHandler`. `ring` raises Unavailable where we do not serve."""

    def __init__(self, ingester: Ingester, id: str, ring: Callable[[], Ring]) -> None:
        self._ingester = ingester
        self._id = id
        self._ring = ring

    async def push(self, tenant: str, batch: bytes, ring_revision: int) -> PushAnswer:
        """Raises Unavailable with the id `ring-epoch` for a ring that is too old, Corruption for damage.

        Nothing awaits between the look at the ring and the WAL's queue: when our own step is applied and the
        queue has settled, no push by the ring before it is under way.
        """
        ring = self._ring()
        if not admits(ring, self._id, ring_revision, is_push=True):
            raise refuse_epoch(ring_revision, ring)
        taken = await self._ingester.take(tenant, WriteBatch.from_parcel(batch))
        return PushAnswer(taken.result, taken.unknown, taken.rows)


def refuse_epoch(epoch: int, ring: Ring) -> Unavailable:
    """What somebody is told who has applied only that epoch."""
    message = f"the ring has moved on: routed by epoch {epoch}, here is {ring.epoch}, fenced is {ring.fence}"
    return Unavailable(message, retry_after_s=0.1, id=RING_EPOCH)
