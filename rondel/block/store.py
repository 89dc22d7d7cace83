"""`BlockStore`: all blocks of all tenants as a `rondel.storage.Storage`.

It learns of blocks by `announce` (from the same process), by `ensure` (an ingester named them) and by
listing, at most every `refresh_s` and again where a block is gone that it knew: the compactor replaced it.
Compactors delete with a delay that is longer than a query, so one refresh is enough.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass, field
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rondel.block import meta, view
from rondel.block.cache import ByteCache
from rondel.block.kernel import BlockIndex
from rondel.block.meta import Meta
from rondel.block.reader import Block, IndexCache, PageCache
from rondel.block.ulid import ulid_time_ms
from rondel.errors import Corruption, NotFound, Unavailable
from rondel.model.costs import counted
from rondel.model.frame import ExemplarFrame, SeriesFrame
from rondel.model.labels import LabelSets, Matchers
from rondel.model.merge import distinct, join_labels, merge_exemplars, merge_samples, merge_selections
from rondel.objstore import Bucket
from rondel.storage import PATIENT, Select, Selection, Watch

__all__ = ["BlockStore", "Config"]

# No block holds samples from later than so long after it was made.
_AHEAD_MS: Final = 3_600_000
# Blocks that the text of an error names.
_NAMED_MAX: Final = 3
# Deleted blocks of a tenant that are remembered; ingesters name blocks for two days.
_GONE_MAX: Final = 100_000

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Config:
    """How blocks are read."""

    refresh_s: float = 60.0
    """A listing is this old at most when a query starts; other processes' blocks are seen by then."""
    index_cache_bytes_max: int | None = None
    """Memory for decoded block indexes; empty for a sixteenth of the container's memory."""
    page_cache_bytes_max: int | None = None
    """Memory for pages of samples as they are stored; empty for a sixteenth of the container's memory."""


@dataclass(slots=True)
class _Tenant:
    """What is known of one tenant's blocks. Guarded by `lock`, but for the tuple, which is replaced whole."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    metas: dict[str, Meta] = field(default_factory=dict)
    current: tuple[Meta, ...] = ()
    unreadable: dict[str, Corruption] = field(default_factory=dict)
    """Blocks with a damaged meta.json that no readable block covers: nobody knows what is in them."""
    listed_s: float | None = None
    inside: set[str] = field(default_factory=set)
    """ULIDs of the blocks, and of all that was compacted into them."""
    gone: set[str] = field(default_factory=set)
    """ULIDs that were inside once."""

    def lacks(self, ulids: Set[str]) -> Set[str]:
        """Those of which nothing was ever known."""
        return ulids - self.inside - self.gone


class _Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.queried = Counter("rondel_block_queried", "Blocks opened for selects.", registry=registry)
        self.refreshes = Counter(
            "rondel_block_refreshes", "Listings of a tenant's blocks.", registry=registry
        )
        self.retries = Counter(
            "rondel_block_vanished", "Queries run again because a block was gone.", registry=registry
        )
        self.corruptions = Counter(
            "rondel_block_corruptions", "Reads that met damaged bytes of a block.", registry=registry
        )
        self.invalid = Gauge(
            "rondel_block_invalid",
            "Blocks with a damaged meta.json, which fail the queries that may need them.",
            ["tenant"],
            registry=registry,
        )
        self.known = Gauge("rondel_block_known", "Blocks that queries read.", ["tenant"], registry=registry)


class _CacheCollector(Collector):
    """Shows caches, which count for themselves."""

    def __init__(self, caches: dict[str, ByteCache[bytes] | ByteCache[BlockIndex]]) -> None:
        self._caches = caches

    def collect(self) -> Iterable[Metric]:
        size = GaugeMetricFamily("rondel_block_cache_size_bytes", "Bytes in a cache.", labels=["cache"])
        lookups = CounterMetricFamily(
            "rondel_block_cache_lookups", "Look-ups in a cache: hit or miss.", labels=["cache", "outcome"]
        )
        for name, cache in self._caches.items():
            size.add_metric([name], cache.size_bytes)
            lookups.add_metric([name, "hit"], cache.hits)
            lookups.add_metric([name, "miss"], cache.misses)
        yield from (size, lookups)


class BlockStore:
    """Answers selects from blocks. Calls come from worker threads, several at once."""

    def __init__(
        self,
        bucket: Bucket,
        config: Config | None = None,
        *,
        now_s: Callable[[], float] = time.monotonic,
        registry: CollectorRegistry | None = None,
        cache_bytes_max: int = 256 << 20,
    ) -> None:
        """`cache_bytes_max` is for each cache whose size the configuration leaves open."""
        self._bucket = bucket
        self._config = config or Config()
        self._now_s = now_s
        index_bytes, page_bytes = self._config.index_cache_bytes_max, self._config.page_cache_bytes_max
        self._indexes: IndexCache = ByteCache(
            cache_bytes_max if index_bytes is None else index_bytes, lambda index: index.size_bytes
        )
        self._pages: PageCache = ByteCache(cache_bytes_max if page_bytes is None else page_bytes, len)
        self._tenants: dict[str, _Tenant] = {}
        self._expired_s = -math.inf
        self._lock = threading.Lock()
        registry = registry or CollectorRegistry()
        self._metrics = _Metrics(registry)
        registry.register(_CacheCollector({"index": self._indexes, "page": self._pages}))

    def announce(self, block: Meta) -> None:
        """A block that this process just wrote: queries see it from now on, before any listing."""
        known = self._tenant(block.tenant)
        with known.lock:
            known.metas[block.ulid] = block
            self._publish(block.tenant, known)

    def ensure(self, tenant: str, ulids: Set[str]) -> None:
        """Sees to it that queries read these blocks, or blocks that they were compacted into.

        Raises Unavailable where one is not in the object store. One that was known here and is gone now was
        deleted on purpose, with what it was compacted into.
        """
        known = self._tenant(tenant)
        if not known.lacks(ulids):
            return
        with known.lock:
            self._learn(tenant, known, known.lacks(ulids))
            if known.lacks(ulids):
                self._refresh(tenant, known)
            missing = sorted(known.lacks(ulids))
        if missing:
            text = f"blocks of tenant {tenant} that ingesters have shipped are not in the object store: "
            raise Unavailable(text + ", ".join(missing[:_NAMED_MAX]))

    def expire(self) -> None:
        """Queries that start from now on read what is there from now on: no listing from before will do."""
        self._expired_s = self._now_s()

    def refresh(self, tenant: str) -> None:
        """Lists the tenant's blocks and reads the metas of new ones. Raises `Unavailable`."""
        known = self._tenant(tenant)
        with known.lock:
            self._refresh(tenant, known)

    def blocks(self, tenant: str) -> tuple[Meta, ...]:
        """The blocks that queries read now, in order of time."""
        known = self._tenant(tenant)
        if not self._is_fresh(known):
            with known.lock:
                if not self._is_fresh(known):
                    self._refresh(tenant, known)
        return known.current

    def select(self, request: Select) -> Selection:
        """Series of all blocks that overlap the range."""
        return _StoreSelection(self, request, self._retry(request.tenant, lambda: self._select(request)))

    def series(
        self,
        tenant: str,
        matcher_sets: list[Matchers],
        mint_ms: int,
        maxt_ms: int,
        *,
        watch: Watch = PATIENT,
    ) -> LabelSets:
        """Distinct label sets that match any of the matcher sets."""

        def find() -> LabelSets:
            parts = [
                block.select(matchers, mint_ms, maxt_ms).labels
                for block in self._overlapping(tenant, mint_ms, maxt_ms, watch)
                for matchers in matcher_sets
            ]
            return distinct(parts)

        return self._retry(tenant, find)

    def exemplars(
        self, tenant: str, matcher_sets: list[Matchers], mint_ms: int, maxt_ms: int
    ) -> ExemplarFrame:
        """Exemplars in the range of the series that match any of the sets."""

        def find() -> ExemplarFrame:
            blocks = self._overlapping(tenant, mint_ms, maxt_ms)
            holding = [block for block in blocks if block.meta.exemplars]
            return merge_exemplars([one.exemplars(matcher_sets, mint_ms, maxt_ms) for one in holding])

        return self._retry(tenant, find)

    def label_names(
        self,
        tenant: str,
        matcher_sets: list[Matchers],
        mint_ms: int,
        maxt_ms: int,
        *,
        watch: Watch = PATIENT,
    ) -> list[str]:
        """Sorted distinct label names of the series that match any."""
        return self._look_up(
            tenant, matcher_sets, mint_ms, maxt_ms, watch, lambda index, ids: index.label_names(ids)
        )

    def label_values(
        self,
        tenant: str,
        name: str,
        matcher_sets: list[Matchers],
        mint_ms: int,
        maxt_ms: int,
        *,
        watch: Watch = PATIENT,
    ) -> list[str]:
        """Sorted distinct values of one label of the series that match any."""
        return self._look_up(
            tenant, matcher_sets, mint_ms, maxt_ms, watch, lambda index, ids: index.label_values(name, ids)
        )

    def _look_up(
        self,
        tenant: str,
        matcher_sets: list[Matchers],
        mint_ms: int,
        maxt_ms: int,
        watch: Watch,
        texts: Callable[[BlockIndex, NDArray[np.uint32] | None], list[str]],
    ) -> list[str]:
        def find() -> list[str]:
            found: set[str] = set()
            for block in self._overlapping(tenant, mint_ms, maxt_ms, watch):
                found.update(texts(block.index(), block.matching(matcher_sets, mint_ms, maxt_ms)))
            return sorted(found)

        return self._retry(tenant, find)

    def _select(self, request: Select) -> Selection:
        found = []
        for block in self._overlapping(request.tenant, request.mint_ms, request.maxt_ms, request.watch):
            self._metrics.queried.inc()
            found.append(_select_counted(block, request))
        return merge_selections(found)

    def _overlapping(
        self, tenant: str, mint_ms: int, maxt_ms: int, watch: Watch = PATIENT
    ) -> Iterator[Block]:
        """The blocks that a query reads, each while somebody waits; `Corruption` where it may need one of
        which nothing is known."""
        blocks = self.blocks(tenant)
        for ulid, damage in self._tenant(tenant).unreadable.items():
            if mint_ms <= ulid_time_ms(ulid) + _AHEAD_MS:
                raise damage
        for one in blocks:
            if one.overlaps(mint_ms, maxt_ms):
                watch.check()
                yield Block(self._bucket, one, self._indexes, self._pages)

    def _retry(self, tenant: str, run: Callable[[], _T], again: Callable[[], _T] | None = None) -> _T:
        """Runs; once more (as `again`) on a new listing where a block was gone."""
        try:
            try:
                return run()
            except NotFound:
                self._metrics.retries.inc()
                self.refresh(tenant)
                return (again or run)()
        except NotFound as cause:
            raise Unavailable(f"blocks of tenant {tenant} changed while they were read: {cause}") from cause
        except Corruption:
            self._metrics.corruptions.inc()
            raise

    def _tenant(self, tenant: str) -> _Tenant:
        with self._lock:
            return self._tenants.setdefault(tenant, _Tenant())

    def _is_fresh(self, known: _Tenant) -> bool:
        oldest_s = max(self._expired_s, self._now_s() - self._config.refresh_s)
        return known.listed_s is not None and known.listed_s > oldest_s

    def _refresh(self, tenant: str, known: _Tenant) -> None:
        started_s = self._now_s()
        self._metrics.refreshes.inc()
        listed = view.group(self._bucket.list(tenant))
        metas: dict[str, Meta] = {}
        unreadable: dict[str, Corruption] = {}
        for ulid, block in listed.items():
            if not block.is_complete:
                continue
            try:
                metas[ulid] = known.metas.get(ulid) or self._read_meta(tenant, ulid)
            except NotFound:
                continue
            except Corruption as damage:
                unreadable[ulid] = damage
                _log.error("block unreadable: %s", damage)
        self._metrics.invalid.labels(tenant).set(len(unreadable))
        inside = {ulid for one in metas.values() for ulid in (*one.sources, *one.parents)}
        known.unreadable = {ulid: damage for ulid, damage in unreadable.items() if ulid not in inside}
        known.metas = metas
        known.listed_s = started_s
        self._publish(tenant, known)

    def _learn(self, tenant: str, known: _Tenant, ulids: Set[str]) -> None:
        """Reads the metas of blocks that an ingester named, of those that still are as it made them."""
        for ulid in sorted(ulids):
            try:
                known.metas[ulid] = self._read_meta(tenant, ulid)
            except (NotFound, Corruption):
                continue  # A listing tells what has become of it.
        self._publish(tenant, known)

    def _read_meta(self, tenant: str, ulid: str) -> Meta:
        return meta.decode_meta(self._bucket.get(meta.key(tenant, ulid, meta.META)), tenant, ulid)

    def _publish(self, tenant: str, known: _Tenant) -> None:
        known.current = tuple(view.current(list(known.metas.values())))
        inside = set(known.unreadable)
        for one in known.metas.values():
            inside.update((one.ulid, *one.sources, *one.parents))
        gone = (known.gone | known.inside) - inside
        if len(gone) > _GONE_MAX:
            gone = set(sorted(gone)[-_GONE_MAX // 2 :])
        known.inside, known.gone = inside, gone
        self._metrics.known.labels(tenant).set(len(known.current))


def _select_counted(block: Block, request: Select) -> Selection:
    return counted(
        f"block {block.meta.ulid}",
        request,
        lambda: block.select(request.matchers, request.mint_ms, request.maxt_ms),
        lambda: (block.fetched_bytes, block.cached_bytes),
    )


class _StoreSelection:
    """A selection that survives the replacement of its blocks between `select` and `read`."""

    def __init__(self, store: BlockStore, request: Select, selection: Selection) -> None:
        self.labels: Final = selection.labels
        self._store = store
        self._request = request
        self._selection = selection

    def read(self, start: int, stop: int) -> SeriesFrame:
        """Samples of the series `[start, stop)`."""
        return self._store._retry(
            self._request.tenant,
            lambda: self._selection.read(start, stop),
            lambda: self._read_again(start, stop),
        )

    def _read_again(self, start: int, stop: int) -> SeriesFrame:
        """The same series from a new selection, whose blocks hold the same samples."""
        labels = self.labels.take(np.arange(start, stop, dtype=np.int64))
        fresh = self._store._select(self._request)
        _, (ours, theirs) = join_labels([labels, fresh.labels])
        shared = (ours >= 0) & (theirs >= 0)
        if not shared.any():
            return SeriesFrame.of(labels, merge_samples(len(labels), []))
        first, last = int(theirs[shared].min()), int(theirs[shared].max()) + 1
        rows = np.full(len(labels), -1, np.int64)
        rows[ours[shared]] = theirs[shared] - first
        frame = fresh.read(first, last)
        return SeriesFrame.of(labels, merge_samples(len(labels), [(rows, frame.arrays())]))
