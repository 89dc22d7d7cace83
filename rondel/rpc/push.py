"""`PushStream`: the way of batches to one ingester, over one stream that is opened again when it breaks.

What waits while a message is on its way leaves together in the next one. A push ends with an answer, with
what the ingester raised, or with Unavailable. The last means: nobody knows whether it was written; sending it
again is safe.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from rondel.errors import RondelError, TooLarge, Unavailable
from rondel.rpc.answer import PushAnswer, answer_of
from rondel.rpc.channel import MESSAGE_BYTES_MAX, Channel, Stream
from rondel.rpc.identity import Identity
from rondel.rpc.methods import PUSH
from rondel.rpc.parts import PART_BYTES_MAX
from rondel.rpc.pb import ingester_pb2 as pb

__all__ = ["PushLimits", "PushStream", "Reason", "Undelivered"]

_log = logging.getLogger(__name__)

_OVERHEAD_BYTES: Final = 256
"""of one request, beside its batch; tenants have at most 150"""


class Reason(StrEnum):
    """Why a push has no answer."""

    DOWN = "down"
    """there was no stream; nothing was sent"""
    FULL = "full"
    """too much was on its way; nothing was sent"""
    CUT = "cut"
    """the stream broke"""
    SILENT = "silent"
    """the ingester took too long"""


class Undelivered(Unavailable):
    """A push without an answer; it may have been written where it was sent."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message, retry_after_s=1.0)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class PushLimits:
    """How much may be on its way to one ingester, and how its stream is opened again."""

    inflight_bytes_max: int = 64 << 20
    inflight_max: int = 4_096
    open_timeout_s: float = 5.0
    """time that the ingester has to greet on a new stream"""
    pause_s_min: float = 0.1
    """before the stream is opened again; doubles with each failure"""
    pause_s_max: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class _Push:
    request: Any
    size_bytes: int
    answer: asyncio.Future[PushAnswer]


class PushStream:
    """Pushes to one ingester. `run` has one owner and keeps the stream; `push` is for any task."""

    def __init__(
        self,
        channel: Channel,
        meant: Identity,
        limits: PushLimits = PushLimits(),
        chance: random.Random | None = None,
    ) -> None:
        self._channel = channel
        self._meant = meant
        self._limits = limits
        self._chance = chance or random.Random()
        self._last_id = 0
        self._open: dict[int, _Push] = {}
        """waiting or sent, without an answer"""
        self._waiting: OrderedDict[int, _Push] = OrderedDict()
        """not yet sent"""
        self._wake = asyncio.Event()
        self._greeted = False
        self._closes: Final = f"{channel.endpoint} closes its streams"
        self._down: str | None = None
        """why there is no stream, once one broke"""
        self.inflight_bytes = 0
        self.opened = 0
        """streams so far: what an ingester knows of us, it knows of the last"""

    @property
    def down(self) -> str:
        """Why pushes are refused at once; empty where they are not."""
        return self._down or ""

    @property
    def connected(self) -> bool:
        """Whether a stream is open on which the ingester has greeted, and that may be used."""
        return self._greeted and self._down is None

    @property
    def inflight(self) -> int:
        """Pushes without an answer."""
        return len(self._open)

    async def push(self, tenant: str, batch: bytes, ring_revision: int, *, timeout_s: float) -> PushAnswer:
        """The ingester's answer. Raises what it raised, TooLarge, and Undelivered: at once where there is no
        stream or too much is on its way."""
        size_bytes = len(batch) + _OVERHEAD_BYTES
        self._admit(size_bytes)
        push = self._enqueue(tenant, batch, ring_revision, size_bytes)
        try:
            return await self._channel.meter.push(self._answer(push, timeout_s))
        finally:
            self._forget(push)

    async def _answer(self, push: _Push, timeout_s: float) -> PushAnswer:
        try:
            async with asyncio.timeout(timeout_s):
                return await push.answer
        except TimeoutError:
            message = f"{self._channel.endpoint} has not answered a push in {timeout_s:g} s"
            raise Undelivered(Reason.SILENT, message) from None

    async def run(self) -> None:
        """Keeps the stream open until it is cancelled. Pushes that have no answer then get Unavailable."""
        failures = 0
        try:
            while True:
                self._down = await self._stream_once()
                failures = 0 if self._greeted else failures + 1
                self._greeted = False
                self._fail_all(self._down)
                await asyncio.sleep(self._pause_s(failures))
        finally:
            self._greeted = False
            self._down = "the stream is closed"
            self._fail_all(self._down)

    def _admit(self, size_bytes: int) -> None:
        endpoint, limits = self._channel.endpoint, self._limits
        if size_bytes > MESSAGE_BYTES_MAX - _OVERHEAD_BYTES:
            raise TooLarge(
                f"a batch of {size_bytes} bytes is larger than a message, {MESSAGE_BYTES_MAX} bytes"
            )
        if self._down is not None:
            raise Undelivered(Reason.DOWN, f"{endpoint} has no stream for pushes: {self._down}")
        if len(self._open) >= limits.inflight_max:
            message = f"{len(self._open)} pushes to {endpoint} wait for answers (limit {limits.inflight_max})"
            raise Undelivered(Reason.FULL, message)
        if self._open and self.inflight_bytes + size_bytes > limits.inflight_bytes_max:
            raise Undelivered(
                Reason.FULL,
                f"pushes of {self.inflight_bytes} bytes to {endpoint} wait for answers, "
                f"{size_bytes} more are too many (limit {limits.inflight_bytes_max})",
            )

    def _enqueue(self, tenant: str, batch: bytes, ring_revision: int, size_bytes: int) -> _Push:
        self._last_id += 1
        request = pb.PushRequest(id=self._last_id, tenant=tenant, ring_revision=ring_revision, batch=batch)
        push = _Push(request, size_bytes, asyncio.get_running_loop().create_future())
        self._open[self._last_id] = push
        self.inflight_bytes += size_bytes
        self._waiting[self._last_id] = push
        self._wake.set()
        return push

    def _forget(self, push: _Push) -> None:
        if self._open.pop(push.request.id, None) is not None:
            self.inflight_bytes -= push.size_bytes
        self._waiting.pop(push.request.id, None)
        push.answer.cancel()

    def _fail_all(self, reason: str) -> None:
        self._waiting.clear()
        for push in list(self._open.values()):
            if not push.answer.done():
                push.answer.set_exception(Undelivered(Reason.CUT, f"a push was cut off: {reason}"))

    async def _stream_once(self) -> str:
        """Opens a stream and uses it to its end. Why it ended."""
        stream = self._channel.stream(PUSH, metadata=self._meant.metadata())
        ended = self._closes
        try:
            await self._greeting(stream)
            self._greeted, self._down = True, None
            self.opened += 1
            async with asyncio.TaskGroup() as both:
                sender = both.create_task(self._send(stream))
                await self._receive(stream)
                sender.cancel()
        except* RondelError as broken:
            ended = str(broken.exceptions[0])
        except* Exception as bugs:  # The next stream may do better than none for ever.
            _log.error("a stream of pushes to %s failed", self._meant.instance, exc_info=bugs)
            ended = f"internal error: {type(bugs.exceptions[0]).__name__}"
        finally:
            stream.close()
        return ended

    async def _greeting(self, stream: Stream) -> None:
        """A process that is frozen accepts a stream all the same: only one that speaks is there."""
        try:
            async with asyncio.timeout(self._limits.open_timeout_s):
                greeting = await stream.receive()
        except TimeoutError:
            raise Unavailable(f"{self._channel.endpoint} does not greet") from None
        if greeting is None or greeting.closing:
            raise Unavailable(self._closes)

    async def _send(self, stream: Stream) -> None:
        """Sends what waits until the server asks for an end.

        Not to be cancelled before the stream may break: a write that is cancelled breaks it.
        """
        with suppress(Unavailable):  # Whoever receives learns why.
            while self._down is None:
                await self._wake.wait()
                message = self._next_message()
                if message.requests:
                    await stream.send(message)
            await stream.finish()

    def _next_message(self) -> Any:
        """What waits, up to the size of a message."""
        message, room = pb.PushRequests(), PART_BYTES_MAX
        while self._waiting:
            push = next(iter(self._waiting.values()))
            if message.requests and push.size_bytes > room:
                return message
            self._waiting.popitem(last=False)
            message.requests.append(push.request)
            room -= push.size_bytes
        self._wake.clear()
        return message

    async def _receive(self, stream: Stream) -> None:
        """Hands out replies until the stream ends."""
        while (message := await stream.receive()) is not None:
            for reply in message.replies:
                self._settle(reply)
            if message.closing:
                self._stop_sending()

    def _stop_sending(self) -> None:
        """What was sent will be answered; what was not is refused here."""
        self._down = self._closes
        unsent, self._waiting = self._waiting, OrderedDict()
        for push in unsent.values():
            if not push.answer.done():
                push.answer.set_exception(Undelivered(Reason.DOWN, self._down))
        self._wake.set()

    def _settle(self, reply: Any) -> None:
        push = self._open.get(reply.id)
        if push is None or push.answer.done():
            return  # Nobody waits any more.
        answer = answer_of(reply)
        if isinstance(answer, RondelError):
            push.answer.set_exception(answer)
        else:
            push.answer.set_result(answer)

    def _pause_s(self, failures: int) -> float:
        """Between half of and the whole pause: many clients do not come back at once."""
        longest = min(self._limits.pause_s_max, self._limits.pause_s_min * 2.0 ** min(failures, 20))
        return longest * self._chance.uniform(0.5, 1.0)
