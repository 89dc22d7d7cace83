"""Settings of the distributor. Limits carry Mimir's names and defaults where Mimir has them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import msgspec

from rondel.cluster.election import Settings as HaSettings
from rondel.model.write import WriteLimits

__all__ = ["Config", "FanoutConfig", "OtlpConfig", "Overrides"]

_Positive = Annotated[int, msgspec.Meta(ge=1)]
_Natural = Annotated[int, msgspec.Meta(ge=0)]
_Text = Annotated[str, msgspec.Meta(min_length=1)]


@dataclass(frozen=True, slots=True)
class Overrides:
    """Settings of `distributor` that one tenant has for itself; what is not given is as for all."""

    ingestion_rate: Annotated[float, msgspec.Meta(ge=0)] | None = None
    ingestion_burst_size: _Natural | None = None
    ingestion_tenant_shard_size: _Natural | None = None
    accept_ha_samples: bool | None = None


@dataclass(frozen=True, slots=True)
class OtlpConfig:
    """How OpenTelemetry's metrics are taken."""

    accept_delta: bool = False
    """Whether points that tell the change since the last one are kept as they come: `sum_over_time` adds them
    up, `rate` is wrong for them."""
    promote_resource_attributes: tuple[str, ...] = ()
    """Attributes of resources that become labels of every series, besides `job` and `instance`."""


@dataclass(frozen=True, slots=True)
class Config:
    """What the write path takes in."""

    limits: WriteLimits = field(default_factory=WriteLimits)
    ha: HaSettings = field(default_factory=HaSettings)
    otlp: OtlpConfig = field(default_factory=OtlpConfig)
    body_bytes_max: _Positive = 32 << 20
    """Largest request body as it is on the wire; a larger one is answered with 413."""
    body_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    """How long a client may take to send a body."""
    max_inflight_push_requests: _Positive = 2000
    """Requests between their last body byte and their answer, in this process; more are answered with 503."""
    max_inflight_push_requests_bytes: _Positive = 256 << 20
    """Memory of all requests inside, bodies and batches, in this process; what is above gets 503."""
    ingestion_rate: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Samples a second of one tenant; above it requests are answered with 429. 0 is no limit. In a cluster
    each distributor that is alive, workers too, has an equal part of it."""
    ingestion_burst_size: _Natural = 200_000
    """Samples that a tenant may send to one distributor at once, on top of its rate."""
    ingestion_tenant_shard_size: _Natural = 0
    """Ingesters of a cluster that the series of a tenant go to, as many in each zone; 0 for all. It needs
    `cluster.shuffle_sharding`, and the ingesters must have the same (`ingester`)."""
    accept_ha_samples: bool = False
    """Whether Prometheus servers may send the same series in pairs: one of them is listened to, and the label
    that tells them apart is left out."""
    ha_cluster_label: _Text = "cluster"
    """Label that names the pair."""
    ha_replica_label: _Text = "__replica__"
    """Label that tells the two apart."""
    thread_body_bytes_min: _Natural = 256 << 10
    """Bodies from this size on are decoded in a thread; smaller ones take less time than the hand-over."""
    series_cache_entries: _Positive = 900_000
    """Series whose labels are not parsed again. Up to twice as many are kept, at 38 to 48 bytes each."""


@dataclass(frozen=True, slots=True)
class FanoutConfig:
    """How batches go to the ingesters of a cluster."""

    timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    """How long an ingester may take to answer; after it, it counts as one that did not."""
    inflight_bytes_max: _Positive = 64 << 20
    """Batches on their way to one ingester; what is above is refused at once, and that ingester counts as one
    that did not answer."""
    background_bytes_max: _Positive = 128 << 20
    """Batches that a quorum has and that go on to the rest of their replicas; above it, the oldest are given
    up."""
    known_series_max: _Positive = 1_000_000
    """Series of one ingester that go without labels, because it has them. Up to twice as many are kept, at
    15 to 21 bytes each."""
    ring_wait_s: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    """How long a batch waits for a newer ring when ingesters say that ours is too old."""
