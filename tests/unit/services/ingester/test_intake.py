"""Parcels become pushes, by a ring that is not too old."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rondel.errors import Corruption, Unavailable
from rondel.model.parcel import KnownSeries, Parcel, Routing
from rondel.model.write import Written
from rondel.ring.instance import Instance, State
from rondel.ring.membership import RING_EPOCH
from rondel.ring.ring import Ring
from services.ingester.config import Config, HeadConfig
from services.ingester.intake import ClusterIntake
from tests.support.ingesters import NOW_MS, Samples, batch, make, samples_of

ME = Instance("i-0", "a", "i-0:1", 0, State.ACTIVE, epoch=5, spans=((2, 0),))
POINTS: Samples = {"m": [(NOW_MS, 1.0)], "n": [(NOW_MS, 2.0)]}


def ring(*, fence: int = 3, me: Instance = ME) -> Ring:
    return Ring((me,), 1, epoch=5, fence=fence)


def parcel(samples: Samples, known: KnownSeries | None = None) -> Parcel:
    routes = ring().writes
    return Routing(routes.ends, routes.sets).route(batch(samples), "a").parcel(0, known or KnownSeries(10))


async def test_a_parcel_is_written_and_what_is_unknown_is_told(tmp_path: Path) -> None:
    ingester = make(tmp_path)
    await ingester.start()
    intake = ClusterIntake(ingester, "i-0", ring)
    known = KnownSeries(10)
    known.learn(parcel({"m": POINTS["m"]}))
    first = parcel(POINTS, known)
    answer = await intake.push("a", first.payload, 5)
    assert answer.result.accepted == Written(samples=1)
    assert len(answer.unknown) == 16
    assert samples_of(ingester, "a") == {"n": POINTS["n"]}
    again = await intake.push("a", first.again(answer.unknown).payload, 5)
    assert (again.result.accepted, again.unknown) == (Written(samples=1), b"")
    assert samples_of(ingester, "a") == POINTS
    await ingester.stop()


async def test_a_refusal_names_the_items_of_the_parcel(tmp_path: Path) -> None:
    ingester = make(tmp_path, Config(head=HeadConfig(max_global_series_per_user=1)))
    await ingester.start()
    intake = ClusterIntake(ingester, "i-0", ring)
    await intake.push("a", parcel({"m": POINTS["m"]}).payload, 5)
    answer = await intake.push("a", parcel({"m": [(NOW_MS + 1, 1.0)], "n": POINTS["n"]}).payload, 5)
    assert [one.id for one in answer.result.rejections] == ["max-series-per-user"]
    assert [rows.tolist() for rows in answer.rows] == [[1]]
    await ingester.stop()


@pytest.mark.parametrize(
    ("seen", "epoch", "is_taken"),
    [
        (ring(), 5, True),
        (ring(), 3, True),
        (ring(), 2, False),
        (ring(me=replace(ME, state=State.LEAVING)), 4, False),
        (ring(me=replace(ME, state=State.LEAVING)), 5, True),
    ],
)
async def test_a_push_by_a_ring_that_is_too_old_is_refused_for_now(
    tmp_path: Path, seen: Ring, epoch: int, is_taken: bool
) -> None:
    ingester = make(tmp_path)
    await ingester.start()
    intake = ClusterIntake(ingester, "i-0", lambda: seen)
    if is_taken:
        await intake.push("a", parcel(POINTS).payload, epoch)
    else:
        with pytest.raises(Unavailable) as refused:
            await intake.push("a", parcel(POINTS).payload, epoch)
        assert refused.value.id == RING_EPOCH
    assert samples_of(ingester, "a") == (POINTS if is_taken else {})
    await ingester.stop()


async def test_damage_is_told(tmp_path: Path) -> None:
    ingester = make(tmp_path)
    await ingester.start()
    with pytest.raises(Corruption):
        await ClusterIntake(ingester, "i-0", ring).push("a", parcel(POINTS).payload[:-1], 5)
    await ingester.stop()


async def test_a_repair_may_be_older_than_the_window(tmp_path: Path) -> None:
    ingester = make(tmp_path, Config(head=HeadConfig(out_of_order_time_window_ms=1_000)))
    await ingester.start()
    await ingester.take("a", batch({"m": [(NOW_MS, 1.0)]}))
    old: Samples = {"m": [(NOW_MS - 5_000, 2.0)]}
    assert (await ingester.take("a", batch(old))).result.accepted == Written()
    assert (await ingester.take("a", batch(old), repair=True)).result.accepted == Written(samples=1)
    await ingester.stop()
