"""By which ring a querier reads, and what it believes of blocks when the ring changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from rondel.block import BlockStore
from rondel.block.store import Config as StoreConfig
from rondel.cluster.config import ClusterConfig
from rondel.errors import Unavailable
from rondel.objstore import Bucket, open_bucket
from rondel.ring.instance import State
from rondel.ring.ring import Ring
from rondel.rpc.wire import WireDecoder
from services.querier.cluster import ClusterReads
from services.querier.config import ReadConfig
from tests.unit.rondel.block.test_block import frame, read, write
from tests.unit.rondel.ring.test_ring import fleet, with_state

THREE = fleet(1, 1, 1)


class View:
    """Implements what is used of `RingView`."""

    def __init__(self, ring: Ring) -> None:
        self.ring = ring
        self.tell: Callable[[Ring], None]

    def subscribe(self, on_ring: Callable[[Ring], None]) -> None:
        self.tell = on_ring
        on_ring(self.ring)


class Scene:
    def __init__(self, ring: Ring = THREE) -> None:
        self.view: Any = View(ring)
        self.bucket: Bucket = open_bucket("memory://")
        self.now_s = 100.0
        self.blocks = BlockStore(self.bucket, StoreConfig(refresh_s=1e9), now_s=self._tick)
        self.reads = ClusterReads(
            self.view,
            self.blocks,
            ClusterConfig(zone="a"),
            ReadConfig(),
            WireDecoder(),
            lambda: 0,
            CollectorRegistry(),
            "querier-0",
        )

    def _tick(self) -> float:
        self.now_s += 1
        return self.now_s

    def times(self) -> list[int]:
        return [time_ms for time_ms, _ in read(self.blocks, []).get("a", [])]

    def ship(self, time_ms: int) -> None:
        """What a leaving ingester does, whom nobody can ask afterwards."""
        write(self.bucket, time_ms, frame({"a": [(time_ms, 1.0)]}))


async def test_blocks_are_listed_anew_when_one_has_left() -> None:
    scene = Scene()
    await scene.reads.service().start()
    assert scene.times() == []
    scene.ship(1_000)
    scene.view.tell(with_state(THREE, "c0", State.LEAVING))
    assert scene.times() == []
    scene.view.tell(with_state(THREE, "c0", State.LEFT))
    assert scene.times() == [1_000]
    scene.ship(2_000)
    scene.view.tell(Ring(tuple(one for one in THREE.instances if one.id != "c0")))
    assert scene.times() == [1_000]


@pytest.mark.parametrize(("seen", "spans"), [(State.ACTIVE, ((1, 0),)), (State.LEAVING, ((1, 6),))])
async def test_blocks_are_listed_anew_when_one_has_left_and_come_back_between_two_looks(
    seen: State, spans: tuple[tuple[int, int], ...]
) -> None:
    """As after a time without the store."""

    def ring(state: State, epoch: int, spans: tuple[tuple[int, int], ...]) -> Ring:
        others = [one for one in THREE.instances if one.id != "c0"]
        one = next(one for one in THREE.instances if one.id == "c0")
        return Ring((*others, replace(one, state=state, epoch=epoch, spans=spans)))

    scene = Scene(ring(seen, 6, spans))
    await scene.reads.service().start()
    assert scene.times() == []
    scene.ship(1_000)
    scene.view.tell(ring(State.ACTIVE, 10, ((1, 6), (9, 0))))
    assert scene.times() == [1_000]
    scene.ship(2_000)
    scene.view.tell(ring(State.ACTIVE, 10, ((1, 6), (9, 0))))
    assert scene.times() == [1_000]


async def test_the_listings_are_forgotten_before_anybody_reads_by_the_ring() -> None:
    scene = Scene()
    await scene.reads.service().start()
    rings: list[int] = []
    scene.blocks.expire = lambda: rings.append(len(scene.reads.ring.instances))  # type: ignore[method-assign]  # to look on
    scene.view.tell(with_state(THREE, "c0", State.LEFT))
    assert rings == [3]
    assert len(scene.reads.ring.instances) == 2


async def test_a_new_address_or_a_newcomer_is_no_reason_to_list() -> None:
    scene = Scene()
    await scene.reads.service().start()
    assert scene.times() == []
    scene.ship(1_000)
    scene.view.tell(Ring(tuple(replace(one, address="elsewhere:1") for one in fleet(2, 2, 2).instances)))
    assert scene.times() == []


async def test_without_ingesters_nothing_can_be_read() -> None:
    scene = Scene(Ring(()))
    assert scene.reads.waiting == "no ingesters"
    await scene.reads.service().start()
    scene.view.tell(THREE)
    assert scene.reads.waiting == ""


def test_before_the_start_nobody_is_asked() -> None:
    with pytest.raises(Unavailable, match="starting"):
        Scene().reads.ingesters.label_names("t", [], 0, 1)
