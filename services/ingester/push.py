"""The ingester: a push is prepared, written to the WAL, and only then visible and acknowledged.

`prepare` decides what is accepted, `record` makes the WAL record, `Wal.append` queues it; nothing awaits
between them, so the order of records in a segment is the order in which they defined series. What is
accepted is committed when the WAL says so, whether or not the caller still waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from rondel.errors import ConfigError, Corruption, Unavailable
from rondel.model.write import PushResult, Rejection, WriteBatch, Written
from rondel.runtime import logs
from rondel.runtime.clock import Clock
from rondel.runtime.tasks import in_thread
from services.ingester.config import Config
from services.ingester.disk import Disk, LocalDisk
from services.ingester.head import Pending, wal_frame
from services.ingester.ledger import Ledger, Marker, decode_markers
from services.ingester.metrics import HeadCollector, IngesterMetrics, WalMetrics
from services.ingester.replay import KIND_METADATA, Report, replay
from services.ingester.tenant import MetadataRecord, Tenant, Tenants
from services.ingester.wal import FOLDER, Settled, Wal, segment_name

__all__ = ["MARKERS", "Ingester", "Taken"]

LOCK: Final = "lock"
IDENTITY: Final = "identity.json"
MARKERS: Final = "shipped.json"
_log = logs.get(__name__)


class _Identity(msgspec.Struct):
    instance_id: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a batch."""

    result: PushResult
    unknown: bytes = b""
    """Fingerprints of series without labels that the head does not know, 16 bytes each; nothing of them was
    written."""
    rows: list[NDArray[np.int64]] = field(default_factory=list)
    """For each rejection, the row of the batch that each refused sample is of."""


class Ingester:
    """Takes pushes. `start` locks the data directory and replays the WAL; until then nothing is accepted."""

    def __init__(
        self,
        config: Config,
        disk: Disk | Path,
        *,
        clock: Clock,
        registry: CollectorRegistry,
        instance_id: str = "rondel",
        on_failure: Callable[[BaseException], None] = lambda _: None,
    ) -> None:
        self.config = config
        self.disk: Disk = LocalDisk(disk) if isinstance(disk, Path) else disk
        self.tenants = Tenants(config)
        self.metrics = IngesterMetrics(registry)
        self.ledger = Ledger(config.ship.range_ms)
        self._clock = clock
        self._instance_id = instance_id
        self._wal_metrics = WalMetrics(registry)
        self.wal = Wal(self.disk, config.wal, clock=clock, metrics=self._wal_metrics, on_failure=on_failure)
        self.replayed = Report()
        """What the replay of the start has found so far."""
        self._running = False
        registry.register(HeadCollector(self.tenants.heads))

    @property
    def failure(self) -> BaseException | None:
        """Why the process has to restart: a sync of the WAL failed."""
        return self.wal.failed

    async def start(self) -> Report:
        """Locks the directory, replays the WAL, and accepts pushes from then on.

        New segments come after every number that a marker names: an old number would pass for shipped.
        """
        report = await in_thread(self._recover)
        self.wal.start(max([report.last_segment, *(one.segment for one in self.ledger.markers)]) + 1)
        self._running = True
        _log.info("WAL replayed", segments=report.segments, samples=report.samples, skipped=report.skipped)
        return report

    async def stop(self) -> None:
        """Refuses new pushes, finishes those that are in the WAL's queue, and closes it."""
        self._running = False
        await self.wal.settle()
        await self.wal.close()
        if isinstance(self.disk, LocalDisk):
            self.disk.unlock()

    async def push(self, tenant: str, batch: WriteBatch) -> PushResult:
        """Writes a batch whose series all have labels; raises as `take` does."""
        return (await self.take(tenant, batch)).result

    async def take(self, tenant: str, batch: WriteBatch, *, repair: bool = False) -> Taken:
        """Writes a batch; returns when it is in the WAL. `Unavailable` means: nothing was acknowledged.

        What a repair brings may be as old as it likes. Nothing awaits before it is in the WAL's queue.
        """
        if not self._running:
            raise Unavailable("the ingester is not ready")
        self.wal.admit()
        owner = self.tenants.get(tenant, self._clock.monotonic_s())
        pending = owner.head.prepare(batch, self._clock.now_ms(), repair=repair)
        metadata_durable = self._write_metadata(owner, batch)
        if pending.fresh:
            await self._write_samples(owner, pending)
        else:
            owner.head.abort(pending)
        if metadata_durable is not None:
            await metadata_durable
        return Taken(self._result(owner, pending), pending.unknown, pending.rejected_rows)

    def _write_samples(self, owner: Tenant, pending: Pending) -> asyncio.Future[None]:
        def settled(durable: bool) -> None:
            # What a refused record left in its segment was promised to nobody: it keeps no segment alive.
            self.ledger.hold(segment.number, owner.name, pending.ranges() if durable else ())
            settle = owner.head.commit if durable else owner.head.abort
            settle(pending)

        segment = self.wal.current
        try:
            record = owner.head.record(pending, owner.name, segment.number, segment.salt)
        except BaseException:
            self.wal.rotate()  # The head believes that the segment has the definitions of this record.
            raise
        return self.wal.append(record, settled)

    def _write_metadata(self, owner: Tenant, batch: WriteBatch) -> asyncio.Future[None] | None:
        fresh = owner.known.unknown(batch) if batch.metadata_count else []
        if not fresh:
            return None
        return self.append_metadata(
            MetadataRecord(owner.name, fresh), lambda durable: owner.learn(fresh) if durable else None
        )

    def append_metadata(
        self, record: MetadataRecord, settled: Settled = lambda _: None
    ) -> asyncio.Future[None]:
        """Queues a record of metadata."""
        segment = self.wal.current
        durable = self.wal.append(wal_frame(KIND_METADATA, record.encode(), segment.salt), settled)
        self.ledger.hold(segment.number, record.tenant, ())
        return durable

    def _result(self, owner: Tenant, pending: Pending) -> PushResult:
        owner.heard_s = self._clock.monotonic_s()
        rejections = [Rejection(*one) for one in pending.rejections]
        accepted = Written(*pending.accepted)
        self.metrics.samples.value += accepted.samples
        self.metrics.histograms.value += accepted.histograms
        self.metrics.exemplars.value += accepted.exemplars
        self.metrics.exemplars_refused.value += pending.exemplars_refused
        self.metrics.created.value += pending.created
        for rejection in rejections:
            self.metrics.rejected.labels(rejection.id).inc(rejection.samples)
        return PushResult(accepted, rejections)

    def _recover(self) -> Report:
        try:
            self.disk.lock(LOCK)
            self._check_identity()
            self.ledger = Ledger(self.config.ship.range_ms, self._read_markers())
            now_s = self._clock.monotonic_s()
            report = replay(self.disk, self.tenants, self.ledger, self._wal_metrics, now_s, self.replayed)
            self._harden(report.last_segment)
            return report
        except OSError as error:
            raise ConfigError(f"the ingester cannot use its data directory: {error}") from error

    def _harden(self, segment: int) -> None:
        """Puts on the disk what replay may have seen in the page cache only: the end of the last segment.

        A sample that is in the head is acknowledged when it comes again. Where the last process was killed
        before its sync, or its sync failed, the disk need not have it. A copy, not a sync: after a failed one
        the kernel takes the pages for clean and would not write them.
        """
        name = segment_name(segment)
        if self.config.wal.sync == "never" or not self.disk.list(FOLDER).get(name.rpartition("/")[2]):
            return
        try:
            self.disk.rewrite(name)
        except OSError as error:  # A full disk must not keep what is there from being read.
            _log.warning("WAL segment could not be copied, only synced", file=name, cause=str(error))
            self.disk.sync(name)

    def _check_identity(self) -> None:
        """A volume that was another ingester's is refused: its WAL holds another ingester's promises."""
        if IDENTITY not in self.disk.list(""):
            self.disk.replace(IDENTITY, msgspec.json.encode(_Identity(self._instance_id)))
            return
        try:
            found = msgspec.json.decode(self.disk.read(IDENTITY, 0, 1 << 16), type=_Identity)
        except msgspec.MsgspecError as error:
            raise ConfigError(f"{IDENTITY} in the ingester's data directory is damaged: {error}") from error
        if found.instance_id != self._instance_id:
            raise ConfigError(
                f"the data directory belongs to the ingester {found.instance_id!r}, "
                f"this is {self._instance_id!r}"
            )

    def _read_markers(self) -> list[Marker]:
        """Without them, what was shipped is shipped again: twice the work, the same answers."""
        size_bytes = self.disk.list("").get(MARKERS, 0)
        if size_bytes == 0:
            return []
        try:
            return decode_markers(self.disk.read(MARKERS, 0, size_bytes))
        except Corruption as error:
            _log.error("shipped ranges are unknown", cause=str(error.at(MARKERS)))
            return []
