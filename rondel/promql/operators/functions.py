"""Functions of one float: mathematics, rounding, clamping, and the calendar. Histograms are left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rondel.promql.matrix import Block, Floats, Grid
from rondel.promql.operators.node import Node, RowWise, Run, ScalarNode, Stream, VectorNode, drop_names

__all__ = ["CALENDAR", "PLAIN", "Clamp", "Map", "NoStarts", "Round", "StepTimestamp", "civil"]

SECONDS_OF_DAY = 86_400

PLAIN: Final[Mapping[str, Callable[[Floats], Floats]]] = {
    "abs": np.abs,
    "acos": np.arccos,
    "acosh": np.arccosh,
    "asin": np.arcsin,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "atanh": np.arctanh,
    "ceil": np.ceil,
    "cos": np.cos,
    "cosh": np.cosh,
    "deg": np.rad2deg,
    "exp": np.exp,
    "floor": np.floor,
    "ln": np.log,
    "log10": np.log10,
    "log2": np.log2,
    "rad": np.deg2rad,
    "sgn": np.sign,
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "tan": np.tan,
    "tanh": np.tanh,
}


def _seconds(values: Floats) -> NDArray[np.int64]:
    """Whole seconds, towards zero; what is no number or beyond int64 is put at its edge."""
    limit = float(1 << 62)
    return np.clip(np.nan_to_num(values, nan=-limit), -limit, limit).astype(np.int64)


def civil(values: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Year, month and day in UTC, proleptic Gregorian.

    Counts in eras of 400 years that begin on 1 March, so that leap days come last in their year.
    """
    days: NDArray[np.int64] = _seconds(values) // SECONDS_OF_DAY + 719_468
    era, day_of_era = np.divmod(days, 146_097)
    year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted + 2) // 5 + 1
    month = np.where(shifted < 10, shifted + 3, shifted - 9)
    return year_of_era + era * 400 + (month <= 2), month, day


def _leap(year: NDArray[np.int64]) -> NDArray[np.bool_]:
    leap: NDArray[np.bool_] = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    return leap


DAYS_BEFORE_MONTH: Final[NDArray[np.int64]] = np.array(
    [0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365]
)


def _day_of_year(values: Floats) -> NDArray[np.int64]:
    year, month, day = civil(values)
    return DAYS_BEFORE_MONTH[month] + day + (_leap(year) & (month > 2))


def _days_in_month(values: Floats) -> NDArray[np.int64]:
    year, month, _ = civil(values)
    days: NDArray[np.int64] = DAYS_BEFORE_MONTH[month + 1] - DAYS_BEFORE_MONTH[month]
    days += _leap(year) & (month == 2)
    return days


CALENDAR: Final[Mapping[str, Callable[[Floats], NDArray[np.int64]]]] = {
    "day_of_month": lambda values: civil(values)[2],
    "day_of_week": lambda values: (_seconds(values) // SECONDS_OF_DAY + 4) % 7,
    "day_of_year": _day_of_year,
    "days_in_month": _days_in_month,
    "hour": lambda values: _seconds(values) % SECONDS_OF_DAY // 3_600,
    "minute": lambda values: _seconds(values) % 3_600 // 60,
    "month": lambda values: civil(values)[1],
    "year": lambda values: civil(values)[0],
}


@dataclass(frozen=True, slots=True)
class Map(RowWise):
    """A function of the value alone, of `PLAIN` or `CALENDAR`."""

    function: str
    child: VectorNode
    grid: Grid

    def title(self) -> str:
        return f"map {self.function}"

    def open(self, run: Run) -> Stream:
        stream = self.child.open(run)
        return drop_names(
            run, Stream(stream.labels, stream.drop_name, self._blocks(run, stream)), self.grid.count
        )

    def _blocks(self, run: Run, stream: Stream) -> Iterator[Block]:
        function = PLAIN.get(self.function) or CALENDAR[self.function]
        for block in stream.blocks:
            run.control.check()
            values = np.where(block.present, block.values, 1.0)
            yield Block(function(values).astype(np.float64, copy=False), block.present)


@dataclass(frozen=True, slots=True)
class Round(RowWise):
    """`round(v, to)`: half up, to a multiple of `to`."""

    child: VectorNode
    to: ScalarNode | None
    grid: Grid

    def title(self) -> str:
        return "map round"

    def children(self) -> Sequence[Node]:
        return (self.child,) if self.to is None else (self.child, self.to)

    def open(self, run: Run) -> Stream:
        stream = self.child.open(run)
        return drop_names(
            run, Stream(stream.labels, stream.drop_name, self._blocks(run, stream)), self.grid.count
        )

    def _blocks(self, run: Run, stream: Stream) -> Iterator[Block]:
        # Multiplying by the inverse keeps 0.1 and its kind exact where dividing would not.
        inverse = 1.0 / (np.ones(1) if self.to is None else self.to.values(run))
        for block in stream.blocks:
            run.control.check()
            yield Block(np.floor(block.values * inverse + 0.5) / inverse, block.present)


def _minimum(left: Floats, right: Floats) -> Floats:
    """The smaller value; NaN where one is NaN, except that nothing is smaller than -Inf."""
    lowest = (left == -np.inf) | (right == -np.inf)
    return np.where(lowest, -np.inf, np.minimum(left, right))


def _maximum(left: Floats, right: Floats) -> Floats:
    """The larger value; NaN where one is NaN, except that nothing is larger than +Inf."""
    highest = (left == np.inf) | (right == np.inf)
    return np.where(highest, np.inf, np.maximum(left, right))


@dataclass(frozen=True, slots=True)
class Clamp(RowWise):
    """`clamp`, `clamp_min`, `clamp_max`; nothing is left where the minimum is above the maximum."""

    child: VectorNode
    least: ScalarNode | None
    most: ScalarNode | None
    grid: Grid

    def title(self) -> str:
        return "map clamp"

    def children(self) -> Sequence[Node]:
        return [node for node in (self.child, self.least, self.most) if node is not None]

    def open(self, run: Run) -> Stream:
        stream = self.child.open(run)
        return drop_names(
            run, Stream(stream.labels, stream.drop_name, self._blocks(run, stream)), self.grid.count
        )

    def _blocks(self, run: Run, stream: Stream) -> Iterator[Block]:
        least = self.least.values(run) if self.least else np.full(1, -np.inf)
        most = self.most.values(run) if self.most else np.full(1, np.inf)
        sane = ~(least > most)
        for block in stream.blocks:
            run.control.check()
            values = _maximum(least, _minimum(most, block.values))
            yield Block(values, block.present & sane)


@dataclass(frozen=True, slots=True)
class StepTimestamp(RowWise):
    """`timestamp(v)` of anything but a selector: the step itself, where there is a sample."""

    child: VectorNode
    grid: Grid

    def title(self) -> str:
        return "map timestamp"

    def open(self, run: Run) -> Stream:
        stream = self.child.open(run)
        times_s = self.grid.times_ms() / 1000.0
        blocks = (
            Block(np.broadcast_to(times_s, block.values.shape), block.filled) for block in stream.blocks
        )
        return drop_names(run, Stream(stream.labels, stream.drop_name, blocks), self.grid.count)


@dataclass(frozen=True, slots=True)
class NoStarts(RowWise):
    """`start_timestamp(v)` of anything but a selector, or without the feature: nobody knows any start."""

    child: VectorNode
    grid: Grid

    def title(self) -> str:
        return "map start_timestamp"

    def open(self, run: Run) -> Stream:
        stream = self.child.open(run)
        nothing = (Block(block.values, np.zeros_like(block.present)) for block in stream.blocks)
        return drop_names(run, Stream(stream.labels, stream.drop_name, nothing), self.grid.count)
