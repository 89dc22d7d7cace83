"""Floats are answered alike whether or not histograms are read with them."""

from __future__ import annotations

import pytest

from rondel.errors import ExecutionError
from rondel.promql.engine import Engine
from rondel.promql.options import FEATURES, EngineOptions
from rondel.promql.result import InstantVector, RangeMatrix
from tests.support.queries import engine, loaded

FLOATS = """
x_total{g="1", i="1"} 0+3x4 2+7x5
x_total{g="1", i="2"} 5 _ 5 NaN -Inf 1 stale 2 3 9
x_total{g="2", i="3"} 1 2 4 8 16 32 64 128 256 512
y{g="1"} 2+1x9
y{g="2"} 7 _ 9 _ 1 _ 3 _ 5 6
"""
HISTOGRAMS = """
x_total{g="9", i="9"} {{count:1 sum:2 buckets:[1]}}+{{count:1 sum:1 buckets:[0 1]}}x9
y{g="9"} {{schema:-53 custom_values:[2] count:1 sum:2 buckets:[1]}}x5 stale {{count:4}}x2
"""

QUERIES = [
    "x_total",
    "x_total offset 2m",
    "x_total @ 240",
    "-x_total",
    "x_total + 1",
    "2 >= x_total",
    "x_total == bool 2",
    "x_total * on (g) group_left () y",
    "y / on (g) group_right () x_total",
    "y + on (g) fill (3) x_total{i=~'1|3|9'}",
    "x_total and on (g) (y > 5)",
    "x_total unless on (g) (y > 5)",
    "y or x_total",
    "sum by (g) (x_total)",
    "avg without (i) (rate(x_total[3m]))",
    "count by (g) (x_total)",
    "max by (g) (y)",
    "stddev by (g) (x_total)",
    "quantile by (g) (0.3, x_total)",
    "topk by (g) (1, x_total)",
    "limitk by (g) (1, x_total)",
    'count_values by (g) ("v", y)',
    "ceil(x_total / 7)",
    "clamp(x_total, 2, 9)",
    "round(y, 2)",
    "timestamp(x_total)",
    "timestamp(x_total + 1)",
    "sort(y)",
    'label_replace(x_total, "n", "$1", "i", "(.*)")',
    "increase(x_total[3m])",
    "irate(x_total[3m])",
    "delta(y[4m])",
    "deriv(y[4m])",
    "predict_linear(y[4m], 60)",
    "quantile_over_time(0.7, x_total[4m])",
    "sum_over_time(x_total[150s])",
    "last_over_time(y[2m])",
    "changes(x_total[5m])",
    "resets(x_total[5m])",
    "max_over_time(rate(x_total[2m])[4m:30s])",
    "increase(x_total[2m] anchored)",
    "resets(x_total[3m] anchored)",
    "rate(x_total[2m] smoothed)",
    "y smoothed",
]


def answer(one: Engine, query: str) -> dict[str, list[float | None]]:
    result = one.range("t", query, 0, 540_000, 30_000, one.control()).data
    assert isinstance(result, RangeMatrix)
    return {
        str(result.labels[row]): [
            repr(value) if is_there else None
            for value, is_there in zip(result.values[row].tolist(), result.present[row].tolist(), strict=True)
        ]
        for row in range(len(result.labels))
        if result.present[row].any() and result.labels[row].get("g") != "9"
    }


@pytest.mark.parametrize("query", QUERIES)
def test_floats_beside_histograms_are_what_they_are_alone(query: str) -> None:
    options = EngineOptions(features=FEATURES - {"promql-delayed-name-removal"})
    alone, beside = Engine(loaded(FLOATS), options), Engine(loaded(FLOATS + HISTOGRAMS), options)
    expected = answer(alone, query)
    assert expected
    assert answer(beside, query) == expected


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("features", [FEATURES, FEATURES - {"promql-delayed-name-removal"}])
def test_many_rows_at_a_time_or_few_are_the_same_answer(query: str, features: frozenset[str]) -> None:
    storage = loaded(FLOATS + HISTOGRAMS)
    whole = Engine(storage, EngineOptions(features=features))
    rows = Engine(storage, EngineOptions(features=features, batch_series_max=1))
    cells = Engine(storage, EngineOptions(features=features, batch_cells=10))
    results = [one.range("t", query, 0, 540_000, 60_000, one.control()) for one in (whole, rows, cells)]
    shown = [_shown(result.data) for result in results]
    assert shown[0] == shown[1] == shown[2]
    assert sorted(results[0].warnings) == sorted(results[1].warnings) == sorted(results[2].warnings)
    assert sorted(results[0].infos) == sorted(results[1].infos) == sorted(results[2].infos)


def _shown(data: object) -> list[tuple[dict[str, str], list[object]]]:
    assert isinstance(data, RangeMatrix)
    own = data.histograms
    return [
        (
            data.labels[row],
            [
                own.pool[int(own.index[row, step])]
                if own is not None and own.index[row, step] >= 0
                else repr(float(data.values[row, step])) if data.present[row, step] else None
                for step in range(data.values.shape[1])
            ],
        )
        for row in range(len(data.labels))
    ]  # fmt: skip


def test_a_query_that_uses_one_vector_twice_reads_its_histograms_once() -> None:
    storage = loaded(HISTOGRAMS)
    one = Engine(storage, EngineOptions(features=FEATURES))
    result = one.instant("t", "y + y", 0, one.control()).data
    assert isinstance(result, InstantVector)
    assert result.histograms is not None
    assert result.histograms.pool[int(result.histograms.index[0])]["count"] == 2.0
    assert len(storage.selects) == 1
    assert storage.reads == [1]


def test_histograms_that_are_held_count_for_the_memory_of_the_query() -> None:
    buckets = " ".join(["1"] * 200)
    text = "\n".join(f'h{{i="{i}"}} {{{{count:200 buckets:[{buckets}]}}}}' for i in range(50))
    one = engine(text, memory_bytes_max=150_000)
    assert isinstance(one.instant("t", "count(h)", 0, one.control(), lookback_ms=60_000).data, InstantVector)
    with pytest.raises(ExecutionError, match="limit 150000 bytes"):
        one.instant("t", "h", 0, one.control())
    control = engine(text).control()
    engine(text).instant("t", "h * 2", 0, control)
    assert control.memory_bytes_peak > 50 * 200 * 8


def test_histograms_of_windows_are_made_a_batch_at_a_time_and_charged_before() -> None:
    rows, steps, buckets = 20, 10, 100
    text = "\n".join(f'h{{i="{i}"}} {{{{count:2 buckets:[{"1 " * buckets}]}}}}x19' for i in range(rows))
    size_bytes = steps * buckets * 8
    for query in ("sum(rate(h[5m]))", "sum(sum_over_time(h[5m]))", "sum(h smoothed)"):
        peaks = []
        for batch_cells in (1 << 20, 1000):
            options = EngineOptions(features=FEATURES, batch_cells=batch_cells, batch_series_max=rows)
            one = Engine(loaded(text), options)
            control = one.control()
            one.range("t", query, 300_000, 840_000, 60_000, control)
            peaks.append(control.memory_bytes_peak)
        assert peaks[0] - peaks[1] > (rows - 2) * size_bytes
        one = engine(text, memory_bytes_max=peaks[1] // 2)
        with pytest.raises(ExecutionError, match=f"limit {peaks[1] // 2} bytes"):
            one.range("t", query, 300_000, 840_000, 60_000, one.control())


def test_the_sums_of_many_groups_count_for_the_memory_of_the_query() -> None:
    text = "\n".join(f'h{{i="{i}"}} {{{{count:2 buckets:[{"1 " * 100}]}}}}x9' for i in range(20))
    peaks = []
    for query in ("sum(h)", "sum by (i) (h)"):
        one, control = engine(text, batch_series_max=1), engine(text).control()
        one.range("t", query, 0, 540_000, 60_000, control)
        peaks.append(control.memory_bytes_peak)
    assert peaks[1] - peaks[0] > 19 * 10 * 100 * 8
