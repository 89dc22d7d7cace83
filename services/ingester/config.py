"""Settings of the ingester."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

__all__ = ["Config", "HeadConfig", "ShipConfig", "WalConfig"]

_RANGE_MS_MAX: Final = 7 * 86_400_000
_RANGE_MS_MIN: Final = 1_000


@dataclass(frozen=True, slots=True)
class HeadConfig:
    """What the head of a tenant accepts."""

    out_of_order_time_window_ms: int = 2 * 3_600_000
    """How far a sample may lie behind the newest one of its tenant."""
    max_global_series_per_user: int = 0
    """Active series of a tenant; 0 for no limit, the default, because a single site should not meet a limit
    that it never set; memory is what bounds it, and `rondel_head_series` shows it."""

    max_global_exemplars_per_user: int = 100_000
    """Exemplars of a tenant in memory, the oldest go first; 0 keeps none. About 150 bytes each."""
    exemplars_per_series_max: int = 128
    """Exemplars of one series in memory, so that a few series cannot push out those of all others."""

    def __post_init__(self) -> None:
        for name in (
            "out_of_order_time_window_ms",
            "max_global_series_per_user",
            "max_global_exemplars_per_user",
            "exemplars_per_series_max",
        ):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, is {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class WalConfig:
    """How the write-ahead log keeps its promise."""

    sync: Literal["always", "interval", "never"] = "always"
    """`always`: acknowledged means synced. `interval`: synced within `sync_interval_ms`; survives a crash of
    the process, not of the machine. `never`: left to the kernel."""
    sync_interval_ms: int = 1_000
    """Time between syncs with `sync: interval`."""
    segment_size_bytes_max: int = 64 << 20
    """A segment that has grown to this size is followed by a new one."""
    backlog_size_bytes_max: int = 128 << 20
    """Records waiting for the disk; a push beyond it is answered with 503."""

    def __post_init__(self) -> None:
        for name in ("sync_interval_ms", "segment_size_bytes_max", "backlog_size_bytes_max"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, is {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class ShipConfig:
    """When ranges of the head become blocks."""

    range_ms: int = 2 * 3_600_000
    """Length of an aligned block range."""
    interval_ms: int = 60_000
    """Time between looks for what is ripe."""
    idle_ms: int = 3_600_000
    """A tenant that pushed nothing for so long is shipped as a whole."""
    pin_timeout_ms: int = 5 * 60_000
    """How long queries that began before a block was announced may hold the chunks that it replaces."""
    series_per_batch: int = 2_000
    """Series read from the head at a time."""

    def __post_init__(self) -> None:
        if not _RANGE_MS_MIN <= self.range_ms <= _RANGE_MS_MAX:
            raise ValueError(
                f"range_ms must be between {_RANGE_MS_MIN} and {_RANGE_MS_MAX}, is {self.range_ms}"
            )
        for name in ("interval_ms", "idle_ms", "pin_timeout_ms", "series_per_batch"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, is {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set on an ingester."""

    head: HeadConfig = field(default_factory=HeadConfig)
    wal: WalConfig = field(default_factory=WalConfig)
    ship: ShipConfig = field(default_factory=ShipConfig)
    creation_grace_period_ms: int = 10 * 60_000
    """How far a sample may lie ahead of the clock: the write path's limit of that name, given to both."""

    def __post_init__(self) -> None:
        if self.creation_grace_period_ms < 0:
            raise ValueError(
                f"creation_grace_period_ms must not be negative, is {self.creation_grace_period_ms}"
            )
