"""An event loop whose clock is a number: when nothing is ready, it jumps to the next timer."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["Stuck", "VirtualLoop"]


class Stuck(RuntimeError):
    """Everybody waits and no timer is set."""


class VirtualLoop(asyncio.BaseEventLoop):
    """No sockets, no threads, no wall clock: the same program takes the same way every time."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._selector = self

    def time(self) -> float:
        return self._now_s

    def select(self, timeout: float | None) -> list[Any]:
        """What the base class calls to wait."""
        if timeout is None:
            raise Stuck("nothing can happen any more")
        self._now_s += timeout
        return []

    def _process_events(self, events: list[Any]) -> None:
        return None

    def _write_to_self(self) -> None:
        return None
