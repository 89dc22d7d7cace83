"""The thin door to the native head: series, chunks and WAL records of one tenant."""

from __future__ import annotations

from rondel._native import (
    WAL_HEADER_BYTES,
    WAL_KINDS_OF_SAMPLES,
    Head,
    Pending,
    Pin,
    wal_frame,
    wal_header,
    wal_salt,
    wal_scan,
    wal_tenant,
)

__all__ = [
    "WAL_HEADER_BYTES",
    "WAL_KINDS_OF_SAMPLES",
    "Head",
    "Pending",
    "Pin",
    "wal_frame",
    "wal_header",
    "wal_salt",
    "wal_scan",
    "wal_tenant",
]
