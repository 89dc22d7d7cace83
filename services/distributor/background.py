"""Pushes that go on although their batch is decided: the replicas beyond the quorum shall have it, too.

An ingester that is frozen would let them pile up, so they are bounded by size. The oldest are given up first:
they are those that wait for it, while those of an ingester that is merely slower take milliseconds.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any

__all__ = ["Background"]


class Background:
    """Tasks with the memory that each holds. The tasks belong to somebody else, who ends them at a stop."""

    def __init__(self, size_bytes_max: int) -> None:
        self.size_bytes = 0
        self.given_up = 0
        """tasks that were cancelled for their size, since the start"""
        self._size_bytes_max = size_bytes_max
        self._tasks: OrderedDict[asyncio.Task[Any], int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tasks)

    def add(self, task: asyncio.Task[Any], size_bytes: int) -> None:
        """Counts the task until it ends; others may be cancelled for it, or it itself."""
        self._tasks[task] = size_bytes
        self.size_bytes += size_bytes
        task.add_done_callback(self._forget)
        while self.size_bytes > self._size_bytes_max:
            oldest = next(iter(self._tasks))
            self._forget(oldest)
            self.given_up += 1
            oldest.cancel()

    async def settled(self, patience_s: float) -> None:
        """Returns when all have ended, or the time is over."""
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=patience_s)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self.size_bytes -= self._tasks.pop(task, 0)
