"""`Destination`: one ingester as a distributor sees it: a stream of pushes, and what it is known to know.

A series that the ingester has acknowledged goes without labels from then on. One that it does not know after
all goes once more, with them. What it knows is forgotten with the stream, since the next one may lead to a
process that has lost it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rondel.errors import Unavailable
from rondel.model.parcel import KnownSeries, Parcel
from rondel.model.write import Rejection
from rondel.rpc.answer import PushAnswer
from rondel.rpc.channel import Channel
from rondel.rpc.identity import Identity
from rondel.rpc.push import PushLimits, PushStream
from rondel.runtime.tasks import TaskOwner
from services.distributor.config import FanoutConfig

__all__ = ["Destination", "Refused", "Taken"]


@dataclass(frozen=True, slots=True, eq=False)
class Refused:
    """Samples that an ingester refused for one reason."""

    id: str
    message: str
    items: NDArray[np.int64]
    """item of the batch that each sample is of"""


@dataclass(slots=True)
class Taken:
    """What an ingester did with a parcel: it has all of it but for what it refused."""

    refused: list[Refused] = field(default_factory=list)
    exemplars: int = 0
    """accepted ones"""


@dataclass(slots=True)
class Sent:
    """What an ingester has answered, on all its streams."""

    size_bytes: int = 0
    labelled: int = 0
    """series that had their labels with them"""
    unknown: int = 0
    """series that it did not know, although it had acknowledged them"""


class Destination:
    """`start` opens the stream; `push` is for any task."""

    def __init__(self, meant: Identity, channel: Channel, config: FanoutConfig, sent: Sent) -> None:
        self.address = channel.endpoint
        self.sent = sent
        self._channel = channel
        limits = PushLimits(inflight_bytes_max=config.inflight_bytes_max)
        self._stream = PushStream(channel, meant, limits)
        self._known = KnownSeries(config.known_series_max)
        self._known_of = 1
        self._pushes = 0
        self._idle = asyncio.Event()
        self._tasks = TaskOwner(f"ingester {meant.instance}")

    def start(self) -> None:
        self._tasks.spawn(self._stream.run(), name="pushes")

    async def close(self, patience_s: float = 0.0) -> None:
        """Gives pushes that are on their way so long to end, and closes the stream."""
        self._idle.clear()
        try:
            if self._pushes and patience_s:
                with suppress(TimeoutError):
                    async with asyncio.timeout(patience_s):
                        await self._idle.wait()
        finally:
            await self._tasks.close()
            await self._channel.close()

    @property
    def down(self) -> str:
        """Why nothing can be sent; empty where it can."""
        return self._stream.down

    @property
    def inflight_bytes(self) -> int:
        return self._stream.inflight_bytes

    @property
    def known(self) -> KnownSeries:
        """What the ingester has acknowledged on the stream that is open now."""
        if self._known_of != self._life:
            self._known_of = self._life
            self._known.clear()
        return self._known

    @property
    def _life(self) -> int:
        """Number of the stream; what is pushed before the first one is open waits for it."""
        return max(1, self._stream.opened)

    async def push(self, tenant: str, parcel: Parcel, epoch: int, timeout_s: float) -> Taken:
        """Returns when all of the parcel is in the ingester's synced WAL, but for what it refused.

        Raises what `PushStream.push` raises.
        """
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        self._pushes += 1
        try:
            return await self._push(tenant, parcel, epoch, deadline_s)
        finally:
            self._pushes -= 1
            if not self._pushes:
                self._idle.set()

    async def _push(self, tenant: str, parcel: Parcel, epoch: int, deadline_s: float) -> Taken:
        taken = Taken()
        unknown = await self._once(tenant, parcel, epoch, deadline_s, taken)
        if unknown:
            self.sent.unknown += len(unknown) // 16
            again = parcel.again(unknown)
            if await self._once(tenant, again, epoch, deadline_s, taken):
                raise Unavailable(f"{self.address} says that it does not know series that had their labels")
        return taken

    async def _once(self, tenant: str, parcel: Parcel, epoch: int, deadline_s: float, taken: Taken) -> bytes:
        """What the ingester does not know; what became of the rest is added to `taken`."""
        life, payload = self._life, parcel.payload
        left_s = max(0.0, deadline_s - asyncio.get_running_loop().time())
        answer = await self._stream.push(tenant, payload, epoch, timeout_s=left_s)
        self.sent.size_bytes += len(payload)
        self.sent.labelled += parcel.labelled
        rows = self._refused_rows(answer, len(parcel))
        if self._life == life:
            self._learn(parcel, rows, answer.unknown)
        taken.exemplars += answer.result.accepted.exemplars
        for rejection, refused in zip(answer.result.rejections, rows, strict=True):
            taken.refused.append(Refused(rejection.id, rejection.message, parcel.rows[refused]))
        return answer.unknown

    def _learn(self, parcel: Parcel, refused: list[NDArray[np.int64]], unknown: bytes) -> None:
        self._known.learn(parcel, np.concatenate(refused) if refused else None)
        if unknown:
            self._known.forget(parcel, unknown)

    def _refused_rows(self, answer: PushAnswer, items: int) -> list[NDArray[np.int64]]:
        """For each rejection the items of the parcel; raises Unavailable where the ingester does not say, or
        names none of ours: then nobody knows what it has."""
        rejections: list[Rejection] = answer.result.rejections
        if not rejections:
            return []
        rows = answer.rows
        if len(rows) != len(rejections) or any(not len(one) or int(one.max()) >= items for one in rows):
            raise Unavailable(f"{self.address} refused samples and does not say of which series")
        return rows
