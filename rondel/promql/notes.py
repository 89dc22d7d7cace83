"""What kernels note of histograms, told as Prometheus tells it."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from rondel.model.labels import METRIC_NAME, LabelSets
from rondel.promql.annotations import Annotations
from rondel.promql.ast import Span
from rondel.promql.kernel import Note
from rondel.promql.quote import quote

__all__ = ["ADDITION", "AGGREGATION", "SUBTRACTION", "for_metric", "tell", "tell_rows"]

ADDITION: Final = "addition"
SUBTRACTION: Final = "subtraction"
AGGREGATION: Final = "aggregation"

_WARNINGS: Final = (
    (Note.MIXED, "encountered a mix of histograms and floats for metric name {name}"),
    (Note.NOT_COUNTER, "this native histogram metric is not a counter: {name}"),
    (Note.NOT_GAUGE, "this native histogram metric is not a gauge: {name}"),
    (
        Note.MIXED_SCHEMAS | Note.INCOMPATIBLE,
        "vector contains a mix of histograms with exponential and custom buckets schemas "
        "for metric name {name}",
    ),
    (Note.NATIVE_AND_CLASSIC, "vector contains a mix of classic and native histograms{for_metric}"),
    (Note.HINTS_COLLIDE, "conflicting counter resets during histogram {operation}"),
)
_INFOS: Final = (
    (
        Note.HISTOGRAMS_IGNORED,
        "ignored histograms in a range containing both floats and histograms for metric name {name}",
    ),
    (Note.BOUNDS_RECONCILED, "mismatched custom buckets were reconciled during {operation}"),
)


def for_metric(name: str) -> str:
    """` for metric name "x"`, nothing where the name is not known."""
    return f" for metric name {quote(name)}" if name else ""


def tell(annotations: Annotations, notes: int, span: Span, operation: str = "", name: str = "") -> None:
    """One set of notes, of an operation on the metric of that name."""
    words = {"name": quote(name), "for_metric": for_metric(name), "operation": operation}
    for flag, text in _WARNINGS:
        if notes & flag:
            annotations.warn(text.format(**words), span)
    for flag, text in _INFOS:
        if notes & flag:
            annotations.info(text.format(**words), span)


def tell_rows(
    annotations: Annotations, notes: NDArray[np.uint32], labels: LabelSets, span: Span, operation: str = ""
) -> None:
    """The notes of each row, uint32[rows]; rows of one metric name are told once."""
    if not notes.any():
        return
    codes, names = labels.column(METRIC_NAME)
    rows = np.flatnonzero(notes)
    for code, note in np.unique(np.stack([codes[rows], notes[rows]], axis=1), axis=0).tolist():
        tell(annotations, note, span, operation, names[code])
