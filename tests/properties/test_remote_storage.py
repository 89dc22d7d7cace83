"""Whatever is asked of a storage, asking it over RPC answers the same."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rondel.model.frame import SeriesFrame
from rondel.model.labels import Matchers
from rondel.model.merge import reordered
from rondel.storage import Select, Selection
from tests.support.rpc import MemorySource, RemoteStorage, reading, serving

NAMES = st.sampled_from(["__name__", "job", "zone", "ü"])
VALUES = st.sampled_from(["a", "b", "日本", "x" * 300])
LABELS = st.dictionaries(NAMES, VALUES, min_size=1, max_size=4)
BITS = st.integers(0, (1 << 64) - 1).map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0])
HISTOGRAMS = st.builds(
    lambda count, at: {"count": count, "sum": count / 3, "positive": {at: count, at + 3: 0.0}},
    st.floats(0, 1e6),
    st.integers(-5, 5),
)
SERIES = st.tuples(
    LABELS,
    st.dictionaries(st.integers(0, 40), st.one_of(BITS, HISTOGRAMS), max_size=6),
    st.booleans(),
)
MATCHERS = st.lists(
    st.tuples(
        NAMES, st.sampled_from(["=", "!=", "=~", "!~"]), st.sampled_from(["a", "b", "", "a|日本", ".+"])
    ),
    min_size=1,
    max_size=3,
)
RANGES = st.tuples(st.integers(-5, 45), st.integers(-5, 45))


def loaded(series: list[tuple[dict[str, str], dict[int, Any], bool]]) -> MemorySource:
    source = MemorySource()
    for labels, samples, started in series:
        if {**labels} not in [one.labels for one in source._series.values()]:
            starts = {time_ms: time_ms - 1 for time_ms in samples} if started else {}
            source.append(labels, sorted(samples.items()), starts)
    return source


def contents(frame: SeriesFrame) -> list[Any]:
    """Everything in a frame, with all bits of its floats."""
    own = frame.histograms
    found: list[Any] = [dict(frame.labels[at]) for at in range(len(frame.labels))]
    found += [frame.offsets.tolist(), frame.timestamps_ms.tolist(), frame.values.tobytes()]
    found.append(known(frame.starts_ms))
    if own is not None and len(own.timestamps_ms):  # Those of others of the selection leave empty columns.
        found += [own.offsets.tolist(), own.timestamps_ms.tolist()]
        found.append([own.values[at] for at in range(len(own.values))])
        found.append(known(own.starts_ms))
    return found


def known(starts_ms: NDArray[np.int64] | None) -> list[int] | None:
    """Starts that are all unset are none, whether or not others of the selection have any."""
    return None if starts_ms is None or not starts_ms.any() else starts_ms.tolist()


def cuts(draw: Any, total: int) -> list[tuple[int, int]]:
    """Reads of `total` series: mostly one after the other, sometimes anywhere."""
    at, found = 0, []
    while at < total:
        stop = draw(st.integers(at + 1, total))
        found.append((at, stop))
        at = stop
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, total))
        found.insert(draw(st.integers(0, len(found))), (start, draw(st.integers(start, total))))
    return found


class Swapped:
    """One source after the other behind one server."""

    def __init__(self) -> None:
        self.source = MemorySource()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)


@pytest.fixture(scope="module")
def far() -> Iterator[tuple[Swapped, RemoteStorage]]:
    """A storage behind a server, whose loop has a thread of its own."""
    loop, swapped = asyncio.new_event_loop(), Swapped()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(coro: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coro, loop).result(30)

    stack = AsyncExitStack()
    served = run(stack.enter_async_context(serving(swapped)))
    yield swapped, run(stack.enter_async_context(reading(served.endpoint)))
    run(stack.aclose())
    assert served.bugs == []
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@settings(max_examples=80, deadline=None)
@given(st.lists(SERIES, max_size=12), MATCHERS, st.lists(MATCHERS, max_size=2), RANGES, st.data())
def test_answers_over_rpc_are_those_of_the_storage(
    far: tuple[Swapped, RemoteStorage],
    series: list[Any],
    matchers: list[Any],
    sets: list[Any],
    range_ms: tuple[int, int],
    data: st.DataObject,
) -> None:
    swapped, remote = far
    source = swapped.source = loaded(series)
    compare_look_ups(source, remote, [Matchers(list(one)) for one in sets], range_ms)
    request = Select("a", Matchers(list(matchers)), *range_ms)
    here, there = source.select(request), remote.select(request)
    total = len(here.labels)
    assert [there.labels[at] for at in range(len(there.labels))] == [here.labels[at] for at in range(total)]
    compare_reads(here, there, cuts(data.draw, total))
    rows = np.array(data.draw(st.permutations(range(total))), np.int64)
    compare_reads(reordered(here, rows), reordered(there, rows), cuts(data.draw, total))


def compare_reads(here: Selection, there: Selection, reads: list[tuple[int, int]]) -> None:
    for start, stop in reads:
        found = there.read(start, stop)
        assert len(found) == stop - start
        if start < stop:
            assert contents(found) == contents(here.read(start, stop))


def compare_look_ups(
    source: MemorySource, remote: RemoteStorage, sets: list[Matchers], range_ms: tuple[int, int]
) -> None:
    assert remote.label_names("a", sets, *range_ms) == source.label_names("a", sets, *range_ms)
    assert remote.label_values("a", "job", sets, *range_ms) == source.label_values(
        "a", "job", sets, *range_ms
    )
    here, there = source.series("a", sets, *range_ms), remote.series("a", sets, *range_ms)
    assert [there[at] for at in range(len(there))] == [here[at] for at in range(len(here))]
