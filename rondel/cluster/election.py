"""Which replica of a pair speaks: two scrapers send the same series, and one of them is listened to.

The one elected stays so for as long as its samples come. When none came for `failover_s`, the replica whose
samples do come takes over. All of it pure; `ha` keeps the outcome in the store.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

import msgspec

from rondel.errors import ConfigError, InvalidData

__all__ = ["Elected", "Settings", "Verdict", "decode", "encode", "judge"]


@dataclass(frozen=True, slots=True)
class Settings:
    """When replicas of a pair change."""

    failover_s: float = 30.0
    """Silence of the elected replica after which the other one is elected."""
    refresh_s: float = 10.0
    """How often etcd is told that the elected one is alive; spread by up to a quarter."""
    pairs_max: int = 100
    """Pairs of one tenant."""

    def __post_init__(self) -> None:
        if not 0 < self.refresh_s * 1.25 < self.failover_s:
            raise ConfigError(
                "ha: failover_s must be more than 1.25 times refresh_s, "
                f"is {self.failover_s} to {self.refresh_s}"
            )


@dataclass(frozen=True, slots=True)
class Elected:
    """What the store keeps of a pair."""

    replica: str
    seen_ms: int
    """when samples of it came last, by the clock of whoever wrote this; nothing is decided by it"""
    term: int = 1
    """how many replicas were elected so far"""


class Verdict(Enum):
    """What becomes of samples of a replica."""

    TAKE = auto()
    """it is the elected one"""
    REFRESH = auto()
    """it is, and the store should be told again"""
    ELECT = auto()
    """it is to be the elected one, as soon as the store agrees"""
    DROP = auto()
    """another one is"""


def judge(known: Elected | None, heard_ms: int, replica: str, now_ms: int, settings: Settings) -> Verdict:
    """`heard_ms`: when we learned last, by our own clock, that the elected one is alive; so clocks of two
    processes are never compared."""
    if known is None:
        return Verdict.ELECT
    silent_s = (now_ms - heard_ms) / 1000
    if known.replica == replica:
        return Verdict.REFRESH if silent_s >= settings.refresh_s else Verdict.TAKE
    return Verdict.ELECT if silent_s >= settings.failover_s else Verdict.DROP


def encode(elected: Elected) -> bytes:
    """The value of its key."""
    return msgspec.json.encode(elected)


def decode(value: bytes) -> Elected:
    """Raises InvalidData."""
    try:
        return msgspec.json.decode(value, type=Elected)
    except msgspec.DecodeError as error:
        raise InvalidData(f"elected replica of {len(value)} bytes: {error}", "ha-entry") from error
