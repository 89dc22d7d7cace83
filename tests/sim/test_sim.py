"""Random misfortune, many times: what was acknowledged is found, and in the end all is well.

`SIM_SEED=17` runs one schedule and prints what happened; `SIM_COUNT=5000` runs more of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from rondel.ring import instance, quorum, ring
from rondel.ring.tokens import tokens_of
from tests.sim.loop import VirtualLoop
from tests.sim.world import World, Wrong

COUNT = int(os.environ.get("SIM_COUNT", "20"))
SEEDS = [int(os.environ["SIM_SEED"])] if "SIM_SEED" in os.environ else list(range(COUNT))
PARTS = min(4, len(SEEDS))


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Few ranges, and margins of time that fit a schedule of minutes."""

    def few(ordinal: int) -> NDArray[np.uint64]:
        return tokens_of(ordinal)[3::64]

    monkeypatch.setattr(instance, "tokens_of", few)
    monkeypatch.setattr(ring, "SLOTS", 1 << 4)
    monkeypatch.setattr(quorum, "SKEW_MS", 12_000)
    ring._zone_order.cache_clear()
    yield
    ring._zone_order.cache_clear()


def run(seed: int) -> World:
    loop = VirtualLoop()
    worlds: list[World] = []

    async def simulate() -> None:
        worlds.append(World(seed))
        await worlds[0].run()

    try:
        loop.run_until_complete(simulate())
    except Wrong as error:
        story = "\n".join(worlds[0].shared.trace)
        pytest.fail(f"SIM_SEED={seed}: {error}\n{story}", pytrace=False)
    finally:
        loop.close()
    return worlds[0]


@pytest.mark.parametrize("part", range(PARTS))
def test_what_was_acknowledged_is_found_and_in_the_end_all_is_well(part: int) -> None:
    for seed in SEEDS[part::PARTS]:
        world = run(seed)
        if len(SEEDS) == 1:
            print("\n".join(world.shared.trace))


def test_a_seed_says_all() -> None:
    assert run(7).shared.trace == run(7).shared.trace
    first, second = run(8), run(8)
    assert first.acknowledged == second.acknowledged
    assert first.complete_reads == second.complete_reads > 0
