"""The native head gives what its slow twin gives, whatever is pushed in whatever order."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rondel.errors import Corruption
from rondel.model.labels import LabelSets, Matchers
from rondel.model.write import WriteBatch
from services.ingester.head import Head, wal_scan, wal_tenant
from tests.properties.head_twin import STALE_BITS, HeadTwin

RANGE_MS = 1_000
WINDOW_MS = 700
INT64 = (-(1 << 63), (1 << 63) - 1)
SALT = 99

Push = list[tuple[str, int, int]]
"""(series, time, value bits)"""

bits = st.one_of(
    st.sampled_from([0, 1 << 63, 0x3FF0000000000000, 0x7FF8000000000001, 0xFFF8000000000123, STALE_BITS]),
    st.integers(0, (1 << 64) - 1),
    st.integers(0, 1000).map(lambda number: int(np.float64(number).view(np.uint64))),
)
near = st.integers(-3_000, 3_000)
times = st.one_of(near, near, near, st.sampled_from([*INT64, 0]))
RANDOMS = st.randoms(use_true_random=False)
pushes = st.lists(
    st.lists(st.tuples(st.sampled_from("abc"), near, bits), max_size=40), min_size=1, max_size=12
)


def head(window_ms: int = WINDOW_MS) -> Head:
    return Head(range_ms=RANGE_MS, window_ms=window_ms, grace_ms=0, series_max=0)


def batch(push: Push) -> WriteBatch:
    labels = LabelSets.from_dicts([{"__name__": name} for name, _, _ in push])
    return WriteBatch.from_arrays(
        labels,
        (
            np.arange(len(push) + 1),
            np.array([time_ms for _, time_ms, _ in push], np.int64),
            np.array([value for _, _, value in push], np.uint64).view(np.float64),
            None,
            None,
        ),
    )


def read(native: Head, name: str, mint_ms: int, maxt_ms: int) -> list[tuple[int, int]]:
    pin = native.pin()
    labels, refs = native.select(Matchers([("__name__", "=", name)]), mint_ms, maxt_ms)
    if not len(labels):
        return []
    found = native.read(refs, mint_ms, maxt_ms, pin)
    assert found is not None
    _, time_of, values, starts, histograms = found
    assert (starts, histograms) == (None, None)
    return list(zip(time_of.tolist(), values.view(np.uint64).tolist(), strict=True))


def apply(native: Head, twin: HeadTwin, push: Push) -> bytes:
    """Pushes to both; the twin takes what the native head says that it accepted. Returns the record."""
    pending = native.prepare(batch(push), INT64[1])
    rejected = {id: samples for id, _, samples in pending.rejections}
    assert set(rejected) <= {"sample-timestamp-too-old", "sample-duplicate-timestamp"}
    assert rejected.get("sample-timestamp-too-old", 0) == sum(twin.is_too_old(time) for _, time, _ in push)
    assert pending.accepted[0] + sum(rejected.values()) == len(push)
    record = native.record(pending, "t", 1, SALT)
    native.commit(pending)
    admitted = [sample for sample in push if not twin.is_too_old(sample[1])]
    duplicates = rejected.get("sample-duplicate-timestamp", 0)
    for name, time_ms, value in admitted:
        if duplicates and twin.series.get(name, {}).get(time_ms, value) != value:
            continue
        twin.accept(name, time_ms, value)
    fresh = [time_ms for _, time_ms, _ in admitted]
    twin.max_ms = max([twin.max_ms, *fresh])
    return record


def distinct(push: Push) -> Push:
    """At most one value a series and timestamp, so that nothing is refused as a duplicate within a push."""
    return [(name, time_ms, value) for (name, time_ms), value in {(n, t): v for n, t, v in push}.items()]


@settings(max_examples=60, deadline=None)
@given(pushes, near, near)
def test_reads_give_what_was_accepted(all_pushes: list[Push], left: int, right: int) -> None:
    native, twin = head(1 << 40), HeadTwin(1 << 40)
    seen: dict[tuple[str, int], int] = {}
    for push in all_pushes:
        agreed = [(n, t, seen.setdefault((n, t), v)) for n, t, v in push]
        apply(native, twin, agreed)
    mint_ms, maxt_ms = min(left, right), max(left, right)
    for name in "abc":
        assert read(native, name, mint_ms, maxt_ms) == twin.read(name, mint_ms, maxt_ms)
        assert read(native, name, *INT64) == twin.read(name, *INT64)


@settings(max_examples=60, deadline=None)
@given(pushes)
def test_the_window_refuses_what_the_twin_refuses(all_pushes: list[Push]) -> None:
    native, twin = head(), HeadTwin(WINDOW_MS)
    seen: dict[tuple[str, int], int] = {}
    for push in all_pushes:
        apply(native, twin, [(n, t, seen.setdefault((n, t), v)) for n, t, v in push])
    for name in "abc":
        assert read(native, name, *INT64) == twin.read(name, *INT64)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), times, bits), max_size=80), st.randoms(use_true_random=False)
)
def test_commits_in_any_order_give_the_same_view(samples: Push, rng: random.Random) -> None:
    """Every batch is prepared before any is committed, so all conflicts meet at commit."""
    twin = HeadTwin(0)
    for sample in samples:
        twin.accept(*sample)
    for _ in range(2):
        order = list(samples)
        rng.shuffle(order)
        native = head()
        pending = [native.prepare(batch([sample]), INT64[1]) for sample in order]
        assert all(one.accepted == (1, 0, 0) for one in pending)
        for one in pending:
            native.commit(one)
        for name in "ab":
            assert read(native, name, *INT64) == twin.read(name, *INT64)


@settings(max_examples=40, deadline=None)
@given(pushes)
def test_replayed_records_give_the_same_view(all_pushes: list[Push]) -> None:
    native, twin, other = head(), HeadTwin(WINDOW_MS), head()
    seen: dict[tuple[str, int], int] = {}
    log = b"".join(
        apply(native, twin, [(n, t, seen.setdefault((n, t), v)) for n, t, v in push]) for push in all_pushes
    )
    records, damages, consumed = wal_scan(log, SALT, True)
    assert (len(records), damages, consumed) == (len(all_pushes), [], len(log))
    for kind, start, stop in records:
        tenant, after = wal_tenant(log, start, stop)
        assert (tenant, kind) == ("t", 1)
        other.replay(log, [(kind, after, stop)], [])
    other.end_replay()
    for name in "abc":
        assert read(other, name, *INT64) == twin.read(name, *INT64)


@settings(max_examples=40, deadline=None)
@given(pushes, st.integers(-4, 4))
def test_a_frozen_range_reads_the_same_until_it_is_released(all_pushes: list[Push], number: int) -> None:
    native, twin = head(1 << 40), HeadTwin(1 << 40)
    seen: dict[tuple[str, int], int] = {}
    half = len(all_pushes) // 2
    for push in all_pushes[:half]:
        apply(native, twin, [(n, t, seen.setdefault((n, t), v)) for n, t, v in push])
    arena = native.freeze(number)
    inside = range(number * RANGE_MS, (number + 1) * RANGE_MS)
    frozen = {name: [p for p in twin.read(name, *INT64) if p[0] in inside] for name in twin.series}
    if arena is not None:
        labels, refs = native.frozen(arena)
        found = native.read(refs, *INT64, native.pin(), arena=arena)
        assert found is not None
        shipped = dict(
            zip([labels[at]["__name__"] for at in range(len(labels))], np.diff(found[0]), strict=True)
        )
        assert shipped == {name: len(points) for name, points in frozen.items() if points}
    for push in all_pushes[half:]:
        apply(native, twin, [(n, t, seen.setdefault((n, t), v)) for n, t, v in push])
    for name in "abc":
        assert read(native, name, *INT64) == twin.read(name, *INT64)
    if arena is not None:
        assert native.release(arena, native.advance())
        for name in "abc":
            held = set(read(native, name, *INT64))
            gone = set(twin.read(name, *INT64)) - held
            assert gone <= set(frozen.get(name, []))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 1 << 63), st.booleans())
def test_scanning_any_bytes_accounts_for_all_of_them(data: bytes, salt: int, at_end: bool) -> None:
    records, damages, consumed = wal_scan(data, salt, at_end)
    assert records == []
    assert consumed == sum(stop - start for start, stop in damages)
    assert not at_end or consumed == len(data)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([1, 3]))
def test_a_payload_of_any_bytes_is_read_or_refused(data: bytes, kind: int) -> None:
    native = head()
    try:
        native.replay(data, [(kind, 0, len(data))], [])
    except Corruption:
        return
    native.end_replay()


LABELS = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.sampled_from(["x", "y", "xy"]), max_size=3)
MATCHER = st.tuples(
    st.sampled_from(["a", "b", "c", "d"]),
    st.sampled_from(["=", "!=", "=~", "!~"]),
    st.sampled_from(["x", "y", "", "x.*", ".*", ".+", "x|y"]),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(LABELS, min_size=1, max_size=20), st.lists(MATCHER, max_size=3))
def test_look_ups_give_what_the_matchers_say(
    sets: list[dict[str, str]], conditions: list[tuple[str, str, str]]
) -> None:
    native = head()
    sets = [dict(items) for items in {tuple(sorted(one.items())) for one in sets}]
    labels = LabelSets.from_dicts(sets)
    zeros = np.zeros(len(sets), np.int64)
    arrays = np.arange(len(sets) + 1), zeros, zeros.astype(np.float64), None, None
    pending = native.prepare(WriteBatch.from_arrays(labels, arrays), 0)
    native.commit(pending)
    matchers = Matchers(conditions)
    wanted = [one for one in sets if matchers.matches(one)]
    found, refs = native.select(matchers, 0, 0)
    assert len(refs) == len(found)
    assert sorted(map(repr, (dict(sorted(found[at].items())) for at in range(len(found))))) == sorted(
        repr(dict(sorted(one.items()))) for one in wanted
    )
    assert native.label_names([matchers], 0, 0) == sorted({name for one in wanted for name in one})
    assert native.label_values("a", [matchers], 0, 0) == sorted({one["a"] for one in wanted if "a" in one})
    assert native.label_values("a", [], 0, 0) == sorted({one["a"] for one in sets if "a" in one})
    assert len(native.select(matchers, 1, 2)[0]) == 0


@pytest.mark.parametrize("time_ms", [*INT64, 0, -1])
def test_a_fresh_head_takes_any_time(time_ms: int) -> None:
    native = head()
    pending = native.prepare(batch([("a", time_ms, 7)]), INT64[1])
    native.commit(pending)
    assert read(native, "a", *INT64) == [(time_ms, 7)]
    (number,) = native.ranges()
    assert native.freeze(number) is not None
    assert read(native, "a", *INT64) == [(time_ms, 7)]


def test_a_sample_beyond_the_clock_does_not_move_the_clock_of_the_head() -> None:
    native = Head(range_ms=RANGE_MS, window_ms=10, grace_ms=100, series_max=0)
    pending = native.prepare(batch([("a", 1_000, 1), ("a", 1_101, 1)]), 1_000)
    native.commit(pending)
    assert [(id, samples) for id, _, samples in pending.rejections] == [("too-far-in-future", 1)]
    assert native.max_time_ms == 1_000


def test_the_series_limit_refuses_new_series_and_takes_samples_of_known_ones() -> None:
    native = Head(range_ms=RANGE_MS, window_ms=10, grace_ms=0, series_max=2)
    native.commit(native.prepare(batch([("a", 1, 1), ("b", 1, 1)]), 1_000))
    pending = native.prepare(batch([("a", 2, 1), ("c", 2, 1)]), 1_000)
    ((id, text, samples),) = pending.rejections
    assert (id, samples, pending.accepted) == ("max-series-per-user", 1, (1, 0, 0))
    assert "limit of 2 active series of a tenant (max_global_series_per_user)" in text


def test_dropped_series_give_their_memory_back_and_their_places_are_used_again() -> None:
    native = head(1 << 40)
    for number in range(30):
        push = [(f"s{number}-{at}", number * RANGE_MS, 1) for at in range(500)]
        native.commit(native.prepare(batch(push), INT64[1]))
        arena = native.freeze(number)
        assert arena is not None
        assert native.release(arena, native.advance())
        assert native.collect() == 500
        assert native.series_count == 0
        assert native.size_bytes() < 300_000
    native.commit(native.prepare(batch([("a", 0, 5)]), INT64[1]))
    assert read(native, "a", *INT64) == [(0, 5)]


def test_a_prepared_batch_keeps_its_series_from_being_collected() -> None:
    native = head()
    pending = native.prepare(batch([("a", 0, 5)]), 0)
    native.abort(native.prepare(batch([("c", 0, 5)]), 0))
    assert native.collect() == 1
    native.commit(pending)
    assert read(native, "a", *INT64) == [(0, 5)]
    native.abort(native.prepare(batch([("b", 0, 5)]), 0))
    assert native.collect() == 1
