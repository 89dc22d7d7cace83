"""Series and queries written as text, answers as dictionaries: what engine tests are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rondel.promql.engine import Engine
from rondel.promql.operators.match import labels_text
from rondel.promql.options import FEATURES, EngineOptions
from rondel.promql.result import InstantVector, RangeMatrix, Result, Scalar
from rondel.storage import Select
from tests.promql.script import loaded_series
from tests.promql.series import Histogram
from tests.support.memory_storage import MemoryStorage, StoredSelection

__all__ = ["CountingStorage", "engine", "instant", "loaded", "ranged", "rows"]

MINUTE_MS = 60_000


class CountingStorage(MemoryStorage):
    """Remembers what was selected and read."""

    def __init__(self) -> None:
        super().__init__()
        self.selects: list[Select] = []
        self.reads: list[int] = []

    def select(self, request: Select) -> StoredSelection:
        self.selects.append(request)
        return _CountingSelection(super().select(request), self.reads)


class _CountingSelection(StoredSelection):
    def __init__(self, selection: StoredSelection, reads: list[int]) -> None:
        self._inner, self._reads = selection, reads
        self.labels = selection.labels

    def read(self, start, stop):  # type: ignore[no-untyped-def]  # as the class above
        self._reads.append(stop - start)
        return self._inner.read(start, stop)


def loaded(text: str, step_ms: int = MINUTE_MS) -> CountingStorage:
    """A storage with one series a line, `name{label="value"} 1 2+3x4`, a sample every step from 0; a line
    `name{label="value"}@st -30s _` before it has the start timestamps of its samples."""
    storage = CountingStorage()
    for series in loaded_series(list(filter(None, map(str.strip, text.splitlines())))):
        times = ((k * step_ms, item) for k, item in enumerate(series.items))
        samples = [(t, v.fields if isinstance(v, Histogram) else v) for t, v in times if v is not None]
        storage.append(series.labels, samples, series.starts_ms(step_ms))
    return storage


def engine(text: str, *, features: frozenset[str] = frozenset(), **options: Any) -> Engine:
    """An engine over `loaded(text)`; experimental functions are on."""
    enabled = (FEATURES - {"promql-delayed-name-removal"}) | features
    return Engine(loaded(text), EngineOptions(features=enabled, **options))


def instant(engine: Engine, query: str, minutes: float = 0) -> dict[str, float]:
    """`{labels: value}` of an instant query, in the order of the answer; a scalar is under ``""``."""
    result = engine.instant("tenant", query, int(minutes * MINUTE_MS), engine.control())
    if isinstance(result.data, Scalar):
        return {"": result.data.value}
    assert isinstance(result.data, InstantVector)
    names = [_text(result.data.labels[i]) for i in range(len(result.data.labels))]
    return dict(zip(names, result.data.values.tolist(), strict=True))


def ranged(engine: Engine, query: str, minutes: int) -> dict[str, list[float | None]]:
    """`{labels: one value a minute}` from 0 on, None where there is none."""
    return rows(engine.range("tenant", query, 0, minutes * MINUTE_MS, MINUTE_MS, engine.control()))


def rows(result: Result) -> dict[str, list[float | None]]:
    data = result.data
    assert isinstance(data, RangeMatrix)
    return {
        _text(data.labels[i]): [
            (None if math.isnan(v) else v) if p else None
            for v, p in zip(data.values[i].tolist(), data.present[i].tolist(), strict=True)
        ]
        for i in range(len(data.labels))
    }


def _text(labels: Mapping[str, str]) -> str:
    rest = {name: value for name, value in labels.items() if name != "__name__"}
    braces = labels_text(rest) if rest or "__name__" not in labels else ""
    return labels.get("__name__", "") + braces
