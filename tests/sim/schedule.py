"""One schedule: a world under the misfortune that follows from its seed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from rondel.ring import instance, quorum, ring
from rondel.ring.tokens import tokens_of
from tests.sim.loop import VirtualLoop
from tests.sim.world import World, Wrong

__all__ = ["Broken", "quiet", "run", "small", "story"]


class Broken(AssertionError):
    """What went wrong, the seed that shows it again, and the story."""


@contextmanager
def small() -> Iterator[None]:
    """Few ranges, and margins of time that fit a schedule of minutes."""

    def few(ordinal: int) -> NDArray[np.uint64]:
        return tokens_of(ordinal)[3::64]

    ring._zone_order.cache_clear()
    with (
        patch.object(instance, "tokens_of", few),
        patch.object(ring, "SLOTS", 1 << 4),
        patch.object(quorum, "SKEW_MS", 12_000),
    ):
        yield
    ring._zone_order.cache_clear()


def run(seed: int) -> World:
    """The world at the end of its schedule, inside `small`; raises Broken."""
    loop = VirtualLoop()
    worlds: list[World] = []

    async def simulate() -> None:
        worlds.append(World(seed))
        await worlds[0].run()

    try:
        loop.run_until_complete(simulate())
    except Wrong as error:
        story = "\n".join(worlds[0].shared.trace)
        raise Broken(f"SIM_SEED={seed}: {error}\n{story}") from None
    finally:
        loop.close()
    return worlds[0]


def story(seed: int) -> str:
    """Of a schedule that broke a promise; empty where all went well."""
    try:
        with small():
            run(seed)
    except Broken as error:
        return str(error)
    return ""


def quiet() -> None:
    """For processes that run many: what is logged on the way is of no interest."""
    logging.disable(logging.ERROR)
