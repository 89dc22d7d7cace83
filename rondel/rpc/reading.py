"""`Reading`: the server's side of reads.

Each runs in a worker thread, until it has an answer, the caller is gone, or its time is over.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

import numpy as np

from rondel.errors import InvalidData, QueryCanceled, Unavailable
from rondel.model.labels import Matchers
from rondel.model.merge import reordered
from rondel.model.tenant import check_tenant
from rondel.rpc.codec import Encoder
from rondel.rpc.parts import grouped, parts
from rondel.rpc.pb import ingester_pb2 as pb
from rondel.storage import ExemplarSource, MetadataSource, MetricMetadata, Select, Selection, Storage

__all__ = ["Reading", "Source"]

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

    def __init__(self, source: Source, encoder: Encoder, threads: int, timeout_s: float) -> None:
        self._source = source
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
            selection = await self._in_thread(caller, lambda: self._selection(first.select, caller))
            labels = await self._in_thread(caller, lambda: self._encoder.labels(selection.labels))
            await _write(context, parts(labels))
            async for request in requests:
                await _write(context, parts(await self._rows(selection, request, caller)))

    async def _rows(self, selection: Selection, request: Any, caller: _Caller) -> bytes:
        if not request.HasField("read"):
            raise InvalidData("a select has begun already", id="rpc-select")
        return await self._in_thread(caller, lambda: self._encoder.frame(_read(selection, request.read)))

    def _selection(self, find: Any, caller: _Caller) -> Selection:
        [matchers] = _matcher_sets(find)
        tenant = check_tenant(find.tenant)
        return self._source.select(Select(tenant, matchers, find.mint_ms, find.maxt_ms, watch=caller))

    async def label_names(self, request: Any, context: Any) -> None:
        async with self._caller(context) as caller:
            names = await self._in_thread(
                caller, lambda: self._source.label_names(*_find(request), watch=caller)
            )
            await _write(context, _strings(names))

    async def label_values(self, request: Any, context: Any) -> None:
        def values(caller: _Caller) -> list[str]:
            tenant, matcher_sets, mint_ms, maxt_ms = _find(request.find)
            return self._source.label_values(
                tenant, request.name, matcher_sets, mint_ms, maxt_ms, watch=caller
            )

        async with self._caller(context) as caller:
            await _write(context, _strings(await self._in_thread(caller, lambda: values(caller))))

    async def series(self, request: Any, context: Any) -> None:
        def series(caller: _Caller) -> bytes:
            return self._encoder.labels(self._source.series(*_find(request), watch=caller))

        async with self._caller(context) as caller:
            await _write(context, parts(await self._in_thread(caller, lambda: series(caller))))

    async def exemplars(self, request: Any, context: Any) -> None:
        def exemplars() -> bytes:
            return self._encoder.exemplars(self._source.exemplars(*_find(request)))

        async with self._caller(context) as caller:
            await _write(context, parts(await self._in_thread(caller, exemplars)))

    async def metadata(self, request: Any, context: Any) -> None:
        def metadata() -> list[MetricMetadata]:
            metric = request.metric if request.HasField("metric") else None
            return self._source.metadata(check_tenant(request.tenant), metric)

        async with self._caller(context) as caller:
            await _write(context, _entries(await self._in_thread(caller, metadata)))

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


def _read(selection: Selection, rows: Any) -> Any:
    total = len(selection.labels)
    if rows.picked:
        picked = np.fromiter(rows.picked, np.int64, len(rows.picked))
        if int(picked.max()) >= total:
            raise InvalidData(f"series {picked.max()} of a selection of {total}", id="rpc-rows")
        return reordered(selection, picked).read(0, len(picked))
    if not rows.start <= rows.stop <= total:
        raise InvalidData(f"series [{rows.start}, {rows.stop}) of a selection of {total}", id="rpc-rows")
    return selection.read(rows.start, rows.stop)


def _find(find: Any) -> tuple[str, list[Matchers], int, int]:
    return check_tenant(find.tenant), _matcher_sets(find), find.mint_ms, find.maxt_ms


def _matcher_sets(find: Any) -> list[Matchers]:
    return [
        Matchers([(one.name, one.operator, one.value) for one in matchers.matchers])
        for matchers in find.matcher_sets
    ]


def _strings(values: list[str]) -> Iterable[Any]:
    # 4 bytes a character is what UTF-8 needs at most.
    return (pb.Strings(values=group) for group in grouped(values, lambda value: 4 * len(value) + 8))


def _entries(entries: list[MetricMetadata]) -> Iterable[Any]:
    messages = (
        pb.MetricMetadata(metric=one.metric, type=one.type, help=one.help, unit=one.unit) for one in entries
    )
    return (
        pb.MetricMetadataList(entries=group) for group in grouped(messages, lambda one: one.ByteSize() + 8)
    )


async def _write(context: Any, messages: Iterable[Any]) -> None:
    for message in messages:
        await context.write(message)
