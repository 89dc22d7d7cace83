"""Replicas of which all but one tell digests are read as if all of them had told their samples."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rondel.model.frame import SeriesFrame
from rondel.model.labels import LabelSets
from rondel.model.merge import merge_selections
from rondel.rpc.bridge import Bridge
from rondel.rpc.pb import ingester_pb2 as pb
from rondel.rpc.replicas import merge_replicas
from rondel.rpc.selection import Decoding, RemoteSelection, SelectStream, Session
from rondel.rpc.wire import WireDecoder, WireEncoder
from rondel.storage import PATIENT
from services.ingester.head import Head
from tests.properties.columns_twin import POOL, Row, batch_of
from tests.properties.test_wire import EVERY, INT64, exact, rows

if TYPE_CHECKING:
    from rondel._native import FrameArrays

ENCODER, DECODER = WireEncoder(), WireDecoder()
SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Replica(SelectStream):
    """The stream to a head, without a network."""

    def __init__(self, head: Head, window: tuple[int, int], *, encoded: bool = True) -> None:
        super().__init__(None, lambda: None)  # type: ignore[arg-type]  # nothing is sent
        self.labels, self._refs = head.select(EVERY, *window)
        self._head, self._pin = head, head.pin()
        self._window = window
        self._encoded = encoded
        self.digested = 0
        self.sampled = 0

    async def read(self, rows: pb.Rows) -> bytes:
        places = np.array(list(rows.picked) or range(rows.start, rows.stop), np.int64)
        if rows.digests:
            self.digested += len(places)
        else:
            self.sampled += len(places)
        return self.answer(places, digests=rows.digests)

    def answer(self, places: NDArray[np.int64], *, digests: bool = False) -> bytes:
        """As the head has it, or as whoever has it decoded."""
        refs = self._refs[places]
        if not self._encoded:
            frame = SeriesFrame.of(self.labels.take(places), self._read(refs))
            return ENCODER.digests(frame) if digests else ENCODER.frame(frame)
        data = self._head.encoded(refs, *self._window, self._pin, digests=digests)
        assert data is not None
        return data

    def close(self) -> None:
        """Nothing is open."""

    def _read(self, refs: NDArray[np.int64]) -> FrameArrays:
        found = self._head.read(refs, *self._window, self._pin)
        assert found is not None
        return found


class Here:
    """The selection of a replica, read directly."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self.labels = replica.labels

    def read(self, start: int, stop: int) -> SeriesFrame:
        frame = self._replica._read(self._replica._refs[start:stop])
        return SeriesFrame.of(self.labels.take(np.arange(start, stop)), frame)


@pytest.fixture(scope="module")
def bridge() -> Iterator[Bridge]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield Bridge(loop)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


THREADS = ThreadPoolExecutor(2)


def remote(replica: Replica, bridge: Bridge, *, at_once: bool = False, small: int = 0) -> RemoteSelection:
    count = len(replica.labels)
    samples = replica.answer(np.arange(count)) if at_once and count else b""
    session = Session(replica, bridge, Decoding(DECODER, THREADS), PATIENT, samples, small=small)
    return RemoteSelection(session, replica.labels)


def heads(*contents: list[list[Row]], range_ms: int = 1_000) -> list[Head]:
    made = []
    for pushes in contents:
        head = Head(range_ms=range_ms, window_ms=1 << 40, grace_ms=0, series_max=0)
        for push in pushes:
            head.commit(head.prepare(batch_of(push), INT64[1]))
        made.append(head)
    return made


def spelled(labels: LabelSets) -> list[dict[str, str]]:
    return [labels[at] for at in range(len(labels))]


def content(frame: SeriesFrame) -> list[Any]:
    """All bits; what no sample has is nothing, whether it is said or not."""
    own = frame.histograms
    if own is not None and own.starts_ms is not None and not own.starts_ms.any():
        own = replace(own, starts_ms=None)
    if own is not None and not len(own.timestamps_ms):
        own = None
    starts_ms = frame.starts_ms if frame.starts_ms is not None and frame.starts_ms.any() else None
    return exact(replace(frame, starts_ms=starts_ms, histograms=own).arrays())


def same(replicas: list[Replica], bridge: Bridge, step: int, *, at_once: bool) -> None:
    by_digest = merge_replicas([remote(one, bridge, at_once=at_once) for one in replicas])
    directly = merge_selections([Here(one) for one in replicas])
    assert spelled(by_digest.labels) == spelled(directly.labels)
    total = len(directly.labels)
    for start in range(0, total, step):
        stop = min(total, start + step)
        assert content(by_digest.read(start, stop)) == content(directly.read(start, stop))


near = st.integers(-3_000, 3_000)
pushes = st.lists(st.lists(rows, max_size=12), max_size=5)
windows = st.one_of(st.just(INT64), st.tuples(near, near).map(lambda pair: (min(pair), max(pair))))


@SETTINGS
@given(
    st.data(),
    pushes,
    st.lists(pushes, min_size=2, max_size=3),
    windows,
    st.integers(1, 3),
    st.booleans(),
    st.booleans(),
)
def test_replicas_with_gaps_and_other_values_are_merged_as_if_all_had_told_samples(
    bridge: Bridge,
    data: st.DataObject,
    common: list[list[Row]],
    own: list[list[list[Row]]],
    window: tuple[int, int],
    step: int,
    at_once: bool,
    encoded: bool,
) -> None:
    """What all have, in any order of pushes, and what each has besides: late samples, markers, histograms."""
    contents = [data.draw(st.permutations(common + others)) for others in own]
    replicas = [Replica(one, window, encoded=encoded or not at) for at, one in enumerate(heads(*contents))]
    same(replicas, bridge, step, at_once=at_once)


def hours(seed: int, lost: set[int], late: float) -> list[list[Row]]:
    """An hour of scrapes of floats and histograms without those of these numbers."""
    rng = random.Random(seed)
    found = []
    for number in range(240):
        at_ms = 15_000 * (rng.randrange(number + 1) if rng.random() < late else number)
        push = [Row("f", f"f{at}", at_ms, rng.getrandbits(64), 5 * (at % 2)) for at in range(6)]
        push += [Row("h", f"h{at}", at_ms, rng.randrange(len(POOL)), 0) for at in range(2)]
        if number not in lost:
            found.append(push)
    return found


@settings(SETTINGS, max_examples=15)
@given(
    st.integers(0, 1 << 20),
    st.lists(st.sets(st.integers(0, 239), max_size=2), min_size=2, max_size=3),
    st.sampled_from([0.0, 0.0, 0.02]),
    st.integers(1, 9),
)
def test_replicas_that_lost_a_scrape_are_filled_from_each_other(
    bridge: Bridge, seed: int, lost: list[set[int]], late: float, step: int
) -> None:
    made = heads(*(hours(seed, own, late) for own in lost), range_ms=7_200_000)
    for window in (INT64, (600_000, 2_400_000), (3_500_000, 3_585_000)):
        same([Replica(one, window) for one in made], bridge, step, at_once=False)


def test_of_replicas_that_have_the_same_one_sends_samples(bridge: Bridge) -> None:
    made = heads(*[hours(7, set(), 0.0)] * 3, range_ms=7_200_000)
    replicas = [Replica(one, (600_000, 2_400_000)) for one in made]
    same(replicas, bridge, 3, at_once=False)
    assert [(one.sampled, one.digested) for one in replicas] == [(8, 0), (0, 8), (0, 8)]


def test_the_first_series_are_asked_for_before_anybody_reads(bridge: Bridge) -> None:
    made = heads(*[hours(7, set(), 0.0)] * 2, range_ms=7_200_000)
    replicas = [Replica(one, INT64) for one in made]
    merged = merge_replicas([remote(one, bridge, small=3) for one in replicas])
    merged.read(0, 2)
    merged.read(2, 3)
    direct = merge_selections([Here(one) for one in replicas])
    assert content(merged.read(1, 8)) == content(direct.read(1, 8))
    assert [(one.sampled, one.digested) for one in replicas] == [(8, 0), (0, 8)]


def test_a_replica_that_mostly_has_something_else_is_not_asked_for_digests_for_long(bridge: Bridge) -> None:
    made = heads(hours(7, set(), 0.0), hours(7, {3}, 0.0), range_ms=7_200_000)
    replicas = [Replica(one, INT64) for one in made]
    merged = merge_replicas([remote(one, bridge) for one in replicas])
    for at in range(8):
        merged.read(at, at + 1)
    assert replicas[1].digested < 4
    assert replicas[1].sampled == 8


def test_answers_that_came_at_once_are_not_asked_for(bridge: Bridge) -> None:
    made = heads(hours(7, set(), 0.0), hours(7, {3}, 0.0), range_ms=7_200_000)
    replicas = [Replica(one, INT64) for one in made]
    same(replicas, bridge, 3, at_once=True)
    assert [one.sampled + one.digested for one in replicas] == [0, 0]
