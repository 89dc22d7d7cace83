"""Merged starts and histograms: against a merge in dictionaries, and against one replica."""

import struct
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rondel.model.frame import HistogramSamples, SeriesFrame
from rondel.model.histogram import Histograms
from rondel.model.labels import LabelSets
from rondel.model.merge import merge_samples

STALE_BITS = 0x7FF0000000000002
STALE = struct.unpack("<d", struct.pack("<Q", STALE_BITS))[0]
HINTS = ["unknown", "not_reset", "reset", "gauge"]
FIRMNESS = {"unknown": 0, "not_reset": 1, "reset": 2, "gauge": 3}


@dataclass(frozen=True)
class Sample:
    """A histogram of one of a few shapes; `start` and `hint` as in the frame."""

    kind: int
    hint: str
    start: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {**SHAPES[self.kind], "hint": self.hint}


# In the order in which they win.
SHAPES: list[dict[str, Any]] = [
    {"sum": STALE},
    {"count": 1.0, "sum": 2.0, "positive": {1: 1.0}},
    {"count": 2.0, "sum": -1.0, "positive": {1: 2.0}},
    {"count": 2.0, "sum": 3.0, "positive": {1: 1.0, 2: 1.0}},
    {"count": 2.0, "sum": 3.0, "positive": {1: 1.0, 3: 1.0}},
    {"count": 2.0, "sum": 3.0, "schema": 1, "positive": {1: 1.0}},
]

Row = dict[int, Sample]
samples = st.builds(
    Sample, st.integers(0, len(SHAPES) - 1), st.sampled_from(HINTS), st.sampled_from([0, 5, 6])
)
rows = st.dictionaries(st.integers(0, 9), samples, max_size=7)


def frame(rows: list[Row]) -> SeriesFrame:
    flat = [(time, row[time]) for row in rows for time in sorted(row)]
    starts = np.array([sample.start for _, sample in flat], np.int64)
    histograms = HistogramSamples(
        np.cumsum([0, *map(len, rows)], dtype=np.int64),
        np.array([time for time, _ in flat], np.int64),
        Histograms.from_dicts([sample.to_dict() for _, sample in flat]),
        starts if starts.any() else None,
    )
    empty = np.zeros(len(rows) + 1, np.int64)
    labels = LabelSets.from_dicts([{"i": str(number)} for number in range(len(rows))])
    return SeriesFrame(
        labels, empty, np.empty(0, np.int64), np.empty(0), None, histograms if len(flat) else None
    )


def shape(histogram: dict[str, Any]) -> int:
    if np.float64(histogram["sum"]).view(np.uint64) == STALE_BITS:
        return 0
    return next(
        number
        for number, one in enumerate(SHAPES)
        if number and all(histogram[key] == value for key, value in {"schema": 0, **one}.items())
    )


def content(count: int, parts: list[tuple[list[int], list[Row]]]) -> list[Row]:
    arrays = [(np.array(rows, np.int64), frame(part).arrays()) for rows, part in parts]
    histograms = merge_samples(count, arrays)[4]
    if histograms is None:
        return [{} for _ in range(count)]
    offsets, times, starts, values = histograms
    return [
        {
            int(times[index]): Sample(
                shape(values[index]), values[index]["hint"], 0 if starts is None else int(starts[index])
            )
            for index in range(first, last)
        }
        for first, last in pairwise(offsets)
    ]


def merged_slowly(sources: list[Row]) -> Row:
    result: Row = {}
    for time in sorted({time for source in sources for time in source}):
        best = max(source[time].kind for source in sources if time in source)
        before = max(result, default=None)
        hints, starts = [], []
        for source in sources:
            if time not in source or source[time].kind != best:
                continue
            own_before = max((one for one in source if one < time), default=None)
            agrees = own_before == before and (before is None or source[before].kind == result[before].kind)
            hint = source[time].hint
            hints.append(hint if agrees or hint == "gauge" else "unknown")
            starts.append(source[time].start)
        result[time] = Sample(best, max(hints, key=FIRMNESS.__getitem__), max(starts))
    return result


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(rows, min_size=2, max_size=2), min_size=1, max_size=4))
def test_merging_is_what_a_merge_of_dictionaries_gives(sources: list[list[Row]]) -> None:
    got = content(2, [([0, 1], source) for source in sources])
    assert got == [merged_slowly([source[row] for source in sources]) for row in range(2)]


@settings(max_examples=100, deadline=None)
@given(st.lists(rows, min_size=2, max_size=4))
def test_merging_in_steps_gives_what_merging_at_once_gives(sources: list[Row]) -> None:
    at_once = content(1, [([0], [source]) for source in sources])
    merged = [sources[0]]
    for source in sources[1:]:
        merged = content(1, [([0], merged), ([0], [source])])
    assert merged == at_once


def resolved(row: Row) -> Row:
    """The store's rule for samples in order: shapes stand for counts, a smaller one is a reset."""
    result: Row = {}
    before: Sample | None = None
    for time in sorted(row):
        hint = "unknown" if before is None else "reset" if row[time].kind < before.kind else "not_reset"
        result[time] = replace(row[time], hint=hint)
        before = row[time]
    return result


@settings(max_examples=100, deadline=None)
@given(rows, st.data())
def test_replicas_with_gaps_give_what_one_without_gaps_saw(row: Row, data: st.DataObject) -> None:
    truth = resolved(row)
    lost = [data.draw(st.sets(st.sampled_from(sorted(row)))) if row else set() for _ in range(2)]
    replicas = [resolved({time: row[time] for time in row if time not in own}) for own in lost]
    kept = [time for time in sorted(row) if any(time in one for one in replicas)]
    (got,) = content(1, [([0], [one]) for one in replicas])
    assert list(got) == kept
    for before, time in zip([None, *kept], kept, strict=False):
        assert (got[time].kind, got[time].start) == (truth[time].kind, truth[time].start)
        has_both = any(time in one and (before is None or before in one) for one in replicas)
        alone = resolved({one: row[one] for one in kept})[time].hint
        assert got[time].hint in ({alone} if has_both else {"unknown", alone})


def test_rows_that_a_source_does_not_have_stay_empty() -> None:
    one = Sample(1, "gauge")
    assert content(3, [([-1, 0, -1], [{4: one}]), ([0, -1, -1], [{5: one}])]) == [{5: one}, {4: one}, {}]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.integers(0, 9),
            st.tuples(st.sampled_from([STALE_BITS, 0, 0x3FF0 << 48]), st.integers(0, 3)),
            max_size=6,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_of_equal_floats_the_later_start_stays(sources: list[dict[int, tuple[int, int]]]) -> None:
    parts = []
    for source in sources:
        times = np.array(sorted(source), np.int64)
        values = np.array([source[time][0] for time in sorted(source)], np.uint64).view(np.float64)
        starts = np.array([source[time][1] for time in sorted(source)], np.int64)
        own = starts if starts.any() else None
        offsets = np.array([0, len(times)], np.int64)
        parts.append((np.zeros(1, np.int64), (offsets, times, values, own, None)))
    _, times, values, starts, histograms = merge_samples(1, parts)
    want: dict[int, tuple[int, int]] = {}
    for source in sources:
        for time, (bits, start) in source.items():
            won = want.get(time, (bits, start))
            want[time] = max(won, (bits, start), key=lambda one: (one[0] != STALE_BITS, one))
    got_starts = np.zeros(len(times), np.int64) if starts is None else starts
    found = zip(values.view(np.uint64).tolist(), got_starts.tolist(), strict=True)
    assert dict(zip(times.tolist(), found, strict=True)) == want
    assert histograms is None
