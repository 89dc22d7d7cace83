"""What several ingesters hold, over real calls: complete, each sample once, or an error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rondel.errors import Unavailable
from rondel.model.frame import ExemplarFrame
from rondel.model.labels import LabelSets, Matchers
from rondel.promql.control import Control
from rondel.ring.ring import Ring
from rondel.storage import Costs, MetricMetadata, Select, Selection
from tests.support.fleets import running_fleet
from tests.support.rpc import MemorySource, eventually
from tests.unit.rondel.rpc.test_remote import EVER, EVERY, Slow, every, filled, in_thread, values


def part(series: int, samples: range) -> MemorySource:
    """A replica that has only some of the samples, whose values are their times."""
    source = MemorySource()
    for number in range(series):
        source.append({"__name__": "m", "n": str(number)}, [(at, float(at)) for at in samples])
    return source


def read_all(selection: Selection) -> list[list[float]]:
    return values(selection.read(0, len(selection.labels)))


async def test_samples_of_replicas_with_gaps_are_all_there_each_once() -> None:
    parts = [part(5, range(6)), part(5, range(4, 10)), part(5, range(10))]
    async with running_fleet(parts) as fleet:
        selection = await in_thread(lambda: fleet.storage.select(every()))
        assert await in_thread(lambda: read_all(selection)) == [list(map(float, range(10)))] * 5
        assert [one.bugs for one in fleet.served.values()] == [[], [], []]


async def test_look_ups_are_those_of_all() -> None:
    sources = [filled(1), filled(3), MemorySource()]
    sources[0].entries = [MetricMetadata("m", "counter", "h", ""), MetricMetadata("n", "gauge", "", "")]
    sources[1].entries = [MetricMetadata("m", "counter", "h", ""), MetricMetadata("a", "gauge", "", "")]
    exemplars = ExemplarFrame(
        LabelSets.from_dicts([{"__name__": "m"}]),
        np.array([0, 1]),
        np.array([5]),
        np.array([0.5]),
        LabelSets.from_dicts([{"trace_id": "x"}]),
    )
    sources[0].exemplar_frame = sources[1].exemplar_frame = exemplars
    async with running_fleet(sources) as fleet:
        for one in fleet.standings.values():
            one.names = ["a", "b"]
        storage = fleet.storage
        sets = [Matchers(list(EVERY))]
        assert len(await in_thread(lambda: storage.series("a", sets, *EVER))) == 3
        assert await in_thread(lambda: storage.label_names("a", [], *EVER)) == ["__name__", "n"]
        assert await in_thread(lambda: storage.label_values("a", "n", [], *EVER)) == ["0", "1", "2"]
        assert [one.metric for one in await in_thread(lambda: storage.metadata("a", None))] == ["a", "m", "n"]
        assert list((await in_thread(lambda: storage.exemplars("a", [], *EVER))).values) == [0.5]
        assert await in_thread(lambda: storage.tenants(0)) == ["a", "b"]


LOOKS: dict[str, Callable[[Any], Any]] = {
    "select": lambda storage: storage.select(every()),
    "series": lambda storage: storage.series("a", [Matchers(list(EVERY))], *EVER),
    "label_names": lambda storage: storage.label_names("a", [], *EVER),
    "label_values": lambda storage: storage.label_values("a", "n", [], *EVER),
    "exemplars": lambda storage: storage.exemplars("a", [], *EVER),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
async def test_blocks_that_ingesters_shipped_are_ensured_before_the_answer_is_given(
    look: Callable[[Any], Any],
) -> None:
    ensured: list[tuple[str, set[str]]] = []
    async with running_fleet(
        [filled(1)] * 3, ensure=lambda tenant, ulids: ensured.append((tenant, set(ulids)))
    ) as fleet:
        await in_thread(lambda: look(fleet.storage))
        assert ensured == []
        fleet.standings["a0"].blocks["a"] = ["x"]
        fleet.standings["b0"].blocks["a"] = ["y", "x"]
        await in_thread(lambda: look(fleet.storage))
        assert ensured == [("a", {"x", "y"})]


async def test_an_answer_whose_blocks_cannot_be_read_is_none() -> None:
    def ensure(tenant: str, ulids: Any) -> None:
        raise Unavailable("block x is not there")

    async with running_fleet([filled(1)] * 3, ensure=ensure) as fleet:
        fleet.standings["a0"].blocks["a"] = ["x"]
        with pytest.raises(Unavailable, match="block x"):
            await in_thread(lambda: fleet.storage.select(every()))


async def test_one_that_is_dead_and_one_that_is_slow_take_nothing_from_the_answer() -> None:
    slow = Slow()
    async with running_fleet([filled(4), slow, filled(4)]) as fleet:
        found = await in_thread(lambda: len(fleet.storage.select(every()).labels))
        assert found == 4
        await eventually(lambda: slow.left)  # Nobody waits for it any more.
        await fleet.served["b0"].server.stop()
        assert await in_thread(lambda: len(fleet.storage.select(every()).labels)) == 4
        await fleet.served["c0"].server.stop()
        with pytest.raises(Unavailable, match=r"missing b0 .*, c0"):
            await in_thread(lambda: fleet.storage.select(every(watch=Control(timeout_s=20))))


async def test_a_member_that_dies_while_it_is_read_breaks_the_selection_and_not_the_next_one() -> None:
    async with running_fleet([filled(200)] * 3) as fleet:
        selection = await in_thread(lambda: fleet.storage.select(every()))
        await in_thread(lambda: selection.read(0, 5))
        await fleet.served["b0"].server.stop()
        with pytest.raises(Unavailable) as raised:
            await in_thread(lambda: [selection.read(at, at + 5) for at in range(5, 200, 5)])
        assert raised.value.id == "read-broken"
        assert fleet.asker.suspects.ids == {"b0"}
        again = await in_thread(lambda: fleet.storage.select(every()))
        assert len(await in_thread(lambda: read_all(again))) == 200


async def test_connections_end_when_the_ring_does_not_have_them_any_more() -> None:
    async with running_fleet([filled(2)] * 3) as fleet:
        selection = await in_thread(lambda: fleet.storage.select(every()))
        assert len(fleet.remotes) == 2
        fleet.ring = Ring(tuple(replace(one, address="127.0.0.1:1") for one in fleet.ring.instances))
        fleet.remotes.keep(fleet.ring)
        assert len(fleet.remotes) == 0
        # Whoever reads still may go on.
        assert len(await in_thread(lambda: read_all(selection))) == 2
        with pytest.raises(Unavailable):
            await in_thread(lambda: fleet.storage.select(every(watch=Control(timeout_s=20))))


async def test_costs_name_every_ingester() -> None:
    costs = Costs()
    async with running_fleet([filled(10)] * 3) as fleet:
        selection = await in_thread(lambda: fleet.storage.select(every(costs=costs)))
        await in_thread(lambda: selection.read(0, 10))
    assert list(costs.by_source) == ["ingester a0", "ingester b0"] or list(costs.by_source) == [
        "ingester b0",
        "ingester a0",
    ]
    for cost in costs.by_source.values():
        assert (cost.series, cost.samples) == (10, 50)
        assert 10 * 8 < cost.fetched_bytes < 50 * 16
        assert cost.select_s > 0


async def test_a_tenant_sees_only_what_its_own_select_asks_for() -> None:
    asked: list[Select] = []

    class Noting(MemorySource):
        def select(self, request: Select) -> Any:
            asked.append(request)
            return super().select(request)

    async with running_fleet([Noting(), Noting(), Noting()]) as fleet:
        request = Select("tenant-x", Matchers([("a", "=", "b")]), 5, 10)
        await in_thread(lambda: fleet.storage.select(request))
        assert {(one.tenant, one.mint_ms, one.maxt_ms) for one in asked} == {("tenant-x", 5, 10)}
        await asyncio.sleep(0)
