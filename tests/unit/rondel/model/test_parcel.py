"""What a destination has acknowledged goes without labels; what it does not know goes again, with them."""

from __future__ import annotations

import numpy as np
import pytest

from rondel.errors import Corruption, InvalidData
from rondel.model.parcel import KnownSeries, Parcel, Routing
from rondel.model.write import Decoder, WriteBatch, WriteLimits
from services.ingester.head import Head
from tests.support.remote_write import WriteRequest, body_of

NOW_MS = 1_700_000_000_000
EVERYTHING = 2**64 - 1
WINDOW_MS = 1_000


def batch_of(*rows: tuple[str, int], metadata: tuple[str, ...] = ()) -> WriteBatch:
    """One sample each, of `(metric, time)`."""
    request = WriteRequest()
    for name, time_ms in rows:
        series = request.timeseries.add()
        series.labels.add(name="__name__", value=name)
        series.samples.add(timestamp=time_ms, value=1.5)
    for name in metadata:
        request.metadata.add(metric_family_name=name, help="Help.", type=1)
    return Decoder(WriteLimits(), seed=1).decode(body_of(request), NOW_MS)


def routing(*sets: list[int]) -> Routing:
    """Equal shares of the hashes for each of the sets."""
    share = 2**64 // len(sets)
    ends = [share * number - 1 for number in range(1, len(sets))] + [EVERYTHING]
    return Routing(np.array(ends, np.uint64), np.array(sets, np.int16))


def head(series_max: int = 0) -> Head:
    return Head(range_ms=7_200_000, window_ms=WINDOW_MS, grace_ms=0, series_max=series_max)


def parcel_of(batch: WriteBatch, known: KnownSeries, tenant: str = "t") -> Parcel:
    return routing([0]).route(batch, tenant).parcel(0, known)


def names(parcel: Parcel) -> list[str]:
    """The metrics of a parcel; '' where the labels are not in it."""
    batch = WriteBatch.from_parcel(parcel.payload)
    return [dict(batch.series(row)[0]).get("__name__", "") for row in range(len(batch))]


def test_members_that_get_the_same_may_know_different_things() -> None:
    routed = routing([2, 0, 1]).route(batch_of(("a", 1), ("b", 2), metadata=("a",)), "t")
    known, new = KnownSeries(10), KnownSeries(10)
    known.learn(routed.parcel(0, known))
    assert routed.members == [0, 1, 2]
    assert names(routed.parcel(0, known)) == ["", ""]
    assert names(routed.parcel(1, new)) == ["a", "b"]
    assert names(routed.parcel(2, known)) == ["", ""]
    assert routed.parcel(2, known).payload is routed.parcel(0, known).payload
    assert routed.parcel(0, known).rows.tolist() == [0, 1]
    assert routed.parcel(1, new).rows.tolist() == [0, 1, 2]


def test_hashes_without_replicas_go_nowhere() -> None:
    empty = routing([-1, -1])
    routed = empty.route(batch_of(("a", 1), metadata=("a",)), "t")
    assert routed.members == []
    assert routed.set_of.tolist() == [0, 0]
    assert empty.sets.tolist() == [[-1, -1]]
    with pytest.raises(IndexError, match="place 0 of 0"):
        routed.parcel(0, KnownSeries(1))


def test_the_sets_of_a_routing_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        routing([0]).sets[0, 0] = 5


@pytest.mark.parametrize(
    ("ends", "sets"),
    [
        ([], []),
        ([5], [[0]]),
        ([EVERYTHING], [[0], [1]]),
        ([EVERYTHING], [[-2]]),
        ([9, 9, EVERYTHING], [[0]] * 3),
    ],
)
def test_what_is_no_ring_is_refused(ends: list[int], sets: list[list[int]]) -> None:
    with pytest.raises(InvalidData):
        Routing(np.array(ends, np.uint64), np.array(sets, np.int16).reshape(len(sets), 1))


def test_what_was_refused_keeps_its_labels() -> None:
    known = KnownSeries(10)
    batch = batch_of(("a", 1), ("b", 1), ("c", 1))
    known.learn(parcel_of(batch, known), refused=np.array([1, 1]))
    assert len(known) == 2
    assert names(parcel_of(batch, known)) == ["", "b", ""]


def test_tenants_know_each_their_own() -> None:
    known = KnownSeries(10)
    batch = batch_of(("a", 1), metadata=("a",))
    known.learn(parcel_of(batch, known, "one"))
    assert len(parcel_of(batch, known, "one")) == 1
    assert len(parcel_of(batch, known, "other")) == 2
    assert names(parcel_of(batch, known, "other")) == ["a"]


def test_metadata_goes_once_and_again_after_something_was_unknown() -> None:
    known = KnownSeries(10)
    batch = batch_of(("a", 1), metadata=("a", "a", "b"))
    first = parcel_of(batch, known)
    assert WriteBatch.from_parcel(first.payload).metadata_count == 3
    assert first.rows.tolist() == [0, 1, 2, 3]
    known.learn(first)
    assert len(known) == 3
    second = parcel_of(batch, known)
    assert WriteBatch.from_parcel(second.payload).metadata_count == 0
    known.forget(second, b"")
    assert len(known) == 3
    known.forget(second, batch.fingerprint(0).to_bytes(16, "little"))
    assert len(known) == 0
    assert WriteBatch.from_parcel(parcel_of(batch, known).payload).metadata_count == 3


def test_two_generations_bound_what_is_known() -> None:
    known = KnownSeries(10)
    for number in range(100):
        live = batch_of(("live", 1), (f"m{number}", 1), metadata=(f"m{number}",))
        parcel = parcel_of(live, known)
        assert names(parcel) == ["live" if number == 0 else "", f"m{number}"]
        known.learn(parcel)
        assert len(known) <= 40
    known.clear()
    assert len(known) == 0


def test_a_head_answers_what_it_does_not_know_and_takes_it_when_it_comes_again() -> None:
    ingester, known = head(), KnownSeries(10)
    known.learn(parcel_of(batch_of(("a", 1), ("b", 1)), known))
    batch = batch_of(("b", 10), ("c", 11), ("a", 12), ("b", 13), metadata=("a",))
    parcel = parcel_of(batch, known)
    assert (parcel.labelled, len(parcel)) == (1, 5)
    pending = ingester.prepare(WriteBatch.from_parcel(parcel.payload), NOW_MS)
    assert (pending.accepted[0], pending.created, pending.rejections) == (1, 1, [])
    prints = [batch.fingerprint(row) for row in (0, 2, 3)]
    assert pending.unknown == b"".join(print.to_bytes(16, "little") for print in prints)
    ingester.commit(pending)
    again = parcel.again(pending.unknown)
    assert again.rows.tolist() == [0, 2, 3]
    assert (again.labelled, names(again)) == (3, ["b", "a", "b"])
    pending = ingester.prepare(WriteBatch.from_parcel(again.payload), NOW_MS)
    assert (pending.accepted[0], pending.created, pending.unknown) == (3, 2, b"")
    ingester.commit(pending)
    pending = ingester.prepare(WriteBatch.from_parcel(parcel.payload), NOW_MS)
    assert (pending.accepted[0], pending.created, pending.unknown) == (4, 0, b"")


def test_fingerprints_that_are_cut_are_refused_and_strange_ones_passed_over() -> None:
    known = KnownSeries(10)
    parcel = parcel_of(batch_of(("a", 1)), known)
    for call in (parcel.again, lambda unknown: known.forget(parcel, unknown)):
        with pytest.raises(Corruption):
            call(bytes(17))
    assert len(parcel.again(bytes(32))) == 0
    assert len(WriteBatch.from_parcel(parcel.again(b"").payload)) == 0


def test_each_refused_sample_names_its_row() -> None:
    ingester, known = head(series_max=2), KnownSeries(10)
    first = batch_of(("a", 5_000), ("b", 5_000))
    ingester.commit(ingester.prepare(first, NOW_MS))
    known.learn(parcel_of(first, known))
    batch = batch_of(("a", 3_999), ("x", 5_000), ("b", NOW_MS + 1), ("a", 5_001), ("b", 1), ("y", 5_000))
    pending = ingester.prepare(WriteBatch.from_parcel(parcel_of(batch, known).payload), NOW_MS)
    rows = {
        id: (samples, rows.tolist())
        for (id, _, samples), rows in zip(pending.rejections, pending.rejected_rows, strict=True)
    }
    assert rows == {
        "sample-timestamp-too-old": (2, [0, 4]),
        "max-series-per-user": (2, [1, 5]),
        "too-far-in-future": (1, [2]),
    }
    assert pending.accepted[0] == 1
    texts = {id: text for id, text, _ in pending.rejections}
    assert '{__name__="a"}' in texts["sample-timestamp-too-old"]


def test_a_repair_has_no_window_but_the_future_stays_closed() -> None:
    ingester = head()
    ingester.commit(ingester.prepare(batch_of(("a", 50_000)), NOW_MS))
    late = batch_of(("a", 1), ("b", 2), ("b", NOW_MS + 1))
    assert ingester.prepare(late, NOW_MS).accepted[0] == 0
    pending = ingester.prepare(late, NOW_MS, repair=True)
    assert (pending.accepted[0], [one[0] for one in pending.rejections]) == (2, ["too-far-in-future"])
