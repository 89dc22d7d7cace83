"""Chunks as Prometheus stores them give back every bit, to our decoder and to a slow one."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rondel.errors import Corruption, InvalidData
from rondel.model.histogram import Histograms
from rondel.model.tsdb import histogram_chunk_decode, histogram_chunk_encode, xor_decode, xor_encode
from tests.properties.chunk_twin import read_histogram_chunk, read_xor_chunk

STALE_BITS = 0x7FF0000000000002
STALE = struct.unpack("<d", struct.pack("<Q", STALE_BITS))[0]

steps = st.one_of(
    st.sampled_from([1, 8191, 8192, 8193, 8194, 65535, 65536, 65537, 524287, 524288, 524289]),
    st.integers(1, 20_000),
    st.integers(1, 2**40),
)
starts = st.integers(-(2**62), 2**62)
bits = st.one_of(
    st.integers(0, 2**64 - 1),
    st.sampled_from([0, 1, 1 << 63, STALE_BITS, 0x7FF8000000000001, 0xFFF0000000000000]),
    st.builds(lambda n: struct.unpack("<Q", struct.pack("<d", n / 10))[0], st.integers(-1000, 1000)),
)


def times_of(start: int, widths: list[int]) -> list[int]:
    return np.cumsum([start, *widths]).tolist()


def floats_of(column: list[int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array(column, np.uint64).view(np.float64)


def bits_of(value: float) -> int:
    return int(struct.unpack("<Q", struct.pack("<d", value))[0])


@settings(max_examples=150)
@given(starts, st.lists(st.tuples(steps, bits), max_size=60), bits)
def test_floats_come_back_bit_for_bit(start: int, rest: list[tuple[int, int]], first: int) -> None:
    times = times_of(start, [step for step, _ in rest])
    column = [first, *(value for _, value in rest)]
    chunk = xor_encode(np.array(times), floats_of(column))
    assert read_xor_chunk(chunk) == list(zip(times, column, strict=True))
    got_times, got = xor_decode(chunk)
    assert got_times.tolist() == times
    assert got.view(np.uint64).tolist() == column


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_chunk_or_damage(data: bytes) -> None:
    for decode in (xor_decode, histogram_chunk_decode):
        try:
            times, values = decode(data)
        except Corruption:
            continue
        assert len(times) == len(values)


def test_no_samples_are_a_chunk() -> None:
    empty = np.empty(0, np.int64)
    assert [len(part) for part in xor_decode(xor_encode(empty, np.empty(0)))] == [0, 0]
    assert len(histogram_chunk_decode(histogram_chunk_encode(empty, Histograms.from_dicts([])))[1]) == 0


def test_a_chunk_has_a_largest_number_of_samples() -> None:
    times = np.arange(65_536, dtype=np.int64)
    assert xor_decode(xor_encode(times[1:], times[1:].astype(float)))[0].tolist() == times[1:].tolist()
    with pytest.raises(InvalidData, match="65536 samples"):
        xor_encode(times, times.astype(float))


indexes = st.lists(st.integers(-500, 500), unique=True, max_size=8).map(sorted)
bounds = st.lists(
    st.one_of(st.floats(-1e9, 1e9), st.integers(-10, 40_000_000).map(lambda n: n / 1000)),
    unique=True,
    max_size=6,
).map(sorted)
thresholds = st.one_of(
    st.sampled_from([0.0, 2.0**-128, 2.0**-243, 2.0**-244, 1024.0, 2048.0, 5e-324]), st.floats(0, 1e300)
)
counts = st.floats(0, 1e15)


@st.composite
def layouts(draw: st.DrawFn) -> dict[str, Any]:
    if draw(st.booleans()):
        custom = draw(bounds)
        inside = st.lists(st.integers(0, len(custom)), unique=True, max_size=6).map(sorted)
        return {
            "schema": -53,
            "custom_values": custom,
            "positive": draw(inside),
            "negative": [],
            "zero_threshold": 0.0,
        }
    return {
        "schema": draw(st.integers(-4, 8)),
        "custom_values": [],
        "positive": draw(indexes),
        "negative": draw(indexes),
        "zero_threshold": draw(thresholds),
    }


@st.composite
def columns(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Histograms of one layout whose hints let them share a chunk, staleness markers at the end."""
    layout = draw(layouts())
    first = draw(st.sampled_from(["unknown", "reset", "not_reset", "gauge"]))
    size = draw(st.integers(1, 12))
    stale_from = draw(st.integers(0, size))
    found = []
    for at in range(size):
        if at >= stale_from:
            found.append({"sum": STALE, "hint": first if at == 0 else "not_reset"})
            continue
        found.append(
            {
                **layout,
                "count": draw(counts),
                "sum": draw(st.floats(allow_nan=False)),
                "zero_count": draw(counts),
                "positive": {index: draw(counts) for index in layout["positive"]},
                "negative": {index: draw(counts) for index in layout["negative"]},
                "hint": first if at == 0 else "gauge" if first == "gauge" else "not_reset",
            }
        )
    return found


def plain(histogram: dict[str, Any]) -> dict[str, Any]:
    """In the twin's form."""
    if bits_of(histogram["sum"]) == STALE_BITS:
        return {"sum": STALE_BITS}
    shown = {key: value for key, value in histogram.items() if key != "hint"}
    return {**shown, "sum": bits_of(histogram["sum"])}


@settings(max_examples=150)
@given(columns(), starts, st.lists(steps, min_size=12, max_size=12))
def test_histograms_come_back(histograms: list[dict[str, Any]], start: int, widths: list[int]) -> None:
    times = times_of(start, widths)[: len(histograms)]
    chunk = histogram_chunk_encode(np.array(times), Histograms.from_dicts(histograms))
    began, read = read_histogram_chunk(chunk)
    assert began == histograms[0]["hint"]
    assert read == list(zip(times, map(plain, histograms), strict=True))
    got_times, got = histogram_chunk_decode(chunk)
    assert got_times.tolist() == times
    assert [plain(got[at]) for at in range(len(got))] == [plain(one) for one in histograms]
    # What came before a chunk is not at hand, so that its first histogram goes on from nothing.
    hints = [got[at]["hint"] for at in range(len(got))]
    assert hints[0] == ("unknown" if began == "not_reset" else began)
    assert set(hints[1:]) <= {"gauge" if began == "gauge" else "not_reset"}


def refused(histograms: list[dict[str, Any]]) -> None:
    times = np.arange(len(histograms), dtype=np.int64)
    with pytest.raises(InvalidData, match="more than one chunk"):
        histogram_chunk_encode(times, Histograms.from_dicts(histograms))


def test_what_a_chunk_cannot_say_of_a_histogram_is_refused() -> None:
    one = {"count": 1.0, "sum": 1.0, "positive": {0: 1.0}, "hint": "not_reset"}
    refused([one, {**one, "hint": "reset"}])
    refused([one, {**one, "hint": "unknown"}])
    refused([one, {**one, "hint": "gauge"}])
    refused([one, {**one, "positive": {1: 1.0}}])
    refused([one, {"sum": STALE}, one])


@settings(max_examples=60)
@given(columns(), st.data())
def test_a_cut_histogram_chunk_is_damage(histograms: list[dict[str, Any]], data: st.DataObject) -> None:
    times = np.arange(len(histograms), dtype=np.int64) * 1000
    chunk = histogram_chunk_encode(times, Histograms.from_dicts(histograms))
    cut = data.draw(st.integers(0, len(chunk) - 1))
    with pytest.raises(Corruption):
        histogram_chunk_decode(chunk[:cut])
