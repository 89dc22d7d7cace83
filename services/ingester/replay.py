"""Replay: the WAL back into heads, on start, a piece of a segment at a time.

What is no record is reported, never skipped in silence: the end that a crash tore is cut off, any
other damage stays where it is; in both cases the bytes are first copied to `wal/quarantine/`. Intact records
after a damaged one are replayed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from rondel.errors import Corruption
from rondel.runtime import logs
from services.ingester.disk import Disk
from services.ingester.head import WAL_HEADER_BYTES, WAL_KINDS_OF_SAMPLES, wal_salt, wal_scan, wal_tenant
from services.ingester.ledger import Ledger
from services.ingester.metrics import WalMetrics
from services.ingester.tenant import MetadataRecord, Tenants
from services.ingester.wal import FOLDER, segment_name, segment_number

__all__ = ["KIND_METADATA", "QUARANTINE", "Damage", "Report", "replay"]

KIND_METADATA: Final = 2
QUARANTINE: Final = f"{FOLDER}/quarantine"
_PIECE_BYTES: Final = 16 << 20
_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of a segment that are no record."""

    segment: int
    start: int
    stop: int
    torn: bool
    """Whether it is the end that a crash leaves: what was being written and not acknowledged."""


@dataclass(slots=True)
class Report:
    """What a replay found; while it goes on, how far it has come."""

    first_segment: int = 0
    last_segment: int = 0
    current_segment: int = 0
    """The one that is being replayed, or was replayed last."""
    segments: int = 0
    samples: int = 0
    """Float samples."""
    histograms: int = 0
    exemplars: int = 0
    skipped: int = 0
    """Samples and histograms that blocks hold."""
    unknown: int = 0
    """Samples and histograms whose series was defined in a damaged record."""
    damages: list[Damage] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Piece:
    """The next bytes of a segment, cut into records."""

    offset: int
    """Of `data` in the file."""
    data: bytes
    records: list[tuple[int, int, int]]
    damages: list[tuple[int, int]]


def replay(
    disk: Disk,
    tenants: Tenants,
    ledger: Ledger,
    metrics: WalMetrics,
    now_s: float,
    report: Report | None = None,
) -> Report:
    """Replays all segments in order. Blocks; needs the memory of the heads and a piece of a segment.

    Another thread may look at `report` meanwhile.
    """
    report = Report() if report is None else report
    sizes = {
        number: size
        for name, size in disk.list(FOLDER).items()
        if (number := segment_number(name)) is not None
    }
    report.first_segment, report.last_segment = min(sizes, default=0), max(sizes, default=0)
    replayer = _Replayer(disk, tenants, ledger, report, now_s)
    for number, size_bytes in sorted(sizes.items()):
        report.current_segment = number
        replayer.replay_segment(number, size_bytes, is_last=number == report.last_segment)
    for tenant in tenants:
        tenant.head.end_replay()
    _count(report, metrics)
    return report


def _count(report: Report, metrics: WalMetrics) -> None:
    metrics.replayed.inc(report.samples + report.histograms)
    for damage in report.damages:
        metrics.corruptions.labels("torn" if damage.torn else "damaged").inc()
    if report.unknown:
        metrics.corruptions.labels("unknown_series").inc()
        _log.error("WAL samples without a series were lost", samples=report.unknown)


class _Replayer:
    def __init__(self, disk: Disk, tenants: Tenants, ledger: Ledger, report: Report, now_s: float) -> None:
        self._disk = disk
        self._tenants = tenants
        self._ledger = ledger
        self._report = report
        self._now_s = now_s

    def replay_segment(self, number: int, size_bytes: int, *, is_last: bool) -> None:
        self._report.segments += 1
        self._ledger.hold(number, "", ())
        if size_bytes == 0:  # Its header was torn, and cut off by an earlier replay.
            return
        salt = wal_salt(self._disk.read(segment_name(number), 0, WAL_HEADER_BYTES))
        if salt is None:
            torn = is_last and size_bytes <= WAL_HEADER_BYTES
            self._damaged(Damage(number, 0, size_bytes, torn))
            return
        for piece in self._pieces(number, size_bytes, salt):
            self._apply(number, piece)
            for start, stop in piece.damages:
                torn = is_last and piece.offset + stop == size_bytes
                self._damaged(Damage(number, piece.offset + start, piece.offset + stop, torn))

    def _pieces(self, number: int, size_bytes: int, salt: int) -> Iterator[_Piece]:
        offset, rest = WAL_HEADER_BYTES, b""
        while offset + len(rest) < size_bytes:
            data = rest + self._disk.read(segment_name(number), offset + len(rest), _PIECE_BYTES)
            if len(data) == len(rest):
                break
            at_end = offset + len(data) >= size_bytes
            records, damages, consumed = wal_scan(data, salt, at_end)
            yield _Piece(offset, data, records, damages)
            offset, rest = offset + consumed, data[consumed:]

    def _apply(self, number: int, piece: _Piece) -> None:
        spans: dict[str, list[tuple[int, int, int]]] = {}
        for kind, start, stop in piece.records:
            try:
                if kind in WAL_KINDS_OF_SAMPLES:
                    name, after = wal_tenant(piece.data, start, stop)
                    spans.setdefault(name, []).append((kind, after, stop))
                elif kind == KIND_METADATA:
                    record = MetadataRecord.decode(piece.data[start:stop])
                    self._tenants.get(record.tenant, self._now_s).learn(record.entries)
                else:
                    raise Corruption(f"WAL record of the unknown kind {kind}")
            except Corruption as error:
                self._misread(number, piece.offset + start, piece.offset + stop, error)
        for name, of_tenant in spans.items():
            self._apply_samples(number, name, piece, of_tenant)

    def _apply_samples(
        self, number: int, name: str, piece: _Piece, spans: list[tuple[int, int, int]]
    ) -> None:
        report = self._report
        tenant = self._tenants.get(name, self._now_s)
        covered = self._ledger.covered(number, name)
        for span in spans:
            try:
                *taken, skipped, unknown, ranges = tenant.head.replay(piece.data, [span], covered)
            except Corruption as error:
                self._misread(number, piece.offset + span[1], piece.offset + span[2], error)
                continue
            report.samples += taken[0]
            report.histograms += taken[1]
            report.exemplars += taken[2]
            report.skipped += skipped
            report.unknown += unknown
            self._ledger.hold(number, name, ranges)

    def _misread(self, number: int, start: int, stop: int, error: Corruption) -> None:
        """A record whose checksum is right and whose content is not: written by a bug or another version."""
        _log.error("WAL record cannot be read", cause=str(error.at(segment_name(number))))
        self._damaged(Damage(number, start, stop, torn=False))

    def _damaged(self, damage: Damage) -> None:
        self._report.damages.append(damage)
        name = segment_name(damage.segment)
        copy = f"{QUARANTINE}/{damage.segment:010d}-{damage.start}"
        try:
            self._disk.replace(copy, self._disk.read(name, damage.start, damage.stop - damage.start))
            if damage.torn:
                self._disk.truncate(name, damage.start)
        except OSError as error:  # A full disk must not keep the rest from being replayed.
            _log.error("WAL damage could not be put aside", file=name, offset=damage.start, cause=str(error))
        event = "WAL end was torn, cut off" if damage.torn else "WAL is damaged"
        report = _log.warning if damage.torn else _log.error
        report(event, file=name, offset=damage.start, bytes=damage.stop - damage.start, copy=copy)
