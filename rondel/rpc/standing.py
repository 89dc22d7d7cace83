"""`Standing`: what an ingester's answer to a read is worth, told with the first message of the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rondel.rpc.pb import ingester_pb2 as pb

__all__ = ["Standing", "Standings", "message_of", "standing_of"]


@dataclass(frozen=True, slots=True)
class Standing:
    """Of one answer."""

    behind: bool = False
    """whether the ingester may lack what it has acknowledged: such an answer is used and not counted"""
    shipped: tuple[str, ...] = ()
    """blocks into which the ingester moved samples of the range that was asked for, and that it no longer
    holds in memory"""


class Standings(Protocol):
    """What an ingester knows of its own place; called in worker threads."""

    def is_behind(self, epoch: int) -> bool:
        """Whether it may lack what it has acknowledged.

        Raises Unavailable (`ring-epoch`) where nobody listens any more to callers of that epoch.
        """

    def shipped(self, tenant: str, mint_ms: int, maxt_ms: int) -> Sequence[str]:
        """ULIDs of blocks of the tenant, overlapping the range, whose samples are gone from memory."""

    def tenants(self) -> Sequence[str]:
        """Of whom it holds anything, in memory or by a marker of what it shipped."""


def message_of(standing: Standing) -> Any:
    return pb.Standing(behind=standing.behind, shipped=standing.shipped)


def standing_of(reply: Any) -> Standing:
    """What the first reply of an answer says; one that says nothing is not counted."""
    if not reply.HasField("standing"):
        return Standing(behind=True)
    return Standing(reply.standing.behind, tuple(reply.standing.shipped))
