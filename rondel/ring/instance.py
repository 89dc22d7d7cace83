"""An ingester's entry in the store: written when something of it changes, never as a heartbeat."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from rondel.errors import InvalidData
from rondel.ring.tokens import tokens_of

__all__ = ["EVER_MS", "Instance", "State", "decode", "encode"]

EVER_MS: Final = 1
"""behind since always"""


class State(StrEnum):
    """Each step waits until those who read and write have applied the one before it::

        (none) --> JOINING --> SETTLING --> ACTIVE <--> RETIRING --> LEAVING --> LEFT
                                   ^  |                               ^  |
                                   |  +-------------------------------+  |
                                   +-------------------------------------+

    In between, some write by the ring before the step and some by the one after it. So readers take both
    for possible while a state is in doubt, and a step is taken only when all of them do.
    """

    JOINING = "JOINING"
    """not yet written, and every reader is to know that it will be"""
    SETTLING = "SETTLING"
    """written; somebody may still write without it"""
    ACTIVE = "ACTIVE"
    """written by everybody; a restart changes nothing of that"""
    RETIRING = "RETIRING"
    """still written, and every reader is to know that it will not be"""
    LEAVING = "LEAVING"
    """not written; then it ships what it has"""
    LEFT = "LEFT"
    """gone: the entry tells it from one that the store has lost"""

    @property
    def is_written(self) -> bool:
        """Whether samples go to it."""
        return self in (State.SETTLING, State.ACTIVE, State.RETIRING)

    @property
    def is_in_doubt(self) -> bool:
        """Whether somebody else may hold the contrary for true."""
        return self not in (State.ACTIVE, State.LEFT)


@dataclass(frozen=True, slots=True)
class Instance:
    """Who it is, where it listens and which ranges it takes."""

    id: str
    zone: str
    address: str
    """host:port of its RPC"""
    ordinal: int
    """its number in the zone, from which its tokens follow"""
    state: State
    epoch: int = 0
    """of the step that led here: steps of all instances are numbered in one row"""
    fence: int = 0
    """who has not applied this epoch is refused by everybody who has"""
    spans: tuple[tuple[int, int], ...] = ()
    """epochs from and until when it was written, ascending; until 0: it still is"""
    settled_ms: int = 0
    """since when nobody writes by a ring from before its last span began or ended; 0 while it joins first"""
    behind_since_ms: int = 0
    """from when on it may lack what it has acknowledged; 0 where it lacks nothing. Of one that has left: it
    was forgotten, and what it had is not in blocks"""

    def was_written(self, epoch: int) -> bool:
        """Whether the ring of that epoch wrote it."""
        if not self.spans:
            return self.state.is_written
        return any(start <= epoch and (not end or epoch < end) for start, end in self.spans)

    def tokens(self) -> NDArray[np.uint64]:
        """uint64[512], ascending"""
        return tokens_of(self.ordinal)


_decoder = msgspec.json.Decoder(Instance)


def encode(instance: Instance) -> bytes:
    """The entry's value."""
    return msgspec.json.encode(instance)


def decode(value: bytes) -> Instance:
    """Raises InvalidData for what is no entry; the rest of a ring does not suffer from one."""
    try:
        instance = _decoder.decode(value)
        instance.tokens()
    except (msgspec.DecodeError, ValueError) as error:
        raise InvalidData(f"ring entry of {len(value)} bytes: {error}", "ring-entry") from error
    return instance
