"""`HeadStandings`: what an answer from the heads is worth, and where the rest of it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rondel.ring.membership import admits
from rondel.ring.ring import Ring
from services.ingester.intake import refuse_epoch
from services.ingester.push import Ingester

__all__ = ["HeadStandings"]


class HeadStandings:
    """Implements `rondel.rpc.reading.Standings`. `ring` raises Unavailable where we do not serve."""

    def __init__(
        self, ingester: Ingester, id: str, ring: Callable[[], Ring], behind_since_ms: Callable[[], int]
    ) -> None:
        self._ingester = ingester
        self._id = id
        self._ring = ring
        self._behind_since_ms = behind_since_ms

    def is_behind(self, epoch: int) -> bool:
        """Whether we may lack what we acknowledged; raises Unavailable for a ring that is too old."""
        ring = self._ring()
        if not admits(ring, self._id, epoch, is_push=False):
            raise refuse_epoch(epoch, ring)
        return self._behind_since_ms() != 0

    def shipped(self, tenant: str, mint_ms: int, maxt_ms: int) -> Sequence[str]:
        """Blocks of the last 48 hours. Some are still in memory as well: to name them too is no error, and to
        leave out one whose samples go away just then would be."""
        return self._ingester.ledger.blocks(tenant, mint_ms, maxt_ms)

    def tenants(self) -> Sequence[str]:
        """Those with a head, and those of whom everything is in blocks."""
        held = {tenant.name for tenant in self._ingester.tenants}
        return sorted(held | self._ingester.ledger.tenants)
