"""Writes to and reads from the ingesters of a ring, as distributors and queriers do, from a test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry

from rondel.cluster.asking import Asker, Metrics, Settings, Suspects
from rondel.cluster.config import ClusterConfig
from rondel.cluster.node import Node
from rondel.cluster.remotes import Remotes
from rondel.cluster.storage import ClusterStorage
from rondel.errors import RondelError
from rondel.kv.etcd import EtcdConfig, EtcdStore
from rondel.model.labels import Matchers
from rondel.model.parcel import KnownSeries, Routing
from rondel.ring.instance import Instance, State
from rondel.ring.ring import Ring
from rondel.rpc.answer import PushAnswer
from rondel.rpc.channel import Channel
from rondel.rpc.identity import Identity
from rondel.rpc.push import PushStream
from rondel.rpc.wire import WireDecoder
from rondel.storage import Select
from tests.support.ingesters import EVER, Samples, batch, contents
from tests.support.rpc import running

__all__ = ["RingClient", "ring_client"]

_TIMEOUT_S = 20.0


class RingClient:
    """Follows the ring as any reader does."""

    def __init__(self, node: Node, storage: ClusterStorage) -> None:
        self.node = node
        self.storage = storage

    @property
    def ring(self) -> Ring:
        return self.node.view.ring

    @property
    def states(self) -> dict[str, State]:
        return {one.id: one.state for one in self.ring.entries}

    def instance(self, id: str) -> Instance:
        return next(one for one in self.ring.entries if one.id == id)

    async def until(self, **states: State) -> None:
        """Waits until these are so; `_` stands for `-`."""
        wanted = {id.replace("_", "-"): state for id, state in states.items()}
        async with asyncio.timeout(60):
            while any(self.states.get(id) is not state for id, state in wanted.items()):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def until_complete(self, id: str) -> None:
        """Waits until an ingester is not behind."""
        async with asyncio.timeout(60):
            while self.instance(id).behind_since_ms or self.states[id] is not State.ACTIVE:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def push(
        self, samples: Samples, *, tenant: str = "a", epoch: int | None = None
    ) -> dict[str, PushAnswer | RondelError]:
        """What each member of the replica sets said; a stream is opened for each."""
        ring = self.ring
        routed = Routing(ring.writes.ends, ring.writes.sets).route(batch(samples), tenant)
        answers: dict[str, PushAnswer | RondelError] = {}
        for place in routed.members:
            one = ring.instances[place]
            payload = routed.parcel(place, KnownSeries(1_000)).payload
            answers[one.id] = await self._pushed(one, tenant, payload, ring.epoch if epoch is None else epoch)
        return answers

    async def _pushed(
        self, one: Instance, tenant: str, payload: bytes, epoch: int
    ) -> PushAnswer | RondelError:
        channel = Channel(one.address)
        stream = PushStream(channel, Identity(self.node.config.name, one.id))
        try:
            async with running(stream.run()):
                return await stream.push(tenant, payload, epoch, timeout_s=_TIMEOUT_S)
        except RondelError as error:
            return error
        finally:
            await channel.close()

    async def read(self, *, tenant: str = "a") -> Samples:
        """All float samples that the ingesters hold, complete; raises Unavailable."""
        return await asyncio.to_thread(self._read, tenant)

    def _read(self, tenant: str) -> Samples:
        request = Select(tenant, Matchers([("job", "=", "test")]), *EVER)
        selection = self.storage.select(request)
        return contents(selection.read(0, len(selection.labels)))["floats"]


@asynccontextmanager
async def ring_client(
    endpoints: Sequence[str], folder: Path, cluster: str = "c"
) -> AsyncIterator[RingClient]:
    """Of the cluster whose etcd is there."""
    store = EtcdStore(EtcdConfig(tuple(endpoints)))
    node = Node(
        store,
        ClusterConfig(name=cluster, lease_s=4),
        "querier",
        "test",
        folder / "client-ring.json",
        lambda: time.time_ns() // 1_000_000,
    )
    await node.start()
    suspects = Suspects(1.0)
    remotes = Remotes(cluster, WireDecoder(), None, timeout_s=_TIMEOUT_S, on_failure=suspects.add)
    remotes.start()
    settings = Settings(suspect_s=1.0)
    asker = Asker(lambda: node.view.ring, remotes.to, settings, suspects, Metrics(CollectorRegistry()))
    try:
        yield RingClient(node, ClusterStorage(asker, lambda: time.time_ns() // 1_000_000))
    finally:
        await remotes.close()
        await node.stop()
        await store.close()
