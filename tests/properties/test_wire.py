"""What an ingester answers comes back bit for bit, and what was damaged on its way is noticed."""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rondel.errors import Corruption, InvalidData
from rondel.model.frame import ExemplarFrame, SeriesFrame
from rondel.model.histogram import Histograms
from rondel.model.labels import LabelSets, Matchers
from rondel.rpc.wire import WireDecoder, WireEncoder
from services.ingester.head import Head
from tests.properties.columns_twin import POOL, Row, batch_of, canonical

if TYPE_CHECKING:
    from rondel._native import FrameArrays

ENCODER, DECODER = WireEncoder(), WireDecoder()
INT64 = (-(1 << 63), (1 << 63) - 1)
EVERY = Matchers([("__name__", "!=", "")])
STALE_BITS = 0x7FF0000000000002

ODD_BITS = [0, 1 << 63, STALE_BITS, 0x7FF8000000000001, 0xFFF8DEADBEEF0001, 0x3FF0000000000000]
floats = st.one_of(st.sampled_from(ODD_BITS), st.integers(0, (1 << 64) - 1)).map(
    lambda bits: float(struct.unpack("<d", struct.pack("<Q", bits))[0])
)
counts = st.one_of(st.integers(0, 300).map(float), floats)
starts = st.sampled_from([0, 0, 7, -1, *INT64])
gaps = st.lists(st.sampled_from([1, 15_000, 15_001, 1 << 31, 1 << 40]), min_size=1, max_size=3)
indexes = st.sets(st.one_of(st.integers(-9, 9), st.sampled_from([-(1 << 31), (1 << 31) - 1])), max_size=9)
texts = st.sampled_from(["a", "b", "job", "ü", "日本", "x" * 300, "\x00"])
label_sets = st.dictionaries(texts, st.one_of(texts, st.text(max_size=3)), max_size=5)


@st.composite
def layouts(draw: st.DrawFn) -> dict[str, Any]:
    if draw(st.booleans()):
        bounds = sorted(draw(st.sets(st.floats(-100, 100), max_size=4)))
        positive = draw(st.sets(st.integers(0, len(bounds))))
        return {"schema": -53, "custom_values": bounds, "positive": positive, "negative": set()}
    return {
        "schema": draw(st.integers(-4, 8)),
        "zero_threshold": draw(st.sampled_from([0.0, 1e-128, 0.5])),
        "positive": draw(indexes),
        "negative": draw(indexes),
    }


@st.composite
def histograms(draw: st.DrawFn, known: list[dict[str, Any]]) -> dict[str, Any]:
    one = dict(draw(st.sampled_from(known)))
    for side in ("positive", "negative"):
        one[side] = {index: draw(counts) for index in one[side]}
    cells = {name: draw(counts) for name in ("count", "sum", "zero_count")}
    return {**one, **cells, "hint": draw(st.sampled_from(["unknown", "reset", "not_reset", "gauge"]))}


def times_of(draw: st.DrawFn, sizes: list[int]) -> NDArray[np.int64]:
    """Ascending times for series of these sizes, near and far from each other."""
    parts = [np.empty(0, np.int64)]
    for size in sizes:
        pattern = draw(gaps)
        steps = [pattern[at % len(pattern)] for at in range(size)]
        parts.append(np.cumsum([draw(st.integers(-5, 5)), *steps], dtype=np.int64)[:size])
    return np.concatenate(parts)


@st.composite
def frames(draw: st.DrawFn) -> FrameArrays:
    sizes = draw(st.lists(st.sampled_from([0, 0, 1, 2, 5, 239, 240, 241, 500]), max_size=6))
    pool = draw(st.lists(floats, min_size=1, max_size=8))
    rng = random.Random(draw(st.integers(0, 99)))
    own = None
    if draw(st.booleans()):
        known = draw(st.lists(layouts(), min_size=1, max_size=3))
        some = draw(st.lists(histograms(known), min_size=1, max_size=6))
        amounts = [draw(st.sampled_from([0, 1, 3, 300])) for _ in sizes]
        values = Histograms.from_dicts(some).take([rng.randrange(len(some)) for _ in range(sum(amounts))])
        own = (offsets_of(amounts), times_of(draw, amounts), begun(draw, sum(amounts), rng), values)
    many = sum(sizes)
    column = np.array([rng.choice(pool) for _ in range(many)], np.float64)
    return offsets_of(sizes), times_of(draw, sizes), column, begun(draw, many, rng), own


def offsets_of(sizes: list[int]) -> NDArray[np.int64]:
    return np.cumsum([0, *sizes], dtype=np.int64)


def begun(draw: st.DrawFn, size: int, rng: random.Random) -> NDArray[np.int64] | None:
    some = draw(st.lists(starts, max_size=3))
    return np.array([rng.choice(some) for _ in range(size)], np.int64) if some and size else None


def exact(arrays: FrameArrays) -> list[Any]:
    """Everything in a frame, with all bits."""
    offsets, times, values, begun, own = arrays
    found: list[Any] = [offsets.tolist(), times.tolist(), values.tobytes()]
    found.append(None if begun is None else begun.tolist())
    if own is not None:
        offsets, times, begun, pool = own
        found += [offsets.tolist(), times.tolist(), None if begun is None else begun.tolist()]
        found += [(canonical(pool[at]), pool[at]["hint"]) for at in range(len(pool))]
    return found


def named(count: int) -> LabelSets:
    return LabelSets.from_dicts([{"__name__": "m", "n": str(at)} for at in range(count)])


def framed(arrays: FrameArrays) -> SeriesFrame:
    return SeriesFrame.of(named(len(arrays[0]) - 1), arrays)


@settings(max_examples=60, deadline=None)
@given(frames())
def test_frames_come_back(arrays: FrameArrays) -> None:
    frame = framed(arrays)
    back = DECODER.frame(frame.labels, ENCODER.frame(frame))
    assert back.labels is frame.labels
    assert exact(back.arrays()) == exact(arrays)


def test_a_frame_is_of_as_many_series_as_were_asked_for() -> None:
    data = ENCODER.frame(framed((np.array([0, 1]), np.array([5]), np.array([1.0]), None, None)))
    with pytest.raises(Corruption):
        DECODER.frame(named(2), data)


def test_times_that_do_not_ascend_are_refused() -> None:
    with pytest.raises(InvalidData):
        ENCODER.frame(framed((np.array([0, 2]), np.array([5, 5]), np.array([1.0, 2.0]), None, None)))


@settings(max_examples=60, deadline=None)
@given(st.lists(label_sets, max_size=30), st.data())
def test_labels_come_back(sets: list[dict[str, str]], data: st.DataObject) -> None:
    labels = LabelSets.from_dicts(sets)
    rows = data.draw(st.lists(st.integers(0, len(sets) - 1), max_size=9)) if sets else []
    for some in (labels, labels.take(rows)):
        back = DECODER.labels(ENCODER.labels(some))
        assert [back[at] for at in range(len(back))] == [some[at] for at in range(len(some))]
        assert back.fingerprints().tolist() == some.fingerprints().tolist()


def test_many_labels_come_back_in_a_fraction_of_their_bytes() -> None:
    sets = [{"__name__": "requests_total", "pod": f"api-{at % 5000}", "zone": "a"} for at in range(60_000)]
    data = ENCODER.labels(LabelSets.from_dicts(sets))
    assert len(data) < 6 * len(sets)
    back = DECODER.labels(data)
    assert [back[at] for at in range(0, 60_000, 999)] == sets[::999]


def exemplars_of(rows: list[list[tuple[int, float, dict[str, str]]]]) -> ExemplarFrame:
    flat = [one for row in rows for one in sorted(row, key=lambda one: one[0])]
    times = np.array([time_ms for time_ms, _, _ in flat], np.int64)
    values = np.array([value for _, value, _ in flat], np.float64)
    labels = LabelSets.from_dicts([labels for _, _, labels in flat])
    return ExemplarFrame(named(len(rows)), offsets_of(list(map(len, rows))), times, values, labels)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(*INT64), floats, label_sets), max_size=4), max_size=4))
def test_exemplars_come_back(rows: list[list[tuple[int, float, dict[str, str]]]]) -> None:
    frame = exemplars_of(rows)
    back = DECODER.exemplars(ENCODER.exemplars(frame))
    assert back.offsets.tolist() == frame.offsets.tolist()
    assert back.timestamps_ms.tolist() == frame.timestamps_ms.tolist()
    assert back.values.tobytes() == frame.values.tobytes()
    for here, there in ((frame.labels, back.labels), (frame.exemplar_labels, back.exemplar_labels)):
        assert [there[at] for at in range(len(there))] == [here[at] for at in range(len(here))]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_whatever_is_damaged_is_noticed(data: st.DataObject) -> None:
    frame = framed(data.draw(frames()))
    answers = {
        ENCODER.labels(frame.labels): DECODER.labels,
        ENCODER.frame(frame): lambda data: DECODER.frame(frame.labels, data),
        ENCODER.exemplars(exemplars_of([[(1, 2.0, {"trace_id": "x"})]])): DECODER.exemplars,
    }
    answer = data.draw(st.sampled_from(list(answers)))
    bit = data.draw(st.integers(0, 8 * len(answer) - 1))
    flipped = bytearray(answer)
    flipped[bit // 8] ^= 1 << bit % 8
    others = [other for other in answers if other != answer]
    for bad in (bytes(flipped), answer[: bit // 8], answer + b"\0", *others):
        with pytest.raises(Corruption):
            answers[answer](bad)


def test_matchers_are_spelled_as_they_were_written() -> None:
    written = [("a", "=", "x"), ("b", "!=", ""), ("c", "=~", "(?i)a|\\d+"), ("d", "!~", "日本.*")]
    assert DECODER.matchers(Matchers(written)) == written


def same_as_read(native: Head, mint_ms: int, maxt_ms: int) -> None:
    pin = native.pin()
    labels, refs = native.select(EVERY, mint_ms, maxt_ms)
    read, data = native.read(refs, mint_ms, maxt_ms, pin), native.encoded(refs, mint_ms, maxt_ms, pin)
    assert read is not None
    assert data is not None
    assert exact(DECODER.frame(labels, data).arrays()) == exact(read)


near = st.integers(-3_000, 3_000)
rows = st.one_of(
    st.builds(Row, st.just("f"), st.sampled_from("abc"), near, st.integers(0, (1 << 64) - 1), starts),
    st.builds(Row, st.just("h"), st.sampled_from("abc"), near, st.integers(0, len(POOL) - 1), starts),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(rows, max_size=30), min_size=1, max_size=8), near, near)
def test_a_head_encodes_what_it_reads(pushes: list[list[Row]], left: int, right: int) -> None:
    native = Head(range_ms=1_000, window_ms=1 << 40, grace_ms=0, series_max=0)
    for push in pushes:
        native.commit(native.prepare(batch_of(push), INT64[1]))
    same_as_read(native, *INT64)
    same_as_read(native, min(left, right), max(left, right))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1 << 30), st.sampled_from([0.0, 0.0, 0.001]))
def test_a_head_with_long_chunks_encodes_what_it_reads(seed: int, late: float) -> None:
    """Hours of samples, and ranges from one sample to all of them."""
    rng = random.Random(seed)
    native = Head(range_ms=7_200_000, window_ms=1 << 40, grace_ms=0, series_max=0)
    end_ms = 900 * 15_000
    push = []
    for name, kind in (("a", "f"), ("b", "f"), ("c", "h"), ("d", "h")):
        for time_ms in range(0, end_ms, 15_000):
            value = rng.randrange(5) if kind == "h" or name == "a" else rng.getrandbits(64)
            at = time_ms if rng.random() >= late else rng.randrange(time_ms + 1)
            push.append(Row(kind, name, at, value, 5 if rng.random() < 0.5 else 0))
    native.commit(native.prepare(batch_of(push), INT64[1]))
    for _ in range(8):
        start_ms = rng.randrange(-1, end_ms)
        same_as_read(native, start_ms, start_ms + rng.choice([0, 300_000, 3_600_000, end_ms]))


def test_a_selection_whose_chunks_were_given_back_is_not_encoded() -> None:
    native = Head(range_ms=1_000, window_ms=1 << 40, grace_ms=0, series_max=0)
    native.commit(native.prepare(batch_of([Row("f", "a", 5, 1)]), INT64[1]))
    pin = native.pin()
    _, refs = native.select(EVERY, *INT64)
    arena = native.freeze(0)
    assert arena is not None
    assert native.release(arena, native.advance())
    assert native.encoded(refs, *INT64, pin) is None
    data = native.encoded(refs, *INT64, native.pin())
    assert data is not None
    assert DECODER.frame(named(1), data).samples == 0
