"""The write-ahead log: segments, and group commit.

::

    append ──> queue ──> thread: all that waits ──> one writev ──> one fdatasync ──> settled, futures

A record belongs to the segment that was current when it was made, because it defines the series that
this segment does not know. So when a write fails, everything that waits for the same segment fails with
it, the partial record is cut away, and new records go to a new segment; the log works again as soon as the
disk does. A failed sync is different: nobody knows what reached the disk, and asking again lies. Then the
log is `failed`, acknowledges nothing, and only a restart, with its replay, heals it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

from rondel.errors import Unavailable
from rondel.runtime import logs
from rondel.runtime.clock import Clock
from rondel.runtime.tasks import TaskOwner
from rondel.runtime.worker import Worker
from services.ingester.config import WalConfig
from services.ingester.disk import AppendFile, Disk
from services.ingester.head import WAL_HEADER_BYTES, wal_header
from services.ingester.metrics import WalMetrics

__all__ = ["FOLDER", "Segment", "Settled", "Wal", "segment_name", "segment_number"]

FOLDER: Final = "wal"
_SUFFIX: Final = ".wal"
_log = logs.get(__name__)


def segment_name(number: int) -> str:
    """File name of a segment, below the disk's root."""
    return f"{FOLDER}/{number:010d}{_SUFFIX}"


def segment_number(name: str) -> int | None:
    """Number of a segment's file (without its folder); None for other files."""
    stem = name.removesuffix(_SUFFIX)
    return int(stem) if stem != name and stem.isdigit() else None


@dataclass(frozen=True, slots=True)
class Segment:
    """Where a record belongs."""

    number: int
    salt: int


Settled: TypeAlias = Callable[[bool], object]
"""Called once with whether the record is durable, also when nobody waits for it any more."""


@dataclass(slots=True)
class _Waiting:
    segment: Segment
    data: bytes
    settled: Settled
    done: asyncio.Future[None]


@dataclass(slots=True)
class _OpenFile:
    """The file that is written to; only the WAL's thread touches it."""

    number: int
    file: AppendFile
    size_bytes: int
    dirty: bool = False


class _SyncFailed(Exception):
    """Nobody knows what the disk holds."""


class Wal:
    """Appends records in groups. `current` is the segment of the record that is made next."""

    def __init__(
        self,
        disk: Disk,
        config: WalConfig,
        *,
        clock: Clock,
        metrics: WalMetrics,
        salts: Callable[[], int] = lambda: secrets.randbits(63),
        on_failure: Callable[[BaseException], None] = lambda _: None,
    ) -> None:
        self._disk = disk
        self._config = config
        self._clock = clock
        self._metrics = metrics
        self._salts = salts
        self._on_failure = on_failure
        self._queue: deque[_Waiting] = deque()
        self._queued_bytes = 0
        self._planned_bytes = 0
        self._appended = 0
        self._settled = 0
        self._barriers: deque[tuple[int, asyncio.Future[None]]] = deque()
        """Who waits until so many records are settled."""
        self._is_writing = False
        self._open: _OpenFile | None = None
        self._worker = Worker("wal")
        self._tasks = TaskOwner("wal", on_failure=lambda _, error: self._fail(error))
        self.current = Segment(0, 0)
        self.refused = 0
        """Records that the disk did not take: our replicas may have them, and we have not."""
        self.failed: BaseException | None = None
        """Why the log acknowledges nothing any more; only a restart heals it."""

    def start(self, number: int) -> None:
        """Lets records in; the first goes to segment `number`, which must not exist."""
        self.current = Segment(number, self._salts())
        if self._config.sync == "interval":
            self._tasks.spawn(self._sync_loop(), name="syncer")

    async def close(self) -> None:
        """Writes and syncs what waits, and closes the segment."""
        await self.settle()
        await self._tasks.close()
        try:
            await self._worker.run(self._finish)
        except (OSError, _SyncFailed) as error:
            self._fail(error)
        self._worker.close()

    async def settle(self) -> None:
        """Returns when every record that was appended before the call is written or refused."""
        if self._settled < self._appended:
            barrier = asyncio.get_running_loop().create_future()
            self._barriers.append((self._appended, barrier))
            await barrier

    def rotate(self) -> int:
        """Lets the next record go to a new segment; returns its number."""
        self.current = Segment(self.current.number + 1, self._salts())
        self._planned_bytes = 0
        return self.current.number

    def append(self, data: bytes, settled: Settled = lambda _: None) -> asyncio.Future[None]:
        """Queues a record made for the current segment; done when it is as durable as configured."""
        size_bytes = len(data)
        waiting = _Waiting(self.current, data, settled, asyncio.get_running_loop().create_future())
        self._appended += 1
        if self.failed is not None:
            self._refuse([waiting], f"the write-ahead log failed and needs a restart: {self.failed}")
            return waiting.done
        self._queue.append(waiting)
        self._queued_bytes += size_bytes
        self._planned_bytes += size_bytes
        if self._planned_bytes >= self._config.segment_size_bytes_max:
            self.rotate()
        self._write_next()
        return waiting.done

    async def delete(self, numbers: Iterable[int]) -> None:
        """Removes segments that nothing needs any more."""
        for number in numbers:
            await self._worker.run(partial(self._disk.delete, segment_name(number)))

    def admit(self) -> None:
        """Raises `Unavailable` where no more records are taken; asked before one is made.

        A record that is made and then refused takes definitions with it, so that all others would have to
        define their series again, in new segments, just when the disk is too slow.
        """
        if self.failed is not None:
            raise Unavailable(f"the write-ahead log failed and needs a restart: {self.failed}")
        if self._queued_bytes >= self._config.backlog_size_bytes_max:
            self.refused += 1
            raise Unavailable(
                f"the disk is too slow: {self._queued_bytes} bytes wait for the write-ahead log, "
                f"{self._config.backlog_size_bytes_max} may (wal.backlog_size_bytes_max)"
            )

    async def _sync_loop(self) -> None:
        while True:
            await self._clock.sleep(self._config.sync_interval_ms / 1000)
            await self._worker.run(self._sync)

    def _write_next(self) -> None:
        """Gives everything that waits to the thread, unless it still writes; records gather meanwhile."""
        if self._is_writing or not self._queue:
            return
        self._is_writing = True
        group = self._take_group()
        parts = [waiting.data for waiting in group]
        began_s = self._clock.monotonic_s()
        self._worker.submit(
            partial(self._write, group[0].segment, parts), partial(self._written, group, began_s)
        )

    def _take_group(self) -> list[_Waiting]:
        """Everything that waits for the segment of the first; it leaves in one write."""
        segment = self._queue[0].segment
        group = []
        while self._queue and self._queue[0].segment is segment:
            group.append(self._queue.popleft())
        self._queued_bytes -= sum(len(waiting.data) for waiting in group)
        return group

    def _written(self, group: list[_Waiting], began_s: float, error: BaseException | None) -> None:
        self._is_writing = False
        if self.failed is not None:
            self._refuse(group, f"the write-ahead log failed: {self.failed}")
        elif error is None:
            self._count(group, began_s)
            for waiting in group:
                self._settle(waiting, None)
        elif isinstance(error, OSError):
            self._metrics.failures.inc()
            self._give_up(group[0].segment, group, error)
        else:
            self._refuse(group, f"the write-ahead log failed: {error}")
            self._fail(error)
        self._write_next()

    def _count(self, group: list[_Waiting], began_s: float) -> None:
        self._metrics.seconds.observe(self._clock.monotonic_s() - began_s)
        self._metrics.commits.value += 1
        self._metrics.records.value += len(group)
        self._metrics.bytes.value += sum([len(waiting.data) for waiting in group])

    def _settle(self, waiting: _Waiting, why: Unavailable | None) -> None:
        waiting.settled(why is None)
        if not waiting.done.done():
            if why is None:
                waiting.done.set_result(None)
            else:
                waiting.done.set_exception(why)
                waiting.done.exception()  # Its owner may be gone; that is no news.
        self._settled += 1
        while self._barriers and self._barriers[0][0] <= self._settled:
            _, barrier = self._barriers.popleft()
            if not barrier.done():
                barrier.set_result(None)

    def _give_up(self, segment: Segment, group: list[_Waiting], error: OSError) -> None:
        """Refuses all records of a segment that may need what the failed write would have defined."""
        while self._queue and self._queue[0].segment is segment:
            group.extend(self._take_group())
        if self.current is segment:
            self.rotate()
        _log.warning("WAL write refused", segment=segment.number, records=len(group), cause=str(error))
        self._refuse(group, f"the write-ahead log cannot be written: {error.strerror or error}")

    def _refuse(self, group: list[_Waiting], why: str) -> None:
        self.refused += len(group)
        for waiting in group:
            self._settle(waiting, Unavailable(why))

    def _fail(self, error: BaseException) -> None:
        if self.failed is not None:
            return
        self.failed = error
        _log.error("WAL failed, a restart is needed", cause=str(error))
        queued = list(self._queue)
        self._queue.clear()
        self._queued_bytes = 0
        self._refuse(queued, f"the write-ahead log failed: {error}")
        self._on_failure(error)

    # From here on: in the WAL's thread.

    def _write(self, segment: Segment, parts: list[bytes]) -> None:
        opened = self._file_of(segment)
        try:
            opened.file.append(parts)
        except OSError:
            self._cut(opened)
            raise
        opened.size_bytes += sum(map(len, parts))
        opened.dirty = True
        if self._config.sync == "always":
            self._sync()

    def _file_of(self, segment: Segment) -> _OpenFile:
        if self._open is not None and self._open.number == segment.number:
            return self._open
        self._finish()
        name = segment_name(segment.number)
        file = self._disk.create(name)
        try:
            file.append([wal_header(segment.salt)])
        except OSError:
            file.close()
            self._disk.delete(name)
            raise
        self._open = _OpenFile(segment.number, file, WAL_HEADER_BYTES)
        return self._open

    def _cut(self, opened: _OpenFile) -> None:
        """Takes a partial record away; where even that fails, replay reports it."""
        try:
            opened.file.truncate(opened.size_bytes)
        except OSError as error:
            _log.warning("WAL segment keeps a partial record", segment=opened.number, cause=str(error))

    def _sync(self) -> None:
        if self._open is None or not self._open.dirty:
            return
        self._open.dirty = False
        try:
            self._open.file.sync()
        except OSError as error:
            self._metrics.failures.inc()
            raise _SyncFailed(
                f"sync of {segment_name(self._open.number)}: {error.strerror or error}"
            ) from error

    def _finish(self) -> None:
        opened = self._open
        if opened is None:
            return
        if self._config.sync != "never":
            self._sync()
        self._open = None
        opened.file.close()
