"""`RemoteSelection`: series that another process found; their samples come as they are read.

One stream a selection, which ends when nobody holds the selection any more. Series are read in order as a
rule, so while one range is worked on the next one is on its way already.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

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

__all__ = ["RemoteSelection", "Session"]

_Rows = NDArray[np.int64]
_T = TypeVar("_T")


class SelectStream:
    """The stream of one selection, on the loop. Reads are answered one after the other."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.received_bytes = 0
        self._turn = asyncio.Lock()

    async def ask(self, request: pb.SelectRequest, on_first: Callable[[Any], None] = lambda _: None) -> bytes:
        """The answer to one request; `on_first` hears of its first message at once."""
        async with self._turn:
            with suppress(Unavailable):  # Whoever receives learns why.
                await self.stream.send(request)
            answer = await whole(self.stream, on_first)
        self.received_bytes += len(answer)
        return answer


class Session:
    """What selections over one stream share; when the last of them is gone, the stream is closed."""

    def __init__(
        self,
        stream: SelectStream,
        bridge: Bridge,
        decoder: Decoder,
        watch: Watch,
        threads: Executor,
        on_failure: Callable[[], None],
    ) -> None:
        self._stream = stream
        self._bridge = bridge
        self._watch = watch
        self._threads = threads
        self._on_failure = on_failure
        self._decoder = decoder
        weakref.finalize(self, bridge.soon, stream.stream.close).atexit = False

    def start(self, start: int, stop: int, picked: _Rows | None, labels: LabelSets) -> Future[SeriesFrame]:
        """Asks for the samples of these rows, or of those of `picked`; `labels` are of all of them."""
        if picked is None:
            rows = pb.Rows(start=start, stop=stop)
        else:
            rows = pb.Rows(picked=picked[start:stop].tolist())
        decoder = self._decoder

        def decoded(answer: bytes) -> SeriesFrame:
            return decoder.frame(labels.take(np.arange(start, stop, dtype=np.int64)), answer)

        # Whoever waits for it must not be held by it: the session ends with the last selection.
        return self._bridge.start(_frame(self._stream, pb.SelectRequest(read=rows), decoded, self._threads))

    def wait(self, future: Future[_T]) -> _T:
        """The answer; whoever stops waiting for one has no use for the stream.

        Raises Unavailable (`read-broken`) where the other process cannot go on: a new selection may, there or
        elsewhere.
        """
        try:
            return self._bridge.wait(future, self._watch)
        except BaseException as error:
            self._end()
            if isinstance(error, Unavailable):
                self._on_failure()
                raise Unavailable(str(error), id="read-broken", retry_after_s=1.0) from error
            raise

    def _end(self) -> None:
        self._bridge.soon(self._stream.stream.close)


async def _frame(
    stream: SelectStream,
    request: pb.SelectRequest,
    decoded: Callable[[bytes], SeriesFrame],
    threads: Executor,
) -> SeriesFrame:
    """Decoded in a thread, so that replicas are decoded beside each other and beside the query's work."""
    answer = await stream.ask(request)
    try:
        decoding = threads.submit(decoded, answer)
    except RuntimeError as error:
        raise Unavailable("the process is shutting down") from error
    return await asyncio.wrap_future(decoding)


@dataclass(frozen=True, slots=True)
class _Block:
    """Rows `[start, stop)`, asked for."""

    start: int
    stop: int
    frame: Future[SeriesFrame]


class RemoteSelection:
    """Implements `rondel.storage.Selection`, and can be put into another order."""

    def __init__(self, session: Session, labels: LabelSets, picked: _Rows | None = None) -> None:
        self._session = session
        self._labels = labels
        self._picked = picked
        self._reading = threading.Lock()
        self._ahead: _Block | None = None

    @property
    def labels(self) -> LabelSets:
        return self._labels

    def take(self, rows: _Rows) -> RemoteSelection:
        """The same selection with only these series, in this order."""
        picked = rows if self._picked is None else self._picked[rows]
        return RemoteSelection(self._session, self._labels.take(rows), picked)

    def read(self, start: int, stop: int) -> SeriesFrame:
        """Samples of the series `[start, stop)`; raises what the other process raises, and Unavailable."""
        if start >= stop:
            return EmptySelection().read(0, 0)
        with self._reading:
            blocks = self._blocks(start, stop)
            parts = [(block, self._session.wait(block.frame)) for block in blocks]
        if len(parts) == 1 and (blocks[0].start, blocks[0].stop) == (start, stop):
            return parts[0][1]
        rows = np.arange(start, stop, dtype=np.int64)
        merged = merge_samples(
            stop - start, [(_inside(block, rows), frame.arrays()) for block, frame in parts]
        )
        return SeriesFrame.of(self._labels.take(rows), merged)

    def _blocks(self, start: int, stop: int) -> list[_Block]:
        """Blocks that hold the rows, all of them asked for, and what comes after them as well."""
        blocks, at = [], start
        if self._ahead is not None and self._ahead.start <= start < self._ahead.stop:
            blocks.append(self._ahead)
            at = self._ahead.stop
        else:
            self._ahead = None
        if at < stop:
            blocks.append(self._ask(at, stop))
        total = len(self._labels)
        if stop < total and blocks[-1].stop <= stop:
            self._ahead = self._ask(stop, min(total, 2 * stop - start))
        return blocks

    def _ask(self, start: int, stop: int) -> _Block:
        return _Block(start, stop, self._session.start(start, stop, self._picked, self._labels))


def _inside(block: _Block, rows: _Rows) -> _Rows:
    """Of each row its place in the block, or -1."""
    return np.where((rows >= block.start) & (rows < block.stop), rows - block.start, -1)
