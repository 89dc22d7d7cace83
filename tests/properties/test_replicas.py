"""Replicas of which each has only a part are read as the one that has everything."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rondel.model.frame import SeriesFrame
from rondel.model.labels import Matchers
from rondel.model.merge import MergedStorage, merge_selections
from rondel.promql.control import Control
from rondel.promql.engine import Engine
from rondel.promql.options import EngineOptions
from rondel.promql.render import data as rendered
from rondel.storage import Select
from tests.support.memory_storage import MemoryStorage

STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
REPLICAS = 3
QUORUM = 2
STEP_MS = 15_000
END_MS = 20 * STEP_MS

COUNTERS = st.lists(st.one_of(st.integers(0, 30).map(float), st.just(STALE)), max_size=20)
HISTOGRAMS = st.lists(
    st.one_of(
        st.builds(
            lambda count, at: {"count": count, "sum": count / 2, "positive": {at: count}},
            st.integers(0, 9).map(float),
            st.integers(0, 2),
        ),
        st.just({"count": 0.0, "sum": STALE}),
    ),
    max_size=20,
)
HOLDERS = st.sampled_from([{0, 1}, {0, 2}, {1, 2}, {0, 1, 2}])
"""A quorum that took a sample."""


def stores(
    series: list[tuple[list[Any], list[set[int]], bool]],
) -> tuple[MemoryStorage, list[MemoryStorage]]:
    """One storage with all samples, and replicas that each sample is in a quorum of."""
    truth, replicas = MemoryStorage(), [MemoryStorage() for _ in range(REPLICAS)]
    for number, (samples, holders, started) in enumerate(series):
        labels = {"__name__": "m", "n": str(number)}
        timed = [(at * STEP_MS, sample) for at, sample in enumerate(samples)]
        starts = {at: max(1, at - 7 * STEP_MS) for at, _ in timed} if started else {}
        truth.append(labels, timed, starts)
        for place, replica in enumerate(replicas):
            own = [one for one, took in zip(timed, holders, strict=True) if place in took]
            replica.append(labels, own, starts)
    return truth, replicas


def drawn(data: st.DataObject) -> list[tuple[list[Any], list[set[int]], bool]]:
    found = []
    for kind in data.draw(st.lists(st.sampled_from([COUNTERS, HISTOGRAMS]), min_size=1, max_size=3)):
        samples = data.draw(kind)
        holders = data.draw(st.lists(HOLDERS, min_size=len(samples), max_size=len(samples)))
        found.append((samples, holders, data.draw(st.booleans())))
    return found


@settings(max_examples=150, deadline=None)
@given(st.data(), st.permutations(range(REPLICAS)), st.integers(QUORUM, REPLICAS))
def test_any_read_quorum_of_replicas_has_every_sample_once(
    data: st.DataObject, order: list[int], asked: int
) -> None:
    truth, replicas = stores(drawn(data))
    request = Select("t", Matchers([("__name__", "=", "m")]), 0, END_MS)
    merged = merge_selections([replicas[place].select(request) for place in order[:asked]])
    here, there = truth.select(request), merged
    assert contents(there.read(0, len(there.labels))) == contents(here.read(0, len(here.labels)))


def contents(frame: SeriesFrame) -> dict[str, list[Any]]:
    """Samples by series, with the bits of floats; without hints, which are compared by what comes of them."""
    found: dict[str, list[Any]] = {}
    for row in range(len(frame.labels)):
        own = found[frame.labels[row]["n"]] = []
        for at in range(int(frame.offsets[row]), int(frame.offsets[row + 1])):
            bits = struct.pack("<d", frame.values[at])
            own.append((int(frame.timestamps_ms[at]), bits, start(frame.starts_ms, at)))
        histograms = frame.histograms
        if histograms is None:
            continue
        for at in range(int(histograms.offsets[row]), int(histograms.offsets[row + 1])):
            told = {name: value for name, value in histograms.values[at].items() if name != "hint"}
            own.append((int(histograms.timestamps_ms[at]), repr(told), start(histograms.starts_ms, at)))
    return found


def start(starts_ms: Any, at: int) -> int:
    return 0 if starts_ms is None else int(starts_ms[at])


QUERIES = ["rate(m[2m])", "increase(m[70s])", "resets(m[3m])", "changes(m[3m])", "m", "sum(rate(m[1m]))"]


@settings(max_examples=60, deadline=None)
@given(st.data(), st.permutations(range(REPLICAS)), st.sampled_from(QUERIES))
def test_what_is_computed_of_replicas_is_what_is_computed_of_one(
    data: st.DataObject, order: list[int], query: str
) -> None:
    """Resets included: what a replica knew of the sample before is no longer true beside another's."""
    truth, replicas = stores(drawn(data))
    there = MergedStorage([replicas[place] for place in order[:QUORUM]])
    assert answer(there, query) == answer(truth, query)


def answer(storage: Any, query: str) -> bytes:
    engine = Engine(storage, EngineOptions())
    found = engine.range("t", query, 0, END_MS, STEP_MS, Control())
    return rendered(found.data)
