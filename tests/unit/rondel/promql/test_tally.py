"""How many samples a query's selectors offer and read at each step."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rondel.model.frame import HistogramSamples
from rondel.model.histogram import Histograms
from rondel.promql.engine import Engine
from rondel.promql.matrix import Grid
from rondel.promql.operators.node import Samples
from rondel.promql.operators.scalar import Constant
from rondel.promql.options import EngineOptions
from rondel.promql.tally import Counts, Tally
from tests.support.memory_storage import MemoryStorage

STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0_0000_0000_0002))[0]
SIZE = 12
"""samples that a histogram counts for which has one span of one bucket"""


def samples(
    rows: list[list[tuple[int, float]]], histograms: list[list[tuple[int, float]]] | None = None
) -> Samples:
    """Rows of `(time_ms, value)`, and of `(time_ms, sum)` for histograms with one bucket."""
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    flat = [one for row in rows for one in row]
    own = None
    if histograms is not None:
        inner = [one for row in histograms for one in row]
        pool = Histograms.from_dicts([{"sum": total, "count": 1, "positive": {3: 1}} for _, total in inner])
        own_offsets = np.cumsum([0, *map(len, histograms)], dtype=np.int64)
        own = HistogramSamples(own_offsets, np.array([at for at, _ in inner], np.int64), pool)
    times_ms, values = np.array([at for at, _ in flat], np.int64), np.array([v for _, v in flat], np.float64)
    return Samples(offsets, times_ms, values, histograms=own)


def windows(window: Grid, range_ms: int, batch: Samples) -> Counts:
    tally, node = Tally(), Constant(1.0, Grid(0, window.step_ms or 1, window.count))
    assert list(tally.windows(node, window, range_ms, iter([batch]))) == [batch]
    return tally.of(node)


def latest(window: Grid, lookback_ms: int, batch: Samples) -> Counts:
    tally, node = Tally(), Constant(1.0, Grid(0, window.step_ms or 1, window.count))
    assert list(tally.latest(node, window, lookback_ms, iter([batch]))) == [batch]
    return tally.of(node)


@st.composite
def columns(draw: st.DrawFn, count: int) -> list[list[tuple[int, float]]]:
    rows = []
    for _ in range(count):
        times = sorted(draw(st.sets(st.integers(0, 60), max_size=12)))
        rows.append([(at, draw(st.sampled_from([1.0, 2.0, STALE]))) for at in times])
    return rows


@st.composite
def cases(draw: st.DrawFn) -> tuple[Grid, int, list[list[tuple[int, float]]], list[list[tuple[int, float]]]]:
    count = draw(st.integers(0, 3))
    steps = draw(st.integers(1, 8))
    step_ms = draw(st.integers(1, 20)) if steps > 1 else 0
    window = Grid(draw(st.integers(0, 40)), step_ms, steps)
    histograms = draw(columns(count)) if draw(st.booleans()) else [[] for _ in range(count)]
    return window, draw(st.integers(1, 30)), draw(columns(count)), histograms


def seen(floats: list[tuple[int, float]], histograms: list[tuple[int, float]]) -> list[tuple[int, int]]:
    """`(time_ms, size)` of a row, 0 of a staleness marker."""
    found = {at: 0 if np.isnan(value) else 1 for at, value in floats}
    for at, total in histograms:
        if not np.isnan(total):
            found[at] = SIZE
        elif at not in found:
            found[at] = 0
    return sorted(found.items())


@settings(max_examples=300, deadline=None)
@given(cases())
def test_windows_offer_what_is_in_them_and_read_what_is_new(
    case: tuple[Grid, int, list[list[tuple[int, float]]], list[list[tuple[int, float]]]],
) -> None:
    window, range_ms, floats, histograms = case
    offered, read, before = [], [], None
    for at in window.times_ms().tolist():
        inside = [
            (row, time_ms, size)
            for row in range(len(floats))
            for time_ms, size in seen(floats[row], histograms[row])
            if at - range_ms < time_ms <= at
        ]
        offered.append(sum(size for *_, size in inside))
        read.append(sum(size for _, time_ms, size in inside if before is None or time_ms > before))
        before = at
    counts = windows(window, range_ms, samples(floats, histograms))
    assert (counts.offered.tolist(), counts.read.tolist()) == (offered, read)


@settings(max_examples=300, deadline=None)
@given(cases())
def test_instant_vectors_offer_the_latest_sample_of_each_series_and_read_it_at_each_step(
    case: tuple[Grid, int, list[list[tuple[int, float]]], list[list[tuple[int, float]]]],
) -> None:
    window, lookback_ms, floats, histograms = case
    offered = []
    for at in window.times_ms().tolist():
        total = 0
        for row in range(len(floats)):
            until = [one for one in seen(floats[row], histograms[row]) if one[0] <= at]
            if until and until[-1][0] > at - lookback_ms:
                total += until[-1][1]
        offered.append(total)
    counts = latest(window, lookback_ms, samples(floats, histograms))
    assert counts.offered.tolist() == counts.read.tolist() == offered


@pytest.mark.parametrize(
    ("histogram", "size"),
    [
        ({}, 11),
        ({"positive": {0: 1}}, 12),
        ({"positive": {0: 1, 1: 1}}, 12),
        ({"positive": {0: 1, 2: 1}}, 13),
        ({"positive": {0: 1, 2: 1}, "negative": {-1: 1, 0: 1, 4: 1}}, 15),
        ({"schema": -53, "custom_values": [1.0, 2.0, 3.0], "positive": {0: 1, 1: 1}}, 14),
    ],
)
def test_a_histogram_counts_for_its_spans_buckets_and_bounds(histogram: dict[str, object], size: int) -> None:
    assert Histograms.from_dicts([histogram]).sample_sizes().tolist() == [size]


@pytest.fixture(scope="module")
def storage() -> MemoryStorage:
    """Two series with a sample each 10 s, from 10 s to 600 s."""
    stored = MemoryStorage()
    for i in "01":
        stored.append({"__name__": "m_total", "i": i}, [(at * 10_000, float(at)) for at in range(1, 61)])
    return stored


STEP_MS = 40_000
STEPS = 4


@pytest.mark.parametrize(
    ("text", "offered", "read"),
    [
        ("1 + 1", [0, 0, 0, 0], [0, 0, 0, 0]),
        ("m_total", [2, 2, 2, 2], [2, 2, 2, 2]),
        ("rate(m_total[1m])", [12, 12, 12, 12], [12, 8, 8, 8]),
        ("rate(m_total[20s])", [4, 4, 4, 4], [4, 4, 4, 4]),
        ("m_total + rate(m_total[1m])", [14, 14, 14, 14], [14, 10, 10, 10]),
        ("m_total * m_total", [4, 4, 4, 4], [4, 4, 4, 4]),
        ("(m_total offset 1m) * (m_total offset 1m)", [4, 4, 4, 4], [4, 4, 4, 4]),
        ("rate(m_total[1m] @ 300)", [12, 12, 12, 12], [12, 0, 0, 0]),
        ("scalar(sum(m_total @ 300)) + m_total", [4, 4, 4, 4], [4, 2, 2, 2]),
        ("predict_linear(m_total[1m] @ 300, 60)", [12, 12, 12, 12], [12, 0, 0, 0]),
        ("max_over_time(m_total[1m:20s])", [6, 6, 6, 6], [6, 4, 4, 4]),
        ("max_over_time(rate(m_total[20s])[1m:20s])", [6, 6, 6, 6], [12, 8, 8, 8]),
        ("max_over_time(m_total[1m:20s] offset 1m)", [6, 6, 6, 6], [6, 4, 4, 4]),
        ("max_over_time(m_total[1m:20s] @ 300)", [6, 6, 6, 6], [6, 0, 0, 0]),
        ("max_over_time(max_over_time(m_total[40s:20s])[1m:20s])", [6, 6, 6, 6], [8, 4, 4, 4]),
        ("absent(nothing)", [0, 0, 0, 0], [0, 0, 0, 0]),
        ("m_total and nothing", [2, 2, 2, 2], [2, 2, 2, 2]),
        ("vector(scalar(m_total{i='0'}))", [1, 1, 1, 1], [1, 1, 1, 1]),
        ("timestamp(m_total)", [2, 2, 2, 2], [2, 2, 2, 2]),
        ("m_total smoothed", [2, 2, 2, 2], [2, 2, 2, 2]),
    ],
)
def test_a_plan_adds_up_its_selectors(
    storage: MemoryStorage, text: str, offered: list[int], read: list[int]
) -> None:
    options = EngineOptions(features=frozenset({"promql-extended-range-selectors"}))
    one = Engine(storage, options)
    end_ms = 400_000 + (STEPS - 1) * STEP_MS
    result = one.range("t", text, 400_000, end_ms, STEP_MS, one.control(), tally=Tally())
    counts = result.stats.counts
    assert counts is not None
    assert (counts.offered.tolist(), counts.read.tolist()) == (offered, read)


@pytest.mark.parametrize(
    ("text", "offered"),
    [("m_total[1m]", 12), ("m_total[1m:20s]", 6), ("rate(m_total[20s])[1m:20s]", 12), ("m_total", 2)],
)
def test_instant_queries_have_one_step(storage: MemoryStorage, text: str, offered: int) -> None:
    one = Engine(storage)
    counts = one.instant("t", text, 400_000, one.control(), tally=Tally()).stats.counts
    assert counts is not None
    assert counts.offered.tolist() == counts.read.tolist() == [offered]


def test_nothing_is_counted_that_was_not_asked_for(storage: MemoryStorage) -> None:
    one = Engine(storage)
    assert one.instant("t", "m_total", 400_000, one.control()).stats.counts is None


def test_counting_leaves_the_answer_as_it_is(storage: MemoryStorage) -> None:
    one, text = Engine(storage), "sum by (i) (rate(m_total[1m])) / m_total"
    plain = one.instant("t", text, 400_000, one.control())
    counted = one.instant("t", text, 400_000, one.control(), tally=Tally())
    assert plain.data.values.tolist() == counted.data.values.tolist()  # type: ignore[union-attr]


def test_a_shared_subtree_that_is_not_kept_counts_once_for_each_of_its_readers(
    storage: MemoryStorage,
) -> None:
    steps = 1000
    one = Engine(storage, EngineOptions(memory_bytes_max=2 * steps * 9 * 4 - 1))
    text, end_ms = "count(m_total) + sum(m_total)", 400_000 + steps - 1
    result = one.range("t", text, 400_000, end_ms, 1, one.control(), tally=Tally())
    assert result.stats.series == 2
    assert result.stats.samples_read > 2 * 30
    assert result.stats.counts is not None
    assert result.stats.counts.offered.tolist() == [4] * steps
