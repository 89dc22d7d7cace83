from __future__ import annotations

import asyncio

from services.distributor.background import Background


def waiting() -> asyncio.Task[bool]:
    return asyncio.ensure_future(asyncio.Event().wait())


async def test_the_oldest_are_given_up_for_the_newest() -> None:
    background = Background(100)
    tasks = [waiting() for _ in range(4)]
    for task in tasks:
        background.add(task, 40)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [task.cancelled() for task in tasks] == [True, True, False, False]
    assert (background.size_bytes, background.given_up, len(background)) == (80, 2, 2)
    for task in tasks:
        task.cancel()
    await background.settled(1)
    assert (background.size_bytes, len(background)) == (0, 0)


async def test_one_that_is_larger_than_allowed_is_given_up_itself() -> None:
    background = Background(100)
    task = waiting()
    background.add(task, 101)
    await asyncio.wait([task])
    assert task.cancelled()
    assert background.size_bytes == 0


async def test_settling_waits_no_longer_than_it_may() -> None:
    background = Background(100)
    slow, quick = waiting(), asyncio.ensure_future(asyncio.sleep(0))
    background.add(slow, 1)
    background.add(quick, 1)
    await background.settled(0.01)
    assert (quick.done(), slow.done(), len(background)) == (True, False, 1)
    slow.cancel()
