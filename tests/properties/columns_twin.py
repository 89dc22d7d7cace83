"""The slow twin of a head with all kinds of content: dictionaries, and the rules of docs/format/chunk.md."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from rondel.model.histogram import Histograms
from rondel.model.labels import LabelSets
from rondel.model.write import WriteBatch
from tests.properties.head_twin import STALE_BITS, float_of, pick, rank_of

if TYPE_CHECKING:
    from rondel._native import FrameArrays

__all__ = ["EXEMPLAR_LABELS", "POOL", "ColumnsTwin", "Row", "batch_of", "bits_of", "canonical", "pool_rank"]

Key = tuple[Any, ...]


def bits_of(value: float) -> int:
    """The bits of a double."""
    (bits,) = struct.unpack("<Q", struct.pack("<d", value))
    return int(bits)


def _many() -> list[dict[str, Any]]:
    """Histograms of several layouts: rising ones, one that fell, gauges, markers, odd values."""
    stale = float_of(STALE_BITS)
    rising = [
        {"count": 10 + 7 * n, "sum": 2.5 * n, "zero_count": n, "positive": {-1: 3 + n, 0: 5 * n, 4: 2}}
        for n in range(5)
    ]
    custom = {"schema": -53, "custom_values": [0.1, 1.0, 5.0], "count": 6, "positive": {0: 1, 2: 5}}
    return [
        *rising,
        {**rising[4], "hint": "not_reset"},
        {**rising[2], "hint": "gauge"},
        {**rising[3], "hint": "reset", "sum": -0.0},
        {"sum": stale},
        {"sum": stale, "count": 3.0, "positive": {7: 3}},
        custom,
        {**custom, "count": 9, "positive": {0: 1, 2: 8}},
        {**custom, "custom_values": [0.1, 1.0, 6.0]},
        {"schema": 8, "zero_threshold": 1e-9, "count": 0.5, "sum": 1e300, "negative": {-100: 0.25, 9: 0.25}},
        {"count": 2.0**53, "sum": float_of(0x7FF8000000000123), "positive": {n: n * 1000 for n in range(90)}},
    ]


POOL = Histograms.from_dicts(_many())
EXEMPLAR_LABELS: list[dict[str, str]] = [{}, {"trace_id": "a"}, {"trace_id": "a", "span": "ü"}]


def canonical(histogram: dict[str, Any]) -> Key:
    """Everything but the hint, every bit of it."""

    def side(name: str) -> Key:
        return tuple((index, bits_of(count)) for index, count in sorted(histogram[name].items()))

    numbers = [bits_of(histogram[name]) for name in ("zero_threshold", "count", "sum", "zero_count")]
    bounds = tuple(map(bits_of, histogram["custom_values"]))
    return histogram["schema"], *numbers, bounds, side("positive"), side("negative")


def pool_rank(index: int) -> Key:
    """Where a histogram of the pool stands among those for one time; the largest stays."""
    one = POOL[index]

    def total(values: list[float]) -> Key:
        return tuple(rank_of(bits_of(value)) for value in values)

    cells = [
        one["count"],
        one["sum"],
        one["zero_count"],
        *one["positive"].values(),
        *one["negative"].values(),
    ]
    return (
        bits_of(one["sum"]) != STALE_BITS,
        *total([one["count"], one["sum"]]),
        one["schema"],
        *total([one["zero_threshold"]]),
        total(one["custom_values"]),
        tuple(one["positive"]),
        tuple(one["negative"]),
        total(cells),
    )


@dataclass(frozen=True)
class Row:
    """One thing that is pushed. `value` is bits of a float, an index in the pool, or an index of labels."""

    kind: str
    """f, h or e"""
    series: str
    time_ms: int
    value: int
    start_ms: int = 0


def batch_of(rows: list[Row]) -> WriteBatch:
    """The rows as one push, each a series of its own."""
    floats = [row for row in rows if row.kind == "f"]
    histograms = [row for row in rows if row.kind == "h"]
    exemplars = [row for row in rows if row.kind == "e"]

    def offsets(kind: str) -> np.ndarray[Any, np.dtype[np.int64]]:
        return np.cumsum([0, *(row.kind == kind for row in rows)], dtype=np.int64)

    def column(numbers: list[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
        return np.array(numbers, np.int64)

    arrays: FrameArrays = (
        offsets("f"),
        column([row.time_ms for row in floats]),
        np.array([row.value for row in floats], np.uint64).view(np.float64),
        column([row.start_ms for row in floats]) if any(row.start_ms for row in floats) else None,
        (
            offsets("h"),
            column([row.time_ms for row in histograms]),
            column([row.start_ms for row in histograms]),
            POOL.take([row.value for row in histograms]),
        ),
    )
    labels = LabelSets.from_dicts([{"__name__": row.series} for row in rows])
    own = LabelSets.from_dicts([EXEMPLAR_LABELS[row.value] for row in exemplars])
    times = column([row.time_ms for row in exemplars])
    values = np.array([float(row.value) for row in exemplars], np.float64)
    return WriteBatch.from_arrays(labels, arrays, (offsets("e"), times, values, own))


Point = tuple[int, int, int]
"""time, value, start"""


@dataclass
class ColumnsTwin:
    """What was accepted: (kind, series) -> time -> (value, start)."""

    columns: dict[tuple[str, str], dict[int, tuple[int, int]]] = field(default_factory=dict)
    exemplars: dict[str, set[tuple[int, int]]] = field(default_factory=dict)

    def accept(self, row: Row) -> None:
        """Adds to the set; exemplars only where there is a series."""
        if row.kind == "e":
            self.exemplars.setdefault(row.series, set()).add((row.time_ms, row.value))
            return
        column = self.columns.setdefault((row.kind, row.series), {})
        value, start_ms = column.get(row.time_ms, (row.value, row.start_ms))
        if row.kind == "f":
            value = pick(value, row.value)
        else:
            value = max(value, row.value, key=pool_rank)
        # None is no start to choose from, not the start at 0.
        stated = [start for start in (start_ms, row.start_ms) if start]
        column[row.time_ms] = value, max(stated, default=0)

    def accept_all(self, rows: list[Row]) -> None:
        """Samples first: they make the series that exemplars need."""
        for row in rows:
            if row.kind != "e":
                self.accept(row)
        for row in rows:
            if row.kind == "e" and self.has(row.series):
                self.accept(row)

    def has(self, series: str) -> bool:
        """Whether the series exists."""
        return ("f", series) in self.columns or ("h", series) in self.columns

    def read(self, kind: str, series: str, mint_ms: int, maxt_ms: int) -> list[Point]:
        """Samples of one kind in the range, ascending."""
        column = self.columns.get((kind, series), {})
        return [(time, *column[time]) for time in sorted(column) if mint_ms <= time <= maxt_ms]
