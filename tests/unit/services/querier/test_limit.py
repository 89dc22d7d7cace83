import numpy as np
import pytest

from rondel.model.frame import HistogramSamples, SeriesFrame
from rondel.model.histogram import Histograms
from rondel.model.labels import LabelSets
from rondel.promql.matrix import HistogramCells
from rondel.promql.result import InstantVector, RangeMatrix, Result, ResultKind, Scalar
from services.querier.limit import limited

LABELS = LabelSets.from_dicts([{"a": "1"}, {"a": "2"}, {"a": "3"}])
VECTOR = Result(ResultKind.VECTOR, InstantVector(LABELS, 0, np.array([1.0, 2.0, 3.0])))
GRID = np.arange(6.0).reshape(3, 2)
MATRIX = Result(ResultKind.MATRIX, RangeMatrix(LABELS, 0, 1, GRID, np.ones((3, 2), bool)))
FRAME = Result(
    ResultKind.MATRIX,
    SeriesFrame(LABELS, np.array([0, 2, 3, 4]), np.array([1, 2, 1, 1]), np.array([1.0, 2.0, 3.0, 4.0])),
)


@pytest.mark.parametrize("result", [VECTOR, MATRIX, FRAME])
def test_the_first_series_stay(result: Result) -> None:
    fewer, truncated = limited(result, 2)
    assert truncated
    assert [fewer.data.labels[i] for i in range(len(fewer.data.labels))] == [{"a": "1"}, {"a": "2"}]
    assert len(fewer.data.values) == (3 if result is FRAME else 2)
    assert fewer.kind == result.kind


@pytest.mark.parametrize("limit", [0, 3, 4])
def test_a_limit_that_is_not_reached_changes_nothing(limit: int) -> None:
    assert limited(VECTOR, limit) == (VECTOR, False)


def test_a_scalar_has_no_series_to_limit() -> None:
    scalar = Result(ResultKind.SCALAR, Scalar(0, 1.0))
    assert limited(scalar, 1) == (scalar, False)


def test_histograms_stay_with_their_series() -> None:
    pool = Histograms.from_dicts([{"count": float(n)} for n in range(3)])
    cells = HistogramCells(np.array([[0, -1], [-1, 2], [1, 1]]), pool)
    matrix = RangeMatrix(LABELS, 0, 1, GRID, np.zeros((3, 2), bool), cells)
    fewer, _ = limited(Result(ResultKind.MATRIX, matrix), 2)
    assert isinstance(fewer.data, RangeMatrix)
    assert fewer.data.histograms is not None
    assert fewer.data.histograms.index.tolist() == [[0, -1], [-1, 2]]
    vector = InstantVector(LABELS, 0, np.zeros(3), HistogramCells(np.array([-1, 2, 0]), pool))
    fewer, _ = limited(Result(ResultKind.VECTOR, vector), 2)
    assert isinstance(fewer.data, InstantVector)
    assert fewer.data.histograms is not None
    assert fewer.data.histograms.index.tolist() == [-1, 2]
    none = np.zeros(4, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0)
    own = HistogramSamples(np.array([0, 0, 2, 3]), np.array([5, 6, 5]), pool)
    fewer, _ = limited(Result(ResultKind.MATRIX, SeriesFrame(LABELS, *none, histograms=own)), 2)
    assert isinstance(fewer.data, SeriesFrame)
    assert fewer.data.histograms is not None
    assert fewer.data.histograms.offsets.tolist() == [0, 0, 2]
    assert fewer.data.histograms.values.counts().tolist() == [0.0, 1.0]
