"""Real ingesters behind their calls, in the process of the test, and their entries in a real etcd."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from rondel.cluster.keys import Keys
from rondel.kv.etcd import EtcdStore
from rondel.kv.store import Guard, Put
from rondel.model.tenant import ANONYMOUS
from rondel.ring.instance import Instance, State, encode
from rondel.ring.ring import Ring
from rondel.rpc.answer import PushAnswer
from rondel.rpc.identity import Identity
from rondel.rpc.server import Server, ServerConfig
from rondel.rpc.wire import WireEncoder
from rondel.runtime.clock import SystemClock
from services.ingester.config import Config as IngesterConfig
from services.ingester.intake import ClusterIntake
from services.ingester.push import Ingester
from tests.support.ingesters import make, samples_of
from tests.support.process import free_port
from tests.support.rpc import MemorySource, Settled

__all__ = ["Node", "nodes_of", "publish"]


@dataclass
class Node:
    """One ingester. Its process may be frozen, killed, and lose its disk."""

    number: int
    cluster: str
    folder: Path
    rings: list[Ring]
    """what it knows of the ring: the last one"""
    port: int = field(default_factory=free_port)
    ingester: Ingester | None = None
    server: Server | None = None
    thawed: asyncio.Event = field(default_factory=asyncio.Event)
    lives: int = 0

    @property
    def id(self) -> str:
        return f"i-{self.number}"

    def entry(self, epoch: int) -> Instance:
        address = f"127.0.0.1:{self.port}"
        return Instance(self.id, f"z{self.number}", address, 0, State.ACTIVE, epoch=epoch)

    async def push(self, tenant: str, batch: bytes, ring_revision: int) -> PushAnswer:
        await self.thawed.wait()
        assert self.ingester is not None
        intake = ClusterIntake(self.ingester, self.id, lambda: self.rings[-1])
        return await intake.push(tenant, batch, ring_revision)

    async def start(self, config: IngesterConfig | None = None) -> None:
        await self.begin(config)
        self.server = Server(
            Identity(self.cluster, self.id),
            self,
            MemorySource(),
            Settled(),
            WireEncoder(),
            lambda method, error: None,
            ServerConfig(listen=f"127.0.0.1:{self.port}", drain_s=0),
        )
        await self.server.start()

    async def begin(self, config: IngesterConfig | None = None) -> None:
        """With an empty disk."""
        self.thawed.set()
        self.lives += 1
        disk = self.folder / f"{self.id}-{self.lives}"
        self.ingester = make(disk, config, clock=SystemClock(), instance_id=self.id)
        await self.ingester.start()

    async def kill(self) -> None:
        if self.server is not None and self.ingester is not None:
            server, self.server = self.server, None
            await server.stop()
            await self.ingester.stop()

    def last(self) -> dict[str, float]:
        """The newest value of each series."""
        assert self.ingester is not None
        return {name: points[-1][1] for name, points in samples_of(self.ingester, ANONYMOUS).items()}


def nodes_of(cluster: str, folder: Path, count: int = 3) -> list[Node]:
    """They share what they know of the ring, at first that all of them are in it."""
    rings: list[Ring] = []
    nodes = [Node(number, cluster, folder, rings) for number in range(count)]
    rings.append(Ring(tuple(node.entry(1) for node in nodes), 3))
    return nodes


async def publish(store: EtcdStore, keys: Keys, entries: list[Instance]) -> None:
    for entry in entries:
        key = keys.ingester(entry.id)
        modified = {item.key: item.modified for item in (await store.snapshot(key)).items}
        assert (await store.commit([Guard(key, modified.get(key, 0))], [Put(key, encode(entry))])).done
