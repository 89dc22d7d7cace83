"""The slow twin of the head: dictionaries, and the rules of docs/format/chunk.md word by word."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field

__all__ = ["STALE_BITS", "HeadTwin", "float_of", "pick", "rank_of"]

STALE_BITS = 0x7FF0000000000002


def float_of(bits: int) -> float:
    """The double with these bits."""
    (value,) = struct.unpack("<d", struct.pack("<Q", bits))
    return float(value)


def rank_of(bits: int) -> int:
    """Position in the total order of IEEE 754."""
    return bits if bits < 1 << 63 else (1 << 63) - 1 - bits


def pick(left: int, right: int) -> int:
    """The value that stays of two for one timestamp."""
    return max(left, right, key=lambda bits: (bits != STALE_BITS, rank_of(bits)))


@dataclass
class HeadTwin:
    """Accepted samples of each series: time -> value bits."""

    window_ms: int
    max_ms: float = -math.inf
    series: dict[str, dict[int, int]] = field(default_factory=dict)

    def is_too_old(self, time_ms: int) -> bool:
        """Whether a sample lies behind the window now."""
        return time_ms < self.max_ms - self.window_ms

    def accept(self, name: str, time_ms: int, bits: int) -> None:
        """Adds a sample to the set."""
        samples = self.series.setdefault(name, {})
        samples[time_ms] = pick(samples.get(time_ms, bits), bits)

    def read(self, name: str, mint_ms: int, maxt_ms: int) -> list[tuple[int, int]]:
        """(time, bits) in the range, ascending."""
        samples = self.series.get(name, {})
        return sorted((time_ms, bits) for time_ms, bits in samples.items() if mint_ms <= time_ms <= maxt_ms)
