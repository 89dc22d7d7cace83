"""What a query answers: one of five shapes, with annotations and statistics.

`render` turns it into the API's JSON. Times are milliseconds since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rondel.model.frame import SeriesFrame
from rondel.model.labels import LabelSets
from rondel.promql.matrix import HistogramCells

if TYPE_CHECKING:
    from rondel.promql.tally import Counts

__all__ = ["Data", "InstantVector", "QueryStats", "RangeMatrix", "Result", "ResultKind", "Scalar", "Text"]


class ResultKind(StrEnum):
    """The API's `resultType`."""

    SCALAR = "scalar"
    STRING = "string"
    VECTOR = "vector"
    MATRIX = "matrix"


@dataclass(frozen=True, slots=True)
class Scalar:
    """The answer of an instant query of scalar type."""

    time_ms: int
    value: float


@dataclass(frozen=True, slots=True)
class Text:
    """The answer of an instant query that is a string literal."""

    time_ms: int
    value: str


@dataclass(frozen=True, slots=True, eq=False)
class InstantVector:
    """One sample a series, all at `time_ms`, in the order in which the API shows them."""

    labels: LabelSets
    time_ms: int
    values: NDArray[np.float64]
    """float64[n]"""
    histograms: HistogramCells | None = None
    """Where `index`, int64[n], is not negative, the sample is that histogram and not a float."""


@dataclass(frozen=True, slots=True, eq=False)
class RangeMatrix:
    """The answer of a range query: series sorted by labels, each with at least one sample."""

    labels: LabelSets
    start_ms: int
    step_ms: int
    values: NDArray[np.float64]
    """float64[n, steps]; step `k` is at `start_ms + k * step_ms`"""
    present: NDArray[np.bool_]
    """bool[n, steps]; a value counts only where this is set"""
    histograms: HistogramCells | None = None
    """in cells that have no float"""


Data: TypeAlias = Scalar | Text | InstantVector | RangeMatrix | SeriesFrame
"""`SeriesFrame` (kind MATRIX) answers an instant query of a range vector: samples as they are stored."""


@dataclass(slots=True)
class QueryStats:
    """What a query cost."""

    series: int = 0
    """series that its selectors found"""
    samples_read: int = 0
    """samples decoded"""
    bytes_read: int = 0
    """bytes of the samples decoded"""
    samples_peak: int = 0
    """samples held at once"""
    memory_bytes_peak: int = 0
    """bytes of matrices and samples held at once"""
    prepare_s: float = 0.0
    """parse and plan"""
    select_s: float = 0.0
    read_s: float = 0.0
    sort_s: float = 0.0
    """putting the answer's series in order"""
    eval_s: float = 0.0
    """everything after planning: select, read and sort included"""
    counts: Counts | None = None
    """samples by step, where they were counted"""


@dataclass(frozen=True, slots=True)
class Result:
    """Data with its annotations, which are rendered text, at most ten of a kind."""

    kind: ResultKind
    data: Data
    warnings: list[str] = field(default_factory=list)
    infos: list[str] = field(default_factory=list)
    stats: QueryStats = field(default_factory=QueryStats)
