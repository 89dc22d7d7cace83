"""A store of blocks knows what ingesters say they have shipped before anybody reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from rondel.block import BlockStore, BlockWriter, Meta, meta, new_ulid
from rondel.block.store import Config
from rondel.errors import Corruption, Unavailable
from rondel.objstore import Bucket, Object, open_bucket
from tests.unit.rondel.block.test_block import frame, read, write


class Counting:
    """A bucket that counts listings."""

    def __init__(self, inner: Bucket) -> None:
        self._inner = inner
        self.lists = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def list(self, *args: Any) -> Iterator[Object]:
        self.lists += 1
        yield from self._inner.list(*args)


class Scene:
    """A store that has listed once, of an empty bucket, and will not do so again by itself."""

    def __init__(self) -> None:
        self.bucket = Counting(open_bucket("memory://"))
        self.now_s = 100.0
        self.store = BlockStore(self.bucket, Config(refresh_s=1e9), now_s=lambda: self.now_s)  # type: ignore[arg-type]  # of a Bucket all that is not here
        self.store.refresh("t")

    def block(self, made_ms: int, time_ms: int) -> Meta:
        return write(self.bucket, made_ms, frame({"a": [(time_ms, float(time_ms))]}))  # type: ignore[arg-type]  # as above

    def merged(self, made_ms: int, *parts: Meta) -> Meta:
        """A block that these were compacted into; they are deleted."""
        times = sorted({time_ms for one in parts for time_ms in (one.mint_ms, one.maxt_ms)})
        series = {"a": [(time_ms, float(time_ms)) for time_ms in times]}
        sources = tuple(sorted({source for one in parts for source in one.sources}))
        parents = tuple(one.ulid for one in parts)
        with BlockWriter(  # type: ignore[arg-type]  # as above
            self.bucket, "t", new_ulid(made_ms), level=2, sources=sources, parents=parents
        ) as writer:
            writer.add(frame(series))
            made = writer.finish()
        for one in parts:
            self.delete(one)
        return made

    def delete(self, block: Meta) -> None:
        for name in (meta.META, meta.INDEX, meta.DATA):
            self.bucket.delete(meta.key("t", block.ulid, name))

    def times(self) -> list[int]:
        return [time_ms for time_ms, _ in read(self.store, []).get("a", [])]


def test_a_block_that_no_listing_showed_is_read_and_nothing_is_listed() -> None:
    scene = Scene()
    block = scene.block(1, 1_000)
    assert scene.times() == []
    scene.store.ensure("t", {block.ulid})
    assert scene.times() == [1_000]
    assert scene.bucket.lists == 1


def test_what_is_known_costs_nothing() -> None:
    scene = Scene()
    block = scene.block(1, 1_000)
    scene.store.ensure("t", {block.ulid})
    scene.bucket.get = None  # Whoever asks the bucket now fails.
    scene.store.ensure("t", {block.ulid})
    assert scene.bucket.lists == 1


def test_a_block_that_was_compacted_into_another_is_found_there() -> None:
    scene = Scene()
    first, second = scene.block(1, 1_000), scene.block(2, 2_000)
    middle = scene.merged(3, first, second)
    scene.merged(5, middle, scene.block(4, 4_000))
    scene.store.ensure("t", {first.ulid, second.ulid})
    assert scene.times() == [1_000, 2_000, 4_000]
    assert scene.bucket.lists == 2


def test_a_block_that_was_here_and_was_deleted_since_is_not_asked_for_again() -> None:
    scene = Scene()
    block = scene.block(1, 1_000)
    scene.store.ensure("t", {block.ulid})
    scene.delete(block)
    scene.store.refresh("t")
    scene.store.ensure("t", {block.ulid})
    assert scene.times() == []


def test_a_block_that_is_nowhere_fails_whoever_needs_it() -> None:
    scene = Scene()
    lost = new_ulid(1)
    with pytest.raises(Unavailable, match=lost):
        scene.store.ensure("t", {lost, scene.block(1, 1_000).ulid})
    # It may come.
    with pytest.raises(Unavailable, match=lost):
        scene.store.ensure("t", {lost})


def test_a_damaged_meta_fails_the_read_not_the_question() -> None:
    scene = Scene()
    block = scene.block(1, 1_000)
    scene.bucket.put(meta.key("t", block.ulid, meta.META), b"{")
    scene.store.ensure("t", {block.ulid})
    with pytest.raises(Corruption, match=block.ulid):
        scene.times()


def test_a_tenant_that_was_never_listed_is_listed_all_the_same() -> None:
    scene = Scene()
    fresh = BlockStore(scene.bucket, Config(refresh_s=1e9))  # type: ignore[arg-type]  # as above
    blocks = [scene.block(1, 1_000), scene.block(2, 2_000)]
    fresh.ensure("t", {blocks[0].ulid})
    assert len(fresh.blocks("t")) == 2


def test_after_an_expiry_every_tenant_is_listed_again() -> None:
    scene = Scene()
    scene.block(1, 1_000)
    assert scene.times() == []
    scene.now_s += 1
    scene.store.expire()
    scene.now_s += 1
    assert scene.times() == [1_000]
    scene.block(2, 2_000)
    assert scene.times() == [1_000]


def test_a_listing_that_began_before_an_expiry_will_not_do() -> None:
    scene = Scene()

    def listing(*args: Any) -> Iterator[Object]:
        """A block comes too late for this listing, and the expiry while it runs."""
        del scene.bucket.list
        scene.now_s += 1
        found = list(scene.bucket.list(*args))
        scene.block(1, 1_000)
        scene.store.expire()
        scene.now_s += 1
        yield from found

    scene.bucket.list = listing  # type: ignore[method-assign]  # once
    scene.store.refresh("t")
    assert scene.times() == [1_000]
