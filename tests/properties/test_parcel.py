"""Routing is that of the ring, a parcel brings what was put in, and damage never passes for a parcel."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rondel.errors import Corruption
from rondel.model.labels import LabelSets
from rondel.model.parcel import KnownSeries, Routing
from rondel.model.write import Decoder, Version, WriteBatch
from rondel.ring.instance import Instance, State
from rondel.ring.ring import Ring, Routes
from services.ingester.head import Head
from tests.properties.parcel_twin import hashes_of, items_of_members, nobody, read, resealed, sets_of
from tests.properties.test_remote_write import requests, rich_request
from tests.properties.test_remote_write2 import requests as requests_v2
from tests.properties.test_remote_write2 import rich_request as rich_request_v2
from tests.properties.write_twin import LIMITS, NOW_MS, Outcome, bits_of, outcome_of
from tests.support.remote_write import Request, WriteRequest, body_of

LATER_MS = 1 << 62
ALL_TO_ONE = Routing(np.array([2**64 - 1], np.uint64), np.zeros((1, 1), np.int16))
both_versions = requests() | requests_v2()


def decoded(request: WriteRequest | Request) -> WriteBatch:
    version = Version.V2 if isinstance(request, Request) else Version.V1
    return Decoder(LIMITS, seed=1).decode(body_of(request), NOW_MS, version)


def simple(rows: list[tuple[str, list[tuple[int, float]]]]) -> WriteBatch:
    """A batch of `(metric, samples)`."""
    samples = [sample for _, own in rows for sample in own]
    arrays = (
        np.cumsum([0, *(len(own) for _, own in rows)]),
        np.array([time_ms for time_ms, _ in samples], np.int64),
        np.array([value for _, value in samples], np.float64),
        None,
        None,
    )
    return WriteBatch.from_arrays(LabelSets.from_dicts([{"__name__": name} for name, _ in rows]), arrays)


def sent_to_one(batch: WriteBatch, known: KnownSeries | None = None) -> bytes:
    return ALL_TO_ONE.route(batch, "t").parcel(0, known or nobody()).payload


def outcome_at(batch: WriteBatch, items: list[int]) -> Outcome:
    """What a parcel with these items says, by the twin's terms."""
    whole = outcome_of(batch)
    return Outcome(
        rows=[whole.rows[item] for item in items if item < len(batch)],
        metadata=[whole.metadata[item - len(batch)] for item in items if item >= len(batch)],
    )


@st.composite
def rings(draw: st.DrawFn) -> Routes:
    zones = draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    states = draw(st.randoms(use_true_random=False))
    members = tuple(
        Instance(f"{name}{k}", name, f"{name}{k}:1", k, states.choice(list(State)[:4]), settled_ms=1)
        for name, count in zip("abcd", zones, strict=False)
        for k in range(count)
    )
    return Ring(members, draw(st.integers(1, 3))).writes


@settings(max_examples=60, deadline=None)
@given(rings(), both_versions)
def test_routing_agrees_with_its_twin(routes: Routes, request: WriteRequest | Request) -> None:
    batch = decoded(request)
    routing = Routing(routes.ends, routes.sets)
    routed = routing.route(batch, "t")
    rows = routing.sets.tolist()
    assert [{place for place in rows[row] if place >= 0} for row in routed.set_of] == sets_of(routes, batch)
    items = items_of_members(routes, batch)
    assert routed.members == list(items)
    for member in routed.members:
        parcel = routed.parcel(member, nobody())
        assert parcel.rows.tolist() == items[member]
        assert len(parcel) == len(items[member])
        assert outcome_of(WriteBatch.from_parcel(parcel.payload)) == outcome_at(batch, items[member])


@settings(max_examples=20, deadline=None)
@given(rings())
def test_each_set_is_there_once_and_every_hash_has_its_own(routes: Routes) -> None:
    routing = Routing(routes.ends, routes.sets)
    rows = [tuple(row) for row in routing.sets.tolist()]
    assert len(set(rows)) == len(rows)
    assert {frozenset(row) for row in rows} == {frozenset(row) for row in routes.sets.tolist()}
    batch = simple([(f"m{number}", [(1, 1.0)]) for number in range(500)])
    wanted = [frozenset(row) for row in routes.of(np.array(hashes_of(batch), np.uint64)).tolist()]
    assert [frozenset(rows[row]) for row in routing.route(batch, "t").set_of] == wanted


@settings(max_examples=150, deadline=None)
@given(both_versions)
def test_a_batch_comes_back_whole(request: WriteRequest | Request) -> None:
    batch = decoded(request)
    found = WriteBatch.from_parcel(sent_to_one(batch))
    assert outcome_of(found) == outcome_at(batch, list(range(len(batch) + batch.metadata_count)))
    assert [found.fingerprint(i) for i in range(len(found))] == [
        batch.fingerprint(i) for i in range(len(batch))
    ]
    again = WriteBatch.from_parcel(sent_to_one(found))
    assert outcome_of(again) == outcome_of(found)


times = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 50)
bits = st.integers(0, 2**64 - 1).map(lambda number: float(np.uint64(number).view(np.float64)))
plain = st.lists(
    st.tuples(st.sampled_from("abcde"), st.lists(st.tuples(times, bits), max_size=3)), max_size=8
).map(simple)


@settings(max_examples=100, deadline=None)
@given(plain, st.sets(st.sampled_from("abcde")))
def test_the_bytes_are_those_of_the_page(batch: WriteBatch, learnt: set[str]) -> None:
    known = nobody()
    known.learn(ALL_TO_ONE.route(simple([(name, []) for name in sorted(learnt)]), "t").parcel(0, known))
    columns = read(sent_to_one(batch, known))
    rows = [batch.series(index) for index in range(len(batch))]
    assert columns.prints == [batch.fingerprint(index) for index in range(len(batch))]
    samples = [list(zip(times, map(bits_of, values), strict=True)) for _, times, values in rows]
    assert columns.samples == samples
    unknown = {index: labels for index, (labels, _, _) in enumerate(rows) if labels[0][1] not in learnt}
    assert columns.labels == unknown


def test_a_known_series_with_one_sample_takes_less_than_27_bytes() -> None:
    batch = simple([(f"m{number}", [(1_700_000_000_000 + number % 50, 0.1)]) for number in range(1_000)])
    known = nobody()
    routed = ALL_TO_ONE.route(batch, "t")
    known.learn(routed.parcel(0, known))
    assert len(routed.parcel(0, known).payload) < 27_000


def rich_batches() -> list[WriteBatch]:
    return [decoded(rich_request()), decoded(rich_request_v2())]


def test_every_cut_and_every_flipped_bit_is_noticed() -> None:
    for batch in rich_batches():
        payload = sent_to_one(batch)
        for size in range(len(payload)):
            with pytest.raises(Corruption):
                WriteBatch.from_parcel(payload[:size])
        for bit in range(len(payload) * 8):
            damaged = bytearray(payload)
            damaged[bit // 8] ^= 1 << bit % 8
            with pytest.raises(Corruption):
                WriteBatch.from_parcel(bytes(damaged))


def check_damaged(payload: bytes) -> None:
    """A checksum does not keep a peer from being wrong."""
    try:
        batch = WriteBatch.from_parcel(payload)
    except Corruption:
        return
    assert batch.size_bytes <= 600 * len(payload)
    assert outcome_of(WriteBatch.from_parcel(sent_to_one(batch))).rows == outcome_of(batch).rows


def test_damage_under_a_right_checksum_is_noticed_or_gives_another_batch() -> None:
    chance = random.Random(7)
    for batch in rich_batches():
        payload = sent_to_one(batch)
        for size in range(4, len(payload)):
            check_damaged(resealed(payload[:size]))
        for bit in range(32, len(payload) * 8):
            damaged = bytearray(payload)
            damaged[bit // 8] ^= 1 << bit % 8
            check_damaged(resealed(bytes(damaged)))
        for _ in range(2_000):
            damaged = bytearray(payload)
            for _ in range(chance.randint(1, 4)):
                damaged[chance.randrange(4, len(damaged))] = chance.choice([0, 1, 0x7F, 0x80, 0xFF])
            check_damaged(resealed(bytes(damaged)))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 15), st.integers(0, 4), st.integers(0, 4))
def test_any_bytes_under_a_right_checksum_are_no_danger(
    body: bytes, flags: int, series: int, samples: int
) -> None:
    head = bytes([0, 0, 0, 0, 1, flags, 0, 0])
    check_damaged(resealed(head + series.to_bytes(4, "little") + samples.to_bytes(4, "little") + body))


@settings(max_examples=50, deadline=None)
@given(st.lists(both_versions, min_size=1, max_size=4), st.integers(1, 4), st.randoms(use_true_random=False))
def test_a_head_gets_the_same_whatever_is_taken_for_known(
    all_requests: list[WriteRequest | Request], entries_max: int, chance: random.Random
) -> None:
    direct, through = head(), head()
    known = KnownSeries(entries_max)
    for request in all_requests * 2:
        batch = decoded(request)
        wanted = direct.prepare(batch, LATER_MS, repair=True)
        direct.commit(wanted)
        parcel = ALL_TO_ONE.route(batch, "t").parcel(0, known)
        first = through.prepare(WriteBatch.from_parcel(parcel.payload), LATER_MS, repair=True)
        through.commit(first)
        accepted = np.array(first.accepted)
        known.learn(parcel)
        if first.unknown:
            known.forget(parcel, first.unknown)
            again = parcel.again(first.unknown)
            second = through.prepare(WriteBatch.from_parcel(again.payload), LATER_MS, repair=True)
            through.commit(second)
            accepted += second.accepted
            assert second.unknown == b""
            if chance.random() < 0.5:
                known.learn(again)
        assert tuple(accepted) == wanted.accepted
        assert through.series_count == direct.series_count
        assert len(known) <= 4 * entries_max
        if chance.random() < 0.3:
            through = head()  # The ingester lost everything, and nobody told the distributor.
            direct = head()


def head(series_max: int = 0) -> Head:
    return Head(
        range_ms=7_200_000,
        window_ms=1 << 62,
        grace_ms=0,
        series_max=series_max,
        exemplars_max=1_000,
        exemplars_per_series_max=100,
    )
