"""An ingester's server and its clients in one process, over loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rondel.errors import Unavailable
from rondel.model.frame import ExemplarFrame
from rondel.model.labels import LabelSets, Matchers
from rondel.model.merge import EmptySelection
from rondel.model.write import PushResult, Written
from rondel.rpc.answer import PushAnswer
from rondel.rpc.channel import Channel, TlsFiles
from rondel.rpc.identity import Identity
from rondel.rpc.meter import Meter
from rondel.rpc.push import PushLimits, PushStream
from rondel.rpc.remote import Remote
from rondel.rpc.server import Server, ServerConfig
from rondel.rpc.wire import WireDecoder, WireEncoder
from rondel.storage import PATIENT, MetricMetadata, Select, Selection, Watch
from tests.support.memory_storage import MemoryStorage

__all__ = [
    "IDENTITY",
    "LOOPBACK",
    "THREADS",
    "MemorySource",
    "Pushes",
    "RemoteStorage",
    "Served",
    "Settled",
    "channel_to",
    "eventually",
    "pushing",
    "reading",
    "running",
    "serving",
    "written",
]

IDENTITY = Identity("test", "ingester-0")
THREADS = ThreadPoolExecutor(2, thread_name_prefix="decode")
LOOPBACK = ServerConfig(listen="127.0.0.1:0", drain_s=0.2)
_IMPATIENT = PushLimits(pause_s_max=0.2)


def written(samples: int) -> PushAnswer:
    return PushAnswer(PushResult(Written(samples)))


@dataclass
class Pushes:
    """Implements `rondel.rpc.intake.PushHandler`: remembers, and answers with the size of the batch."""

    seen: list[tuple[str, bytes, int]] = field(default_factory=list)
    answer: Callable[[bytes], Awaitable[PushAnswer]] | None = None

    async def push(self, tenant: str, batch: bytes, ring_revision: int) -> PushAnswer:
        self.seen.append((tenant, batch, ring_revision))
        return written(len(batch)) if self.answer is None else await self.answer(batch)


class MemorySource(MemoryStorage):
    """Implements `rondel.rpc.reading.Source`."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[MetricMetadata] = []
        self.exemplar_frame = ExemplarFrame(
            EmptySelection.labels,
            np.zeros(1, np.int64),
            np.empty(0, np.int64),
            np.empty(0, np.float64),
            EmptySelection.labels,
        )

    def exemplars(
        self, tenant: str, matcher_sets: list[Matchers], mint_ms: int, maxt_ms: int
    ) -> ExemplarFrame:
        return self.exemplar_frame

    def metadata(self, tenant: str, metric: str | None) -> list[MetricMetadata]:
        return [one for one in self.entries if metric in (None, one.metric)]


@dataclass
class Settled:
    """Implements `rondel.rpc.standing.Standings`: an ingester of a ring that never changes."""

    behind: bool = False
    blocks: dict[str, list[str]] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    epoch_min: int = 0

    def is_behind(self, epoch: int) -> bool:
        if epoch < self.epoch_min:
            raise Unavailable(f"epoch {epoch} is before {self.epoch_min}", id="ring-epoch")
        return self.behind

    def shipped(self, tenant: str, mint_ms: int, maxt_ms: int) -> list[str]:
        return self.blocks.get(tenant, [])

    def tenants(self) -> list[str]:
        return self.names


@dataclass
class Served:
    """A server, what is behind it, and the bugs that it met."""

    server: Server
    pushes: Pushes
    bugs: list[BaseException]

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self.server.port}"


@asynccontextmanager
async def serving(
    source: Any = None,
    *,
    pushes: Pushes | None = None,
    identity: Identity = IDENTITY,
    config: ServerConfig = LOOPBACK,
    standings: Settled | None = None,
    meter: Meter | None = None,
) -> AsyncIterator[Served]:
    """A server on loopback, as long as the block lasts."""
    handler, bugs = pushes or Pushes(), list[BaseException]()
    server = Server(
        identity,
        handler,
        MemorySource() if source is None else source,
        standings or Settled(),
        WireEncoder(),
        lambda method, error: bugs.append(error),
        config,
        meter,
    )
    await server.start()
    try:
        yield Served(server, handler, bugs)
    finally:
        await server.stop()


@asynccontextmanager
async def channel_to(
    endpoint: str, tls: TlsFiles | None = None, meter: Meter | None = None
) -> AsyncIterator[Channel]:
    channel = Channel(endpoint, tls, meter)
    try:
        yield channel
    finally:
        await channel.close()


@asynccontextmanager
async def pushing(
    endpoint: str, limits: PushLimits = _IMPATIENT, meant: Identity = IDENTITY
) -> AsyncIterator[PushStream]:
    """A stream of pushes that runs as long as the block lasts."""
    async with channel_to(endpoint) as channel:
        stream = PushStream(channel, meant, limits)
        async with running(stream.run()):
            yield stream


class RemoteStorage:
    """Implements `rondel.storage.Storage`, `ExemplarSource` and `MetadataSource` over one process."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote

    def select(self, request: Select) -> Selection:
        return self.remote.select(request, 0).get(request.watch)

    def series(
        self, tenant: str, sets: list[Matchers], mint_ms: int, maxt_ms: int, *, watch: Watch = PATIENT
    ) -> LabelSets:
        return self.remote.series(tenant, sets, mint_ms, maxt_ms, 0).get(watch)

    def label_names(
        self, tenant: str, sets: list[Matchers], mint_ms: int, maxt_ms: int, *, watch: Watch = PATIENT
    ) -> list[str]:
        return self.remote.label_names(tenant, sets, mint_ms, maxt_ms, 0).get(watch)

    def label_values(
        self,
        tenant: str,
        name: str,
        sets: list[Matchers],
        mint_ms: int,
        maxt_ms: int,
        *,
        watch: Watch = PATIENT,
    ) -> list[str]:
        return self.remote.label_values(tenant, name, sets, mint_ms, maxt_ms, 0).get(watch)

    def exemplars(self, tenant: str, sets: list[Matchers], mint_ms: int, maxt_ms: int) -> ExemplarFrame:
        return self.remote.exemplars(tenant, sets, mint_ms, maxt_ms, 0).get(PATIENT)

    def metadata(self, tenant: str, metric: str | None) -> list[MetricMetadata]:
        return self.remote.metadata(tenant, metric, 0).get(PATIENT)


@asynccontextmanager
async def reading(
    endpoint: str, meant: Identity = IDENTITY, tls: TlsFiles | None = None, timeout_s: float = 30.0
) -> AsyncIterator[RemoteStorage]:
    async with channel_to(endpoint, tls) as channel:
        loop = asyncio.get_running_loop()
        yield RemoteStorage(Remote(channel, meant, WireDecoder(), loop, THREADS, timeout_s=timeout_s))


@asynccontextmanager
async def running(coro: Any) -> AsyncIterator[asyncio.Task[Any]]:
    """The coroutine as a task that is cancelled at the end of the block."""
    task = asyncio.ensure_future(coro)
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def eventually(holds: Callable[[], Any], timeout_s: float = 60.0) -> None:
    """Waits until it is true."""
    async with asyncio.timeout(timeout_s):
        while not holds():  # noqa: ASYNC110 (what is waited for happens in another library's threads)
            await asyncio.sleep(0.01)
