"""`RemoteStorage`: the series of another process, as queries ask for them.

Calls come from worker threads and wait there; the connections live on the event loop. Whoever waits is asked
all the time whether anybody still wants the answer, and a call that nobody wants is cancelled on both sides.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from rondel.model.costs import counted
from rondel.model.frame import ExemplarFrame
from rondel.model.labels import LabelSets, Matchers
from rondel.rpc.bridge import Bridge
from rondel.rpc.channel import Call, Channel, Message, Stream
from rondel.rpc.codec import Decoder
from rondel.rpc.identity import Identity
from rondel.rpc.methods import EXEMPLARS, LABEL_NAMES, LABEL_VALUES, METADATA, SELECT, SERIES
from rondel.rpc.parts import whole
from rondel.rpc.pb import ingester_pb2 as pb
from rondel.rpc.selection import RemoteSelection, SelectStream, Session
from rondel.storage import PATIENT, MetricMetadata, Select, Selection, Watch

__all__ = ["RemoteStorage"]


@dataclass(slots=True)
class _Traffic:
    """Bytes that one selection has received."""

    received_bytes: int = 0

    def add(self, size_bytes: int) -> None:
        self.received_bytes += size_bytes


class RemoteStorage:
    """Implements `rondel.storage.Storage`, `ExemplarSource` and `MetadataSource`.

    Everything raises what the other process raises, and Unavailable where it cannot be reached or has not
    answered in `timeout_s`, which is the time for a whole selection with all its reads, too.
    """

    def __init__(
        self,
        channel: Channel,
        meant: Identity,
        decoder: Decoder,
        loop: asyncio.AbstractEventLoop,
        *,
        timeout_s: float = 120.0,
    ) -> None:
        self._channel = channel
        self._metadata = meant.metadata()
        self._decoder = decoder
        self._bridge = Bridge(loop)
        self._timeout_s = timeout_s
        self._source = f"ingester {meant.instance}"

    def select(self, request: Select) -> Selection:
        """Series that match; their samples come when they are read."""
        traffic = _Traffic()
        return counted(
            self._source, request, lambda: self._select(request, traffic), lambda: (traffic.received_bytes, 0)
        )

    def _select(self, request: Select, traffic: _Traffic) -> RemoteSelection:
        find = self._find(request.tenant, [request.matchers], request.mint_ms, request.maxt_ms)
        opening = self._bridge.start(self._opened(find, traffic))
        try:
            stream, labels = self._bridge.wait(opening, request.watch)
        except BaseException:
            if not opening.cancelled() and opening.exception() is None:  # It was done just then.
                self._bridge.soon(opening.result()[0].stream.close)
            raise
        session = Session(stream, self._bridge, self._decoder, request.watch)
        return RemoteSelection(session, self._decoder.labels(labels))

    async def _opened(self, find: Any, traffic: _Traffic) -> tuple[SelectStream, bytes]:
        stream = self._channel.stream(SELECT, metadata=self._metadata, timeout_s=self._timeout_s)
        try:
            opened = SelectStream(stream, traffic.add)
            return opened, await opened.ask(pb.SelectRequest(select=find))
        except BaseException:
            stream.close()
            raise

    def series(
        self,
        tenant: str,
        matcher_sets: list[Matchers],
        mint_ms: int,
        maxt_ms: int,
        *,
        watch: Watch = PATIENT,
    ) -> LabelSets:
        find = self._find(tenant, matcher_sets, mint_ms, maxt_ms)
        return self._decoder.labels(self._bridge.run(self._bytes(SERIES, find), watch))

    def label_names(
        self,
        tenant: str,
        matcher_sets: list[Matchers],
        mint_ms: int,
        maxt_ms: int,
        *,
        watch: Watch = PATIENT,
    ) -> list[str]:
        find = self._find(tenant, matcher_sets, mint_ms, maxt_ms)
        return self._bridge.run(self._strings(LABEL_NAMES, find), watch)

    def label_values(
        self,
        tenant: str,
        name: str,
        matcher_sets: list[Matchers],
        mint_ms: int,
        maxt_ms: int,
        *,
        watch: Watch = PATIENT,
    ) -> list[str]:
        find = self._find(tenant, matcher_sets, mint_ms, maxt_ms)
        request = pb.LabelValuesRequest(name=name, find=find)
        return self._bridge.run(self._strings(LABEL_VALUES, request), watch)

    def exemplars(
        self, tenant: str, matcher_sets: list[Matchers], mint_ms: int, maxt_ms: int
    ) -> ExemplarFrame:
        find = self._find(tenant, matcher_sets, mint_ms, maxt_ms)
        return self._decoder.exemplars(self._bridge.run(self._bytes(EXEMPLARS, find), PATIENT))

    def metadata(self, tenant: str, metric: str | None) -> list[MetricMetadata]:
        entries = self._bridge.run(self._entries(pb.MetadataRequest(tenant=tenant, metric=metric)), PATIENT)
        return [MetricMetadata(one.metric, one.type, one.help, one.unit) for one in entries]

    def _find(self, tenant: str, matcher_sets: list[Matchers], mint_ms: int, maxt_ms: int) -> Any:
        sets = [
            pb.Matchers(
                matchers=[
                    pb.Matcher(name=name, operator=operator, value=value)
                    for name, operator, value in self._decoder.matchers(matchers)
                ]
            )
            for matchers in matcher_sets
        ]
        return pb.FindRequest(tenant=tenant, matcher_sets=sets, mint_ms=mint_ms, maxt_ms=maxt_ms)

    def _ask(self, call: Call, request: Message) -> Stream:
        return self._channel.ask(call, request, timeout_s=self._timeout_s, metadata=self._metadata)

    async def _bytes(self, call: Call, request: Message) -> bytes:
        stream = self._ask(call, request)
        try:
            answer = await whole(stream)
            async for _ in stream.replies():  # None comes: the call ends with its status.
                pass
            return answer
        finally:
            stream.close()

    async def _strings(self, call: Call, request: Message) -> list[str]:
        return [value async for part in self._ask(call, request).replies() for value in part.values]

    async def _entries(self, request: Message) -> list[Any]:
        return [entry async for part in self._ask(METADATA, request).replies() for entry in part.entries]
