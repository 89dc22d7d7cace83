"""`meta.json` and marks: the small objects that say what a block is and what becomes of it.

A block exists once its `meta.json` does; it is written last and deleted first.
"""

from __future__ import annotations

from typing import Final

import msgspec

from rondel.block.ulid import is_ulid
from rondel.errors import Corruption

__all__ = [
    "DATA",
    "DELETION_MARK",
    "INDEX",
    "META",
    "NO_COMPACT_MARK",
    "File",
    "Mark",
    "Meta",
    "decode_mark",
    "decode_meta",
    "encode",
    "key",
]

VERSION: Final = 1
META: Final = "meta.json"
INDEX: Final = "index"
DATA: Final = "data"
DELETION_MARK: Final = "deletion-mark.json"
NO_COMPACT_MARK: Final = "no-compact-mark.json"


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """One file of a block."""

    size_bytes: int
    crc32c: int


class Meta(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a block is. Times are those of its samples and exemplars, inclusive."""

    version: int
    ulid: str
    tenant: str
    mint_ms: int
    maxt_ms: int
    level: int
    """1: written by an ingester; one more with each compaction."""
    sources: tuple[str, ...]
    """The level-1 blocks that went into it, itself for level 1; sorted."""
    parents: tuple[str, ...]
    """The blocks that a compaction merged into it."""
    series: int
    samples: int
    """Of floats."""
    columns: int
    index: File
    data: File
    histograms: int = 0
    exemplars: int = 0

    @property
    def size_bytes(self) -> int:
        """Bytes of index and data."""
        return self.index.size_bytes + self.data.size_bytes

    def overlaps(self, mint_ms: int, maxt_ms: int) -> bool:
        """Whether any sample may lie in the range, inclusive at both ends."""
        return self.mint_ms <= maxt_ms and self.maxt_ms >= mint_ms


class Mark(msgspec.Struct, frozen=True):
    """A decision about a block: when it was taken, and why."""

    time_ms: int
    reason: str


def key(tenant: str, ulid: str, file: str) -> str:
    """The object that is this file of a block."""
    return f"{tenant}/{ulid}/{file}"


def encode(value: Meta | Mark) -> bytes:
    """As stored: JSON for people as well."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def decode_meta(data: bytes, tenant: str, ulid: str) -> Meta:
    """The meta of this block; raises `Corruption` where it is none, or another's."""
    where = key(tenant, ulid, META)
    try:
        meta = msgspec.json.decode(data, type=Meta)
    except msgspec.DecodeError as cause:
        raise Corruption(f"meta.json: {cause}", where=where) from cause
    if meta.version != VERSION:
        raise Corruption(f"block version {meta.version}, known is {VERSION}", where=where)
    if meta.ulid != ulid or meta.tenant != tenant or not is_ulid(meta.ulid):
        raise Corruption(f"meta.json is of block {meta.tenant}/{meta.ulid}", where=where)
    return meta


def decode_mark(data: bytes, where: str) -> Mark:
    """The mark; raises `Corruption` where it is none."""
    try:
        return msgspec.json.decode(data, type=Mark)
    except msgspec.DecodeError as cause:
        raise Corruption(f"mark: {cause}", where=where) from cause
