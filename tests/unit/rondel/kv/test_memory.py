"""The store in memory keeps a bounded past."""

from __future__ import annotations

import asyncio

import pytest

from rondel.kv.memory import MemoryStore
from rondel.kv.store import Compacted, Put


async def test_a_watch_that_is_too_far_behind_reads_anew() -> None:
    store = MemoryStore(asyncio.get_running_loop().time, changes_max=10)
    for number in range(100):
        await store.commit([], [Put("/a", b"%d" % number), Put("/b", b"")])
    last = (await store.snapshot("/")).revision
    with pytest.raises(Compacted):
        await anext(store.watch("/", last - 50))
    changes = await anext(store.watch("/", last - 1))
    assert [change.key for change in changes.changes] == ["/a", "/b", "/a", "/b"]
