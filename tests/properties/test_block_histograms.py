"""Histograms, starts and exemplars of blocks come back bit for bit; damage to any of them is noticed."""

import struct
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from rondel._native import BlockEncoder, BlockIndex, Histograms, crc32c
from rondel.errors import Corruption, InvalidData
from rondel.model.labels import LabelSets, Matchers

EVER = (-(2**63), 2**63 - 1)
SLAB_MS = 4 * 3_600_000


def as_float(bits: int) -> float:
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


def as_bits(value: float) -> int:
    return struct.unpack("<Q", struct.pack("<d", value))[0]


STALE = as_float(0x7FF0000000000002)
odd = st.sampled_from([0, 1 << 63, 0x7FF0000000000002, 0x7FF8000000000001, 0xFFF8DEADBEEF0001, 1]).map(
    as_float
)
cells = st.one_of(
    st.integers(0, 2**20).map(float), st.floats(), odd, st.sampled_from([2.0**53, 2.0**53 + 2, 0.5])
)
hints = st.sampled_from(["unknown", "reset", "not_reset", "gauge"])
indexes = st.sets(st.one_of(st.integers(-9, 9), st.sampled_from([-(2**31), 2**31 - 1])), max_size=9)

Histogram = dict[str, Any]
Sample = tuple[int, int, Histogram]
"""time, start, histogram"""


@st.composite
def layouts(draw: st.DrawFn) -> Histogram:
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
def wild(draw: st.DrawFn) -> list[Histogram]:
    """Histograms of a few layouts in any order, every cell anything."""
    known = draw(st.lists(layouts(), min_size=1, max_size=3))
    made = []
    for _ in range(draw(st.integers(1, 12))):
        one = dict(draw(st.sampled_from(known)))
        for side in ("positive", "negative"):
            one[side] = {index: draw(cells) for index in one[side]}
        made.append(
            {**one, "count": draw(cells), "sum": draw(cells), "zero_count": draw(cells), "hint": draw(hints)}
        )
    return made


@st.composite
def counters(draw: st.DrawFn) -> list[Histogram]:
    """What a process exposes: counts rise, buckets appear, it restarts and goes away."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    rate = draw(st.sampled_from([0.1, 3.0, 80.0]))
    extra = draw(st.sampled_from([0.0, 1.0, 0.5]))
    counts: dict[int, float] = {}
    total, made = 0.0, []
    for number in range(draw(st.integers(1, 120))):
        event = rng.random()
        if event < 0.02:
            made.append({"sum": STALE})
            continue
        if event < 0.04:
            counts, total = {}, 0.0
        for index, count in zip(
            *np.unique(rng.normal(0, 4, rng.poisson(rate)).astype(int), return_counts=True)
        ):
            counts[int(index)] = counts.get(int(index), 0.0) + float(count)
        total += rng.random() * rate
        zero = float(number // 7)
        made.append(
            {
                "schema": 3,
                "count": sum(counts.values()) + zero + (extra if event > 0.5 else 0.0),
                "sum": total,
                "zero_count": zero,
                "zero_threshold": 1e-128,
                "positive": dict(counts),
                "negative": {1: float(number)} if number > 50 else {},
                "hint": "not_reset" if made else "unknown",
            }
        )
    return made


@st.composite
def series(draw: st.DrawFn) -> list[Sample]:
    values = draw(st.one_of(st.just([]), wild(), counters()))
    first = draw(st.sampled_from([0, -SLAB_MS, SLAB_MS - 40_000, 2**40]))
    gaps = draw(st.sampled_from([[15_000], [15_000, 14_999, 15_003], [1, SLAB_MS]]))
    times = np.cumsum([first, *(gaps[n % len(gaps)] for n in range(len(values)))]).tolist()
    kind = draw(st.sampled_from(["none", "constant", "restarts", "anything"]))
    starts = {
        "none": [0] * len(values),
        "constant": [first - 5] * len(values),
        "restarts": [first if n > len(values) // 2 else 0 for n in range(len(values))],
        "anything": [draw(st.integers(-(2**63), 2**63 - 1)) for _ in values] if kind == "anything" else [],
    }[kind]
    return list(zip(times, starts, values))


def exact(histogram: Histogram) -> tuple[Any, ...]:
    """Everything of a histogram with its bits."""
    full = {**Histograms.from_dicts([histogram])[0]}
    return tuple(
        (key, [as_bits(one) for one in value])
        if isinstance(value, list)
        else (key, {index: as_bits(one) for index, one in value.items()})
        if isinstance(value, dict)
        else (key, as_bits(value) if isinstance(value, float) else value)
        for key, value in sorted(full.items())
    )


def column(rows: list[list[Sample]]) -> tuple[Any, ...]:
    flat = [sample for row in rows for sample in row]
    starts = np.array([start for _, start, _ in flat], np.int64)
    return (
        np.cumsum([0, *map(len, rows)], dtype=np.int64),
        np.array([time for time, _, _ in flat], np.int64),
        starts if starts.any() else None,
        Histograms.from_dicts([histogram for _, _, histogram in flat]),
    )


def labels_of(count: int) -> LabelSets:
    return LabelSets.from_dicts([{"__name__": "m", "i": f"{number:03}"} for number in range(count)])


def no_floats(count: int) -> tuple[Any, ...]:
    return np.zeros(count + 1, np.int64), np.empty(0, np.int64), np.empty(0), None


def encode(rows: list[list[Sample]]) -> tuple[bytes, bytes]:
    encoder = BlockEncoder()
    data = encoder.add(labels_of(len(rows)), (*no_floats(len(rows)), column(rows)))
    rest, index, totals = encoder.finish()
    assert totals["histograms"] == sum(map(len, rows))
    return data + rest, index


def pages_of(data: bytes, plan: Any) -> list[bytes]:
    return [data[offset : offset + length] for offset, length in plan.pages()]


def decode(
    data: bytes, index: BlockIndex, mint: int, maxt: int
) -> list[list[tuple[int, int, tuple[Any, ...]]]]:
    plan = index.plan(np.arange(len(index), dtype=np.uint32), mint, maxt)
    histograms = plan.decode(pages_of(data, plan))[4]
    if histograms is None:
        return [[] for _ in range(len(index))]
    offsets, times, starts, values = histograms
    return [
        [
            (int(times[n]), 0 if starts is None else int(starts[n]), exact(values[n]))
            for n in range(first, last)
        ]
        for first, last in pairwise(offsets)
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(series(), min_size=1, max_size=4), st.data())
def test_histograms_come_back_bit_for_bit(rows: list[list[Sample]], data: st.DataObject) -> None:
    rows = [row for row in rows if row]
    block, index = encode(rows)
    opened = BlockIndex(index)
    want = [[(time, start, exact(one)) for time, start, one in row] for row in rows]
    assert decode(block, opened, *EVER) == want
    times = sorted(time for row in rows for time, _, _ in row) or [0]
    mint, maxt = sorted(data.draw(st.tuples(st.sampled_from(times), st.sampled_from(times))))
    cut = [[sample for sample in row if mint <= sample[0] <= maxt] for row in want]
    assert decode(block, opened, mint, maxt) == cut
    selected = opened.select(Matchers([]), mint, maxt).tolist()
    assert set(selected) >= {row for row, samples in enumerate(cut) if samples}


def test_a_long_column_is_cut_and_a_wide_one_as_well() -> None:
    rng = np.random.default_rng(3)
    narrow = [{"count": 2.0, "sum": float(n), "positive": {n % 3: 2.0}} for n in range(9000)]
    wide = [
        {"sum": 1.0, "positive": dict(enumerate(rng.integers(0, 99, 3000).astype(float).tolist()))}
        for _ in range(200)
    ]
    other = [{"schema": n % 5, "positive": {1: 1.0}} for n in range(50)]
    rows = [[(time, 7, one) for time, one in enumerate(histograms)] for histograms in (narrow, wide, other)]
    block, index = encode(rows)
    opened = BlockIndex(index)
    want = [[(time, start, exact(one)) for time, start, one in row] for row in rows]
    assert decode(block, opened, *EVER) == want
    assert opened.totals()["histogram_columns"] == 2 + 3 + 50


def test_rising_counts_take_a_fraction_of_their_cells() -> None:
    rng = np.random.default_rng(1)
    shares = 40 * np.exp(-0.5 * (np.arange(30) - 15) ** 2 / 40)
    counts = np.cumsum(rng.poisson(shares, (960, 30)), axis=0).astype(float)
    sums = np.cumsum(rng.random(960) * 40)
    row = [
        (15_000 * n, 1, {"count": one.sum(), "sum": sums[n], "schema": 3, "positive": dict(enumerate(one))})
        for n, one in enumerate(counts)
    ]
    block, index = encode([row])
    bits = np.log2(np.sqrt(2 * np.pi * np.e * shares)).clip(0).sum()
    assert (len(block) + len(index)) / 960 < bits / 8 * 1.1 + 6.5


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_floats_keep_their_starts_beside_histograms(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 3))
    starts = [
        data.draw(
            st.one_of(st.just([0] * 9), st.just([4] * 9), st.lists(st.integers(0, 3), min_size=9, max_size=9))
        )
        for _ in range(count)
    ]
    times = np.tile(np.arange(9) * 3_600_000, count)
    flat = np.array(starts, np.int64).reshape(-1)
    histogram_rows = [[(n, 5, {"sum": 1.0})] if data.draw(st.booleans()) else [] for n in range(count)]
    encoder = BlockEncoder()
    arrays = (
        np.arange(count + 1) * 9,
        times,
        np.arange(9 * count, dtype=float),
        flat,
        column(histogram_rows),
    )
    block = encoder.add(labels_of(count), arrays)
    rest, index, _ = encoder.finish()
    plan = BlockIndex(index).plan(np.arange(count, dtype=np.uint32), 0, 20 * 3_600_000)
    got = plan.decode(pages_of(block + rest, plan))
    assert got[1].tolist() == times.tolist()
    assert got[2].tolist() == list(range(9 * count))
    assert (np.zeros(9 * count, int) if got[3] is None else got[3]).tolist() == flat.tolist()
    assert (got[3] is None) == (not flat.any())
    if any(histogram_rows):
        assert got[4][2].tolist() == [5] * sum(map(len, histogram_rows))


Exemplar = tuple[int, float, dict[str, str]]
exemplars = st.tuples(
    st.integers(0, 50),
    st.sampled_from([1.0, 2.5, -0.0]),
    st.dictionaries(st.sampled_from(["trace_id", "span_id", "ü"]), st.sampled_from(["a", "bb", "ü"])),
)


def exemplar_arrays(rows: list[list[Exemplar]]) -> tuple[Any, ...]:
    flat = [one for row in rows for one in row]
    return (
        np.cumsum([0, *map(len, rows)], dtype=np.int64),
        np.array([time for time, _, _ in flat], np.int64),
        np.array([value for _, value, _ in flat]),
        LabelSets.from_dicts([labels for _, _, labels in flat]),
    )


def exemplar_rows(arrays: tuple[Any, ...]) -> list[list[Exemplar]]:
    offsets, times, values, labels = arrays
    return [
        [(int(times[n]), float(values[n]), dict(labels[n])) for n in range(first, last)]
        for first, last in pairwise(offsets)
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(exemplars, min_size=1, max_size=8), min_size=1, max_size=5), st.integers(0, 50))
def test_exemplars_come_back(rows: list[list[Exemplar]], maxt: int) -> None:
    rows = [sorted(row, key=lambda one: one[0]) for row in rows]
    encoder = BlockEncoder()
    data = encoder.add(labels_of(len(rows)), (*no_floats(len(rows)), None), exemplar_arrays(rows))
    rest, index, totals = encoder.finish()
    opened = BlockIndex(index)
    plan = opened.exemplar_plan(np.arange(len(rows), dtype=np.uint32), 0, maxt)
    got = exemplar_rows(plan.decode(pages_of(data + rest, plan)))
    assert got == [[one for one in row if one[0] <= maxt] for row in rows]
    assert totals["exemplars"] == sum(map(len, rows))
    assert opened.select(Matchers([]), *EVER).tolist() == list(range(len(rows)))


def test_many_exemplars_fill_many_pages() -> None:
    row = [(n, float(n), {"trace_id": f"{n * 7919:032x}"}) for n in range(9000)]
    encoder = BlockEncoder()
    data = encoder.add(labels_of(2), (*no_floats(2), None), exemplar_arrays([row[:3], row]))
    rest, index, totals = encoder.finish()
    plan = BlockIndex(index).exemplar_plan(np.array([1], np.uint32), 4000, 4999)
    assert exemplar_rows(plan.decode(pages_of(data + rest, plan))) == [row[4000:5000]]
    assert len(plan) < totals["exemplar_pieces"]


def test_exemplars_that_do_not_ascend_are_refused() -> None:
    arrays = exemplar_arrays([[(2, 1.0, {}), (1, 1.0, {})]])
    with pytest.raises(InvalidData, match="ascend"):
        BlockEncoder().add(labels_of(1), (*no_floats(1), None), arrays)


def small_block() -> tuple[bytes, bytes]:
    rng = np.random.default_rng(5)
    counts = np.cumsum(rng.poisson(5, (30, 4)), axis=0).astype(float)
    row = [
        (
            1000 * n,
            5 + n // 20,
            {"sum": rng.random(), "positive": dict(enumerate(one)), "count": one.sum() + n % 2},
        )
        for n, one in enumerate(counts)
    ]
    encoder = BlockEncoder()
    floats = np.array([0, 3]), np.array([1, 2, 3]), np.array([1.0, 2.5, 0.1]), np.array([1, 1, 2])
    data = encoder.add(
        labels_of(1),
        (*floats, column([row])),
        exemplar_arrays([[(n, 1.0, {"trace_id": f"{n}"}) for n in range(5)]]),
    )
    rest, index, _ = encoder.finish()
    return data + rest, index


def read_all(data: bytes, index: bytes) -> tuple[Any, ...]:
    opened = BlockIndex(index)
    ids = np.arange(1, dtype=np.uint32)
    plan, other = opened.plan(ids, *EVER), opened.exemplar_plan(ids, *EVER)
    _, times, values, starts, histograms = plan.decode(pages_of(data, plan))
    assert histograms is not None
    assert starts is not None
    rows = [exact(one) for one in (histograms[3][n] for n in range(len(histograms[3])))]
    floats = (times.tolist(), values.tolist(), starts.tolist())
    own = (histograms[1].tolist(), histograms[2].tolist(), rows)
    return floats, own, exemplar_rows(other.decode(pages_of(data, other)))


def test_a_flipped_bit_is_noticed_wherever_it_is() -> None:
    data, index = small_block()
    want = read_all(data, index)
    unnoticed = []
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        try:
            assert read_all(bytes(damaged), index) == want
            unnoticed.append(position)
        except Corruption:
            continue
    assert unnoticed == list(range(8)), "only the magic of the file is not part of a page"
    for position in range(len(index)):
        damaged = bytearray(index)
        damaged[position] ^= 1 << position % 8
        with pytest.raises(Corruption):
            BlockIndex(bytes(damaged))


def test_an_index_cut_anywhere_is_noticed() -> None:
    _, index = small_block()
    for length in range(len(index)):
        with pytest.raises(Corruption):
            BlockIndex(index[:length])


def resealed(page: bytes, payload: bytes) -> bytes:
    """The page with another payload and a checksum that fits it."""
    head = page[4:8] + struct.pack("<I", len(payload))
    return page[:4] + head + struct.pack("<I", crc32c(payload, crc32c(head))) + payload


def sections(page: bytes) -> list[bytes]:
    """The directory, the zone and the bodies of a page of columns; the one section of another."""
    if page[4] == 5:
        return [zstandard.decompress(page[20:])]
    _, _, directory, _, zone = struct.unpack_from("<5I", page, 16)
    packed = page[36 : 36 + directory], page[36 + directory : 36 + directory + zone]
    return [zstandard.decompress(packed[0]), zstandard.decompress(packed[1]), page[36 + directory + zone :]]


def with_sections(page: bytes, parts: list[bytes]) -> bytes:
    packed = [zstandard.compress(part) for part in parts[:2]]
    if len(parts) == 1:
        return resealed(page, struct.pack("<I", len(parts[0])) + packed[0])
    columns = struct.unpack_from("<I", page, 16)[0]
    lengths = struct.pack("<5I", columns, len(parts[0]), len(packed[0]), len(parts[1]), len(packed[1]))
    return resealed(page, lengths + packed[0] + packed[1] + parts[2])


def test_bytes_that_no_encoder_wrote_are_damage_or_a_histogram_but_no_crash() -> None:
    """Behind a checksum that fits: what a defect, not a disk, leaves."""
    data, index = small_block()
    opened = BlockIndex(index)
    ids = np.arange(1, dtype=np.uint32)
    noticed = 0
    for plan in (opened.plan(ids, *EVER), opened.exemplar_plan(ids, *EVER)):
        pages = pages_of(data, plan)
        for number, page in enumerate(pages):
            parts = sections(page)
            for which, position in [(n, at) for n, part in enumerate(parts) for at in range(len(part))]:
                for value in (0, 1, 0x7F, 0x80, 0xFF):
                    part = bytearray(parts[which])
                    part[position] = value
                    changed = with_sections(page, [*parts[:which], bytes(part), *parts[which + 1 :]])
                    try:
                        plan.decode([*pages[:number], changed, *pages[number + 1 :]])
                    except Corruption:
                        noticed += 1
    assert noticed > 500
