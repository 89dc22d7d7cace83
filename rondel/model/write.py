"""What a push carries from the edge to an ingester: the thin door to its native half.

A `WriteBatch` is the write side's frame: fingerprints, samples as flat arrays, and labels that stay
the bytes that arrived until an ingester meets the series for the first time. `Decoder` makes one
from the body of a remote-write request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from enum import IntEnum
from typing import Final, NamedTuple

from rondel._native import KnownMetadata, WriteBatch, WriteDecoder

__all__ = [
    "CacheStats",
    "Decoder",
    "KnownMetadata",
    "PushResult",
    "Rejection",
    "Version",
    "WriteBatch",
    "WriteLimits",
    "Written",
    "rejections_of",
]


_MESSAGE_SIZE_BYTES_MAX: Final = 1 << 30
"""Positions in a message are 32 bits wide."""


class Version(IntEnum):
    """Of the remote-write protocol."""

    V1 = 1
    V2 = 2


class Rejection(NamedTuple):
    """Samples of a push that break a rule and were left out, while the rest was written."""

    id: str
    """A stable id that docs/errors.md explains."""
    message: str
    """The text of the first of them."""
    samples: int
    """How many were left out for this reason: floats and histograms."""


class Written(NamedTuple):
    """What was accepted of a push; what was there already counts."""

    samples: int = 0
    histograms: int = 0
    exemplars: int = 0


@dataclass(frozen=True, slots=True)
class PushResult:
    """What an ingester did with a batch: what it accepted is in a synced WAL."""

    accepted: Written
    rejections: list[Rejection] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class WriteLimits:
    """What a request and its series may contain. Names and defaults are Mimir's where it has them."""

    max_label_name_length: int = 1024
    """Bytes of UTF-8 of a label name."""
    max_label_value_length: int = 2048
    """Bytes of UTF-8 of a label value; the metric name is one."""
    max_label_names_per_series: int = 30
    """Labels of a series, its name among them."""
    max_native_histogram_buckets: int = 10_000
    """Buckets of a native histogram, positive and negative together; also its spans, and custom bounds."""
    max_metadata_length: int = 1024
    """Bytes of a metric name, help or unit; longer help is cut, the others are refused."""
    creation_grace_period_ms: int = 600_000
    """How far ahead of our clock a sample may be."""
    message_size_bytes_max: int = 32 << 20
    """Size of a request after decompression; a larger one is refused."""
    samples_per_request_max: int = 2_000_000
    """Samples of one request, floats and histograms; its histograms may have four times as many buckets."""
    exemplars_per_request_max: int = 100_000
    """Exemplars of one request."""
    symbols_per_request_max: int = 1_000_000
    """Distinct strings of one remote-write 2.0 request."""
    metadata_per_request_max: int = 100_000
    """Entries of metadata of one request."""

    def __post_init__(self) -> None:
        for limit in fields(self):
            if getattr(self, limit.name) < 0:
                raise ValueError(f"{limit.name} must not be negative, is {getattr(self, limit.name)}")
        if self.message_size_bytes_max > _MESSAGE_SIZE_BYTES_MAX:
            raise ValueError(
                f"message_size_bytes_max must be at most {_MESSAGE_SIZE_BYTES_MAX}, "
                f"is {self.message_size_bytes_max}"
            )


class CacheStats(NamedTuple):
    """What a decoder remembers of series it has judged."""

    series: int
    size_bytes: int
    misses: int
    """series that had to be parsed, since the start"""


class Decoder:
    """Turns remote-write bodies into batches. Safe to use from several threads.

    It remembers the labels of up to twice `cache_series` series, at 38 to 48 bytes each, so that a
    series is parsed and validated only when it is new. `seed` must be secret where tenants do not
    trust each other: it keeps them from constructing labels that pass for another's.

    `cluster_label` and `replica_label` are those by which pairs of scrapers tell themselves apart.
    """

    def __init__(
        self,
        limits: WriteLimits,
        *,
        seed: int,
        cache_series: int = 900_000,
        cluster_label: str = "cluster",
        replica_label: str = "__replica__",
    ) -> None:
        self.limits = limits
        self._native = WriteDecoder(
            message_size_bytes_max=limits.message_size_bytes_max,
            samples_max=limits.samples_per_request_max,
            exemplars_max=limits.exemplars_per_request_max,
            metadata_max=limits.metadata_per_request_max,
            symbols_max=limits.symbols_per_request_max,
            label_name_bytes_max=limits.max_label_name_length,
            label_value_bytes_max=limits.max_label_value_length,
            labels_per_series_max=limits.max_label_names_per_series,
            histogram_buckets_max=limits.max_native_histogram_buckets,
            metadata_bytes_max=limits.max_metadata_length,
            creation_grace_ms=limits.creation_grace_period_ms,
            cache_series=cache_series,
            cache_seed=seed,
            cluster_label=cluster_label,
            replica_label=replica_label,
        )

    def decode(
        self, body: bytes, now_ms: int, version: Version = Version.V1, pairs: bool = False
    ) -> WriteBatch:
        """The batch of one snappy body, without the series and samples that its `rejections` count.

        With `pairs`, the batch says by its first series which replica of which pair sent it (`pair`), and its
        series are without the label of the replica; where the first series lacks one of the labels, all stay.
        Raises InvalidData when the body as a whole cannot be used: damaged, or larger than allowed.
        """
        return self._native.decode(body, now_ms, version, pairs)

    def decode_otlp(
        self, message: bytes, now_ms: int, accept_delta: bool = False, promoted: Sequence[str] = ()
    ) -> WriteBatch:
        """The batch of one `ExportMetricsServiceRequest` of OpenTelemetry, translated as Prometheus does.

        `accept_delta` keeps points that tell a change as they are; `promoted` names attributes of resources
        that become labels of every series. Raises InvalidData as `decode` does.
        """
        return self._native.decode_otlp(message, now_ms, accept_delta, list(promoted))

    def cache_stats(self) -> CacheStats:
        return CacheStats(*self._native.cache_stats())


def rejections_of(batch: WriteBatch) -> list[Rejection]:
    """What the decoder left out of the batch."""
    return [Rejection(*one) for one in batch.rejections]
