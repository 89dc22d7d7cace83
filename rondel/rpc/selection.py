"""`RemoteSelection`: series that another process found; their samples come as they are read.

One stream a selection, which ends when nobody holds the selection any more. Series are read in order as a
rule, so while one range is worked on the next one is on its way already.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from rondel.errors import Unavailable
from rondel.model.frame import SeriesFrame
from rondel.model.labels import LabelSets
from rondel.model.merge import EmptySelection, merge_samples
from rondel.rpc.bridge import Bridge
from rondel.rpc.channel import Stream
from rondel.rpc.codec import Decoder
from rondel.rpc.parts import whole
from rondel.rpc.pb import ingester_pb2 as pb
from rondel.storage import Watch

__all__ = ["Decoding", "Reader", "RemoteSelection", "SelectStream", "Session", "arrived"]

_Rows = NDArray[np.int64]
_T = TypeVar("_T")

_AHEAD_BYTES: Final = 8 << 20
"""of samples that are asked for at a time: twice what a query works on at a time"""
_GROWTH: Final = 16
"""times as many series as before, at most"""


class SelectStream:
    """The stream of one selection, on the loop. Reads are answered one after the other."""

    def __init__(self, stream: Stream, on_failure: Callable[[], None]) -> None:
        """`on_failure` is called where it breaks while it is read."""
        self.received_bytes = 0
        self.differs = False
        """whether digests of what it has are of no use, since it mostly has something else than others"""
        self._stream = stream
        self._on_failure = on_failure
        self._is_closed = False
        self._turn = asyncio.Lock()

    async def open(self, request: pb.SelectRequest, on_first: Callable[[Any], None]) -> tuple[bytes, bytes]:
        """Labels, and the samples of all of them where these follow at once, else no bytes; `on_first` hears
        of the first message."""
        async with self._turn:
            labels, follow = await self._answer(request, on_first)
            samples = (await whole(self._stream))[0] if follow else b""
        self.received_bytes += len(labels) + len(samples)
        return labels, samples

    async def read(self, rows: pb.Rows) -> bytes:
        """The samples of these rows, or their digests. Raises Unavailable (`read-broken`) where the other
        process cannot go on: a new selection may, there or elsewhere."""
        try:
            async with self._turn:
                answer, _ = await self._answer(pb.SelectRequest(read=rows))
        except Unavailable as error:
            if not self._is_closed:
                self._on_failure()
            raise Unavailable(str(error), id="read-broken", retry_after_s=1.0) from error
        self.received_bytes += len(answer)
        return answer

    async def _answer(
        self, request: pb.SelectRequest, on_first: Callable[[Any], None] = lambda _: None
    ) -> tuple[bytes, bool]:
        with suppress(Unavailable):  # Whoever receives learns why.
            await self._stream.send(request)
        return await whole(self._stream, on_first)

    def close(self) -> None:
        self._is_closed = True
        self._stream.close()


@dataclass(frozen=True, slots=True)
class Decoding:
    """How answers become frames: in a thread, so that it happens beside the query's work."""

    decoder: Decoder
    threads: Executor

    async def run(self, work: Callable[[], _T]) -> _T:
        try:
            job = self.threads.submit(work)
        except RuntimeError as error:
            raise Unavailable("the process is shutting down") from error
        return await asyncio.wrap_future(job)


class Reader(Protocol):
    """Where the samples of a selection come from."""

    def start(self, start: int, stop: int, picked: _Rows | None, labels: LabelSets) -> Future[SeriesFrame]:
        """Asks for the samples of these rows, or of those of `picked`; `labels` are of all of them."""

    def at_once(self, labels: LabelSets) -> Future[SeriesFrame] | None:
        """The samples of all rows, where they are here already."""

    def wait(self, future: Future[_T]) -> _T:
        """The answer; whoever stops waiting for one has no use for the rest."""


class Session:
    """Implements `Reader` over one stream; when the last selection that shares it is gone, it is closed."""

    def __init__(
        self,
        stream: SelectStream,
        bridge: Bridge,
        decoding: Decoding,
        watch: Watch,
        samples: bytes = b"",
        *,
        small: int = 0,
    ) -> None:
        """`samples` is the answer for all rows, where it has come with the labels, as it does
        where there are no more than `small`."""
        self.small = small
        self.stream = stream
        self.bridge = bridge
        self.decoding = decoding
        self.samples = samples
        self._watch = watch
        weakref.finalize(self, bridge.soon, stream.close).atexit = False

    def start(self, start: int, stop: int, picked: _Rows | None, labels: LabelSets) -> Future[SeriesFrame]:
        if picked is None:
            rows = pb.Rows(start=start, stop=stop)
        else:
            rows = pb.Rows(picked=picked[start:stop].tolist())
        answer, own = self.stream.read(rows), labels.take(np.arange(start, stop, dtype=np.int64))
        # Whoever waits for it must not be held by it: the session ends with the last selection.
        return self.bridge.start(_frame(answer, own, self.decoding))

    def at_once(self, labels: LabelSets) -> Future[SeriesFrame] | None:
        if not self.samples:
            return None
        return self.bridge.start(_frame(arrived(self.samples), labels, self.decoding))

    def wait(self, future: Future[_T]) -> _T:
        try:
            return self.bridge.wait(future, self._watch)
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Closes the stream."""
        self.bridge.soon(self.stream.close)


async def arrived(answer: bytes) -> bytes:
    """An answer that is here."""
    return answer


async def _frame(answer: Coroutine[Any, Any, bytes], labels: LabelSets, decoding: Decoding) -> SeriesFrame:
    data = await answer
    return await decoding.run(lambda: decoding.decoder.frame(labels, data))


@dataclass(frozen=True, slots=True)
class _Block:
    """Rows `[start, stop)`, asked for."""

    start: int
    stop: int
    frame: Future[SeriesFrame]


class RemoteSelection:
    """Implements `rondel.storage.Selection`, and can be put into another order."""

    def __init__(
        self, reader: Reader, labels: LabelSets, picked: _Rows | None = None, *, first_rows: int = 0
    ) -> None:
        """So many series at most are asked for before anybody reads."""
        self.reader = reader
        self.picked = picked
        self._labels = labels
        self._reading = threading.Lock()
        self._held: list[_Block] = []
        """one after the other, from the one that was read last"""
        self._ahead_rows = 0
        """so many series are asked for at a time; 0 before the first are here"""
        here = reader.at_once(labels) if picked is None else None
        if here is not None:
            self._held.append(_Block(0, len(labels), here))
        elif first_rows and len(labels):
            self._ask(0, min(len(labels), first_rows))

    @property
    def labels(self) -> LabelSets:
        return self._labels

    def take(self, rows: _Rows) -> RemoteSelection:
        """The same selection with only these series, in this order."""
        picked = rows if self.picked is None else self.picked[rows]
        return RemoteSelection(self.reader, self._labels.take(rows), picked)

    def read(self, start: int, stop: int) -> SeriesFrame:
        """Samples of the series `[start, stop)`; raises what the other process raises, and Unavailable."""
        if start >= stop:
            return EmptySelection().read(0, 0)
        with self._reading:
            self._hold(start, stop)
            blocks = [block for block in self._held if block.start < stop]
            parts = [(block, self.reader.wait(block.frame)) for block in blocks]
            self._weigh(*parts[-1])
            self._ask_ahead(start, stop)
        return self._joined(start, stop, parts)

    def _joined(self, start: int, stop: int, parts: list[tuple[_Block, SeriesFrame]]) -> SeriesFrame:
        [(first, frame), *more] = parts
        if not more and (first.start, first.stop) == (start, stop):
            return frame
        rows = np.arange(start, stop, dtype=np.int64)
        labels = self._labels.take(rows)
        if not more and frame.histograms is None:
            return _cut(frame, labels, start - first.start, stop - first.start)
        merged = merge_samples(stop - start, [(_inside(block, rows), one.arrays()) for block, one in parts])
        return SeriesFrame.of(labels, merged)

    def _hold(self, start: int, stop: int) -> None:
        """Sees to it that what is held begins with the rows, all of them asked for, and what comes after as
        well where it is known how much that may be."""
        self._held = [block for block in self._held if block.stop > start]
        if not self._held or self._held[0].start > start:
            self._held = []
        end = self._held[-1].stop if self._held else start
        if end < stop:
            self._ask(end, stop)
        if self._ahead_rows:
            self._ask_ahead(start, stop)

    def _ask_ahead(self, start: int, stop: int) -> None:
        """Asks for what comes next, unless another read like this one has all of it already."""
        end, total = self._held[-1].stop, len(self._labels)
        if end < min(total, 2 * stop - start):
            self._ask(end, min(total, end + max(self._ahead_rows, stop - start)))

    def _ask(self, start: int, stop: int) -> None:
        self._held.append(_Block(start, stop, self.reader.start(start, stop, self.picked, self._labels)))

    def _weigh(self, block: _Block, frame: SeriesFrame) -> None:
        """Series to ask for at a time, if others are like these."""
        rows = block.stop - block.start
        self._ahead_rows = max(1, min(_GROWTH * rows, _AHEAD_BYTES * rows // max(1, frame.size_bytes)))


def _cut(frame: SeriesFrame, labels: LabelSets, first: int, last: int) -> SeriesFrame:
    """Rows `[first, last)` of a frame without histograms; nothing is copied."""
    begin, end = int(frame.offsets[first]), int(frame.offsets[last])
    starts_ms = None if frame.starts_ms is None else frame.starts_ms[begin:end]
    offsets = frame.offsets[first : last + 1] - begin
    return SeriesFrame(labels, offsets, frame.timestamps_ms[begin:end], frame.values[begin:end], starts_ms)


def _inside(block: _Block, rows: _Rows) -> _Rows:
    """Of each row its place in the block, or -1."""
    return np.where((rows >= block.start) & (rows < block.stop), rows - block.start, -1)
