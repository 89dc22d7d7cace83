"""What goes to one ingester: labels the first time, and once more where they are not known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest

from rondel.errors import Unavailable
from rondel.model.parcel import Parcel
from rondel.model.write import PushResult, Rejection, WriteBatch, Written
from rondel.rpc.answer import PushAnswer
from rondel.rpc.channel import Channel
from rondel.rpc.push import Reason, Undelivered
from services.distributor.config import FanoutConfig
from services.distributor.destination import Destination, Sent
from services.distributor.plan import Plan
from tests.support.cut_proxy import CutProxy
from tests.support.fanout import batch_of, ring_of
from tests.support.rpc import IDENTITY, Served, eventually, serving

PLAN = Plan(ring_of(1, factor=1))


@dataclass
class Memory:
    """Implements `rondel.rpc.intake.PushHandler`: knows a series once it has seen its labels."""

    known: set[int] = field(default_factory=set)
    pushes: list[int] = field(default_factory=list)
    """series with labels in each"""
    refuse: tuple[list[Rejection], list[list[int]]] = ((), ())  # type: ignore[assignment]  # none
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    is_forgetful: bool = False

    async def push(self, tenant: str, batch: bytes, ring_revision: int) -> PushAnswer:
        await self.opened.wait()
        parcel = WriteBatch.from_parcel(batch)
        prints = [parcel.fingerprint(at) for at in range(len(parcel))]
        labelled = [one for at, one in enumerate(prints) if parcel.series(at)[0]]
        self.pushes.append(len(labelled))
        if not self.is_forgetful:
            self.known.update(labelled)
        unknown = [one for one in prints if one not in self.known]
        rejections, rows = self.refuse
        return PushAnswer(
            PushResult(Written(len(prints) - len(unknown)), list(rejections)),
            b"".join(one.to_bytes(16, "little") for one in unknown),
            [np.array(one, np.int64) for one in rows],
        )


@dataclass
class Pair:
    destination: Destination
    memory: Memory
    served: Served
    sent: Sent

    def parcel(self, series: int = 5) -> Parcel:
        return PLAN.routing.route(batch_of(series), "a").parcel(0, self.destination.known)


@asynccontextmanager
async def pair(endpoint: str = "", config: FanoutConfig | None = None) -> AsyncIterator[Pair]:
    memory, sent = Memory(), Sent()
    memory.opened.set()
    async with serving(pushes=memory) as served:  # type: ignore[arg-type]  # it serves as well as Pushes
        channel = Channel(endpoint or served.endpoint)
        destination = Destination(IDENTITY, channel, config or FanoutConfig(), sent)
        destination.start()
        try:
            yield Pair(destination, memory, served, sent)
        finally:
            await destination.close()


async def test_labels_go_along_once() -> None:
    async with pair() as one:
        for _ in range(3):
            await one.destination.push("a", one.parcel(), 1, 10)
        assert one.memory.pushes == [5, 0, 0]
        assert len(one.destination.known) == 5
        assert (one.sent.labelled, one.sent.unknown) == (5, 0)
        assert one.sent.size_bytes > 0


async def test_what_is_not_known_after_all_goes_once_more_with_its_labels() -> None:
    async with pair() as one:
        await one.destination.push("a", one.parcel(5), 1, 10)
        one.memory.known = set(list(one.memory.known)[:2])
        taken = await one.destination.push("a", one.parcel(6), 1, 10)
        assert taken.refused == []
        assert one.memory.pushes == [5, 1, 3]
        assert one.sent.unknown == 3
        await one.destination.push("a", one.parcel(6), 1, 10)
        assert one.memory.pushes[3:] == [0]


async def test_an_ingester_that_does_not_know_what_had_its_labels_has_not_taken_it() -> None:
    async with pair() as one:
        one.memory.is_forgetful = True
        with pytest.raises(Unavailable, match="does not know series that had their labels"):
            await one.destination.push("a", one.parcel(), 1, 10)


async def test_a_refusal_names_the_items_of_the_batch() -> None:
    plan = Plan(ring_of(3, zones=1, factor=1))
    routed = plan.routing.route(batch_of(50), "a")
    async with pair() as one:
        parcel = routed.parcel(1, one.destination.known)
        one.memory.refuse = [Rejection("x-y", "text", 2)], [[0, 3]]
        [refused] = (await one.destination.push("a", parcel, 1, 10)).refused
        assert (refused.id, refused.message) == ("x-y", "text")
        assert refused.items.tolist() == [parcel.rows[0], parcel.rows[3]]
        one.memory.refuse = (), ()  # type: ignore[assignment]  # none
        again = plan.routing.route(batch_of(50), "a").parcel(1, one.destination.known)
        assert again.labelled == 2  # Nobody knows that the ingester has made these series.


@pytest.mark.parametrize("rows", [[], [[5]], [[0], []]])
async def test_an_ingester_that_does_not_say_what_it_refused_has_not_answered(rows: list[list[int]]) -> None:
    async with pair() as one:

        async def answer(tenant: str, batch: bytes, ring_revision: int) -> PushAnswer:
            arrays = [np.array(row, np.int64) for row in rows]
            rejections = [Rejection("x-y", "text", 1)] * max(1, len(rows))
            return PushAnswer(PushResult(Written(), rejections), rows=arrays)

        one.memory.push = answer  # type: ignore[method-assign]  # for this test
        with pytest.raises(Unavailable, match="does not say of which series"):
            await one.destination.push("a", one.parcel(), 1, 10)


async def test_what_is_known_is_forgotten_with_the_stream() -> None:
    async with serving(pushes=(memory := Memory())) as served:  # type: ignore[arg-type]  # as above
        memory.opened.set()
        with CutProxy(served.server.port) as proxy:
            async with pair(f"127.0.0.1:{proxy.port}") as one:
                await one.destination.push("a", one.parcel(), 1, 10)
                assert one.parcel().labelled == 0
                proxy.cut()
                await eventually(lambda: one.destination.down)
                proxy.join()
                await eventually(lambda: not one.destination.down)
                assert one.parcel().labelled == 5


async def test_the_time_for_an_answer_is_that_of_both_pushes() -> None:
    async with pair() as one:
        one.memory.opened.clear()
        with pytest.raises(Undelivered) as silent:
            await one.destination.push("a", one.parcel(), 1, 0.1)
        assert silent.value.reason is Reason.SILENT
        assert len(one.destination.known) == 0


async def test_a_destination_that_is_given_up_lets_its_pushes_end() -> None:
    async with pair() as one:
        one.memory.opened.clear()
        push = asyncio.ensure_future(one.destination.push("a", one.parcel(), 1, 10))
        await eventually(lambda: one.destination.inflight_bytes)
        closing = asyncio.ensure_future(one.destination.close(10))
        await asyncio.sleep(0.05)
        assert not closing.done()
        one.memory.opened.set()
        await push
        await closing
