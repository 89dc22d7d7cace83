"""Histograms, starts and exemplars in the native head: what its slow twin gives, and hints that are true."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rondel._native import resolve_hints
from rondel.errors import Corruption
from rondel.model.labels import LabelSets, Matchers
from services.ingester.head import Head, wal_scan, wal_tenant
from tests.properties.columns_twin import (
    EXEMPLAR_LABELS,
    POOL,
    ColumnsTwin,
    Point,
    Row,
    batch_of,
    canonical,
)

if TYPE_CHECKING:
    from rondel._native import FrameArrays

RANGE_MS = 1_000
EVER = (-(1 << 63), (1 << 63) - 1)
SALT = 99
CANON = [canonical(POOL[index]) for index in range(len(POOL))]

near = st.integers(-3_000, 3_000)
starts = st.sampled_from([0, 0, 5, -9, 1 << 40, EVER[0]])
float_bits = st.one_of(st.sampled_from([0, 1 << 63, 0x7FF0000000000002]), st.integers(0, (1 << 64) - 1))
rows = st.one_of(
    st.builds(Row, st.just("f"), st.sampled_from("abc"), near, float_bits, starts),
    st.builds(Row, st.just("h"), st.sampled_from("abc"), near, st.integers(0, len(POOL) - 1), starts),
    st.builds(Row, st.just("h"), st.sampled_from("abc"), near, st.integers(0, len(POOL) - 1), starts),
    st.builds(Row, st.just("e"), st.sampled_from("abc"), near, st.integers(0, len(EXEMPLAR_LABELS) - 1)),
)
pushes = st.lists(st.lists(rows, max_size=30), min_size=1, max_size=10)


def head(**options: int) -> Head:
    wanted = {"window_ms": 1 << 40, "exemplars_max": 1000, "exemplars_per_series_max": 1000, **options}
    return Head(range_ms=RANGE_MS, grace_ms=0, series_max=0, **wanted)  # type: ignore[misc]  # all are ints


def agreed(all_pushes: list[list[Row]]) -> list[list[Row]]:
    """The same with one value and start a time of a column, so that nothing is refused."""
    seen: dict[tuple[str, str, int], Row] = {}

    def first(row: Row) -> Row:
        return row if row.kind == "e" else seen.setdefault((row.kind, row.series, row.time_ms), row)

    return [[first(row) for row in push] for push in all_pushes]


def apply(native: Head, twin: ColumnsTwin, push: list[Row], segment: int = 1) -> bytes:
    """Pushes to both; returns the record."""
    pending = native.prepare(batch_of(push), EVER[1])
    assert pending.rejections == []
    twin.accept_all(push)
    kinds = [[row for row in push if row.kind == kind] for kind in "fhe"]
    known = [row for row in kinds[2] if twin.has(row.series)]
    assert pending.accepted == (len(kinds[0]), len(kinds[1]), len(known))
    assert pending.exemplars_refused == len(kinds[2]) - len(known)
    record = native.record(pending, "t", segment, SALT)
    native.commit(pending)
    return record


def read(native: Head, series: str, mint_ms: int, maxt_ms: int) -> FrameArrays | None:
    labels, refs = native.select(Matchers([("__name__", "=", series)]), mint_ms, maxt_ms)
    return native.read(refs, mint_ms, maxt_ms, native.pin()) if len(labels) else None


def points(arrays: FrameArrays | None, kind: str) -> list[Point]:
    """Times, values (bits, or numbers in the pool) and starts of the only series."""
    if arrays is None:
        return []
    _, times, values, begun, histograms = arrays
    numbers = values.view(np.uint64).tolist()
    if kind == "h":
        if histograms is None:
            return []
        _, times, begun, pool = histograms
        numbers = [CANON.index(canonical(pool[at])) for at in range(len(pool))]
    begun = np.zeros(len(times), np.int64) if begun is None else begun
    return list(zip(times.tolist(), numbers, begun.tolist(), strict=True))


def same(number: int) -> int:
    """The first of the pool that has the same bits, hints aside."""
    return CANON.index(CANON[number])


def wanted(twin: ColumnsTwin, kind: str, series: str, mint_ms: int, maxt_ms: int) -> list[Point]:
    found = twin.read(kind, series, mint_ms, maxt_ms)
    return [(time, same(value) if kind == "h" else value, start) for time, value, start in found]


def check(native: Head, twin: ColumnsTwin, mint_ms: int = EVER[0], maxt_ms: int = EVER[1]) -> None:
    """Everything that can be read is what the twin has."""
    for series in "abc":
        arrays = read(native, series, mint_ms, maxt_ms)
        for kind in "fh":
            assert points(arrays, kind) == wanted(twin, kind, series, mint_ms, maxt_ms)
        check_hints(arrays, native, series)
        found = exemplars(native, series, mint_ms, maxt_ms)
        held = twin.exemplars.get(series, set())
        assert found == sorted(one for one in held if mint_ms <= one[0] <= maxt_ms)


def exemplars(native: Head, series: str, mint_ms: int, maxt_ms: int) -> list[tuple[int, int]]:
    labels, found = native.exemplars([Matchers([("__name__", "=", series)])], mint_ms, maxt_ms)
    offsets, times, values, own = found
    assert len(labels) <= 1
    assert offsets.tolist() == [0, len(times)][: len(labels) + 1]
    assert [own[at] for at in range(len(own))] == [EXEMPLAR_LABELS[int(value)] for value in values]
    return list(zip(times.tolist(), [int(value) for value in values], strict=True))


def check_hints(arrays: FrameArrays | None, native: Head, series: str) -> None:
    """What a hint claims is true of the sample before in the series as it is read as a whole."""
    everything = read(native, series, *EVER)
    if arrays is None or everything is None or arrays[4] is None or everything[4] is None:
        return
    _, times, _, pool = arrays[4]
    offsets, all_times, _, all_pool = everything[4]
    plain = all_pool.with_hints(
        np.array([3 if all_pool[at]["hint"] == "gauge" else 0 for at in range(len(all_pool))], np.uint8)
    )
    truth = resolve_hints(offsets, plain)
    for at, time_ms in enumerate(times.tolist()):
        whole = all_times.tolist().index(time_ms)
        if at == 0 and whole > 0:  # It speaks of a sample that was not asked for.
            continue
        said = pool[at]["hint"]
        announced = POOL[CANON.index(canonical(pool[at]))]["hint"] == "reset" and said == "reset"
        assert announced or said in ("unknown", truth[whole]["hint"])


@settings(max_examples=60, deadline=None)
@given(pushes, near, near)
def test_reads_give_what_was_accepted(all_pushes: list[list[Row]], left: int, right: int) -> None:
    native, twin = head(), ColumnsTwin()
    for push in agreed(all_pushes):
        apply(native, twin, push)
    check(native, twin)
    check(native, twin, min(left, right), max(left, right))


@settings(max_examples=60, deadline=None)
@given(st.lists(rows, max_size=60), st.randoms(use_true_random=False))
def test_commits_in_any_order_give_the_same_view(samples: list[Row], rng: random.Random) -> None:
    """Every batch is prepared before any is committed, so all conflicts meet at commit."""
    native, twin = head(), ColumnsTwin()
    for series in "abc":
        apply(native, twin, [Row("f", series, 0, 0)])
    order = [row for row in samples if (row.kind, row.time_ms) != ("f", 0)]
    twin.accept_all(order)
    rng.shuffle(order)
    pending = [native.prepare(batch_of([row]), EVER[1]) for row in order]
    for one in pending:
        native.commit(one)
    check(native, twin)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, len(POOL) - 1), min_size=1, max_size=300), st.integers(1, 40))
def test_hints_of_samples_in_order_are_those_of_the_rule(numbers: list[int], step_ms: int) -> None:
    native = head()
    for at, number in enumerate(numbers):
        native.commit(native.prepare(batch_of([Row("h", "a", at * step_ms, number)]), EVER[1]))
    arrays = read(native, "a", *EVER)
    assert arrays is not None
    assert arrays[4] is not None
    found = arrays[4][3]
    truth = resolve_hints(np.array([0, len(numbers)], np.int64), POOL.take(numbers))
    told = [(found[at]["hint"], canonical(found[at])) for at in range(len(found))]
    assert told == [(truth[at]["hint"], canonical(truth[at])) for at in range(len(truth))]


@settings(max_examples=40, deadline=None)
@given(pushes, st.lists(st.integers(-3, 3), max_size=3))
def test_replayed_records_give_the_same_view(all_pushes: list[list[Row]], covered: list[int]) -> None:
    native, twin, other, rest = head(), ColumnsTwin(), head(), head()
    log = b"".join(apply(native, twin, push) for push in agreed(all_pushes))
    records, damages, consumed = wal_scan(log, SALT, True)
    assert (len(records), damages, consumed) == (len(all_pushes), [], len(log))
    for (kind, start, stop), push in zip(records, all_pushes, strict=True):
        assert kind == 1 or any(row.kind != "f" or row.start_ms for row in push)
        after = wal_tenant(log, start, stop)[1]
        other.replay(log, [(kind, after, stop)], [])
        samples, histograms, *_, ranges = rest.replay(log, [(kind, after, stop)], covered)
        assert not set(ranges) & set(covered)
        assert samples + histograms <= len(push)
    other.end_replay()
    rest.end_replay()
    check(other, twin)
    inside = {time // RANGE_MS in covered for column in twin.columns.values() for time in column}
    for (kind, series), column in twin.columns.items():
        kept = [one for one in wanted(twin, kind, series, *EVER) if one[0] // RANGE_MS not in covered]
        assert points(read(rest, series, *EVER), kind) == kept
        assert column
    assert rest.max_time_ms == other.max_time_ms or not inside


@settings(max_examples=40, deadline=None)
@given(pushes, st.integers(-4, 4))
def test_a_frozen_range_is_whole_and_goes_as_a_whole(all_pushes: list[list[Row]], number: int) -> None:
    native, twin = head(), ColumnsTwin()
    half = len(all_pushes) // 2
    first, second = agreed(all_pushes)[:half], agreed(all_pushes)[half:]
    for push in first:
        apply(native, twin, push)
    arena = native.freeze(number)
    inside = (number * RANGE_MS, (number + 1) * RANGE_MS - 1)
    shipped: dict[str, list[Point]] = {}
    told: dict[str, list[tuple[int, int]]] = {}
    for series in "abc" if arena is not None else "":
        frozen = {kind: wanted(twin, kind, series, *inside) for kind in "fh"}
        labels, refs = native.frozen(arena or 0)
        at = [row for row in range(len(labels)) if labels[row]["__name__"] == series]
        arrays = native.read(refs[at], *EVER, native.pin(), arena=arena) if at else None
        assert {kind: points(arrays, kind) for kind in "fh"} == frozen
        shipped[series] = frozen["h"]
        offsets, times, values, _ = native.frozen_exemplars(refs[at], arena or 0)
        told[series] = list(zip(times.tolist(), [int(value) for value in values], strict=True))
        assert told[series] == sorted(
            one for one in twin.exemplars.get(series, set()) if inside[0] <= one[0] <= inside[1]
        )
        assert offsets.tolist() == ([0, len(times)] if at else [0])
    for push in second:
        apply(native, twin, push)
    check(native, twin)
    if arena is None:
        return
    assert native.release(arena, native.advance())
    for series in "abc":
        gone = set(wanted(twin, "h", series, *EVER)) - set(points(read(native, series, *EVER), "h"))
        assert gone <= set(shipped[series])
        lost = twin.exemplars.get(series, set()) - set(exemplars(native, series, *EVER))
        assert lost == set(told[series])


@settings(max_examples=100, deadline=None)
@given(st.lists(rows, min_size=1, max_size=12), st.data())
def test_a_damaged_payload_is_read_or_refused(push: list[Row], data: st.DataObject) -> None:
    record = bytearray(apply(head(), ColumnsTwin(), agreed([push])[0]))
    ((kind, start, stop),) = wal_scan(bytes(record), SALT, True)[0]
    after = wal_tenant(bytes(record), start, stop)[1]
    if kind == 3:
        for end in range(after, stop):
            with pytest.raises(Corruption):
                head().replay(bytes(record), [(kind, after, end)], [])
    for _ in range(5):
        record[data.draw(st.integers(after, stop - 1))] = data.draw(st.integers(0, 255))
    native = head()
    try:
        native.replay(bytes(record), [(kind, after, stop)], [])
    except Corruption:
        return
    native.end_replay()


def test_a_series_keeps_its_newest_exemplars_and_a_tenant_those_that_came_last() -> None:
    native = head(exemplars_max=4, exemplars_per_series_max=3)
    push = [
        Row("f", "a", 0, 1),
        Row("f", "b", 0, 1),
        *(Row("e", "a", time_ms, 0) for time_ms in (5, 1, 9, 7)),
    ]
    native.commit(native.prepare(batch_of(push), EVER[1]))
    assert exemplars(native, "a", *EVER) == [(5, 0), (7, 0), (9, 0)]
    native.commit(native.prepare(batch_of([Row("e", "b", time_ms, 1) for time_ms in (2, 3)]), EVER[1]))
    assert native.exemplar_count == 4
    assert exemplars(native, "a", *EVER) == [(7, 0), (9, 0)]
    assert exemplars(native, "b", *EVER) == [(2, 1), (3, 1)]
    labels, _ = native.exemplars([Matchers([("__name__", "=~", ".+")])], *EVER)
    assert len(labels) == 2


def test_a_flood_of_exemplars_stays_within_its_bounds() -> None:
    native = head(exemplars_max=50, exemplars_per_series_max=10)
    for step in range(60):
        push = [Row("f", "a", step, 1), *(Row("e", "ab"[step % 7 == 0], step * 50 + n, 0) for n in range(50))]
        native.commit(native.prepare(batch_of(push), EVER[1]))
    assert native.exemplar_count == 10
    assert native.size_bytes() < 100_000


def test_exemplars_are_refused_where_none_are_kept_and_samples_are_not() -> None:
    for options in ({"exemplars_max": 0}, {"exemplars_per_series_max": 0}):
        native = head(**options)
        pending = native.prepare(batch_of([Row("f", "a", 0, 1), Row("e", "a", 0, 0)]), EVER[1])
        assert (pending.accepted, pending.exemplars_refused) == ((1, 0, 0), 1)
        native.commit(pending)
        assert native.exemplar_count == 0


def test_histograms_are_judged_as_floats_are() -> None:
    native = head(window_ms=10)
    native.commit(native.prepare(batch_of([Row("h", "a", 100, 0)]), 100))
    push = [
        Row("h", "a", 100, 0, start_ms=7),
        Row("h", "a", 100, 1),
        Row("h", "a", 89, 1),
        Row("h", "a", 101, 1),
        Row("e", "a", 89, 0),
        Row("e", "a", 99, 0),
    ]
    pending = native.prepare(batch_of(push), 100)
    assert (pending.accepted, pending.exemplars_refused) == ((0, 1, 1), 1)
    assert [(id, samples) for id, _, samples in pending.rejections] == [
        ("sample-duplicate-timestamp", 1),
        ("sample-timestamp-too-old", 1),
        ("too-far-in-future", 1),
    ]
    assert native.max_time_ms == 100


def test_series_with_histograms_only_are_found_counted_and_collected() -> None:
    native = head()
    rows = [Row("h", name, time_ms, 1) for name in ("a", "b") for time_ms in (5, 1_005)]
    native.commit(native.prepare(batch_of(rows), EVER[1]))
    assert native.ranges() == [0, 1]
    assert (native.bounds_ms(), native.chunk_count(), native.series_count) == ((5, 1_005), 4, 2)
    assert native.label_values("__name__", [], 0, 10) == ["a", "b"]
    assert len(native.series([Matchers([("__name__", "=", "b")])], 6, 7)) == 0
    for number in (0, 1):
        arena = native.freeze(number)
        assert arena is not None
        assert len(native.frozen(arena)[0]) == 2
        assert native.release(arena, native.advance())
    assert (native.collect(), native.series_count) == (2, 0)


@pytest.mark.parametrize("time_ms", EVER)
def test_a_histogram_may_have_any_time(time_ms: int) -> None:
    native = head()
    row = Row("h", "a", time_ms, 14, time_ms)
    native.commit(native.prepare(batch_of([row, Row("f", "a", time_ms, 7, time_ms)]), EVER[1]))
    arrays = read(native, "a", *EVER)
    assert points(arrays, "h") == [(time_ms, 14, time_ms)]
    assert points(arrays, "f") == [(time_ms, 7, time_ms)]


def test_labels_of_a_batch_without_content_are_no_series() -> None:
    native = head()
    pending = native.prepare(batch_of([Row("e", "a", 0, 0)]), EVER[1])
    assert (pending.created, pending.fresh, pending.exemplars_refused) == (0, 0, 1)
    native.abort(pending)
    assert len(LabelSets.concat([native.series([], *EVER)])) == 0
