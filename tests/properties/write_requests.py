"""Random parts of remote-write requests: valid ones, odd ones, and such as break a rule."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import strategies as st

from tests.properties.write_twin import LATEST_MS, NOW_MS

__all__ = [
    "draw_histogram",
    "exemplar_labels",
    "floats",
    "label_sets",
    "often",
    "rarely",
    "times_ms",
    "values",
]

names = st.one_of(st.sampled_from(["__name__", "job", "a", "b", "ü", ""]), st.text(max_size=4))
values = st.one_of(st.sampled_from(["up", "x", "", "größe", "x_sum"]), st.text(max_size=8))
floats = st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0])
times_ms = st.one_of(
    st.integers(NOW_MS - 5, LATEST_MS + 2),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([0, -1, 127, 128, 2**63 - 1, -(2**63)]),
)
rarely = st.sampled_from([False] * 9 + [True])
often = st.sampled_from([True, True, True, False])
_name = st.tuples(st.just("__name__"), st.sampled_from(["up", "x_bucket", "x_sum", "größe"]))
_others = st.lists(
    st.tuples(st.sampled_from(["job", "a", "zone"]), st.sampled_from(["x", "y", ""])),
    max_size=3,
    unique_by=lambda label: label[0],
)
_valid = st.builds(lambda name, others: [*others, name], _name, _others)
_any = st.lists(st.tuples(names, values), max_size=5)
label_sets = st.one_of(_valid, _valid, _valid, _any)
exemplar_labels = st.lists(st.tuples(names, values | st.sampled_from(["v" * 63, "v" * 64])), max_size=3)

STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
_schemas = st.sampled_from([0, 0, 3, 8, 9, 9, 12, 52, -4, 0, 3, 8, -5, 53, *[-53] * 6, -(2**31)])
_sums = st.sampled_from([0.0, 1.5, float("nan"), STALE]) | floats
_counts = st.sampled_from([0.0, 1.0, 2.5, 3.0, 1e300, 0.25, -1.0, float("nan")])
_bounds = st.sampled_from([-1.0, 0.5, 1.0, 2.0, 3.0, float("inf"), float("-inf"), float("nan")])
_spans = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=3)
_odd_spans = st.lists(
    st.tuples(st.sampled_from([0, -1, 2**31 - 1]), st.sampled_from([0, 1, 2**32 - 1])), max_size=3
)


def draw_histogram(draw: st.DrawFn, message: Any) -> None:
    """Fills a histogram of either version."""
    is_float = draw(st.booleans())
    message.schema = draw(_schemas)
    message.sum = draw(_sums)
    message.timestamp = draw(times_ms)
    message.reset_hint = draw(st.integers(0, 4))
    message.zero_threshold = draw(st.sampled_from([0.0] * 6 + [0.001, -1.0]))
    total = 0.0
    for side in ("positive", "negative") if message.schema != -53 or draw(rarely) else ("positive",):
        spans = draw(_odd_spans if draw(rarely) else _spans)
        for offset, length in spans:
            getattr(message, f"{side}_spans").add(offset=offset, length=length)
        wanted = sum(length for _, length in spans)
        count = draw(st.integers(0, 9)) if wanted > 11 or draw(rarely) else wanted
        if is_float:
            getattr(message, f"{side}_counts").extend(draw(_counts) for _ in range(count))
        else:
            total += _draw_deltas(draw, getattr(message, f"{side}_deltas"), count)
    if message.schema == -53 or draw(rarely):
        sized = draw(st.integers(0, 9))
        message.custom_values.extend(
            [float(at) for at in range(sized)]
            if draw(st.integers(0, 3))
            else draw(st.lists(_bounds, max_size=3))
        )
    _draw_totals(draw, message, is_float, int(total))


def _draw_deltas(draw: st.DrawFn, deltas: Any, count: int) -> int:
    """The sum of the counts that the deltas stand for."""
    before = total = 0
    for _ in range(count):
        now = draw(st.sampled_from([0, 1, 2, 200, 2**62]))
        deltas.append(now - before)
        before = now
        total += now
    if count and draw(rarely):
        deltas.append(-(2**63))
    return total


def _draw_totals(draw: st.DrawFn, message: Any, is_float: bool, total: int) -> None:
    if is_float:
        message.count_float = draw(_counts)
        if draw(st.booleans()):
            message.zero_count_float = draw(_counts)
        return
    zero = draw(st.integers(0, 2)) if message.schema != -53 else 0
    message.count_int = min(max(total + zero + draw(st.sampled_from([0, 0, 0, 1, -1])), 0), 2**64 - 1)
    if zero and draw(often):
        message.zero_count_int = zero
