"""What an ingester says with its answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from rondel.errors import Unavailable
from rondel.ring.instance import Instance, State
from rondel.ring.membership import RING_EPOCH
from rondel.ring.ring import Ring
from services.ingester.ledger import Ledger, Marker
from services.ingester.standing import HeadStandings
from tests.support.ingesters import EVER, NOW_MS, batch, make

RING = Ring((Instance("i-0", "a", "i-0:1", 0, State.LEAVING, epoch=5),), 1, epoch=5, fence=3)


async def test_who_reads_by_a_ring_that_is_too_old_is_refused_and_others_learn_whether_we_are_behind(
    tmp_path: Path,
) -> None:
    since_ms = 0
    standings = HeadStandings(make(tmp_path), "i-0", lambda: RING, lambda: since_ms)
    assert not standings.is_behind(5)
    assert not standings.is_behind(3)  # Reads go on while we leave.
    with pytest.raises(Unavailable) as refused:
        standings.is_behind(2)
    assert refused.value.id == RING_EPOCH
    since_ms = 1
    assert standings.is_behind(5)


async def test_nobody_is_answered_before_it_is_known_what_we_have(tmp_path: Path) -> None:
    def absent() -> Ring:
        raise Unavailable("not joined yet")

    with pytest.raises(Unavailable, match="not joined"):
        HeadStandings(make(tmp_path), "i-0", absent, lambda: 0).is_behind(5)


async def test_blocks_and_tenants_are_told_after_everything_has_left_memory(tmp_path: Path) -> None:
    ingester = make(tmp_path)
    await ingester.start()
    await ingester.push("a", batch({"m": [(NOW_MS, 1.0)]}))
    ingester.ledger = Ledger(100, [Marker("b", 5, 100, 1, "01", NOW_MS), Marker("b", 6, 100, 1, "", NOW_MS)])
    standings = HeadStandings(ingester, "i-0", lambda: RING, lambda: 0)
    assert standings.shipped("b", *EVER) == ["01"]
    assert standings.shipped("b", 600, 700) == []
    assert standings.tenants() == ["a", "b"]
    await ingester.stop()
