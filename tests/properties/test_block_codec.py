"""Blocks give back every bit, select what a brute-force search selects, and notice every damage."""

import base64
import struct
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rondel._native import BlockEncoder, BlockIndex
from rondel.errors import Corruption
from rondel.model.labels import LabelSets, Matchers

EVER = (-(2**63), 2**63 - 1)
STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]

bits = st.integers(0, 2**64 - 1)
odd_bits = st.sampled_from(
    [
        0,
        1 << 63,
        0x7FF0000000000002,
        0x7FF8000000000001,
        0xFFF8DEADBEEF0001,
        0x7FF0000000000000,
        0xFFF0000000000000,
        1,
    ]
)


def as_bits(value: float) -> int:
    return struct.unpack("<Q", struct.pack("<d", value))[0]


decimals = st.builds(
    lambda mantissa, exponent: as_bits(mantissa / 10**exponent),
    st.integers(-(10**9), 10**9),
    st.integers(0, 6),
)
columns = st.one_of(
    st.lists(bits, min_size=1, max_size=60),
    st.lists(decimals, min_size=1, max_size=60),
    st.lists(st.one_of(decimals, odd_bits), min_size=1, max_size=60),
    st.builds(lambda value, count: [value] * count, bits, st.integers(1, 60)),
    st.builds(
        lambda start, steps: [as_bits(float(value)) for value in np.cumsum([start, *steps])],
        st.integers(0, 10**12),
        st.lists(st.integers(0, 1000), min_size=30, max_size=300),
    ),
    st.builds(
        lambda start, steps: [as_bits(float(value)) for value in np.cumsum([start, *steps])],
        st.floats(-1e6, 1e6),
        st.lists(st.floats(-1, 1), min_size=30, max_size=300),
    ),
)


@st.composite
def times_of(draw: st.DrawFn, count: int) -> list[int]:
    kind = draw(st.sampled_from(["regular", "jitter", "anywhere"]))
    if kind == "anywhere":
        whole = st.integers(-(2**63), 2**63 - 1)
        return sorted(draw(st.lists(whole, min_size=count, max_size=count, unique=True)))
    start = draw(st.integers(-(2**41), 2**41))
    if kind == "regular":
        return [start + 15_000 * n for n in range(count)]
    gaps = draw(st.lists(st.integers(1, 30_000), min_size=count, max_size=count))
    return [start + int(offset) for offset in np.cumsum(gaps)]


def encode(labels: LabelSets, series: list[tuple[list[int], list[int]]]) -> tuple[bytes, bytes]:
    encoder = BlockEncoder()
    offsets = np.cumsum([0, *(len(times) for times, _ in series)], dtype=np.int64)
    times = np.array([time for times, _ in series for time in times], np.int64)
    values = np.array([value for _, values in series for value in values], np.uint64).view(np.float64)
    data = encoder.add(labels, (offsets, times, values, None, None))
    rest, index, _ = encoder.finish()
    return data + rest, index


def decode(
    data: bytes, index: BlockIndex, mint: int = EVER[0], maxt: int = EVER[1]
) -> list[tuple[list[int], list[int]]]:
    ids = np.arange(len(index), dtype=np.uint32)
    plan = index.plan(ids, mint, maxt)
    pages = [data[offset : offset + length] for offset, length in plan.pages()]
    offsets, times, values, starts, histograms = plan.decode(pages)
    assert starts is None
    assert histograms is None
    return [
        (times[start:stop].tolist(), values[start:stop].view(np.uint64).tolist())
        for start, stop in pairwise(offsets)
    ]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_every_column_comes_back_bit_for_bit(data: st.DataObject) -> None:
    series = []
    for _ in range(data.draw(st.integers(1, 4))):
        values = data.draw(columns)
        series.append((data.draw(times_of(len(values))), values))
    labels = LabelSets.from_dicts([{"i": f"{number:03}"} for number in range(len(series))])
    block, index = encode(labels, series)
    assert decode(block, BlockIndex(index)) == series
    times = sorted(time for own, _ in series for time in own)
    mint, maxt = sorted(data.draw(st.tuples(st.sampled_from(times), st.sampled_from(times))))
    cut = [
        (
            [time for time in own if mint <= time <= maxt],
            [value for time, value in zip(own, values) if mint <= time <= maxt],
        )
        for own, values in series
    ]
    assert decode(block, BlockIndex(index), mint, maxt) == cut


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.arange(20_000, dtype=np.float64), id="line"),
        pytest.param(np.round(np.sin(np.arange(20_000) / 50) * 100, 2), id="decimal"),
        pytest.param(np.random.default_rng(1).random(20_000), id="random"),
        pytest.param(
            np.random.default_rng(2).integers(0, 2**64, 20_000, np.uint64).view(np.float64), id="noise"
        ),
        pytest.param(np.where(np.arange(20_000) % 500 == 7, STALE, np.arange(20_000) // 9), id="stale"),
        pytest.param(np.random.default_rng(6).integers(0, 2**40, 20_000).astype(float), id="even noise"),
        pytest.param(np.cumsum(np.random.default_rng(3).integers(0, 4, 20_000)).astype(float), id="counter"),
    ],
)
def test_long_columns_of_every_codec_come_back(values: np.ndarray) -> None:
    times = (
        1_700_000_000_000
        + 2000 * np.arange(len(values))
        + np.random.default_rng(4).integers(0, 9, len(values))
    )
    series = [(times.tolist(), values.view(np.uint64).tolist())]
    block, index = encode(LabelSets.from_dicts([{"i": "1"}]), series)
    assert decode(block, BlockIndex(index)) == series


names = st.sampled_from(["a", "b", "c", "__name__"])
texts = st.sampled_from(["", "x", "y", "xy", "yy", "zebra", "ü"])
label_sets = st.lists(st.dictionaries(names, texts, max_size=4), min_size=1, max_size=30)
matcher = st.tuples(
    names,
    st.sampled_from(["=", "!=", "=~", "!~"]),
    st.sampled_from(["", "x", "y", "x|y", "x.*", ".*", ".+", "zebra|", "(x|ü)"]),
)


@settings(max_examples=150, deadline=None)
@given(label_sets, st.lists(matcher, max_size=3))
def test_select_finds_what_a_search_through_all_series_finds(
    sets: list[dict[str, str]], matchers: list[tuple[str, str, str]]
) -> None:
    distinct = [dict(one) for one in {tuple(sorted((n, v) for n, v in one.items() if v)) for one in sets}]
    labels = LabelSets.from_dicts(distinct)
    labels = labels.take(labels.sort_order())
    _, index = encode(labels, [([1], [0])] * len(labels))
    opened = BlockIndex(index)
    compiled = Matchers(matchers)
    wanted = [row for row in range(len(labels)) if compiled.matches(labels[row])]
    ids = opened.select(compiled, *EVER)
    assert ids.tolist() == wanted
    found = opened.labels(ids)
    assert [found[row] for row in range(len(found))] == [labels[row] for row in wanted]
    assert opened.label_names(ids) == sorted({name for row in wanted for name in labels[row]})
    for name in ("a", "__name__", "none"):
        values = sorted({labels[row][name] for row in wanted if name in labels[row]}, key=str.encode)
        assert opened.label_values(name, ids) == values


def test_series_pages_and_postings_hold_beyond_one_page() -> None:
    labels = LabelSets.from_dicts(
        [{"__name__": f"m{n % 7}", "i": f"{n:05}", "odd": str(n % 2)} for n in range(5000)]
    )
    labels = labels.take(labels.sort_order())
    _, index = encode(labels, [([1], [0])] * len(labels))
    opened = BlockIndex(index)
    ids = opened.select(Matchers([("odd", "=", "1"), ("i", "=~", "0[12].*")]), *EVER)
    assert ids.tolist() == [
        row for row in range(5000) if labels[row]["odd"] == "1" and labels[row]["i"][:2] in ("01", "02")
    ]
    assert (opened.labels(ids).fingerprints() == labels.take(ids.astype(np.int64)).fingerprints()).all()


def small_block() -> tuple[list[tuple[list[int], list[int]]], bytes, bytes]:
    rng = np.random.default_rng(5)
    times = [1000 * n for n in range(40)]
    series = [
        (times, [as_bits(1.5)] * 40),
        (times, [as_bits(float(value)) for value in np.cumsum(rng.integers(0, 90, 40))]),
        ([time + 1 for time in times], [as_bits(value) for value in rng.random(40)]),
    ]
    labels = LabelSets.from_dicts([{"__name__": "m", "i": str(n), "job": "j"} for n in range(3)])
    return series, *encode(labels, series)


def test_a_flipped_bit_in_the_data_is_noticed_wherever_it_is() -> None:
    series, data, index = small_block()
    opened = BlockIndex(index)
    unnoticed = []
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        try:
            assert decode(bytes(damaged), opened) == series
            unnoticed.append(position)
        except Corruption:
            continue
    assert unnoticed == list(range(8)), "only the magic of the file is not part of a page"


def test_a_flipped_bit_in_the_index_is_noticed_wherever_it_is() -> None:
    _, _, index = small_block()
    for position in range(len(index)):
        damaged = bytearray(index)
        damaged[position] ^= 1 << position % 8
        with pytest.raises(Corruption):
            BlockIndex(bytes(damaged))


def test_an_index_cut_anywhere_is_noticed() -> None:
    _, _, index = small_block()
    for length in range(len(index)):
        with pytest.raises(Corruption):
            BlockIndex(index[:length])


def test_a_page_cut_anywhere_is_noticed() -> None:
    _, data, index = small_block()
    plan = BlockIndex(index).plan(np.arange(3, dtype=np.uint32), *EVER)
    whole = [data[offset : offset + length] for offset, length in plan.pages()]
    for number, page in enumerate(whole):
        for length in range(len(page)):
            with pytest.raises(Corruption):
                plan.decode([*whole[:number], page[:length], *whole[number + 1 :]])


# A block of before there were histograms in blocks.
OLD_DATA = base64.b85decode(
    "QcgrnL_t(BQcy=R0RR91UjYCB48_EJ1ONa4HUIzsKL7v#2mk;85dZ)HD77#BAU3f903HAU2><{900000_&**1918&e00aVfh"
    "ytep2p$060RaLE2mlZP0s#jC000000PueU0st~7wJ-"
    "f32tfb<0000005N1S4w^PtUNw^dX<cPSJ55knU7!qoT_#v!M3fAb01yBGfW3;dKArl-0jk!)T^d}M9=NXpQgwx-fe`xH<%`F"
    "j9sHU9kr2E44YGM#@c^d~n;(uMBcdCiw|$P`Q^rGnnAj-T3WdmA3rDnf1Qe2TIc#R_FPNnFQ;zR&c_F-"
    "+pRE6wEtv!dFhQ8$BI5s6PCtt_Ax-"
    "!Dk^lez00000C5GuuxO0pu!@cW+N{IA?pX^y&c5E7o$^|5WUBI!Xtt6IK9x~ABn1E!2x6j*aZxBxLUthA4LT8QN8x4u@yv-"
    "XE>6K`&j?0jJdNd-eoP*DR68ubo#_*L=P)9KV0000n0002@OP-Gb0000B0000K00000000090000ewJ-"
    "f33t0dF6aWAR0RjL3^aC;|wJ-"
    "f300961Qcy=R0ssI2OaK4?2^pxS1ONa4CIA2cF8}}l000002><{9D77#BASN*Z03HAU1ONcg4;}yj1ONii4+;PP2LRy9+zrq"
    "V6aWAR0D$P-4bTrLwJ-f300961"
)
OLD_INDEX = base64.b85decode(
    "QcgrnNkmvNQcy=R5C8xGFaQ7mJXocABLDyZD77#BAR`$80003n00A)o0WtsqGXMx*Uv6P-"
    "WnW(a0cijMY5@XoVgLbcQcy=R5dZ)HBLDyZbV<zf761SMD77#BAQrIz00aR81O*2G0000G000000s;aI0000|P)9Km0000h0"
    "001Avykr|0000ewJ-"
    "f39`OJG1PBBH00jU60RRO70RaI80s#R61p@&A0|y2K0RU1^M==us000*N006R7xReS2001bpFa012Q2+n{1ONd60RR930#Z;"
    "%F%$p*02BZK09U{gEe8Mq04TLD{U8T9000310SNB`08&s#F%tj)01*HH0E#g5q67c{04TLD{U8J(000630|ru1M==xt000yK"
    "003m-"
    "rMm|J001bpFa00~IRF3w0s;2|K>$)vM==xt000yK007wPcE$$)001bpFa00~IRF3x00FoITmVu~M==!u001fg000F3sO2310"
    "01bpFa01L=>Px(0FcE49s-iZ10LYZ+zqhU-3<zW=-"
    "mzQkl+mzQcy=R9{>OV82|tPf59hG3;+NCD77#BAPivu00apI1bCDL0Pv9D4F"
)


def old_series() -> list[tuple[list[int], list[int]]]:
    rng = np.random.default_rng(5)
    times = 1000 * np.arange(30)
    rows = [
        (times, np.full(30, 1.5)),
        (times, np.cumsum(rng.integers(0, 90, 30)).astype(float)),
        (times + 1, rng.random(30)),
        (times + 14_390_000, np.where(np.arange(30) == 7, STALE, np.arange(30) / 4)),
    ]
    return [(own.tolist(), values.view(np.uint64).tolist()) for own, values in rows]


def test_a_block_of_before_is_read_and_would_be_written_the_same() -> None:
    assert decode(OLD_DATA, BlockIndex(OLD_INDEX)) == old_series()
    labels = LabelSets.from_dicts([{"__name__": "m", "i": str(n), "job": "j"} for n in range(4)])
    assert encode(labels, old_series()) == (OLD_DATA, OLD_INDEX)
