"""Prometheus' chunks read slowly: bits as text, one at a time. The twin of `native/src/tsdb`."""

from __future__ import annotations

import struct
from typing import Any

__all__ = ["Bits", "read_histogram_chunk", "read_xor_chunk"]

STALE = 0x7FF0000000000002
HINTS = {"00": "unknown", "10": "reset", "01": "not_reset", "11": "gauge"}
VARBIT_WIDTHS = [0, 3, 6, 9, 12, 18, 25, 56, 64]


class Bits:
    def __init__(self, data: bytes) -> None:
        self.text = "".join(f"{byte:08b}" for byte in data)

    def take(self, count: int) -> str:
        assert len(self.text) >= count, "the chunk is cut off"
        taken, self.text = self.text[:count], self.text[count:]
        return taken

    def number(self, count: int) -> int:
        return int(self.take(count) or "0", 2)

    def ones(self, most: int) -> int:
        count = 0
        while count < most and self.take(1) == "1":
            count += 1
        return count

    def uvarint(self) -> int:
        value = shift = 0
        while True:
            byte = self.number(8)
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def varint(self) -> int:
        value = self.uvarint()
        return value >> 1 if value % 2 == 0 else -(value >> 1) - 1

    def varbit(self) -> int:
        return self.number(VARBIT_WIDTHS[self.ones(8)])

    def signed_varbit(self) -> int:
        width = VARBIT_WIDTHS[self.ones(8)]
        return signed(self.number(width), width)


def signed(value: int, width: int) -> int:
    """64 bits are two's complement; fewer have one more number above zero than below."""
    if width == 64:
        return value - 2**64 if value >= 2**63 else value
    return value - 2**width if width and value > 2 ** (width - 1) else value


class Column:
    def __init__(self, value: int) -> None:
        self.value = value
        self.leading = self.trailing = 0

    def next(self, bits: Bits) -> int:
        if bits.take(1) == "1":
            if bits.take(1) == "1":
                self.leading = bits.number(5)
                self.trailing = 64 - self.leading - (bits.number(6) or 64)
            self.value ^= bits.number(64 - self.leading - self.trailing) << self.trailing
        return self.value


def read_xor_chunk(chunk: bytes) -> list[tuple[int, int]]:
    """`(time, bits of the value)` of every sample."""
    bits = Bits(chunk)
    count = bits.number(16)
    samples: list[tuple[int, int]] = []
    time = delta = 0
    column = Column(0)
    for index in range(count):
        if index == 0:
            time, column = bits.varint(), Column(bits.number(64))
            samples.append((time, column.value))
            continue
        if index == 1:
            delta = bits.uvarint()
        else:
            width = [0, 14, 17, 20, 64][bits.ones(4)]
            delta += signed(bits.number(width), width)
        time += delta
        samples.append((time, column.next(bits)))
    return samples


def as_float(bits: int) -> float:
    return float(struct.unpack("<d", struct.pack("<Q", bits))[0])


def read_spans(bits: Bits) -> list[int]:
    indexes: list[int] = []
    at = 0
    for _ in range(bits.varbit()):
        length = bits.varbit()
        at += bits.signed_varbit()
        indexes += range(at, at + length)
        at += length
    return indexes


def read_layout(bits: Bits) -> dict[str, Any]:
    threshold = bits.number(8)
    zero_threshold = (
        0.0 if threshold == 0 else as_float(bits.number(64)) if threshold == 255 else 2.0 ** (threshold - 244)
    )
    schema = bits.signed_varbit()
    layout = {
        "zero_threshold": zero_threshold,
        "schema": schema,
        "positive": read_spans(bits),
        "negative": read_spans(bits),
        "custom_values": [],
    }
    if schema == -53:
        for _ in range(bits.varbit()):
            thousandths = bits.varbit()
            layout["custom_values"].append(
                (thousandths - 1) / 1000 if thousandths else as_float(bits.number(64))
            )
    return layout


def read_histogram_chunk(chunk: bytes) -> tuple[str, list[tuple[int, dict[str, Any]]]]:
    """How the chunk says that it began, and `(time, histogram)` of every sample, without hints."""
    bits = Bits(chunk)
    count, began = bits.number(16), HINTS[bits.take(2)]
    bits.take(6)
    layout = read_layout(bits)
    width = 3 + len(layout["positive"]) + len(layout["negative"])
    samples = []
    time = delta = 0
    columns: list[Column] = []
    for index in range(count):
        if index == 0:
            time = bits.signed_varbit()
            columns = [Column(bits.number(64)) for _ in range(width)]
        else:
            delta = bits.varbit() if index == 1 else delta + bits.signed_varbit()
            time += delta
            for column in columns[:3]:
                column.next(bits)
            if columns[2].value != STALE:
                for column in columns[3:]:
                    column.next(bits)
        samples.append((time, histogram(layout, [column.value for column in columns])))
    return began, samples


def histogram(layout: dict[str, Any], cells: list[int]) -> dict[str, Any]:
    if cells[2] == STALE:
        return {"sum": STALE}
    positive = len(layout["positive"])
    counts = [as_float(cell) for cell in cells[3:]]
    return {
        **layout,
        "count": as_float(cells[0]),
        "zero_count": as_float(cells[1]),
        "sum": cells[2],
        "positive": dict(zip(layout["positive"], counts[:positive], strict=True)),
        "negative": dict(zip(layout["negative"], counts[positive:], strict=True)),
    }
