"""What a querier is configured with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Annotated

import msgspec

from rondel.promql.limits import QueryLimits
from rondel.promql.options import FEATURES, EngineOptions
from rondel.runtime import machine

__all__ = ["Config", "Overrides", "ReadConfig"]

_ALL = "all"
_LIMITS = tuple(field.name for field in fields(QueryLimits))

_Natural = Annotated[int, msgspec.Meta(ge=0)]
_Seconds = Annotated[float, msgspec.Meta(gt=0)]


def _check_features(features: Iterable[str]) -> None:
    unknown = sorted(set(features) - FEATURES - {_ALL})
    if unknown:
        raise ValueError(f"features: unknown {', '.join(unknown)}; known are {', '.join(sorted(FEATURES))}")


@dataclass(frozen=True, slots=True)
class Overrides:
    """Settings of `query` that one tenant has for itself; what is not given is as for all."""

    timeout_s: Annotated[float, msgspec.Meta(gt=0)] | None = None
    lookback_ms: Annotated[int, msgspec.Meta(gt=0)] | None = None
    samples_max: Annotated[int, msgspec.Meta(gt=0)] | None = None
    memory_bytes_max: _Natural | None = None
    query_bytes_max: _Natural | None = None
    selectors_max: _Natural | None = None
    matchers_max: _Natural | None = None
    regex_bytes_max: _Natural | None = None
    steps_max: _Natural | None = None
    lookup_range_ms_max: _Natural | None = None
    series_max: _Natural | None = None
    samples_read_max: _Natural | None = None
    bytes_read_max: _Natural | None = None
    features: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        _check_features(self.features or ())


@dataclass(frozen=True, slots=True)
class Config:
    """Limits and semantics of queries."""

    timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 120.0
    """How long a query may take, its time in the queue included; a request may ask for less."""
    concurrency_max: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Queries that run at once; 0 means four for each core."""
    queue_max: Annotated[int, msgspec.Meta(ge=0)] = 256
    """Queries that wait for their turn; more get 503."""
    lookback_ms: Annotated[int, msgspec.Meta(gt=0)] = 300_000
    """How old the latest sample of a series may be to count; a request may ask for another."""
    samples_max: Annotated[int, msgspec.Meta(gt=0)] = 50_000_000
    """Samples that one query may hold at once."""
    memory_bytes_max: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Bytes that one query may hold at once; 0 means a quarter of the container's memory."""
    query_bytes_max: _Natural = 512 << 10
    """Bytes of the text of a query; 0 leaves it at the 512 KiB that the parser takes."""
    selectors_max: _Natural = 500
    """Selectors in the text of a query; 0 is no limit, here and below."""
    matchers_max: _Natural = 100
    """Matchers of one selector."""
    regex_bytes_max: _Natural = 64 << 10
    """Bytes of one regular expression of a query."""
    steps_max: _Natural = 11_000
    """Steps of a range query, the first not counted."""
    lookup_range_ms_max: _Natural = 0
    """How far the oldest and the newest time may be apart that one selector looks at."""
    series_max: _Natural = 5_000_000
    """Series that the selectors of a query may find, and that a look-up may answer."""
    samples_read_max: _Natural = 10_000_000_000
    """Samples that a query may read over its whole run; at 120 samples a chunk, the limit on chunks too."""
    bytes_read_max: _Natural = 1 << 40
    """Bytes of samples that a query may read over its whole run, as they are in memory."""
    features: tuple[str, ...] = ()
    """Prometheus' feature flags for queries, by their names there; `all` for all of them."""
    refuse_after_deaths: _Natural = 2
    """Deaths of the process with a query in flight, and no answer to it between them, after which it is
    refused. 0 refuses none."""
    refuse_s: Annotated[float, msgspec.Meta(gt=0)] = 600.0
    """How long a query is refused that was running when the process died."""
    refuse_after_failures: _Natural = 5
    """Times in a row that a query runs into the time limit, or a limit on what it reads or holds, after which
    it is refused; 0 refuses none."""
    refuse_failing_s: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    """How long a query is refused that keeps failing."""
    slow_s: Annotated[float, msgspec.Meta(ge=0)] = 10.0
    """Queries that take longer are logged as warnings."""
    log_all: bool = False
    """Whether every query is logged, not only slow and failed ones."""

    def __post_init__(self) -> None:
        _check_features(self.features)

    @property
    def threads(self) -> int:
        """Queries that run at once, resolved."""
        return self.concurrency_max or 4 * machine.cores()

    def engine_options(self) -> EngineOptions:
        """The engine's part of this."""
        return EngineOptions(
            lookback_ms=self.lookback_ms,
            timeout_s=self.timeout_s,
            samples_max=self.samples_max,
            memory_bytes_max=self.memory_bytes_max or machine.memory_bytes() // 4,
            steps_max=self.steps_max,
            limits=QueryLimits(**{name: getattr(self, name) for name in _LIMITS}),
            features=FEATURES if _ALL in self.features else frozenset(self.features),
        )


@dataclass(frozen=True, slots=True)
class ReadConfig:
    """How the ingesters of a cluster are read."""

    hedge_s: _Seconds = 0.3
    """After so long without a word from an ingester, those that hold the same series are asked as well."""
    suspect_s: _Seconds = 10.0
    """How long an ingester that failed is asked only where nobody else will do."""
    timeout_s: _Seconds = 120.0
    """How long one ingester has for one selection, with all of its samples."""
