"""`Reading`: the server's side of reads.

Each runs in a worker thread, until it has an answer, the caller is gone, or its time is over.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

import numpy as np

from rondel.errors import InvalidData, QueryCanceled, Unavailable
from rondel.model.labels import Matchers
from rondel.model.merge import reordered
from rondel.model.tenant import check_tenant
from rondel.rpc.codec import Encodable, Encoder
from rondel.rpc.parts import grouped, parts
from rondel.rpc.pb import ingester_pb2 as pb
from rondel.rpc.standing import Standing, Standings, message_of
from rondel.storage import ExemplarSource, MetadataSource, MetricMetadata, Select, Selection, Storage

__all__ = ["Reading", "Source", "Standings"]

_T = TypeVar("_T")


class Source(Storage, ExemplarSource, MetadataSource, Protocol):
    """What is read from; called in worker threads."""


class _Caller:
    """Implements `rondel.storage.Watch` for one call."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._until_s = time.monotonic() + timeout_s
        self._gone = threading.Event()

    def leave(self) -> None:
        self._gone.set()

    def check(self) -> None:
        if self._gone.is_set():
            raise QueryCanceled("the caller is gone")
        if time.monotonic() > self._until_s:
            raise self.late()

    def late(self) -> Unavailable:
        return Unavailable(f"a read took longer than {self._timeout_s:.3g} s")


class Reading:
    """Serves the methods that read. Needs `close()`."""

    def __init__(
        self, source: Source, standings: Standings, encoder: Encoder, threads: int, timeout_s: float
    ) -> None:
        self._source = source
        self._standings = standings
        self._encoder = encoder
        self._timeout_s = timeout_s
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="rpc-read")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def select(self, requests: AsyncIterator[Any], context: Any) -> None:
        async with self._caller(context) as caller:
            first = await anext(requests, None)
            if first is None:
                return
            if not first.HasField("select") or len(first.select.matcher_sets) != 1:
                raise InvalidData("a select begins with one set of matchers", id="rpc-select")

            def opened(find: Any, caller: _Caller) -> tuple[Selection, bytes, bytes]:
                return self._opened(find, caller, first.small)

            (selection, labels, samples), standing = await self._found(caller, first.select, opened)
            await _write(context, parts(labels, standing, samples_follow=bool(samples)))
            if samples:
                await _write(context, parts(samples))
            async for request in requests:
                await _write(context, parts(await self._rows(selection, request, caller)))

    async def _rows(self, selection: Selection, request: Any, caller: _Caller) -> bytes:
        if not request.HasField("read"):
            raise InvalidData("a select has begun already", id="rpc-select")
        rows = request.read
        return await self._in_thread(
            caller, lambda: self._answer(*_asked(selection, rows), digests=rows.digests)
        )

    def _answer(self, selection: Selection, start: int, stop: int, *, digests: bool = False) -> bytes:
        if isinstance(selection, Encodable):
            return selection.encoded(start, stop, digests=digests)
        frame = selection.read(start, stop)
        return self._encoder.digests(frame) if digests else self._encoder.frame(frame)

    def _opened(self, find: Any, caller: _Caller, small: int) -> tuple[Selection, bytes, bytes]:
        """A selection, its labels, and its samples where it is small: no bytes where it is not."""
        tenant, [matchers], mint_ms, maxt_ms = _find(find)
        selection = self._source.select(Select(tenant, matchers, mint_ms, maxt_ms, watch=caller))
        total = len(selection.labels)
        samples = self._answer(selection, 0, total) if 0 < total <= small else b""
        return selection, self._encoder.labels(selection.labels), samples

    async def label_names(self, request: Any, context: Any) -> None:
        def names(find: Any, caller: _Caller) -> list[str]:
            return self._source.label_names(*_find(find), watch=caller)

        async with self._caller(context) as caller:
            await _write(context, _strings(*await self._found(caller, request, names)))

    async def label_values(self, request: Any, context: Any) -> None:
        def values(find: Any, caller: _Caller) -> list[str]:
            tenant, matcher_sets, mint_ms, maxt_ms = _find(find)
            return self._source.label_values(
                tenant, request.name, matcher_sets, mint_ms, maxt_ms, watch=caller
            )

        async with self._caller(context) as caller:
            await _write(context, _strings(*await self._found(caller, request.find, values)))

    async def series(self, request: Any, context: Any) -> None:
        def series(find: Any, caller: _Caller) -> bytes:
            return self._encoder.labels(self._source.series(*_find(find), watch=caller))

        async with self._caller(context) as caller:
            await _write(context, parts(*await self._found(caller, request, series)))

    async def exemplars(self, request: Any, context: Any) -> None:
        def exemplars(find: Any, caller: _Caller) -> bytes:
            return self._encoder.exemplars(self._source.exemplars(*_find(find)))

        async with self._caller(context) as caller:
            await _write(context, parts(*await self._found(caller, request, exemplars)))

    async def metadata(self, request: Any, context: Any) -> None:
        def metadata() -> tuple[list[MetricMetadata], Standing]:
            standing = Standing(self._standings.is_behind(request.epoch))
            metric = request.metric if request.HasField("metric") else None
            return self._source.metadata(check_tenant(request.tenant), metric), standing

        async with self._caller(context) as caller:
            await _write(context, _entries(*await self._in_thread(caller, metadata)))

    async def tenants(self, request: Any, context: Any) -> None:
        def tenants() -> tuple[list[str], Standing]:
            standing = Standing(self._standings.is_behind(request.epoch))
            return list(self._standings.tenants()), standing

        async with self._caller(context) as caller:
            await _write(context, _strings(*await self._in_thread(caller, tenants)))

    async def _found(
        self, caller: _Caller, find: Any, run: Callable[[Any, _Caller], _T]
    ) -> tuple[_T, Standing]:
        """What `run` finds, and what it is worth."""

        def found() -> tuple[_T, Standing]:
            # In this order: nothing that is repaired meanwhile is counted on, and what is shipped meanwhile
            # is named.
            behind = self._standings.is_behind(find.epoch)
            answer = run(find, caller)
            shipped = self._standings.shipped(find.tenant, find.mint_ms, find.maxt_ms)
            return answer, Standing(behind, tuple(shipped))

        return await self._in_thread(caller, found)

    @asynccontextmanager
    async def _caller(self, context: Any) -> AsyncIterator[_Caller]:
        """Whoever made a call, with the time that it has at most."""
        left_s = context.time_remaining()
        timeout_s = self._timeout_s if left_s is None else min(self._timeout_s, left_s)
        caller = _Caller(timeout_s)
        try:
            async with asyncio.timeout(timeout_s):
                yield caller
        except TimeoutError:
            raise caller.late() from None
        finally:
            caller.leave()

    async def _in_thread(self, caller: _Caller, run: Callable[[], _T]) -> _T:
        """Runs in a worker thread. Whoever is cancelled waits until the thread has stopped."""

        def watched() -> _T:
            caller.check()  # It may have waited for the thread longer than anybody waited for it.
            return run()

        job = self._threads.submit(watched)
        result = asyncio.wrap_future(job)
        result.add_done_callback(_noted)
        try:
            return await asyncio.shield(result)
        except asyncio.CancelledError:
            caller.leave()
            if not job.cancel():
                await asyncio.wait([result])
            raise


def _noted(result: asyncio.Future[Any]) -> None:
    """What a thread raises when nobody waits for it any more is no news."""
    if not result.cancelled():
        result.exception()


def _asked(selection: Selection, rows: Any) -> tuple[Selection, int, int]:
    """The rows that a request asks for, as a range of a selection."""
    total = len(selection.labels)
    if rows.picked:
        picked = np.fromiter(rows.picked, np.int64, len(rows.picked))
        if int(picked.max()) >= total:
            raise InvalidData(f"series {picked.max()} of a selection of {total}", id="rpc-rows")
        return reordered(selection, picked), 0, len(picked)
    if not rows.start <= rows.stop <= total:
        raise InvalidData(f"series [{rows.start}, {rows.stop}) of a selection of {total}", id="rpc-rows")
    return selection, rows.start, rows.stop


def _find(find: Any) -> tuple[str, list[Matchers], int, int]:
    return check_tenant(find.tenant), _matcher_sets(find), find.mint_ms, find.maxt_ms


def _matcher_sets(find: Any) -> list[Matchers]:
    return [
        Matchers([(one.name, one.operator, one.value) for one in matchers.matchers])
        for matchers in find.matcher_sets
    ]


def _strings(values: Iterable[str], standing: Standing) -> Iterable[Any]:
    # 4 bytes a character is what UTF-8 needs at most.
    groups = grouped(values, lambda value: 4 * len(value) + 8)
    return _first((pb.Strings(values=group) for group in groups), pb.Strings(), standing)


def _entries(entries: list[MetricMetadata], standing: Standing) -> Iterable[Any]:
    messages = (
        pb.MetricMetadata(metric=one.metric, type=one.type, help=one.help, unit=one.unit) for one in entries
    )
    groups = grouped(messages, lambda one: one.ByteSize() + 8)
    lists = (pb.MetricMetadataList(entries=group) for group in groups)
    return _first(lists, pb.MetricMetadataList(), standing)


def _first(replies: Iterator[Any], empty: Any, standing: Standing) -> Iterator[Any]:
    """The replies, at least one, the first of them with the standing."""
    first = next(replies, empty)
    first.standing.CopyFrom(message_of(standing))
    yield first
    yield from replies


async def _write(context: Any, messages: Iterable[Any]) -> None:
    for message in messages:
        await context.write(message)
