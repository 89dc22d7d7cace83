"""What becomes of a batch, by what its ingesters answer."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rondel.errors import InvalidData, Unavailable
from rondel.model.parcel import Parcel
from rondel.model.write import PushResult
from rondel.ring.instance import State
from rondel.ring.quorum import write_quorum
from rondel.ring.ring import NOBODY, Ring
from services.distributor.config import FanoutConfig
from services.distributor.destination import Taken
from tests.support.fanout import Answer, batch_of, fanning, lost, member, refusing, ring_of, took


class Gate:
    """Takes a parcel once it is opened."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.taken = 0

    async def __call__(self, parcel: Parcel) -> Taken:
        await self.opened.wait()
        self.taken += 1
        return Taken()


async def late(parcel: Parcel) -> Taken:
    raise Unavailable("routed by epoch 1, here is 2", id="ring-epoch")


async def test_every_series_goes_to_each_member_of_its_set_with_the_epoch_of_the_ring() -> None:
    ring = ring_of(6, epoch=7)
    async with fanning(ring) as world:
        result = await world.fanout.push("a", batch_of(200))
        await asyncio.sleep(0)
    assert (result.accepted.samples, result.rejections) == (200, [])
    items = [item for one in world.targets.values() for _, own, _ in one.pushes for item in own]
    assert sorted(items) == sorted(list(range(200)) * 3)
    assert {(tenant, epoch) for one in world.targets.values() for tenant, _, epoch in one.pushes} == {
        ("a", 7)
    }


async def test_a_quorum_is_enough_and_the_slow_one_gets_it_all_the_same() -> None:
    gate = Gate()
    async with fanning(ring_of(), {"i-1": gate}) as world:
        async with asyncio.timeout(5):
            await world.fanout.push("a", batch_of(10))
        assert gate.taken == 0
        assert (world.value("background_bytes") or 0) > 0
        gate.opened.set()
        await asyncio.sleep(0.01)
        assert gate.taken == 1
        assert world.value("background_bytes") == 0


async def test_two_of_three_that_do_not_answer_are_named_with_their_reasons() -> None:
    async with fanning(ring_of(), {"i-0": lost}) as world:
        world.targets["i-2"].down = "nobody listens"
        with pytest.raises(Unavailable) as failed:
            await world.fanout.push("a", batch_of(10))
        assert str(failed.value) == (
            "fewer than 2 of 3 replicas have it: i-0: a push was cut off: test; i-2: nobody listens"
        )
        assert failed.value.id == "distributor-write-quorum"
        assert world.value("pushes_total", outcome="failed") == 1
        assert world.value("lost_pushes_total", ingester="i-2", reason="down") == 1
        assert world.value("lost_pushes_total", ingester="i-0", reason="cut") == 1
        assert world.targets["i-2"].pushes == []


async def test_what_a_quorum_refuses_is_rejected_with_the_number_of_its_samples() -> None:
    answers = {"i-0": refusing({1, 3}, times=2), "i-2": refusing({1}, times=2)}
    async with fanning(ring_of(), answers | {"i-1": lost}) as world:
        with pytest.raises(Unavailable, match="i-0 refused samples: sample-timestamp-too-old: text"):
            await world.fanout.push("a", batch_of(5, 2))  # Nobody knows whether 3 is written.
    async with fanning(ring_of(), answers) as world:
        world.targets["i-1"].answer = refusing({1}, times=2)
        result = await world.fanout.push("a", batch_of(5, 2))
    assert [(one.id, one.samples) for one in result.rejections] == [("sample-timestamp-too-old", 2)]
    assert result.accepted.samples == 8


async def test_a_member_that_gives_two_reasons_for_a_series_refuses_it_once() -> None:
    async def twice(parcel: Parcel) -> Taken:
        one, other = await refusing({0}, "a-b")(parcel), await refusing({0}, "c-d")(parcel)
        return Taken(one.refused + other.refused)

    gate = Gate()
    async with fanning(ring_of(), {"i-0": twice, "i-1": gate, "i-2": gate}) as world:
        push = asyncio.ensure_future(world.fanout.push("a", batch_of(1)))
        await asyncio.sleep(0.05)
        assert not push.done()
        gate.opened.set()
        assert (await push).rejections == []


async def test_an_error_that_a_quorum_raises_for_the_whole_batch_is_the_clients() -> None:
    async def never(parcel: Parcel) -> Taken:
        raise InvalidData("no such tenant", "tenant-invalid")

    async with fanning(ring_of(), {"i-0": never, "i-1": never}) as world:
        result = await world.fanout.push("a", batch_of(4, 2))
    assert [(one.id, one.samples) for one in result.rejections] == [("tenant-invalid", 8)]
    assert result.accepted.samples == 0


async def test_a_bug_in_a_push_counts_as_no_answer() -> None:
    async def bug(parcel: Parcel) -> Taken:
        raise ZeroDivisionError

    async with fanning(ring_of(), {"i-0": bug}) as world:
        assert (await world.fanout.push("a", batch_of(4))).accepted.samples == 4
    assert world.value("lost_pushes_total", ingester="i-0", reason="refused") == 1


async def test_a_batch_that_is_refused_for_the_age_of_the_ring_goes_once_more_by_the_newer_one() -> None:
    async with fanning(ring_of(), dict.fromkeys(("i-0", "i-1", "i-2"), late)) as world:
        push = asyncio.ensure_future(world.fanout.push("a", batch_of(4)))
        await asyncio.sleep(0.05)
        assert not push.done()
        for target in world.targets.values():
            target.answer = took
        world.rings.change(ring_of(epoch=2))
        assert (await push).accepted.samples == 4
        assert [epoch for _, _, epoch in world.targets["i-0"].pushes] == [1, 2]
        assert world.value("rerouted_pushes_total") == 1


async def test_rings_that_follow_each_other_are_followed() -> None:
    """As where several zones grow at once."""
    async with fanning(ring_of(), dict.fromkeys(("i-0", "i-1", "i-2"), late)) as world:
        push = asyncio.ensure_future(world.fanout.push("a", batch_of(4)))
        for epoch in (2, 3):
            await asyncio.sleep(0.03)
            world.rings.change(ring_of(epoch=epoch))
        await asyncio.sleep(0.03)
        for target in world.targets.values():
            target.answer = took
        world.rings.change(ring_of(epoch=4))
        assert (await push).accepted.samples == 4
        assert [epoch for _, _, epoch in world.targets["i-0"].pushes] == [1, 2, 3, 4]


async def test_without_a_newer_ring_the_client_is_to_come_again() -> None:
    async with fanning(ring_of(), dict.fromkeys(("i-0", "i-1", "i-2"), late)) as world:
        with pytest.raises(Unavailable, match="routed by epoch 1"):
            await world.fanout.push("a", batch_of(4))
        assert len(world.targets["i-0"].pushes) == 1


@pytest.mark.parametrize(("count", "text"), [(0, "has 0 ingesters"), (1, "has 1 ingesters that take writes")])
async def test_a_ring_that_is_too_small_for_a_quorum_is_said_to_be(count: int, text: str) -> None:
    async with fanning(ring_of(count)) as world:
        assert text in world.fanout.waiting
        with pytest.raises(Unavailable, match=text):
            await world.fanout.push("a", batch_of(4))
        assert world.value("pushes_total", outcome="unready") == 1
        world.rings.change(ring_of(2, epoch=2))
        assert world.fanout.waiting == ""
        assert (await world.fanout.push("a", batch_of(4))).accepted.samples == 4


async def test_nothing_is_written_before_the_start_and_after_the_stop() -> None:
    async with fanning(ring_of()) as world:
        pass
    with pytest.raises(Unavailable, match="not known yet"):
        await world.fanout.push("a", batch_of(1))
    assert all(target.is_closed for target in world.targets.values())


async def test_a_ring_that_comes_after_the_stop_is_nobodys_failure_and_opens_nothing() -> None:
    async with fanning(ring_of()) as world:
        await world.fanout.stop()
        opened = dict(world.targets)
        world.rings.change(ring_of(6, epoch=2))
        assert world.targets == opened
        with pytest.raises(Unavailable, match="not known"):
            await world.fanout.push("a", batch_of(1))


async def test_a_stop_ends_pushes_that_have_no_quorum() -> None:
    gates = {f"i-{number}": Gate() for number in range(3)}
    async with fanning(ring_of(), gates) as world:
        push = asyncio.ensure_future(world.fanout.push("a", batch_of(4)))
        await asyncio.sleep(0.05)
    with pytest.raises(Unavailable, match="stopping"):
        await push


async def test_a_frozen_ingester_holds_no_more_memory_than_allowed_and_slows_nobody() -> None:
    frozen, slow = Gate(), Gate()
    batch = batch_of(100)
    config = FanoutConfig(background_bytes_max=10 * batch.size_bytes)
    async with fanning(ring_of(), {"i-0": frozen}, config) as world:
        async with asyncio.timeout(20):
            for _ in range(50):
                await world.fanout.push("a", batch)
        assert 0 < (world.value("background_bytes") or 0) <= config.background_bytes_max
        given_up = world.value("given_up_pushes_total") or 0
        assert 40 <= given_up < 50
        # One that is merely slower is not given up in its place.
        world.targets["i-1"].answer = slow
        world.targets["i-0"].answer = took
        await world.fanout.push("a", batch)
        slow.opened.set()
        await asyncio.sleep(0.01)
        assert slow.taken == 1
        frozen.opened.set()


async def test_streams_follow_the_ring() -> None:
    async with fanning(ring_of(4)) as world:
        before = dict(world.targets)
        moved = replace(member(0), address="10.1.1.1:1", epoch=2)
        left = replace(member(3), state=State.LEFT, epoch=3)
        joins = member(4, state=State.JOINING, epoch=4)
        world.rings.change(Ring((moved, member(1), member(2), left, joins), 3))
        await asyncio.sleep(0.01)
        assert [before[id].is_closed for id in ("i-0", "i-1", "i-2", "i-3")] == [True, False, False, True]
        assert world.targets["i-0"].address == "10.1.1.1:1"
        await world.fanout.push("a", batch_of(100))
        await asyncio.sleep(0.01)
        assert [bool(world.targets[f"i-{number}"].pushes) for number in range(5)] == [
            *(True, True, True, False),
            False,  # It is known already, and not written yet.
        ]


async def test_a_ring_that_says_the_same_again_is_no_change() -> None:
    async with fanning(ring_of()) as world:
        before = dict(world.targets)
        world.rings.change(ring_of())
        assert world.targets == before
        assert world.closed == []


async def test_large_batches_are_routed_all_the_same() -> None:
    async with fanning(ring_of()) as world:
        batch = batch_of(20_000)
        assert batch.size_bytes > 1 << 20
        assert (await world.fanout.push("a", batch)).accepted.samples == 20_000


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_batch_is_written_exactly_where_every_series_has_a_quorum(data: st.DataObject) -> None:
    zones, factor = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 5))
    count, series = data.draw(st.integers(write_quorum(factor), 7)), data.draw(st.integers(1, 12))
    ring = ring_of(count, zones=zones, factor=factor)
    fates = {
        one.id: data.draw(st.sampled_from(["took", "lost", "refused", "slow"])) for one in ring.instances
    }
    refused = {id: set(data.draw(st.sets(st.integers(0, series - 1)))) for id in fates}
    expected, sets = {}, None

    async def run() -> PushResult | None:
        nonlocal sets
        async with fanning(ring, {id: _answer(fate, refused[id]) for id, fate in fates.items()}) as world:
            plan = await world.fanout._plan("a")
            set_of = plan.routing.route(batch_of(series), "a").set_of
            sets = [
                [ring.instances[at].id for at in plan.routing.sets[one] if at != NOBODY] for one in set_of
            ]
            try:
                return await world.fanout.push("a", batch_of(series))
            except Unavailable:
                return None

    result = asyncio.run(run())
    assert sets is not None
    needed = write_quorum(factor)
    for item, ids in enumerate(sets):
        bad = [id for id in ids if fates[id] in ("refused", "slow") and item in refused[id]]
        good = [id for id in ids if fates[id] != "lost" and id not in bad]
        expected[item] = "in" if len(good) >= needed else "out" if len(bad) >= needed else "unsure"
    if "unsure" in expected.values():
        assert result is None
    else:
        assert result is not None
        out = list(expected.values()).count("out")
        assert sum(one.samples for one in result.rejections) == out
        assert result.accepted.samples == series - out


def _answer(fate: str, refused: set[int]) -> Answer:
    async def slow(parcel: Parcel) -> Taken:
        await asyncio.sleep(0.002)
        return await refusing(refused)(parcel)

    return {"took": took, "lost": lost, "refused": refusing(refused), "slow": slow}[fate]
