"""What an ingester holds of each tenant: a head, metadata, and when it was last heard of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from rondel.errors import Corruption
from rondel.model.tenant import check_tenant
from rondel.model.write import KnownMetadata
from rondel.storage import MetricMetadata
from services.ingester.config import Config
from services.ingester.head import Head

__all__ = ["MetadataRecord", "Tenant", "Tenants"]

_METADATA_MAX = 100_000


class MetadataRecord(msgspec.Struct, frozen=True, array_like=True):
    """Payload of a WAL record of metadata."""

    tenant: str
    entries: list[tuple[str, str, str, str]]
    """(metric, type, help, unit)"""

    def encode(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, payload: bytes) -> MetadataRecord:
        """`Corruption` when it is none."""
        try:
            return msgspec.json.decode(payload, type=cls)
        except msgspec.MsgspecError as error:
            raise Corruption(f"WAL record of metadata is damaged: {error}") from error


@dataclass(slots=True, eq=False)
class Tenant:
    """One tenant of this ingester."""

    name: str
    head: Head
    heard_s: float
    """When it last pushed, on the monotonic clock."""
    entries: dict[MetricMetadata, None] = field(default_factory=dict)
    """Metadata, the latest last."""
    known: KnownMetadata = field(default_factory=KnownMetadata)
    """The same as `entries`."""
    shipped: set[int] = field(default_factory=set)
    """Ranges that were shipped before; what is left of them are late samples."""

    def learn(self, entries: Iterable[tuple[str, str, str, str]]) -> None:
        """Keeps metadata. The oldest goes when there is too much."""
        for entry in entries:
            self.entries[MetricMetadata(*entry)] = None
            self.known.add(*entry)
        while len(self.entries) > _METADATA_MAX:
            oldest = next(iter(self.entries))
            del self.entries[oldest]
            self.known.remove(oldest.metric, oldest.type, oldest.help, oldest.unit)

    def metadata_record(self) -> MetadataRecord:
        """All metadata, for a segment that outlives the one that held it."""
        entries = [(one.metric, one.type, one.help, one.unit) for one in self.entries]
        return MetadataRecord(self.name, entries)


class Owned(Protocol):
    """Who knows which series are ours, in a cluster."""

    def own(self, tenant: str, head: Head, series_max: int) -> None:
        """Tells a new head, where a tenant may have so many series in all."""


class Tenants:
    """All tenants, each made when first heard of."""

    def __init__(self, config: Config) -> None:
        self.owned: Owned | None = None
        """Who tells new heads; None where all series are ours."""
        self.series_max = config.head.max_global_series_per_user
        self._config = config
        self._all: dict[str, Tenant] = {}

    def find(self, name: str) -> Tenant | None:
        """A tenant that pushed before."""
        return self._all.get(name)

    def get(self, name: str, now_s: float) -> Tenant:
        """The tenant, made if need be; raises `InvalidData` for a bad name."""
        tenant = self._all.get(name)
        if tenant is None:
            check_tenant(name)
            head = Head(
                range_ms=self._config.ship.range_ms,
                window_ms=self._config.head.out_of_order_time_window_ms,
                grace_ms=self._config.creation_grace_period_ms,
                series_max=self.series_max,
                exemplars_max=self._config.head.max_global_exemplars_per_user,
                exemplars_per_series_max=self._config.head.exemplars_per_series_max,
            )
            tenant = self._all[name] = Tenant(name, head, now_s)
            if self.owned is not None:
                self.owned.own(name, head, self.series_max)
        return tenant

    def __iter__(self) -> Iterator[Tenant]:
        return iter(list(self._all.values()))

    def heads(self) -> Iterator[tuple[str, Head]]:
        """Names and heads, for metrics."""
        return ((tenant.name, tenant.head) for tenant in self)
