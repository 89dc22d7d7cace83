"""Which queries run right now, in a file that outlives the process.

The file is mapped into memory: a query costs two small copies and no system call, and what was copied is
the kernel's, whatever kills the process (SIGKILL, the OOM killer, a fault in native code). It is not synced,
so a power cut may lose it, for which no query is to blame. Its size is fixed.

A file is a header (magic, state) and slots; a slot is its text's length (0: free), CRC32 and JSON.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from rondel.runtime import logs

__all__ = ["Inflight", "RunningQuery"]

_MAGIC: Final = b"RNDLQRY1"
_HEADER: Final = struct.Struct("<8sI")
_SLOT: Final = struct.Struct("<II")
_SLOT_BYTES: Final = 4096
_TEXT_CHARS_MAX: Final = 600
"""At six bytes for the worst character in JSON, a text always fits into its slot."""
_RUNNING, _STOPPING = 0, 1

_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class RunningQuery:
    """One query as it is remembered."""

    key: str
    tenant: str
    text: str
    span_ms: int
    """from its first to its last step"""
    began_ms: int = 0


class Inflight:
    """A table of queries in flight. `open` before anything else; `enter` and `leave` from any thread."""

    def __init__(self, path: Path, slots: int) -> None:
        self._path = path
        self._free = deque(range(slots))
        self._size_bytes = (slots + 1) * _SLOT_BYTES
        self._map: mmap.mmap | None = None

    def open(self) -> list[RunningQuery]:
        """Starts a fresh table; what ran when the process before this one died, nothing where it stopped.

        Raises OSError where the file cannot be written.
        """
        died = self._read()
        fresh = self._path.with_suffix(".new")
        # Written, not only extended: a full disk must show here, not as a fault in the map.
        fresh.write_bytes(_HEADER.pack(_MAGIC, _RUNNING).ljust(self._size_bytes, b"\0"))
        os.replace(fresh, self._path)
        with self._path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), self._size_bytes)
        return died

    def enter(self, query: RunningQuery) -> int | None:
        """Remembers a query; its slot, which goes to `leave`, or None where there is no room."""
        if self._map is None or not self._free:
            return None
        try:
            slot = self._free.popleft()
        except IndexError:  # another thread took the last one
            return None
        text = msgspec.json.encode(replace(query, text=query.text[:_TEXT_CHARS_MAX]))
        at = (slot + 1) * _SLOT_BYTES
        self._map[at + 4 : at + 8 + len(text)] = struct.pack("<I", zlib.crc32(text)) + text
        # Last, so that a death in between leaves a free slot.
        self._map[at : at + 4] = struct.pack("<I", len(text))
        return slot

    def leave(self, slot: int | None) -> None:
        """Forgets what `enter` remembered."""
        if slot is None or self._map is None:
            return
        at = (slot + 1) * _SLOT_BYTES
        self._map[at : at + 4] = bytes(4)
        self._free.append(slot)

    def stopping(self) -> None:
        """From here on the process ends on purpose: whatever still runs is not to blame."""
        if self._map is not None:
            self._map[: _HEADER.size] = _HEADER.pack(_MAGIC, _STOPPING)

    def _read(self) -> list[RunningQuery]:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return []
        if len(data) < _SLOT_BYTES or _HEADER.unpack_from(data) != (_MAGIC, _RUNNING):
            return []
        slots = (data[at : at + _SLOT_BYTES] for at in range(_SLOT_BYTES, len(data), _SLOT_BYTES))
        return [query for query in map(_query_of, slots) if query is not None]


def _query_of(slot: bytes) -> RunningQuery | None:
    if len(slot) < _SLOT_BYTES:
        return None
    length, checksum = _SLOT.unpack_from(slot)
    text = slot[_SLOT.size : _SLOT.size + length]
    if not length or len(text) < length or zlib.crc32(text) != checksum:
        return None
    try:
        return msgspec.json.decode(text, type=RunningQuery)
    except msgspec.DecodeError as error:
        _log.warning("a slot of the queries in flight is not readable", error=str(error))
        return None
