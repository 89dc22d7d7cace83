"""An ingester's entry in the store: written when something of it changes, never as a heartbeat."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import msgspec
import numpy as np
from numpy.typing import NDArray

from rondel.errors import InvalidData
from rondel.ring.tokens import tokens_of

__all__ = ["Instance", "State", "decode", "encode"]


class State(StrEnum):
    """::

    (none) --join--> JOINING --every reader knows--> ACTIVE --leave--> LEAVING --shipped--> (none)
                                                       ^  |
                                                       +--+  restart: same tokens, same log
    """

    JOINING = "JOINING"
    """read, not written: its ranges still belong to those before it"""
    ACTIVE = "ACTIVE"
    LEAVING = "LEAVING"
    """read, not written: it ships what it has"""


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
    active_since_ms: int = 0
    """when it first took writes: rings of earlier times are without it; 0 while it never did"""
    behind_since_ms: int = 0
    """from when on it may lack what its replicas have; 0 where it lacks nothing"""

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
