"""`Repair`: what this ingester missed, or lost, comes back from its replicas.

::

    replicas ── tenants ── metrics ── series whose hash is ours ── batches, less what is here ──> take

What was missed while nobody could reach us was never acknowledged by us, so answers are complete meanwhile
and a repair may take its time. What was acknowledged and is gone makes us *behind*: our answers are not
counted until everything has come. In both cases the answers of the others must be complete without ours.
What is written takes the ordinary path, log first, and leaves time for pushes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge

from rondel.errors import QueryCanceled, Unavailable
from rondel.model.frame import SeriesFrame
from rondel.model.labels import Matchers
from rondel.model.merge import EmptySelection, reordered
from rondel.model.write import WriteBatch
from rondel.runtime import logs
from rondel.runtime.clock import Clock
from rondel.runtime.tasks import in_thread
from rondel.storage import PATIENT, Select, Selection, Watch
from services.ingester.clusterconfig import RepairConfig
from services.ingester.lacking import lacking, rows_in
from services.ingester.owned import Share
from services.ingester.push import Ingester
from services.ingester.read import HeadStorage

__all__ = ["Repair", "RepairMetrics", "Replicas"]

METRIC_NAME: Final = "__name__"
_SELECTION_S: Final = 30.0
_WAIT_S: Final = 0.5
"""for the log to have room"""
_T = TypeVar("_T")
_log = logs.get(__name__)


class Replicas(Protocol):
    """The other ingesters: complete answers without ours, or Unavailable. Called in worker threads."""

    def tenants(self, since_ms: int, *, watch: Watch = PATIENT) -> list[str]:
        """Of whom anything was written since then."""

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
        """As `rondel.storage.Storage`."""

    def select(self, request: Select) -> Selection:
        """As `rondel.storage.Storage`."""


class RepairMetrics:
    """What repairs did."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.runs = Counter(
            "rondel_repair_runs_total", "Repairs, by how they ended.", ["outcome"], registry=registry
        )
        for outcome in ("done", "failed"):
            self.runs.labels(outcome)
        self.series = Counter(
            "rondel_repair_series_total", "Series compared with the replicas.", registry=registry
        )
        self.samples = Counter(
            "rondel_repair_samples_total",
            "Samples and histograms that were lacking and came from replicas.",
            registry=registry,
        )
        self.behind = Gauge(
            "rondel_repair_behind",
            "1 while what was acknowledged here may be lacking, so that answers are not counted.",
            registry=registry,
        )
        self.lag = Gauge(
            "rondel_repair_lag_seconds",
            "Time since which something may be lacking here that replicas have.",
            registry=registry,
        )


@dataclass(frozen=True, slots=True)
class _Span:
    """Samples of these times, both ends included."""

    mint_ms: int
    maxt_ms: int


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """Series of one metric."""

    ours: Selection
    """of the replicas what is ours"""
    own: Selection
    """what is here"""
    hashes: NDArray[np.uint64]
    """of `ours`"""
    rows: NDArray[np.int64]
    """the place in `own` of each series of `ours`, or -1"""

    def missing(self, start: int, stop: int) -> SeriesFrame | None:
        """Of these series of the replicas what is not here; None where all of it is."""
        frame = self.ours.read(start, stop)
        rows = self.rows[start:stop]
        known = np.flatnonzero(rows >= 0).astype(np.int64)
        try:
            own = reordered(self.own, rows[known]).read(0, len(known))
        except Unavailable:  # It went to a block meanwhile. What comes twice is one sample.
            known, own = known[:0], EmptySelection().read(0, 0)
        return lacking(frame, own, known)


class _Until:
    """Implements `Watch`: a repair is waited for until it is ended."""

    def __init__(self) -> None:
        self._ended = threading.Event()

    def end(self) -> None:
        self._ended.set()

    def check(self) -> None:
        if self._ended.is_set():
            raise QueryCanceled("the ingester is stopping")


class Repair:
    """One pass at a time over everything that replicas hold of our hashes: `share` says which these were
    of a tenant since a time."""

    def __init__(
        self,
        ingester: Ingester,
        replicas: Replicas,
        share: Callable[[str, int], Share],
        config: RepairConfig,
        clock: Clock,
        metrics: RepairMetrics,
    ) -> None:
        self._ingester = ingester
        self._replicas = replicas
        self._share = share
        self._config = config
        self._clock = clock
        self._metrics = metrics
        self._own = HeadStorage(ingester.tenants)
        self._watch = _Until()

    def end(self) -> None:
        """For good: threads that wait for replicas wait no more, however silent these are."""
        self._watch.end()

    async def run(self, mint_ms: int, maxt_ms: int) -> int:
        """Fetches what is lacking of these times; how many samples that were. Raises Unavailable, and
        QueryCanceled where it was ended; some of it is here then."""
        span = _Span(mint_ms, maxt_ms)
        try:
            total = 0
            for tenant in await self._paced(partial(self._replicas.tenants, mint_ms, watch=self._watch)):
                total += await self._tenant(tenant, span)
        except BaseException:
            self._metrics.runs.labels("failed").inc()
            raise
        self._metrics.runs.labels("done").inc()
        return total

    async def _tenant(self, tenant: str, span: _Span) -> int:
        times, watch = (span.mint_ms, span.maxt_ms), self._watch
        names = partial(self._replicas.label_values, tenant, METRIC_NAME, [], *times, watch=watch)
        share = await self._paced(partial(self._share, tenant, span.mint_ms))
        total = 0
        for name in await self._paced(names):  # One metric at a time: its labels are in memory.
            request = Select(tenant, Matchers([(METRIC_NAME, "=", name)]), *times, watch=watch)
            total += await self._metric(request, share)
        return total

    async def _metric(self, request: Select, share: Share) -> int:
        """A selection lives as long as one call may take, so a metric of many series takes several."""
        total, done = 0, np.empty(0, np.uint64)
        while True:
            found = await self._paced(partial(self._found, request, share, done))
            until_s = time.monotonic() + _SELECTION_S
            series = len(found.hashes)
            for start, stop in self._batches(series):
                if time.monotonic() > until_s:
                    break
                frame = await self._paced(partial(found.missing, start, stop))
                self._metrics.series.inc(stop - start)
                if frame is not None:
                    await self._written(request.tenant, frame)
                    total += frame.samples
                done = np.append(done, found.hashes[start:stop])
                series -= stop - start
            if not series:
                return total

    def _found(self, request: Select, share: Share, done: NDArray[np.uint64]) -> _Found:
        found = self._replicas.select(request)
        hashes = found.labels.fingerprints()[:, 0]
        rows = np.flatnonzero(share.has(hashes) & ~np.isin(hashes, done)).astype(np.int64)
        ours, own = reordered(found, rows), self._own.select(request)
        return _Found(ours, own, hashes[rows], rows_in(ours.labels, own.labels))

    def _batches(self, series: int) -> Iterator[tuple[int, int]]:
        size = self._config.series_per_batch
        return ((start, min(start + size, series)) for start in range(0, series, size))

    async def _written(self, tenant: str, frame: SeriesFrame) -> None:
        batch = await in_thread(partial(WriteBatch.from_arrays, frame.labels, frame.arrays(), None))
        while True:
            try:
                taken = await self._ingester.take(tenant, batch, repair=True)
                break
            except Unavailable as error:
                if self._ingester.failure is not None:
                    raise
                _log.warning("a repair waits for the log", cause=str(error))
                await self._clock.sleep(_WAIT_S)
        written = taken.result.accepted
        self._metrics.samples.inc(written.samples + written.histograms)
        for refused in taken.result.rejections:
            _log.warning("a repair was refused", tenant=tenant, id=refused.id, reason=refused.message)

    async def _paced(self, work: Callable[[], _T]) -> _T:
        """What is done in a thread; then pushes have theirs."""
        began_s = time.monotonic()
        found = await in_thread(work)
        share = self._config.share
        await self._clock.sleep((time.monotonic() - began_s) * (1 - share) / share)
        return found
