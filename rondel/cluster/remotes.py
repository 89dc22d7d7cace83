"""`Remotes`: the connections to the ingesters of a ring, one each."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from rondel.errors import Unavailable
from rondel.ring.instance import Instance
from rondel.ring.ring import Ring
from rondel.rpc.channel import Channel, TlsFiles
from rondel.rpc.codec import Decoder
from rondel.rpc.identity import Identity
from rondel.rpc.meter import Meter
from rondel.rpc.remote import Remote
from rondel.runtime import machine
from rondel.runtime.tasks import TaskOwner

__all__ = ["Remotes"]

_GRACE_S: Final = 60.0
"""How long reads that are under way may go on over a connection that is used no more."""


class Remotes:
    """Opens a connection when an ingester is first asked, and closes it when the ring does not have it any
    more, or has it elsewhere. Asked in worker threads, between `start` and `close`."""

    def __init__(
        self,
        cluster: str,
        decoder: Decoder,
        tls: TlsFiles | None,
        *,
        timeout_s: float,
        meter: Meter | None = None,
        on_failure: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`on_failure` hears the id of an ingester that breaks off a read."""
        self._cluster = cluster
        self._decoder = decoder
        self._tls = tls
        self._timeout_s = timeout_s
        self._meter = meter or Meter("client")
        self._on_failure = on_failure
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._open: dict[tuple[str, str], tuple[Channel, Remote]] = {}
        self._closing = TaskOwner("remotes")
        self._threads = ThreadPoolExecutor(machine.cores(), thread_name_prefix="decode")

    def __len__(self) -> int:
        return len(self._open)

    def start(self) -> None:
        """On the loop that is to own the connections."""
        self._loop = asyncio.get_running_loop()

    def to(self, instance: Instance) -> Remote:
        """Raises Unavailable where nothing has been started."""
        key = instance.id, instance.address
        with self._lock:
            if key not in self._open:
                self._open[key] = self._made(instance)
            return self._open[key][1]

    def keep(self, ring: Ring) -> None:
        """Closes the connections to whoever is not in the ring. On the loop."""
        wanted = {(one.id, one.address) for one in ring.instances}
        with self._lock:
            gone = [self._open.pop(key)[0] for key in self._open.keys() - wanted]
        for channel in gone:
            self._closing.spawn(_closed_later(channel), name=channel.endpoint)

    async def close(self) -> None:
        """Ends every call."""
        await self._closing.close()
        with self._lock:
            left = [channel for channel, _ in self._open.values()]
            self._open.clear()
        for channel in left:
            await channel.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _made(self, instance: Instance) -> tuple[Channel, Remote]:
        if self._loop is None:
            raise Unavailable("the process is starting")
        channel = Channel(instance.address, self._tls, self._meter)
        meant = Identity(self._cluster, instance.id)
        remote = Remote(
            channel,
            meant,
            self._decoder,
            self._loop,
            self._threads,
            timeout_s=self._timeout_s,
            on_failure=lambda: self._on_failure(instance.id),
        )
        return channel, remote


async def _closed_later(channel: Channel) -> None:
    try:
        await asyncio.sleep(_GRACE_S)
    finally:
        await channel.close()
