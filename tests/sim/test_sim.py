"""Random misfortune, many times: what was acknowledged is found, and in the end all is well.

`SIM_SEED=17` runs one schedule and prints what happened; `make simulate COUNT=5000` runs many.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.sim.schedule import run, small

SEEDS = [int(os.environ["SIM_SEED"])] if "SIM_SEED" in os.environ else list(range(20))
PARTS = min(4, len(SEEDS))


@pytest.fixture(autouse=True)
def _small() -> Iterator[None]:
    with small():
        yield


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
