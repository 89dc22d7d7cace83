"""Reads from another process: the same answers, the same errors, and nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rondel.errors import Corruption, InvalidData, QueryCanceled, QueryTimeout, Unavailable
from rondel.model.frame import ExemplarFrame, SeriesFrame
from rondel.model.labels import LabelSets, Matchers
from rondel.model.merge import MergedStorage, reordered
from rondel.promql.control import Control
from rondel.rpc.identity import Identity
from rondel.rpc.methods import LABEL_NAMES, SELECT
from rondel.rpc.pb import ingester_pb2 as pb
from rondel.rpc.remote import Remote
from rondel.rpc.selection import RemoteSelection
from rondel.rpc.server import ServerConfig
from rondel.rpc.wire import WireDecoder, WireEncoder
from rondel.storage import Costs, MetricMetadata, Select, Selection, Watch
from tests.support.cut_proxy import CutProxy
from tests.support.rpc import (
    IDENTITY,
    THREADS,
    MemorySource,
    RemoteStorage,
    channel_to,
    eventually,
    reading,
    serving,
)

EVERY = (("__name__", "=~", ".+"),)
EVER = (0, 1 << 40)


def filled(series: int, samples: int = 5) -> MemorySource:
    source = MemorySource()
    for number in range(series):
        points = [(1_000 * at, float(number * samples + at)) for at in range(samples)]
        source.append({"__name__": "m", "n": str(number)}, points)
    return source


def every(**others: Any) -> Select:
    return Select("a", Matchers(list(EVERY)), *EVER, **others)


def values(frame: SeriesFrame) -> list[list[float]]:
    return [list(frame.values[i:j]) for i, j in zip(frame.offsets, frame.offsets[1:], strict=False)]


async def in_thread(run: Callable[[], Any]) -> Any:
    """As queries run; a call that hangs fails the test, not the run."""
    async with asyncio.timeout(30):
        return await asyncio.to_thread(run)


async def test_series_and_their_samples_are_those_of_the_source() -> None:
    source = filled(50)
    async with serving(source) as served, reading(served.endpoint) as remote:
        selection = await in_thread(lambda: remote.select(every()))
        assert [selection.labels[at]["n"] for at in range(50)] == [str(n) for n in range(50)]
        frame = await in_thread(lambda: selection.read(0, 50))
        assert values(frame) == values(source.select(every()).read(0, 50))
        assert served.bugs == []


async def test_look_ups_and_metadata_are_those_of_the_source() -> None:
    source = filled(3)
    source.entries = [MetricMetadata("m", "counter", "hélp", "s"), MetricMetadata("n", "gauge", "", "")]
    source.exemplar_frame = ExemplarFrame(
        LabelSets.from_dicts([{"__name__": "m"}]),
        np.array([0, 2]),
        np.array([5, 6]),
        np.array([0.5, 1.5]),
        LabelSets.from_dicts([{"trace_id": "x"}, {}]),
    )
    sets = [Matchers([("n", "=", "1")]), Matchers([("n", "!~", "0|1")])]
    async with serving(source) as served, reading(served.endpoint) as remote:
        assert await in_thread(lambda: remote.label_names("a", [], *EVER)) == ["__name__", "n"]
        assert await in_thread(lambda: remote.label_values("a", "n", sets, *EVER)) == ["1", "2"]
        found = await in_thread(lambda: remote.series("a", sets, *EVER))
        assert [found[at]["n"] for at in range(len(found))] == ["1", "2"]
        assert await in_thread(lambda: remote.metadata("a", None)) == source.entries
        assert await in_thread(lambda: remote.metadata("a", "n")) == source.entries[1:]
        assert await in_thread(lambda: remote.metadata("a", "")) == []
        exemplars = await in_thread(lambda: remote.exemplars("a", [], *EVER))
        assert exemplars.exemplar_labels[0] == {"trace_id": "x"}
        assert list(exemplars.values) == [0.5, 1.5]


class Whole(MemorySource):
    """Counts what is read of it."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[tuple[int, int]] = []

    def select(self, request: Select) -> Any:
        found = super().select(request)
        read = found.read
        found.read = lambda start, stop: self.reads.append((start, stop)) or read(start, stop)
        return found


@pytest.mark.parametrize(("span_ms", "at_once"), [(600_000, [(0, 50)]), (1 << 30, [])])
async def test_samples_of_few_series_come_with_their_labels(
    span_ms: int, at_once: list[tuple[int, int]]
) -> None:
    source = Whole()
    for number in range(50):
        source.append({"__name__": "m", "n": str(number)}, [(at, float(number + at)) for at in range(5)])
    request = Select("a", Matchers(list(EVERY)), 0, span_ms)
    async with serving(source) as served, reading(served.endpoint) as remote:
        selection = await in_thread(lambda: remote.select(request))
        assert source.reads == at_once
        for start, stop in [(0, 30), (30, 50), (0, 50), (7, 8)]:
            frame = await in_thread(lambda start=start, stop=stop: selection.read(start, stop))
            assert values(frame) == [[float(n + at) for at in range(5)] for n in range(start, stop)]
            assert [frame.labels[at]["n"] for at in range(len(frame))] == [str(n) for n in range(start, stop)]
        assert served.bugs == []


async def test_answers_larger_than_a_message_come_whole() -> None:
    source = filled(4, samples=100_000)
    source.append({"__name__": "wide", **{f"l{at}": "x" * 2_000 for at in range(1_500)}}, [(1, 1.0)])
    async with serving(source) as served, reading(served.endpoint) as remote:
        selection = await in_thread(lambda: remote.select(every()))
        assert values(await in_thread(lambda: selection.read(0, 5))) == values(
            source.select(every()).read(0, 5)
        )
        assert len(await in_thread(lambda: remote.label_names("a", [], *EVER))) == 1_502


READS = {
    "one after the other": [(0, 10), (10, 20), (20, 30), (30, 40)],
    "growing": [(0, 1), (1, 3), (3, 9), (9, 40)],
    "shrinking": [(0, 20), (20, 30), (30, 32), (32, 40)],
    "over the end of what came ahead": [(0, 10), (15, 25), (25, 40)],
    "back and forth": [(30, 40), (0, 10), (0, 10), (5, 6), (39, 40), (7, 7), (0, 40)],
}


@pytest.mark.parametrize("reads", READS.values(), ids=READS.keys())
async def test_any_order_of_reads_has_the_samples_of_its_rows(reads: list[tuple[int, int]]) -> None:
    source = filled(40)
    here = source.select(every())
    async with serving(source) as served, reading(served.endpoint) as remote:
        there = await in_thread(lambda: remote.select(every()))
        for start, stop in reads:
            frame = await in_thread(lambda start=start, stop=stop: there.read(start, stop))
            assert values(frame) == values(here.read(start, stop))
            assert [frame.labels[at]["n"] for at in range(len(frame))] == [str(n) for n in range(start, stop)]


class Asked:
    """Implements `rondel.rpc.selection.Reader` over a source; remembers what it is asked for."""

    def __init__(self, source: Selection) -> None:
        self._source = source
        self.asked: list[tuple[int, int]] = []

    def start(self, start: int, stop: int, picked: Any, labels: LabelSets) -> Future[SeriesFrame]:
        self.asked.append((start, stop))
        frame: Future[SeriesFrame] = Future()
        frame.set_result(self._source.read(start, stop))
        return frame

    def at_once(self, labels: LabelSets) -> Future[SeriesFrame] | None:
        return None

    def wait(self, future: Future[Any]) -> Any:
        return future.result()


def test_what_is_asked_for_ahead_grows_to_what_is_worth_a_message() -> None:
    source = filled(400, samples=100_000 // 400).select(every())
    reader = Asked(source)
    selection = RemoteSelection(reader, source.labels)
    for start, stop in [(0, 2), (2, 30), (30, 60), *((at, at + 60) for at in range(60, 360, 60)), (360, 400)]:
        assert values(selection.read(start, stop)) == values(source.read(start, stop))
    assert reader.asked == [(0, 2), (2, 34), (34, 66), (66, 400)]


def test_large_series_are_not_asked_for_many_at_a_time() -> None:
    source = filled(12, samples=200_000).select(every())
    reader = Asked(source)
    selection = RemoteSelection(reader, source.labels)
    for at in range(3):
        selection.read(at, at + 1)
    assert reader.asked == [(0, 1), (1, 3), (3, 5)]


class Ready:
    """A selection that is encoded already."""

    def __init__(self, ready: Selection) -> None:
        self._ready = ready
        self.labels = ready.labels

    def read(self, start: int, stop: int) -> SeriesFrame:
        raise AssertionError("nobody needs to decode it")

    def take(self, rows: NDArray[np.int64]) -> Ready:
        return Ready(reordered(self._ready, rows))

    def encoded(self, start: int, stop: int, *, digests: bool = False) -> bytes:
        frame = self._ready.read(start, stop)
        return WireEncoder().digests(frame) if digests else WireEncoder().frame(frame)


async def test_what_is_encoded_already_is_sent_as_it_is() -> None:
    source = filled(9)
    select = source.select
    source.select = lambda request: Ready(select(request))  # type: ignore[method-assign]  # only here
    async with serving(source) as served, reading(served.endpoint) as remote:
        selection = await in_thread(lambda: remote.select(every()))
        frames = [await in_thread(lambda: selection.read(2, 5))]
        backwards = reordered(selection, np.arange(8, -1, -1))
        frames.append(await in_thread(lambda: backwards.read(4, 7)))
        here = select(every())
        assert values(frames[0]) == values(here.read(2, 5))
        assert values(frames[1]) == values(here.read(2, 5))[::-1]
        assert served.bugs == []


async def test_another_order_of_series_is_read_in_that_order() -> None:
    source = filled(40)
    rows = np.random.default_rng(1).permutation(40)[:25]
    async with serving(source) as served, reading(served.endpoint) as remote:
        there = reordered(await in_thread(lambda: remote.select(every())), rows)
        again = reordered(there, np.arange(24, -1, -1))
        for one, wanted in ((there, rows), (again, rows[::-1])):
            frame = await in_thread(lambda one=one: one.read(3, 20))
            assert [float(v[0]) / 5 for v in values(frame)] == list(wanted[3:20])
            assert [int(frame.labels[at]["n"]) for at in range(17)] == list(wanted[3:20])


async def test_parallel_reads_of_one_selection_get_what_they_asked_for() -> None:
    source = filled(60)
    here = source.select(every())
    async with serving(source) as served, reading(served.endpoint) as remote:
        there = await in_thread(lambda: remote.select(every()))
        reads = [(start, start + 4) for start in range(0, 56, 3)]
        frames = await asyncio.gather(*(in_thread(lambda r=r: there.read(*r)) for r in reads))
        assert [values(frame) for frame in frames] == [values(here.read(*r)) for r in reads]


async def test_a_merge_of_remote_storages_has_each_sample_once() -> None:
    first, second = filled(30), filled(30)
    second.append({"__name__": "m", "n": "more"}, [(1, 1.0)])
    async with (
        serving(first) as one,
        serving(second) as other,
        reading(one.endpoint) as left,
        reading(other.endpoint) as right,
    ):
        merged = await in_thread(lambda: MergedStorage([left, right]).select(every()))
        assert len(merged.labels) == 31
        frame = await in_thread(lambda: merged.read(0, 31))
        assert frame.samples == 30 * 5 + 1


class Slow(MemorySource):
    """Waits with every select until it is let go, or nobody wants the answer."""

    def __init__(self) -> None:
        super().__init__()
        self.append({"__name__": "m"}, [(1, 1.0)])
        self.go = threading.Event()
        self.asked = 0
        self.left: list[type[BaseException]] = []

    def select(self, request: Select) -> Any:
        self.asked += 1
        self._wait(request.watch)
        return super().select(request)

    def label_names(self, *args: Any, watch: Watch, **others: Any) -> list[str]:
        self.asked += 1
        self._wait(watch)
        return super().label_names(*args)

    def _wait(self, watch: Watch) -> None:
        while not self.go.wait(0.01):
            try:
                watch.check()
            except BaseException as error:
                self.left.append(type(error))
                raise


LOOKS: dict[str, Callable[[RemoteStorage, Watch], Any]] = {
    "select": lambda remote, watch: remote.select(every(watch=watch)),
    "label_names": lambda remote, watch: remote.label_names("a", [], *EVER, watch=watch),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
async def test_a_query_that_is_cancelled_stops_the_work_on_the_other_side(
    look: Callable[[RemoteStorage, Watch], Any],
) -> None:
    source, control = Slow(), Control()
    async with serving(source) as served, reading(served.endpoint) as remote:
        asking = asyncio.ensure_future(in_thread(lambda: look(remote, control)))
        await eventually(lambda: source.asked)
        control.cancel()
        with pytest.raises(QueryCanceled):
            await asking
        await eventually(lambda: source.left == [QueryCanceled])
        assert served.bugs == []


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
async def test_a_query_waits_no_longer_than_its_deadline(look: Callable[[RemoteStorage, Watch], Any]) -> None:
    source = Slow()
    async with serving(source) as served, reading(served.endpoint) as remote:
        with pytest.raises(QueryTimeout):
            await in_thread(lambda: look(remote, Control(timeout_s=0.2)))
        await eventually(lambda: source.left)


@pytest.mark.parametrize("limits", [{"client": 0.7, "server": 60.0}, {"client": 60.0, "server": 0.3}])
async def test_a_call_has_no_more_time_than_either_side_gives_it(limits: dict[str, float]) -> None:
    source = Slow()
    config = ServerConfig(listen="127.0.0.1:0", drain_s=0.2, read_timeout_s=limits["server"])
    async with (
        serving(source, config=config) as served,
        reading(served.endpoint, timeout_s=limits["client"]) as remote,
    ):
        for look in LOOKS.values():
            with pytest.raises(Unavailable):
                await in_thread(lambda look=look: look(remote, Control()))
        await eventually(lambda: len(source.left) == source.asked)


async def test_a_process_that_accepts_and_says_nothing_is_waited_for_as_long_as_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        endpoint = f"127.0.0.1:{frozen.getsockname()[1]}"
        async with reading(endpoint, timeout_s=0.5) as remote:
            with pytest.raises(Unavailable):
                await in_thread(lambda: remote.select(every()))
        async with reading(endpoint) as remote:
            with pytest.raises(QueryTimeout):
                await in_thread(lambda: remote.select(every(watch=Control(timeout_s=0.06))))


async def test_a_connection_that_breaks_between_two_reads_is_an_error_not_an_answer() -> None:
    async with serving(filled(20)) as served:
        with CutProxy(served.server.port) as proxy:
            async with reading(f"127.0.0.1:{proxy.port}") as remote:
                selection = await in_thread(lambda: remote.select(every()))
                await in_thread(lambda: selection.read(0, 5))
                proxy.cut()
                with pytest.raises(Unavailable):
                    await in_thread(lambda: [selection.read(at, at + 5) for at in (5, 10, 15)])
                proxy.join()

                def again() -> int:
                    for _ in range(100):
                        with suppress(Unavailable):
                            return len(remote.select(every()).labels)
                        time.sleep(0.05)
                    return 0

                assert await in_thread(again) == 20


async def test_a_server_that_stops_ends_selections_that_are_still_open() -> None:
    async with serving(filled(20)) as served, reading(served.endpoint) as remote:
        selection = await in_thread(lambda: remote.select(every()))
        await served.server.stop()
        with pytest.raises(Unavailable):
            await in_thread(lambda: selection.read(0, 20))
        with pytest.raises(Unavailable):
            await in_thread(lambda: remote.label_names("a", [], *EVER))


class Counting(MemorySource):
    """Counts the selections that are held."""

    def __init__(self) -> None:
        super().__init__()
        self.held = 0
        for number in range(10):
            self.append({"__name__": "m", "n": str(number)}, [(1, 1.0)])

    def select(self, request: Select) -> Any:
        return _Held(self, super().select(request))


class _Held:
    def __init__(self, source: Counting, selection: Selection) -> None:
        self._source, self._selection = source, selection
        source.held += 1

    @property
    def labels(self) -> LabelSets:
        return self._selection.labels

    def read(self, start: int, stop: int) -> SeriesFrame:
        return self._selection.read(start, stop)

    def __del__(self) -> None:
        self._source.held -= 1


async def test_a_selection_that_nobody_holds_is_let_go_on_the_other_side() -> None:
    source = Counting()
    async with serving(source) as served, reading(served.endpoint) as remote:
        selections: list[Any] = [await in_thread(lambda: remote.select(every()))]
        await in_thread(lambda: selections[0].read(0, 2))
        selections.append(reordered(selections[0], np.array([3, 2])))
        del selections[0]
        gc.collect()
        await asyncio.sleep(0.1)
        assert source.held == 1
        assert (await in_thread(lambda: selections[0].read(0, 2))).labels[0]["n"] == "3"
        selections.clear()
        gc.collect()
        await eventually(lambda: source.held == 0)
        assert served.bugs == []


async def test_a_selection_whose_caller_is_gone_without_a_word_is_let_go() -> None:
    source = Counting()
    async with serving(source) as served:
        with CutProxy(served.server.port) as proxy:
            async with reading(f"127.0.0.1:{proxy.port}") as remote:
                selection = await in_thread(lambda: remote.select(every()))
                assert source.held == 1
                proxy.cut()
                await eventually(lambda: source.held == 0)
                assert len(selection.labels) == 10
        assert served.bugs == []


async def test_a_read_whose_query_was_cancelled_ends_the_selection() -> None:
    source, control = Counting(), Control()
    async with serving(source) as served, reading(served.endpoint) as remote:
        selection = await in_thread(lambda: remote.select(every(watch=control)))
        asyncio.get_running_loop().call_soon(control.cancel)
        await asyncio.sleep(0)

        def read() -> None:
            while True:  # One of them waits long enough to look at its watch.
                selection.read(0, 1)
                selection.reader.wait(selection.reader.bridge.start(asyncio.sleep(0.2, b"")))

        with pytest.raises(QueryCanceled):
            await in_thread(read)
        await eventually(lambda: source.held == 0)


class Failing(MemorySource):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def select(self, request: Select) -> Any:
        raise self.error

    def metadata(self, tenant: str, metric: str | None) -> list[MetricMetadata]:
        raise self.error


async def test_an_error_of_the_source_is_raised_here() -> None:
    async with (
        serving(Failing(Corruption("bad page", 7, where="x"))) as served,
        reading(served.endpoint) as remote,
    ):
        for ask in (lambda: remote.select(every()), lambda: remote.metadata("a", None)):
            with pytest.raises(Corruption, match=r"bad page \(x offset 7\)"):
                await in_thread(ask)
        assert served.bugs == []


async def test_a_bug_of_the_source_is_reported_there_and_unavailable_here() -> None:
    async with serving(Failing(KeyError("secret"))) as served, reading(served.endpoint) as remote:
        with pytest.raises(Unavailable, match=r"^internal error: KeyError$"):
            await in_thread(lambda: remote.select(every()))
        assert [type(bug) for bug in served.bugs] == [KeyError]


async def test_a_regex_that_does_not_compile_there_is_bad_data_here() -> None:
    async with serving() as served, channel_to(served.endpoint) as channel:
        bad = pb.Matchers(matchers=[pb.Matcher(name="a", operator="=~", value="(")])
        request = pb.FindRequest(tenant="a", matcher_sets=[bad])
        stream = channel.ask(LABEL_NAMES, request, timeout_s=5, metadata=IDENTITY.metadata())
        with pytest.raises(InvalidData, match="regex"):
            await stream.receive()


WRONG = {
    "a read first": [pb.SelectRequest(read=pb.Rows(stop=1))],
    "no matchers": [pb.SelectRequest(select=pb.FindRequest(tenant="a"))],
    "two selects": 2 * [pb.SelectRequest(select=pb.FindRequest(tenant="a", matcher_sets=[pb.Matchers()]))],
    "rows that are not there": [
        pb.SelectRequest(select=pb.FindRequest(tenant="a", matcher_sets=[pb.Matchers()])),
        pb.SelectRequest(read=pb.Rows(start=0, stop=9)),
    ],
    "a row that is not there": [
        pb.SelectRequest(select=pb.FindRequest(tenant="a", matcher_sets=[pb.Matchers()])),
        pb.SelectRequest(read=pb.Rows(picked=[9])),
    ],
    "a tenant that is none": [
        pb.SelectRequest(select=pb.FindRequest(tenant="../b", matcher_sets=[pb.Matchers()]))
    ],
}


@pytest.mark.parametrize("requests", WRONG.values(), ids=WRONG.keys())
async def test_a_conversation_that_makes_no_sense_is_refused(requests: list[Any]) -> None:
    async with serving(filled(3)) as served, channel_to(served.endpoint) as channel:
        stream = channel.stream(SELECT, metadata=IDENTITY.metadata())
        with pytest.raises(InvalidData):
            await _talk(stream, requests)
        assert served.bugs == []


async def _talk(stream: Any, requests: list[Any]) -> None:
    for request in requests:
        await stream.send(request)
        await stream.receive()


async def test_another_process_than_meant_is_refused() -> None:
    meant = Identity("other", IDENTITY.instance)
    async with serving(filled(3)) as served, reading(served.endpoint, meant) as remote:
        for ask in (
            lambda: remote.select(every()),
            lambda: remote.series("a", [], *EVER),
            lambda: remote.metadata("a", None),
        ):
            with pytest.raises(Unavailable, match="this is cluster 'test', the call is meant for 'other'"):
                await in_thread(ask)


async def test_a_call_that_names_nobody_is_refused() -> None:
    async with serving() as served, channel_to(served.endpoint) as channel:
        with pytest.raises(Unavailable, match="the call is meant for None"):
            await channel.ask(LABEL_NAMES, pb.FindRequest(tenant="a"), timeout_s=5).receive()


async def test_more_calls_than_allowed_are_refused_not_queued() -> None:
    config = ServerConfig(listen="127.0.0.1:0", drain_s=0.2, calls_max=2)
    async with serving(filled(3), config=config) as served, reading(served.endpoint) as remote:
        held = [await in_thread(lambda: remote.select(every())) for _ in range(2)]
        with pytest.raises(Unavailable):
            await in_thread(lambda: remote.select(every()))
        held.clear()
        gc.collect()

        def again() -> int:
            for _ in range(100):
                with suppress(Unavailable):
                    return len(remote.select(every()).labels)
                time.sleep(0.02)
            return 0

        assert await in_thread(again) == 3


async def test_costs_are_noted_under_the_name_of_the_ingester() -> None:
    costs = Costs()
    async with serving(filled(10)) as served, reading(served.endpoint) as remote:
        selection = await in_thread(lambda: remote.select(every(costs=costs)))
        await in_thread(lambda: selection.read(0, 10))
    [(name, cost)] = costs.by_source.items()
    assert name == "ingester ingester-0"
    assert (cost.series, cost.reads, cost.samples) == (10, 1, 50)
    assert 10 * 8 < cost.fetched_bytes < 50 * 16


async def test_a_loop_that_has_ended_is_unavailable() -> None:
    ended = asyncio.new_event_loop()
    ended.close()
    async with channel_to("127.0.0.1:1") as channel:
        remote = RemoteStorage(Remote(channel, IDENTITY, WireDecoder(), ended, THREADS))
        with pytest.raises(Unavailable, match="shutting down"):
            await in_thread(lambda: remote.metadata("a", None))
