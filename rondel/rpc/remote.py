"""`Remote`: the series of one other process, as whoever asks several of them at once needs them.

Calls come from worker threads, which wait for what they asked for (`Reply.get`); the connections live on
the event loop. Whoever waits is asked all the time whether anybody still wants the answer, and a call that
nobody wants is cancelled on both sides.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from typing import Any, Final, Generic, TypeVar

from rondel.model.costs import counted
from rondel.model.frame import ExemplarFrame
from rondel.model.labels import LabelSets, Matchers
from rondel.rpc.bridge import Bridge
from rondel.rpc.channel import Call, Channel, Message, Stream
from rondel.rpc.codec import Decoder
from rondel.rpc.identity import Identity
from rondel.rpc.methods import EXEMPLARS, LABEL_NAMES, LABEL_VALUES, METADATA, SELECT, SERIES, TENANTS
from rondel.rpc.parts import whole
from rondel.rpc.pb import ingester_pb2 as pb
from rondel.rpc.selection import Decoding, RemoteSelection, SelectStream, Session
from rondel.rpc.standing import Standing, standing_of
from rondel.storage import MetricMetadata, Select, Selection, Watch

__all__ = ["Remote", "Reply"]

_T = TypeVar("_T")

_SMALL_SAMPLES: Final = 1 << 18
"""of a selection whose samples come at once, at most, where there is one in 2 s"""
_SMALL_SERIES: Final = 256

_Make = Callable[[], _T]


class Reply(Generic[_T]):
    """An answer that is on its way."""

    def __init__(self, bridge: Bridge) -> None:
        self.standing: Standing | None = None
        """what the answer is worth, once its first message is here"""
        self.future: Future[_Make[_T]]
        """done when all of the answer is here, or none will come"""
        self._bridge = bridge
        self._stream: Stream | None = None

    def get(self, watch: Watch) -> _T:
        """The answer. Raises what the other process raises, what the watch raises, and Unavailable."""
        try:
            return self._bridge.wait(self.future, watch)()
        except BaseException:
            self.drop()
            raise

    def drop(self) -> None:
        """Nobody wants the answer any more."""
        self.future.cancel()
        self._bridge.soon(self._close)

    def start(self, answering: Coroutine[Any, Any, _Make[_T]]) -> Reply[_T]:
        """Begins to ask; raises Unavailable where the loop has ended."""
        self.future = self._bridge.start(answering)
        return self

    def opened(self, stream: Stream) -> Stream:
        """The stream that brings the answer, on the loop."""
        self._stream = stream
        return stream

    def heard(self, first: Any) -> None:
        """The first message of the answer, on the loop."""
        self.standing = standing_of(first)

    def _close(self) -> None:
        if self._stream is not None:
            self._stream.close()


class Remote:
    """One ingester. Every call tells the epoch of the caller's ring, and returns at once.

    An answer that takes longer than `timeout_s` is Unavailable, and so is one from a process that cannot be
    reached; a selection has that time with all its reads.
    """

    def __init__(
        self,
        channel: Channel,
        meant: Identity,
        decoder: Decoder,
        loop: asyncio.AbstractEventLoop,
        threads: Executor,
        *,
        timeout_s: float = 120.0,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        """`threads` decode samples, and nobody waits in them. `on_failure` is called where a selection breaks
        while it is read."""
        self.source = f"ingester {meant.instance}"
        """its name among the sources of a query"""
        self._channel = channel
        self._metadata = meant.metadata()
        self._decoder = decoder
        self._bridge = Bridge(loop)
        self._threads = threads
        self._timeout_s = timeout_s
        self._on_failure = on_failure

    def select(
        self, request: Select, epoch: int, known: dict[bytes, LabelSets] | None = None
    ) -> Reply[Selection]:
        """Series that match; their samples come when they are read, or at once where they are few.

        `known` is for selects of the same at several ingesters: labels that were told before are those.
        """
        asked_s = time.perf_counter()
        find = self._find(request.tenant, [request.matchers], request.mint_ms, request.maxt_ms, epoch)
        reply: Reply[Selection] = Reply(self._bridge)

        async def answering() -> _Make[Selection]:
            stream = reply.opened(
                self._channel.stream(SELECT, metadata=self._metadata, timeout_s=self._timeout_s)
            )
            try:
                opened = SelectStream(stream, self._on_failure)
                asked = pb.SelectRequest(select=find, small=_small(request))
                labels, samples = await opened.open(asked, reply.heard)
            except BaseException:
                stream.close()
                raise
            return lambda: counted(
                self.source,
                request,
                lambda: self._selection(opened, request, samples, self._labels(labels, known)),
                lambda: (opened.received_bytes, 0),
                asked_s=asked_s,
            )

        return reply.start(answering())

    def _labels(self, told: bytes, known: dict[bytes, LabelSets] | None) -> LabelSets:
        if known is None:
            return self._decoder.labels(told)
        if told not in known:
            known[told] = self._decoder.labels(told)
        return known[told]

    def _selection(
        self, opened: SelectStream, request: Select, samples: bytes, labels: LabelSets
    ) -> RemoteSelection:
        decoding = Decoding(self._decoder, self._threads)
        session = Session(opened, self._bridge, decoding, request.watch, samples, small=_small(request))
        return RemoteSelection(session, labels)

    def series(
        self, tenant: str, matcher_sets: list[Matchers], mint_ms: int, maxt_ms: int, epoch: int
    ) -> Reply[LabelSets]:
        find = self._find(tenant, matcher_sets, mint_ms, maxt_ms, epoch)
        return self._bytes(SERIES, find, self._decoder.labels)

    def label_names(
        self, tenant: str, matcher_sets: list[Matchers], mint_ms: int, maxt_ms: int, epoch: int
    ) -> Reply[list[str]]:
        return self._strings(LABEL_NAMES, self._find(tenant, matcher_sets, mint_ms, maxt_ms, epoch))

    def label_values(
        self, tenant: str, name: str, matcher_sets: list[Matchers], mint_ms: int, maxt_ms: int, epoch: int
    ) -> Reply[list[str]]:
        find = self._find(tenant, matcher_sets, mint_ms, maxt_ms, epoch)
        return self._strings(LABEL_VALUES, pb.LabelValuesRequest(name=name, find=find))

    def exemplars(
        self, tenant: str, matcher_sets: list[Matchers], mint_ms: int, maxt_ms: int, epoch: int
    ) -> Reply[ExemplarFrame]:
        find = self._find(tenant, matcher_sets, mint_ms, maxt_ms, epoch)
        return self._bytes(EXEMPLARS, find, self._decoder.exemplars)

    def metadata(self, tenant: str, metric: str | None, epoch: int) -> Reply[list[MetricMetadata]]:
        request = pb.MetadataRequest(tenant=tenant, metric=metric, epoch=epoch)

        def read(part: Any) -> list[MetricMetadata]:
            return [MetricMetadata(one.metric, one.type, one.help, one.unit) for one in part.entries]

        return self._listed(METADATA, request, read)

    def tenants(self, epoch: int) -> Reply[list[str]]:
        """Of whom it holds anything, or has shipped something of late."""
        return self._strings(TENANTS, pb.TenantsRequest(epoch=epoch))

    def _find(self, tenant: str, matcher_sets: list[Matchers], mint_ms: int, maxt_ms: int, epoch: int) -> Any:
        sets = [
            pb.Matchers(
                matchers=[
                    pb.Matcher(name=name, operator=operator, value=value)
                    for name, operator, value in self._decoder.matchers(matchers)
                ]
            )
            for matchers in matcher_sets
        ]
        return pb.FindRequest(tenant=tenant, matcher_sets=sets, mint_ms=mint_ms, maxt_ms=maxt_ms, epoch=epoch)

    def _bytes(self, call: Call, request: Message, decode: Callable[[bytes], _T]) -> Reply[_T]:
        reply: Reply[_T] = Reply(self._bridge)

        async def answering() -> _Make[_T]:
            stream = reply.opened(self._ask(call, request))
            try:
                answer, _ = await whole(stream, reply.heard)
                async for _ in stream.replies():  # None comes: the call ends with its status.
                    pass
                return lambda: decode(answer)
            finally:
                stream.close()

        return reply.start(answering())

    def _strings(self, call: Call, request: Message) -> Reply[list[str]]:
        return self._listed(call, request, lambda part: list(part.values))

    def _listed(self, call: Call, request: Message, read: Callable[[Any], list[_T]]) -> Reply[list[_T]]:
        """An answer that is a list, in several messages."""
        reply: Reply[list[_T]] = Reply(self._bridge)

        async def answering() -> _Make[list[_T]]:
            stream = reply.opened(self._ask(call, request))
            found: list[_T] = []
            async for part in stream.replies():
                if reply.standing is None:
                    reply.heard(part)
                found += read(part)
            return lambda: found

        return reply.start(answering())

    def _ask(self, call: Call, request: Message) -> Stream:
        return self._channel.ask(call, request, timeout_s=self._timeout_s, metadata=self._metadata)


def _small(request: Select) -> int:
    """So many series at most are small enough to send all samples of them that may be in the range."""
    span_ms = max(1, request.maxt_ms - request.mint_ms)
    return min(_SMALL_SERIES, 2_000 * _SMALL_SAMPLES // span_ms)
