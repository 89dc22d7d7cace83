"""Arithmetic and estimates of native histograms against a slow twin."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rondel import _native
from rondel.model.histogram import Histograms
from rondel.model.labels import LabelSets
from rondel.promql import kernel
from rondel.promql.kernel import Note
from tests.properties import histogram_twin as twin
from tests.properties.histogram_twin import CUSTOM, INF, NAN, Twin

COUNTS = st.integers(0, 40).map(float)
HINTS = st.sampled_from(["unknown", "reset", "not_reset", "gauge"])
THRESHOLDS = st.sampled_from([0.0, 0.0, 0.001, 0.25, 0.3, 1.0, 1.5, 3.0, 4.0])
VALUES = st.one_of(
    st.sampled_from([-INF, -4.0, -1.0, -0.3, 0.0, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 7.5, 10.0, 16.0, INF, NAN]),
    st.floats(-40, 40),
)


def beyond(buckets: dict[int, float], schema: int, threshold: float) -> dict[int, float]:
    """Without buckets that reach into the zero bucket, which no client makes."""
    return {index: count for index, count in buckets.items() if twin.power(index - 1, schema) >= threshold}


@st.composite
def exponential(draw: st.DrawFn) -> Twin:
    schema, threshold = draw(st.integers(-2, 3)), draw(THRESHOLDS)
    side = st.dictionaries(st.integers(-6, 12), COUNTS, max_size=6)
    positive, negative = (dict(sorted(beyond(draw(side), schema, threshold).items())) for _ in range(2))
    zero = draw(COUNTS)
    count = zero + sum(positive.values()) + sum(negative.values())
    total = float(draw(st.integers(-100, 100)))
    return Twin(schema, count, total, zero, threshold, positive, negative, (), draw(HINTS))


@st.composite
def custom(draw: st.DrawFn) -> Twin:
    bounds = tuple(sorted(draw(st.sets(st.integers(-3, 12).map(float), max_size=6))))
    buckets = draw(st.dictionaries(st.integers(0, len(bounds)), COUNTS, max_size=7))
    total = float(draw(st.integers(-100, 100)))
    positive = dict(sorted(buckets.items()))
    return Twin(CUSTOM, sum(positive.values()), total, 0.0, 0.0, positive, {}, bounds, draw(HINTS))


ANY = st.one_of(exponential(), exponential(), custom())


def native(*twins: Twin) -> Histograms:
    return Histograms.from_dicts([one.as_dict() for one in twins])


def floats(*values: float) -> NDArray[np.float64]:
    return np.array(values, dtype=np.float64)


def near(left: float, right: float) -> bool:
    return left == right or bool(np.isclose(left, right, rtol=1e-9, atol=1e-9, equal_nan=True))


def shown(histograms: Histograms, index: int = 0) -> dict[str, Any]:
    return {**histograms[index], "custom_values": list(histograms[index]["custom_values"])}


def test_notes_have_the_same_bits_on_both_sides() -> None:
    assert {note.name: note.value for note in Note} == _native.histogram_notes()


@settings(max_examples=200, deadline=None)
@given(ANY, ANY, st.booleans())
def test_sums_and_differences_are_those_of_the_twin(left: Twin, right: Twin, subtract: bool) -> None:
    sums, notes, fits = kernel.histogram_add(native(left), native(right), subtract)
    want = twin.add(left, right, -1 if subtract else 1)
    if want is None:
        assert (notes[0], fits[0]) == (Note.INCOMPATIBLE, False)
        return
    total, reconciled = want
    assert fits[0]
    got, expected = shown(sums), total.as_dict()
    assert got.pop("zero_threshold") == pytest.approx(expected.pop("zero_threshold"), rel=1e-15)
    assert got == expected
    assert bool(notes[0] & Note.BOUNDS_RECONCILED) == reconciled
    assert bool(notes[0] & Note.HINTS_COLLIDE) == twin.collide(left.hint, right.hint)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(ANY, ANY), max_size=150))
def test_many_pairs_are_added_as_one_by_one(pairs: list[tuple[Twin, Twin]]) -> None:
    lefts, rights = native(*(left for left, _ in pairs)), native(*(right for _, right in pairs))
    sums, notes, fits = kernel.histogram_add(lefts, rights, False)
    assert len(sums) == len(pairs)
    for at, (left, right) in enumerate(pairs):
        one, note, fit = kernel.histogram_add(native(left), native(right), False)
        assert (shown(sums, at), notes[at], fits[at]) == (shown(one), note[0], fit[0])


@settings(max_examples=100, deadline=None)
@given(ANY, st.sampled_from([-2.0, -1.0, 0.0, 0.5, 3.0]), st.booleans())
def test_multiples_keep_the_buckets_that_count_something(one: Twin, factor: float, divide: bool) -> None:
    scaled = shown(kernel.histogram_scale(native(one), floats(factor), divide))
    assert scaled["hint"] == ("gauge" if factor < 0 else one.hint)
    for side in ("positive", "negative"):
        kept = {} if factor == 0 else twin.populated(getattr(one, side))
        by = 1 / factor if divide and factor else factor
        assert scaled[side] == pytest.approx({index: count * by for index, count in kept.items()})


@settings(max_examples=100, deadline=None)
@given(ANY, ANY)
def test_equal_are_those_with_the_same_buckets_and_bits(left: Twin, right: Twin) -> None:
    both = native(left), native(right)
    sides = [{**one.as_dict(), "hint": None} for one in (left, right)]
    assert kernel.histogram_equal(*both)[0] == (sides[0] == sides[1])
    assert kernel.histogram_equal(both[0], native(Twin(**{**left.__dict__, "hint": "gauge"})))[0]


@settings(max_examples=200, deadline=None)
@given(ANY, VALUES, VALUES, st.booleans())
def test_fractions_are_those_of_the_twin(one: Twin, lower: float, upper: float, hidden: bool) -> None:
    if hidden:
        one = Twin(**{**one.__dict__, "count": one.count + 3, "sum": NAN})
    values, notes = kernel.histogram_fraction(native(one), floats(lower), floats(upper))
    assert near(values[0], twin.fraction(one, lower, upper)), (one, lower, upper)
    told = hidden and lower < upper
    assert notes[0] == (Note.NAN_OBSERVATIONS if told else 0)


@settings(max_examples=200, deadline=None)
@given(ANY, st.one_of(st.floats(-0.5, 1.5), st.sampled_from([0.0, 0.5, 1.0, NAN])), st.booleans())
def test_quantiles_are_those_of_the_twin(one: Twin, q: float, hidden: bool) -> None:
    assume(any(count for _, _, count in one.parts()))
    # Custom buckets have one for what is above all bounds, which is where clients count NaN.
    hidden = hidden and not one.is_custom
    if hidden:
        one = Twin(**{**one.__dict__, "count": one.count + 3, "sum": NAN})
    values, notes = kernel.histogram_quantile(native(one), floats(q))
    want = twin.quantile(one, q)
    assert near(values[0], want), (one, q)
    assert not hidden or not 0 <= q <= 1 or bool(notes[0] & Note.NAN_RESULT) == math.isnan(want)


@settings(max_examples=100, deadline=None)
@given(exponential())
def test_variances_are_those_of_the_twin(one: Twin) -> None:
    assert near(kernel.histogram_variance(native(one))[0], twin.variance(one))


@settings(max_examples=150, deadline=None)
@given(ANY, VALUES.filter(lambda value: not math.isnan(value)))
def test_what_is_below_and_what_is_above_make_the_whole(one: Twin, at: float) -> None:
    # Buckets without a lower or an upper end go wholly where a value cuts them.
    assume(not one.is_custom or not {0, len(one.bounds)} & twin.populated(one.positive).keys())
    one = one.compacted()
    lower = shown(kernel.histogram_trim(native(one), floats(at), True))
    upper = shown(kernel.histogram_trim(native(one), floats(at), False))
    for side in ("positive", "negative"):
        buckets = twin.added(lower[side], upper[side], 1)
        assert buckets == pytest.approx(getattr(one, side)), (one, at)
    assert lower["zero_count"] + upper["zero_count"] == pytest.approx(one.zero)
    if one.count and not one.is_custom:
        share = kernel.histogram_fraction(native(one), floats(-INF), floats(at))[0][0]
        assert near(lower["count"], share * one.count)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(exponential(), max_size=5), max_size=4))
def test_hints_follow_from_the_histogram_before(series: list[list[Twin]]) -> None:
    flat = [one for part in series for one in part]
    offsets = np.cumsum([0, *map(len, series)], dtype=np.int64)
    names = ("unknown", "reset", "not_reset", "gauge")
    hints = kernel.resolve_hints(offsets, native(*flat)).hints().tolist()
    want = [
        expected_hint(one, part[at - 1] if at else None) for part in series for at, one in enumerate(part)
    ]
    assert [names[hint] for hint in hints] == want


def expected_hint(one: Twin, before: Twin | None) -> str:
    if one.hint in ("gauge", "reset"):
        return one.hint
    if before is None or before.hint == "gauge":
        return "unknown"
    if (one.schema, one.threshold) != (before.schema, before.threshold):
        return "unknown"
    less = one.count < before.count or one.zero < before.zero
    for now, then in ((one.positive, before.positive), (one.negative, before.negative)):
        less = less or any(now.get(index, 0) < count for index, count in then.items())
    return "reset" if less else "not_reset"


@settings(max_examples=200, deadline=None)
@given(ANY)
def test_json_and_text_show_what_is_populated(one: Twin) -> None:
    index = np.zeros(1, dtype=np.int64)
    body = kernel.json_vector(LabelSets.from_dicts([{}]), 0, np.zeros(1), (index, native(one)))
    point = json.loads(body)["result"][0]["histogram"][1]
    assert (float(point["count"]), float(point["sum"])) == (one.count, one.sum)
    parts = list(one.parts())
    assert ("buckets" in point) == bool(parts)
    for (rule, lower, upper, count), want in zip(point.get("buckets", []), parts, strict=True):
        assert [float(lower), float(upper), float(count)] == pytest.approx(list(want))
        assert rule == expected_rule(one, want[0], want[1])
    text = kernel.histogram_texts(native(one))[0]
    assert (text[:7], text[-1]) == ("{count:", "}")
    assert [float(part.rpartition(":")[2]) for part in text[1:-1].split(", ")[2:]] == [
        count for _, _, count in parts
    ]


@settings(max_examples=100, deadline=None)
@given(st.lists(ANY, min_size=1, max_size=6), st.integers(1, 3), st.integers(0, 4), st.data())
def test_a_matrix_shows_floats_and_histograms_apart(
    pool: list[Twin], rows: int, steps: int, data: st.DataObject
) -> None:
    choice = st.integers(-2, len(pool) - 1)
    cells = data.draw(st.lists(choice, min_size=rows * steps, max_size=rows * steps))
    index = np.array(cells, dtype=np.int64).reshape(rows, steps)
    labels = LabelSets.from_dicts([{"row": str(row)} for row in range(rows)])
    body = kernel.json_matrix(
        labels, 1000, 500, np.full((rows, steps), 0.5), index == -2, (np.maximum(index, -1), native(*pool))
    )
    texts = [shown_json(one) for one in pool]
    times = [1 + step / 2 for step in range(steps)]
    want = []
    for row in range(rows):
        series: dict[str, Any] = {"metric": {"row": str(row)}}
        values = [[times[step], "0.5"] for step in range(steps) if index[row, step] == -2]
        histograms = [[times[step], texts[at]] for step, at in enumerate(index[row].tolist()) if at >= 0]
        series |= ({"values": values} if values else {}) | ({"histograms": histograms} if histograms else {})
        want += [series] if len(series) > 1 else []
    assert json.loads(body)["result"] == want


def shown_json(one: Twin) -> dict[str, Any]:
    """One histogram by itself, with nothing kept from others."""
    cells = np.zeros(1, dtype=np.int64), native(one)
    body = kernel.json_vector(LabelSets.from_dicts([{}]), 0, np.zeros(1), cells)
    point: dict[str, Any] = json.loads(body)["result"][0]["histogram"][1]
    return point


def expected_rule(one: Twin, lower: float, upper: float) -> int:
    if one.is_custom:
        return 3 if lower == -INF else 0
    if lower == -upper:
        return 3
    return 0 if upper > 0 else 1
