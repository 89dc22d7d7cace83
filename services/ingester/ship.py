"""Ship: aligned ranges of the heads become blocks, and then the WAL goes.

::

    ripe ── barrier ──> frozen ── encode, upload, verify ──> block ── announce, marker ──> marked ──> released

The barrier: the WAL goes on in a new segment, and everything in earlier ones is committed; what is then in
the range is frozen. Later late samples of the range go to chunks of their own and become another block.
Until `released`, queries find the samples in the head; from the announcement on in the block, too; merging
removes the doubles. A crash before the marker ships the range again, a crash after it replays without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from rondel.block.meta import Meta
from rondel.errors import RondelError, Unavailable
from rondel.model.frame import ExemplarFrame, SeriesFrame
from rondel.runtime import logs
from rondel.runtime.clock import Clock
from rondel.runtime.tasks import TaskOwner, in_thread
from services.ingester.config import Config
from services.ingester.ledger import Marker, encode_markers
from services.ingester.push import MARKERS, Ingester
from services.ingester.tenant import Tenant

__all__ = ["BlockSink", "Shipper", "ripe"]

_EVER: Final = (-(1 << 63), (1 << 63) - 1)
_log = logs.get(__name__)


class BlockSink(Protocol):
    """Takes one block, as `rondel.block.BlockWriter` does."""

    def add(self, frame: SeriesFrame, exemplars: ExemplarFrame | None = None) -> None:
        """The next series, in block order, and the exemplars of the same series."""

    def finish(self) -> Meta:
        """Uploads and verifies; the block is visible to everybody when this returns."""

    def close(self) -> None:
        """Gives back what the sink holds; after `finish`, or instead of it."""


@dataclass(slots=True, eq=False)
class _Frozen:
    """A range on its way. What is done stays done when a later step fails and is tried again."""

    tenant: Tenant
    range: int
    arena: int
    segment: int
    """The last segment with samples of it."""
    block: Meta | None = None
    is_marked: bool = False
    epoch: int = 0
    """Readers from before this generation of the head may still need it."""
    release_at_s: float = 0.0
    """When they have had their time."""


def ripe(
    ranges: Iterable[int], max_time_ms: int, shipped: set[int], *, range_ms: int, window_ms: int
) -> list[int]:
    """Ranges that are worth a block now.

    Half a range after its end most late samples have come. What comes later is shipped once more, when
    no more of it can come.
    """
    ready = []
    for number in ranges:
        wait_ms = window_ms if number in shipped else range_ms // 2
        if max_time_ms >= (number + 1) * range_ms + wait_ms:
            ready.append(number)
    return ready


class Shipper:
    """Ships what is ripe, every `ship.interval_ms`, and everything when asked to `flush`."""

    def __init__(
        self,
        ingester: Ingester,
        config: Config,
        *,
        open_sink: Callable[[str], BlockSink],
        announce: Callable[[Meta], None],
        clock: Clock,
    ) -> None:
        self._ingester = ingester
        self._config = config
        self._open_sink = open_sink
        self._announce = announce
        self._clock = clock
        self._frozen: list[_Frozen] = []
        self._turn = asyncio.Lock()
        self._tasks = TaskOwner("ship")

    @property
    def failure(self) -> BaseException | None:
        """What killed the loop; a bug, since what the world does wrong is tried again."""
        return self._tasks.failure

    def start(self) -> None:
        """Starts the loop; the ingester has started before."""
        for marker in self._ingester.ledger.markers:
            tenant = self._ingester.tenants.find(marker.tenant)
            if tenant is not None and marker.range_ms == self._config.ship.range_ms:
                tenant.shipped.add(marker.range)
        self._tasks.spawn(self._loop(), name="loop")

    async def stop(self) -> None:
        """Ends the loop. What is half shipped is in the WAL and starts again after the restart."""
        await self._tasks.close()

    async def flush(self, tenant: str | None = None) -> int:
        """Ships everything (of one tenant, where it is named); returns how many blocks, or raises."""
        async with self._turn:
            wanted = [one for one in self._ingester.tenants if tenant in (None, one.name)]
            await self._freeze({one: one.head.ranges() for one in wanted})
            return await self._ship_frozen()

    async def empty(self) -> None:
        """Ships everything, and what is pushed meanwhile; raises as `flush` does."""
        while True:
            await self.flush()
            if not await in_thread(self._is_anything_left):
                return

    def _is_anything_left(self) -> bool:
        return any(tenant.head.ranges() for tenant in self._ingester.tenants)

    async def ship_ripe(self) -> int:
        """Ships what is ripe; returns how many blocks."""
        async with self._turn:
            await self._freeze({one: self._ripe(one) for one in self._ingester.tenants})
            return await self._ship_frozen()

    async def _loop(self) -> None:
        while True:
            await self._clock.sleep(self._config.ship.interval_ms / 1000)
            try:
                await self.ship_ripe()
            except RondelError as error:
                _log.warning("ship failed, will be tried again", cause=str(error))
            except Exception as error:  # A bug in here must not end the shipping of everything else.
                self._ingester.metrics.ship_failures.inc()
                _log.error("ship failed, will be tried again", error=error)

    def _ripe(self, tenant: Tenant) -> list[int]:
        ranges = tenant.head.ranges()
        if self._clock.monotonic_s() - tenant.heard_s >= self._config.ship.idle_ms / 1000:
            return ranges
        max_time_ms = tenant.head.max_time_ms
        if max_time_ms is None:
            return []
        window_ms = self._config.head.out_of_order_time_window_ms
        range_ms = self._config.ship.range_ms
        return ripe(ranges, max_time_ms, tenant.shipped, range_ms=range_ms, window_ms=window_ms)

    async def _freeze(self, wanted: dict[Tenant, list[int]]) -> None:
        if not any(wanted.values()):
            return
        wal = self._ingester.wal
        segment = wal.rotate() - 1
        await wal.settle()
        for tenant, ranges in wanted.items():
            for number in ranges:
                await in_thread(partial(self._freeze_range, tenant, number, segment))

    def _freeze_range(self, tenant: Tenant, number: int, segment: int) -> None:
        """Freezes and remembers, in a thread and so whatever becomes of the caller: a frozen range that
        nobody remembers would never be in a block, while the next marker of its range says that it is.
        """
        arena = tenant.head.freeze(number)
        if arena is not None:
            self._frozen.append(_Frozen(tenant, number, arena, segment))

    async def _ship_frozen(self) -> int:
        """Takes every frozen range as far as it gets; raises the first error after all were tried."""
        failure: RondelError | None = None
        failed: set[tuple[str, int]] = set()
        shipped = 0
        for frozen in self._frozen:
            key = frozen.tenant.name, frozen.range
            # A marker speaks of all segments up to its own, so a range is marked in the order of its parts.
            if frozen.is_marked or key in failed:
                continue
            try:
                shipped += await self._ship(frozen)
            except RondelError as error:
                self._ingester.metrics.ship_failures.inc()
                failed.add(key)
                failure = failure or error
        await self._release()
        await self._delete_segments()
        if failure is not None:
            raise failure
        return shipped

    async def _ship(self, frozen: _Frozen) -> int:
        began_s = self._clock.monotonic_s()
        if frozen.block is None:
            try:
                frozen.block = await in_thread(partial(self._write, frozen))
            except OSError as error:
                raise Unavailable(f"a block cannot be written: {error}") from error
            if frozen.block is not None:
                self._announce(frozen.block)
        block = "" if frozen.block is None else frozen.block.ulid
        range_ms = self._config.ship.range_ms
        now_ms = self._clock.now_ms()
        marker = Marker(frozen.tenant.name, frozen.range, range_ms, frozen.segment, block, now_ms)
        await self._store_markers([*self._ingester.ledger.markers, marker])
        self._ingester.ledger.mark(marker)
        frozen.is_marked = True
        frozen.tenant.shipped.add(frozen.range)
        frozen.epoch = frozen.tenant.head.advance()
        frozen.release_at_s = self._clock.monotonic_s() + self._config.ship.pin_timeout_ms / 1000
        if not block:
            return 0
        self._ingester.metrics.shipped.inc()
        self._ingester.metrics.ship_seconds.observe(self._clock.monotonic_s() - began_s)
        _log.info("range shipped", tenant=frozen.tenant.name, range=frozen.range, block=block)
        return 1

    def _write(self, frozen: _Frozen) -> Meta | None:
        """Encodes and uploads, a batch of series at a time; None when the range is empty. In a thread."""
        head = frozen.tenant.head
        pin = head.pin()
        labels, refs = head.frozen(frozen.arena)
        if not len(labels):
            return None
        order = labels.sort_order()
        size = self._config.ship.series_per_batch
        sink = self._open_sink(frozen.tenant.name)
        try:
            for start in range(0, len(order), size):
                rows = order[start : start + size]
                arrays = head.read(refs[rows], *_EVER, pin, arena=frozen.arena)
                if arrays is None:
                    raise Unavailable(
                        f"a frozen range of {frozen.tenant.name} was released while it was shipped"
                    )
                own = labels.take(rows)
                exemplars = ExemplarFrame(own, *head.frozen_exemplars(refs[rows], frozen.arena))
                sink.add(SeriesFrame.of(own, arrays), exemplars if len(exemplars.values) else None)
            return sink.finish()
        finally:
            sink.close()

    async def _store_markers(self, markers: list[Marker]) -> None:
        await self._on_disk(lambda: self._ingester.disk.replace(MARKERS, encode_markers(markers)))

    async def _release(self) -> None:
        """Lets go of marked ranges that no reader holds any more."""
        for frozen in [one for one in self._frozen if one.is_marked]:
            head = frozen.tenant.head
            if head.is_pinned(frozen.epoch) and self._clock.monotonic_s() < frozen.release_at_s:
                continue
            await in_thread(partial(head.release, frozen.arena, frozen.epoch))
            self._ingester.metrics.dropped.inc(await in_thread(head.collect))
            self._frozen.remove(frozen)

    async def _delete_segments(self) -> None:
        """Deletes segments whose samples are all in blocks, once their metadata is in a later one."""
        ledger, wal = self._ingester.ledger, self._ingester.wal
        current = wal.current.number
        await wal.settle()  # Now the ledger knows what earlier segments hold, and metadata is learned.
        numbers = ledger.deletable(current)
        if not numbers:
            return
        await asyncio.gather(*self._append_metadata())
        await self._on_disk_async(wal.delete(numbers))
        ledger.forget(numbers, self._clock.now_ms())
        await self._store_markers(ledger.markers)

    def _append_metadata(self) -> list[asyncio.Future[None]]:
        tenants = [one for one in self._ingester.tenants if one.entries]
        return [self._ingester.append_metadata(one.metadata_record()) for one in tenants]

    async def _on_disk(self, call: Callable[[], None]) -> None:
        await self._on_disk_async(in_thread(call))

    async def _on_disk_async(self, done: Awaitable[None]) -> None:
        try:
            await done
        except OSError as error:
            raise Unavailable(f"the ingester's disk refuses: {error}") from error
