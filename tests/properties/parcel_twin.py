"""The slow twins of routing and of the parcel: by `Routes.of` and a loop, and by the page of the format."""

from __future__ import annotations

import struct
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from rondel._native import crc32c
from rondel.model.labels import LabelSets
from rondel.model.parcel import KnownSeries
from rondel.model.write import WriteBatch
from rondel.ring.ring import Routes
from tests.properties.write_twin import TYPES, Labels, Metadata

__all__ = ["Columns", "hashes_of", "items_of_members", "nobody", "read", "resealed", "sets_of"]

_HEAD: Final = struct.Struct("<IBBHII")
_COUNTS, _SECTIONS, _LABELS, _METADATA = 1, 2, 4, 8


def nobody() -> KnownSeries:
    """Of a destination that has acknowledged nothing."""
    return KnownSeries(1_000)


def hashes_of(batch: WriteBatch) -> list[int]:
    """The hash of every item."""
    series = [batch.fingerprint(index) & (1 << 64) - 1 for index in range(len(batch))]
    names = LabelSets.from_dicts([{"__name__": metric} for metric, *_ in batch.metadata()])
    return series + [int(low) for low in names.fingerprints()[:, 0]] if len(names) else series


def sets_of(routes: Routes, batch: WriteBatch) -> list[set[int]]:
    """The members of every item."""
    hashes = np.array(hashes_of(batch), np.uint64)
    return [{place for place in row if place >= 0} for row in routes.of(hashes).tolist()]


def items_of_members(routes: Routes, batch: WriteBatch) -> dict[int, list[int]]:
    """Which items each member gets, if any."""
    items: dict[int, list[int]] = defaultdict(list)
    for item, members in enumerate(sets_of(routes, batch)):
        for member in members:
            items[member].append(item)
    return dict(sorted(items.items()))


@dataclass
class Columns:
    """What a parcel without sections says."""

    prints: list[int]
    samples: list[list[tuple[int, int]]]
    """(timestamp, bits) of each series"""
    labels: dict[int, Labels] = field(default_factory=dict)
    """by series"""
    metadata: list[Metadata] = field(default_factory=list)


class _Reader:
    def __init__(self, payload: bytes, at: int) -> None:
        self.payload, self.at = payload, at

    def take(self, size: int) -> bytes:
        self.at += size
        return self.payload[self.at - size : self.at]

    def varint(self) -> int:
        value = shift = 0
        while True:
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def signed(self) -> int:
        value = self.varint()
        return value >> 1 ^ -(value & 1)

    def text(self) -> str:
        return self.take(self.varint()).decode()


def read(payload: bytes) -> Columns:
    """A parcel without sections."""
    crc, version, flags, zero, series, samples = _HEAD.unpack_from(payload)
    assert (crc, version, zero) == (crc32c(payload[4:]), 1, 0)
    assert not flags & _SECTIONS
    reader = _Reader(payload, _HEAD.size)
    prints = [int.from_bytes(reader.take(16), "little") for _ in range(series)]
    bits = [int.from_bytes(reader.take(8), "little") for _ in range(samples)]
    counts = [reader.varint() if flags & _COUNTS else 1 for _ in range(series)]
    rows = iter(list(zip(_times(reader, samples), bits, strict=True)))
    columns = Columns(prints, [[next(rows) for _ in range(count)] for count in counts])
    assert next(rows, None) is None
    if flags & _LABELS:
        _read_labels(reader, columns)
    if flags & _METADATA:
        for _ in range(reader.varint()):
            (kind,) = reader.take(1)
            metric, help_text, unit = (reader.text() for _ in range(3))
            columns.metadata.append((metric, TYPES[kind], help_text, unit))
    assert reader.at == len(payload)
    return columns


def _times(reader: _Reader, count: int) -> list[int]:
    time_ms = reader.signed()
    if reader.take(1) == b"\0":
        return [time_ms] * count
    times = []
    for _ in range(count):
        time_ms = (time_ms + reader.signed() + (1 << 63)) % (1 << 64) - (1 << 63)
        times.append(time_ms)
    return times


def _read_labels(reader: _Reader, columns: Columns) -> None:
    strings = [reader.text() for _ in range(reader.varint())]
    series = -1
    for _ in range(reader.varint()):
        series += 1 + reader.varint()
        count = reader.varint()
        columns.labels[series] = [(strings[reader.varint()], strings[reader.varint()]) for _ in range(count)]


def resealed(payload: bytes) -> bytes:
    """With the checksum of its bytes."""
    return struct.pack("<I", crc32c(payload[4:])) + payload[4:]
