"""Tokens of an instance, from its place in its zone alone: nobody has to keep them.

A token owns the hashes after the token before it, up to and including itself. Instance 0 divides the
hashes evenly; every further one takes the same share from each of those before it, out of their largest
ranges, so that with any number of instances all own nearly the same. The idea is that of the
spread-minimizing tokens of Grafana's dskit; the arithmetic here is exact, in integers.
"""

from __future__ import annotations

import heapq
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["TOKENS", "tokens_of"]

TOKENS: Final = 512
"""tokens of an instance"""
HASHES: Final = 1 << 64
ORDINAL_MAX: Final = 1_000


def tokens_of(ordinal: int) -> NDArray[np.uint64]:
    """uint64[512], ascending: the tokens of the instance number `ordinal` of a zone."""
    if not 0 <= ordinal <= ORDINAL_MAX:
        raise ValueError(f"ordinal {ordinal} of an ingester, want 0 to {ORDINAL_MAX}")
    while len(_GROWN.tokens) <= ordinal:
        _GROWN.add()
    return _GROWN.tokens[ordinal]


class _Zone:
    """A zone that instances are added to one by one."""

    def __init__(self) -> None:
        self.tokens: list[NDArray[np.uint64]] = []
        self._owned: list[int] = []
        # Of each instance its ranges, the largest first: (-size, last hash).
        self._ranges: list[list[tuple[int, int]]] = []

    def add(self) -> None:
        taken = self._take() if self.tokens else [(HASHES // TOKENS, _even(i)) for i in range(TOKENS)]
        self.tokens.append(np.array(sorted(last for _, last in taken), dtype=np.uint64))
        self._ranges.append([(-size, last) for size, last in taken])
        heapq.heapify(self._ranges[-1])
        self._owned.append(sum(size for size, _ in taken))

    def _take(self) -> list[tuple[int, int]]:
        """Sizes and last hashes of what a new instance gets: each time from whoever owns the most."""
        share = HASHES // (len(self.tokens) + 1)
        owners = [(-owned, number) for number, owned in enumerate(self._owned)]
        heapq.heapify(owners)
        taken: list[tuple[int, int]] = []
        for left in range(TOKENS, 0, -1):
            owned, number = heapq.heappop(owners)
            size = self._cut(number, share // left, taken)
            share -= size
            self._owned[number] -= size
            heapq.heappush(owners, (owned + size, number))
        return taken

    def _cut(self, number: int, wanted: int, taken: list[tuple[int, int]]) -> int:
        """Takes the start of an instance's largest range, and leaves some of it."""
        negative, last = heapq.heappop(self._ranges[number])
        size = min(wanted, -negative - 1)
        taken.append((size, (last + negative + size) % HASHES))
        heapq.heappush(self._ranges[number], (negative + size, last))
        return size


def _even(number: int) -> int:
    return (number + 1) * (HASHES // TOKENS) - 1


_GROWN: Final = _Zone()
"""the same in every zone and process; it grows as far as somebody asks"""
