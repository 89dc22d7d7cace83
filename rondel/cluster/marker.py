"""The note that an ingester's next end is for good: `prepare-shutdown`.

A signal cannot tell a restart from a scale-in, so whoever shrinks the set says so before. The note is a
file: it outlives a crash between the two, and the ingester that finds it finishes what was begun.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rondel.cluster import files

__all__ = ["Marker"]


@dataclass(frozen=True, slots=True)
class Marker:
    """POST, GET and DELETE of `prepare-shutdown` as functions; each may be called any number of times."""

    path: Path

    def set(self, now_ms: int) -> int:
        """When it was set first."""
        since_ms = self.since_ms()
        if since_ms is None:
            since_ms = now_ms
            files.replace(self.path, b"%d\n" % now_ms)
        return since_ms

    def since_ms(self) -> int | None:
        """Since when it is set; None where it is not. A file that cannot be read as a time means that it is
        set."""
        content = files.read(self.path)
        if content is None:
            return None
        text = content.strip()
        return int(text) if text.isdigit() else 0

    def clear(self) -> None:
        """Takes it back."""
        files.remove(self.path)
