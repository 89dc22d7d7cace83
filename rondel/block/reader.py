"""`Block`: finds series in one block and reads their pages.

The index is fetched whole and cached; pages are fetched in a few ranged reads and cached one by one. Every
page is checked when it is decoded: damage fails the query that needs it and names block, file and offset.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, overload

import numpy as np
from numpy.typing import NDArray

from rondel.block import meta
from rondel.block.cache import ByteCache
from rondel.block.kernel import BlockIndex, ExemplarPlan, ReadPlan, crc32c
from rondel.block.meta import Meta
from rondel.errors import Corruption
from rondel.model.frame import ExemplarFrame, SeriesFrame
from rondel.model.labels import LabelSets, Matchers
from rondel.objstore import Bucket

if TYPE_CHECKING:
    from rondel.block.kernel import ExemplarArrays, FrameArrays

__all__ = ["Block", "BlockSelection", "IndexCache", "PageCache"]

# Reading so many bytes more is cheaper than another request.
_GAP_BYTES: Final = 64 << 10
_RANGE_BYTES: Final = 8 << 20

IndexCache = ByteCache[BlockIndex]
PageCache = ByteCache[bytes]


class Block:
    """One block of the bucket, over caches that blocks share."""

    def __init__(self, bucket: Bucket, meta: Meta, indexes: IndexCache, pages: PageCache) -> None:
        self.meta = meta
        self._bucket = bucket
        self._indexes = indexes
        self._pages = pages
        self.fetched_bytes = 0
        """read from the bucket by this object"""
        self.cached_bytes = 0
        """of pages that were in the cache"""

    def index(self) -> BlockIndex:
        """The opened index; raises `Corruption` or `NotFound`."""
        where = self.key(meta.INDEX)
        cached = self._indexes.get(where)
        if cached is not None:
            return cached
        data = self._bucket.get(where)
        self.fetched_bytes += len(data)
        if (len(data), crc32c(data)) != (self.meta.index.size_bytes, self.meta.index.crc32c):
            raise Corruption(f"index of {len(data)} bytes is not the one of meta.json", where=where)
        try:
            index = BlockIndex(data)
        except Corruption as damage:
            raise damage.at(where) from None
        self._indexes.put(where, index)
        return index

    def select(self, matchers: Matchers, mint_ms: int, maxt_ms: int) -> BlockSelection:
        """Series that match, in block order."""
        index = self.index()
        with _named(self.key(meta.INDEX)):
            ids = index.select(matchers, mint_ms, maxt_ms)
            labels = index.labels(ids)
        return BlockSelection(self, index, labels, ids, mint_ms, maxt_ms)

    def matching(
        self, matcher_sets: Sequence[Matchers], mint_ms: int, maxt_ms: int
    ) -> NDArray[np.uint32] | None:
        """Ids of the series that match any set, of all where there is none; `None`: the whole block."""
        if not matcher_sets and mint_ms <= self.meta.mint_ms and maxt_ms >= self.meta.maxt_ms:
            return None
        index = self.index()
        with _named(self.key(meta.INDEX)):
            found = [index.select(one, mint_ms, maxt_ms) for one in matcher_sets or [Matchers([])]]
        return found[0] if len(found) == 1 else np.unique(np.concatenate(found))

    def exemplars(self, matcher_sets: Sequence[Matchers], mint_ms: int, maxt_ms: int) -> ExemplarFrame:
        """Exemplars of the series that match any set, in block order; some may have none."""
        index = self.index()
        with _named(self.key(meta.INDEX)):
            found = [index.select(one, mint_ms, maxt_ms) for one in matcher_sets]
            ids = np.unique(np.concatenate([np.empty(0, np.uint32), *found]))
            labels = index.labels(ids)
        return ExemplarFrame.of(labels, self.read(index.exemplar_plan(ids, mint_ms, maxt_ms)))

    @overload
    def read(self, plan: ReadPlan) -> FrameArrays: ...

    @overload
    def read(self, plan: ExemplarPlan) -> ExemplarArrays: ...

    def read(self, plan: ReadPlan | ExemplarPlan) -> FrameArrays | ExemplarArrays:
        """Fetches and decodes what the plan names."""
        wanted = plan.pages()
        pages = self._fetch(wanted)
        try:
            return plan.decode([pages[offset] for offset, _ in wanted])
        except Corruption as damage:
            for offset, _ in wanted:
                self._pages.drop((self.meta.ulid, offset))
            raise damage.at(self.key(meta.DATA)) from None

    def key(self, file: str) -> str:
        """The object that is this file of the block."""
        return meta.key(self.meta.tenant, self.meta.ulid, file)

    def _fetch(self, wanted: Sequence[tuple[int, int]]) -> dict[int, bytes]:
        pages: dict[int, bytes] = {}
        missing: list[tuple[int, int]] = []
        for offset, length in wanted:
            cached = self._pages.get((self.meta.ulid, offset))
            if cached is None:
                missing.append((offset, length))
            else:
                pages[offset] = cached
                self.cached_bytes += length
        ranges = list(_coalesce(missing))
        spans = [(run[0][0], run[-1][0] + run[-1][1] - run[0][0]) for run in ranges]
        for run, data in zip(ranges, self._bucket.get_ranges(self.key(meta.DATA), spans), strict=True):
            start = run[0][0]
            self.fetched_bytes += len(data)
            for offset, length in run:
                page = data[offset - start : offset - start + length]
                pages[offset] = page
                self._pages.put((self.meta.ulid, offset), page)
        return pages


class BlockSelection:
    """The matching series of one block; implements `rondel.storage.Selection`."""

    def __init__(
        self,
        block: Block,
        index: BlockIndex,
        labels: LabelSets,
        ids: NDArray[np.uint32],
        mint_ms: int,
        maxt_ms: int,
    ) -> None:
        self.labels = labels
        self._block = block
        self._index = index
        self._ids = ids
        self._mint_ms = mint_ms
        self._maxt_ms = maxt_ms

    def exemplars(self, start: int, stop: int) -> ExemplarFrame:
        """Exemplars of the series `[start, stop)`, which come with every one of them."""
        plan = self._index.exemplar_plan(self._ids[start:stop], self._mint_ms, self._maxt_ms)
        labels = self.labels.take(np.arange(start, stop, dtype=np.int64))
        return ExemplarFrame.of(labels, self._block.read(plan))

    def read(self, start: int, stop: int) -> SeriesFrame:
        """Samples of the series `[start, stop)`."""
        plan = self._index.plan(self._ids[start:stop], self._mint_ms, self._maxt_ms)
        arrays = self._block.read(plan)
        labels = self.labels
        if (start, stop) != (0, len(labels)):
            labels = labels.take(np.arange(start, stop, dtype=np.int64))
        return SeriesFrame.of(labels, arrays)


class _named:  # noqa: N801 - a context manager reads as a verb
    """Names the file in a `Corruption` that comes out of a kernel."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Corruption) and not error.where:
            raise error.at(self._where) from None


def _coalesce(pages: Sequence[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Runs of pages, ascending, that one ranged read gets."""
    run: list[tuple[int, int]] = []
    for offset, length in pages:
        if run and (
            offset - (run[-1][0] + run[-1][1]) > _GAP_BYTES or offset + length - run[0][0] > _RANGE_BYTES
        ):
            yield run
            run = []
        run.append((offset, length))
    if run:
        yield run
