"""`Compactor`: one round over a tenant's blocks: mark, delete, merge.

Two of them on one bucket do no harm: results that say the same are told apart by rank, marks are created and
never overwritten, and a deletion is decided on a fresh listing. What is lost is work.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from rondel.block import Meta, meta, new_ulid, view
from rondel.block.meta import Mark
from rondel.block.view import Listed
from rondel.errors import Corruption, NotFound, RondelError, Unavailable
from rondel.model.tenant import is_tenant
from rondel.objstore import Bucket
from rondel.runtime import logs
from rondel.runtime.clock import Clock
from rondel.runtime.telemetry import LATENCY_BUCKETS_S
from services.compactor import retain
from services.compactor.compact import compact
from services.compactor.config import Config
from services.compactor.plan import Job, plan
from services.compactor.retain import Snapshot

__all__ = ["Compactor", "Report"]

_log = logs.get(__name__)


@dataclass(slots=True)
class Report:
    """What one round did."""

    merged: int = 0
    """Jobs that made a block."""
    failed: int = 0
    """Jobs that did not."""
    marked: int = 0
    deleted: int = 0


class _Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.jobs = Counter("rondel_compactor_jobs", "Merges, by result.", ["result"], registry=registry)
        self.duration = Histogram(
            "rondel_compactor_job_duration_seconds",
            "Time of a merge.",
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.samples = Counter("rondel_compactor_samples", "Samples written by merges.", registry=registry)
        self.marked = Counter(
            "rondel_compactor_blocks_marked", "Blocks marked for deletion.", ["reason"], registry=registry
        )
        self.deleted = Counter("rondel_compactor_blocks_deleted", "Blocks deleted.", registry=registry)
        self.partial = Counter(
            "rondel_compactor_partial_deleted", "Left-overs of unfinished uploads deleted.", registry=registry
        )
        self.damaged = Counter(
            "rondel_compactor_blocks_damaged",
            "Blocks found damaged and left out of merges.",
            registry=registry,
        )
        self.pending = Gauge(
            "rondel_compactor_jobs_pending", "Merges still to do.", ["tenant"], registry=registry
        )


class Compactor:
    """Synchronous; a round runs in a worker thread. `close` makes a running round give up soon."""

    def __init__(
        self,
        bucket: Bucket,
        config: Config,
        clock: Clock,
        *,
        registry: CollectorRegistry | None = None,
        announce: Callable[[Meta], None] = lambda _: None,
        scratch: Path | None = None,
    ) -> None:
        self._bucket = bucket
        self._config = config
        self._clock = clock
        self._metrics = _Metrics(registry or CollectorRegistry())
        self._announce = announce
        self._scratch = scratch
        self._closing = threading.Event()
        self._metas: dict[str, dict[str, Meta]] = {}
        self._marks: dict[str, dict[str, Mark]] = {}

    def close(self) -> None:
        """A running round raises `Unavailable` at its next batch."""
        self._closing.set()

    def tenants(self) -> list[str]:
        """Tenants that have blocks. Folders with other names are none: `~cluster` is what a cluster notes."""
        return [folder for folder in self._bucket.folders("") if is_tenant(folder)]

    def run_once(self, tenant: str) -> Report:
        """Deletes, marks and merges until nothing is left to merge. Raises `Unavailable`.

        Deletion has its turn between two merges, so blocks that keep coming cannot hold it up.
        """
        report = Report()
        failed: set[str] = set()
        while True:
            snapshot = self._snapshot(tenant)
            self._delete(tenant, snapshot, report)
            self._mark(tenant, snapshot, report)
            jobs = self._plan(snapshot, failed)
            self._metrics.pending.labels(tenant).set(len(jobs))
            if not jobs:
                return report
            job = jobs[0]
            if self._run(tenant, job):
                report.merged += 1
            else:
                report.failed += 1
                failed.update(one.ulid for one in job.blocks)

    def _snapshot(self, tenant: str) -> Snapshot:
        listed = view.group(self._bucket.list(tenant))
        known = self._metas.get(tenant, {})
        metas: dict[str, Meta] = {}
        marks: dict[str, Mark] = {}
        for ulid, block in listed.items():
            try:
                if block.is_complete:
                    metas[ulid] = known.get(ulid) or self._read_meta(tenant, ulid)
                if meta.DELETION_MARK in block.files:
                    marks[ulid] = self._marks.get(tenant, {}).get(ulid) or self._read_mark(tenant, ulid)
            except NotFound:
                metas.pop(ulid, None)
            except Corruption as damage:
                _log.error("block object damaged", tenant=tenant, block=ulid, cause=str(damage))
        self._metas[tenant] = metas
        self._marks[tenant] = marks
        return Snapshot(listed, metas, marks)

    def _read_meta(self, tenant: str, ulid: str) -> Meta:
        return meta.decode_meta(self._bucket.get(meta.key(tenant, ulid, meta.META)), tenant, ulid)

    def _read_mark(self, tenant: str, ulid: str) -> Mark:
        where = meta.key(tenant, ulid, meta.DELETION_MARK)
        return meta.decode_mark(self._bucket.get(where), where)

    def _plan(self, snapshot: Snapshot, failed: set[str]) -> list[Job]:
        excluded = failed | set(snapshot.deletion_marks)
        excluded.update(ulid for ulid, one in snapshot.listed.items() if meta.NO_COMPACT_MARK in one.files)
        return plan(
            list(snapshot.metas.values()),
            excluded=excluded,
            ranges_ms=self._config.ranges_ms,
            settled_ms=self._clock.now_ms() - round(self._config.settle_s * 1000),
            blocks_max=self._config.blocks_per_job_max,
        )

    def _run(self, tenant: str, job: Job) -> bool:
        started_s = self._clock.monotonic_s()
        parents = [one.ulid for one in job.blocks]
        try:
            merged = compact(
                self._bucket,
                job,
                new_ulid(self._clock.now_ms()),
                batch_samples_max=self._config.batch_samples_max,
                scratch=self._scratch,
                check=self._check,
            )
        except Corruption as damage:
            self._metrics.jobs.labels("damaged").inc()
            _log.error("blocks not merged", tenant=tenant, parents=parents, cause=str(damage))
            self._exclude(tenant, job, damage)
            return False
        except NotFound as gone:
            self._metrics.jobs.labels("vanished").inc()
            _log.warning("blocks not merged", tenant=tenant, parents=parents, cause=str(gone))
            return False
        elapsed_s = self._clock.monotonic_s() - started_s
        self._metrics.jobs.labels("merged").inc()
        self._metrics.duration.observe(elapsed_s)
        self._metrics.samples.inc(merged.samples)
        self._announce(merged)
        _log.info(
            "blocks merged",
            tenant=tenant,
            block=merged.ulid,
            parents=parents,
            series=merged.series,
            samples=merged.samples,
            size_bytes=merged.size_bytes,
            elapsed_s=round(elapsed_s, 3),
        )
        return True

    def _check(self) -> None:
        if self._closing.is_set():
            raise Unavailable("the compactor is closing")

    def _exclude(self, tenant: str, job: Job, damage: RondelError) -> None:
        """Marks the damaged block so that no merge meets it again; the others go on without it."""
        for one in job.blocks:
            if one.ulid in str(damage):
                self._metrics.damaged.inc()
                mark = Mark(self._clock.now_ms(), str(damage))
                self._bucket.create(meta.key(tenant, one.ulid, meta.NO_COMPACT_MARK), meta.encode(mark))

    def _expired_ms(self) -> int | None:
        if not self._config.retention_s:
            return None
        return self._clock.now_ms() - round(self._config.retention_s * 1000)

    def _mark(self, tenant: str, snapshot: Snapshot, report: Report) -> None:
        for one, reason in retain.to_mark(snapshot, expired_ms=self._expired_ms()):
            mark = Mark(self._clock.now_ms(), reason)
            if self._bucket.create(meta.key(tenant, one.ulid, meta.DELETION_MARK), meta.encode(mark)):
                report.marked += 1
                self._metrics.marked.labels(reason).inc()
                _log.info("block marked", tenant=tenant, block=one.ulid, reason=reason)

    def _delete(self, tenant: str, snapshot: Snapshot, report: Report) -> None:
        now_ms = self._clock.now_ms()
        due = retain.deletable(
            snapshot,
            expired_ms=self._expired_ms(),
            marked_before_ms=now_ms - round(self._config.deletion_delay_s * 1000),
        )
        for listed in due:
            self._delete_objects(tenant, listed)
            report.deleted += 1
            self._metrics.deleted.inc()
        old_ms = now_ms - round(self._config.partial_delay_s * 1000)
        for listed in retain.leftovers(snapshot, written_before_ms=old_ms):
            self._delete_objects(tenant, listed)
            self._metrics.partial.inc()

    def _delete_objects(self, tenant: str, listed: Listed) -> None:
        """The meta first: from then on the block does not exist. The mark last: it says what this is."""
        order = {meta.META: 0, meta.DELETION_MARK: 2}
        for name in sorted(listed.files, key=lambda name: order.get(name, 1)):
            self._bucket.delete(meta.key(tenant, listed.ulid, name))
        _log.info("block deleted", tenant=tenant, block=listed.ulid)
