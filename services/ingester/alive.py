"""`Alive`: the note of how far an ingester is, and what its absence or its age means after a start.

Written every few seconds while nothing is lacking, so a process that dies without a word leaves the time
from which on it may have missed pushes. It also tells whether the disk can be short of what was promised: the
machine went down while the log was not synced with each push, or a segment is damaged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from rondel.cluster import files
from rondel.ring.instance import EVER_MS
from rondel.runtime import logs
from services.ingester.config import WalConfig
from services.ingester.replay import Report

__all__ = ["Alive", "AliveFile", "boot_id", "damages_of", "lost_since_ms"]

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Alive:
    """What is known of the last life."""

    whole_ms: int = 0
    """up to when nothing is lacking here that our replicas were given; 0 where there is no such time"""
    boot: str = ""
    """of the machine, at that time"""
    is_closed: bool = False
    """whether the log was synced and closed"""
    segment: int = 0
    """the last one of the log"""
    damages: tuple[tuple[int, int], ...] = ()
    """segment and place of damage of the log that was noted before: it stays there until the segment goes"""


@dataclass(frozen=True, slots=True)
class AliveFile:
    """In a file of the data directory."""

    path: Path

    def load(self) -> Alive | None:
        """None where there is none; one that cannot be read tells nothing."""
        content = files.read(self.path)
        if content is None:
            return None
        try:
            return msgspec.json.decode(content, type=Alive)
        except msgspec.DecodeError as error:
            _log.warning("the note of the last life cannot be read", path=str(self.path), reason=str(error))
            return Alive()

    def store(self, alive: Alive) -> None:
        """Raises OSError."""
        files.replace(self.path, msgspec.json.encode(alive))

    def clear(self) -> None:
        """After we have left: there is nothing to miss."""
        files.remove(self.path)


def boot_id(read: Callable[[], str] = lambda: _BOOT_ID.read_text(encoding="ascii")) -> str:
    """Which start of the machine this is; empty where the kernel does not say."""
    try:
        return read().strip()
    except OSError:
        return ""


def damages_of(report: Report) -> tuple[tuple[int, int], ...]:
    """Damage that costs what was acknowledged. The end that a crash tears was promised to nobody."""
    return tuple((one.segment, one.start) for one in report.damages if not one.torn)


def lost_since_ms(before: Alive | None, report: Report, shipped: int, wal: WalConfig, boot: str) -> int:
    """From when on the disk lacks what was acknowledged before; 0 where it does not. `shipped` is the last
    segment of which anything was.

    Damage says nothing of times, nor does a log that is gone, so both mean always. With a sync at intervals a
    power cut costs what was written after the last one; without syncs nobody knows.
    """
    known = before.damages if before else ()
    if set(damages_of(report)) - set(known):
        return EVER_MS
    if before is not None and before.segment > max(report.last_segment, shipped):
        return EVER_MS
    if before is None or before.is_closed or before.boot == boot or wal.sync == "always":
        return 0
    if wal.sync == "never" or not before.whole_ms:
        return EVER_MS
    return max(EVER_MS, before.whole_ms - 2 * wal.sync_interval_ms)
