"""Results as the bytes of the HTTP API's `data`, written natively straight from the arrays.

Numbers are Prometheus': the fewest digits that read back as the same float, an exponent only below 1e-6
and from 1e21 on (never for scalars), `+Inf`, `-Inf`, `NaN`. Times are seconds with up to three decimals.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rondel.model.labels import LabelSets
from rondel.promql import kernel
from rondel.promql.quote import replaced
from rondel.promql.result import Data, InstantVector, RangeMatrix, Scalar, Text

__all__ = ["data", "float_texts", "label_sets", "strings"]


def data(result: Data, stats: bytes | None = None) -> bytes:
    """`{"resultType":...,"result":...}`, with `"stats":` and that JSON at the end where it is given.

    Series without a point are left out, and so are staleness markers among raw samples.
    """
    match result:
        case RangeMatrix():
            cells = None if result.histograms is None else result.histograms.arrays
            return kernel.json_matrix(
                result.labels, result.start_ms, result.step_ms, result.values, result.present, cells, stats
            )
        case InstantVector():
            cells = None if result.histograms is None else result.histograms.arrays
            return kernel.json_vector(result.labels, result.time_ms, result.values, cells, stats)
        case Scalar():
            return kernel.json_scalar(result.time_ms, result.value, stats)
        case Text():
            return kernel.json_string(result.time_ms, replaced(result.value), stats)
        case _:
            return kernel.json_frame(result.labels, result.arrays(), stats)


def label_sets(labels: LabelSets) -> bytes:
    """A JSON list of label sets, as /api/v1/series answers."""
    return kernel.json_label_sets(labels)


def strings(values: Sequence[str]) -> bytes:
    """A JSON list of strings, as the label look-ups answer."""
    return kernel.json_strings(values)


def float_texts(values: NDArray[np.float64]) -> list[str]:
    """Each value as the text that `count_values` puts in a label: never with an exponent."""
    return kernel.float_texts(values)
