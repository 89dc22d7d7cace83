"""Which segment still holds what no block has: values in, values out.

A marker says: the range `range` of `tenant`, as far as segments up to `segment` hold it, is in the block
`block`. A segment may go once every range of every tenant in it is covered; until then replay skips
the covered ranges, so that shipped samples do not come back. Markers stay longer than their segments, since
they also tell whoever reads from memory which blocks the rest went to.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from rondel.errors import Corruption

__all__ = ["TOLD_MS", "Ledger", "Marker", "decode_markers", "encode_markers"]

TOLD_MS: Final = 48 * 3_600_000
"""how long queriers are told of a block, although nothing of it is in the log any more"""


class Marker(msgspec.Struct, frozen=True):
    """A range that was shipped."""

    tenant: str
    range: int
    """Number of the range: covers `[range * range_ms, (range + 1) * range_ms)`."""
    range_ms: int
    segment: int
    """The last segment whose samples the block holds."""
    block: str
    """Id of the block; empty where there was nothing to put into one."""
    shipped_ms: int = 0
    """When the block was there, by our clock."""

    @property
    def start_ms(self) -> int:
        return self.range * self.range_ms

    @property
    def end_ms(self) -> int:
        """The first time after the range."""
        return self.start_ms + self.range_ms


def encode_markers(markers: Iterable[Marker]) -> bytes:
    """The content of the marker file, one a line."""
    return b"[" + b",\n".join(map(msgspec.json.encode, markers)) + b"]\n"


def decode_markers(data: bytes) -> list[Marker]:
    """The markers of a file; `Corruption` when it is damaged."""
    try:
        return msgspec.json.decode(data, type=list[Marker])
    except msgspec.MsgspecError as error:
        raise Corruption(f"the list of shipped ranges is damaged: {error}") from error


class Ledger:
    """What each segment holds, and what was shipped. `range_ms` is the length of a range now.

    Calls come from the event loop, but for `blocks` and `tenants`, which any thread may ask for.
    """

    def __init__(self, range_ms: int, markers: Iterable[Marker] = ()) -> None:
        self._range_ms = range_ms
        self._held: dict[int, set[tuple[str, int]]] = {}
        """Segment -> (tenant, range) of its samples."""
        self._markers: dict[str, list[Marker]] = {}
        """By tenant."""
        self._shipped: dict[str, dict[int, int]] = {}
        """Tenant -> range -> the last segment whose samples of it are in blocks."""
        for marker in markers:
            self.mark(marker)

    @property
    def markers(self) -> list[Marker]:
        """All that are still needed."""
        return [marker for of_tenant in self._markers.values() for marker in of_tenant]

    @property
    def newest(self) -> int:
        """The last segment that was written; 0 where there is none."""
        return max(self._held, default=0)

    @property
    def newest_shipped(self) -> int:
        """The last segment of which anything was shipped; 0 where nothing was."""
        return max((one.segment for one in self.markers), default=0)

    @property
    def tenants(self) -> frozenset[str]:
        """Of whom something was shipped."""
        return frozenset(list(self._markers))

    def blocks(self, tenant: str, mint_ms: int, maxt_ms: int) -> list[str]:
        """Ids of the blocks into which samples of these times went, both ends included, in the last days."""
        of_tenant = list(self._markers.get(tenant, ()))
        return [
            one.block for one in of_tenant if one.block and one.start_ms <= maxt_ms and mint_ms < one.end_ms
        ]

    def hold(self, segment: int, tenant: str, ranges: Iterable[int]) -> None:
        """Notes that a segment has samples of these ranges."""
        held = self._held.setdefault(segment, set())
        for number in ranges:
            held.add((tenant, number))

    def mark(self, marker: Marker) -> None:
        """Notes that a range was shipped."""
        self._markers.setdefault(marker.tenant, []).append(marker)
        shipped = self._shipped.setdefault(marker.tenant, {})
        for number in self._numbers(marker):
            shipped[number] = max(marker.segment, shipped.get(number, 0))

    def covered(self, segment: int, tenant: str) -> list[int]:
        """Ranges of a tenant whose samples in the segment are in blocks."""
        shipped = self._shipped.get(tenant, {})
        return sorted(number for number, last in shipped.items() if segment <= last)

    def deletable(self, current: int) -> list[int]:
        """Segments before the current one that hold nothing that is not in blocks."""
        return [number for number in sorted(self._held) if number < current and self._is_covered(number)]

    def forget(self, numbers: Iterable[int], now_ms: int) -> None:
        """Forgets deleted segments, and markers that spoke only of them once nobody asks for their blocks."""
        for number in numbers:
            self._held.pop(number, None)
        oldest = min(self._held, default=None)
        kept = [
            one
            for one in self.markers
            if (oldest is not None and one.segment >= oldest)
            or (one.block and now_ms - one.shipped_ms < TOLD_MS)
        ]
        fresh = Ledger(self._range_ms, kept)
        self._markers, self._shipped = fresh._markers, fresh._shipped

    def _is_covered(self, segment: int) -> bool:
        return all(
            segment <= self._shipped.get(tenant, {}).get(number, -1) for tenant, number in self._held[segment]
        )

    def _numbers(self, marker: Marker) -> range:
        """The ranges of today that lie wholly in a marker's, which had the length of its day."""
        return range(-(-marker.start_ms // self._range_ms), marker.end_ms // self._range_ms)
