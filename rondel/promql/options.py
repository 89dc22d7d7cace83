"""What an engine is configured with."""

from __future__ import annotations

from dataclasses import dataclass, field

from rondel.promql.limits import QueryLimits

__all__ = [
    "BINOP_FILL",
    "DELAYED_NAME_REMOVAL",
    "EXPERIMENTAL_FUNCTIONS",
    "EXTENDED_RANGE_SELECTORS",
    "FEATURES",
    "PER_STEP_STATS",
    "SEARCH_API",
    "START_TIMESTAMPS",
    "EngineOptions",
]

EXPERIMENTAL_FUNCTIONS = "promql-experimental-functions"
DELAYED_NAME_REMOVAL = "promql-delayed-name-removal"
EXTENDED_RANGE_SELECTORS = "promql-extended-range-selectors"
BINOP_FILL = "promql-binop-fill-modifiers"
START_TIMESTAMPS = "use-start-timestamps"
PER_STEP_STATS = "promql-per-step-stats"
SEARCH_API = "search-api"
FEATURES = frozenset(
    {
        *(EXPERIMENTAL_FUNCTIONS, DELAYED_NAME_REMOVAL, EXTENDED_RANGE_SELECTORS, BINOP_FILL),
        *(START_TIMESTAMPS, PER_STEP_STATS, SEARCH_API),
    }
)
"""Prometheus' names of the feature flags of what can be asked, and of what answers say."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Limits and semantics; the defaults are those of Prometheus."""

    lookback_ms: int = 300_000
    """how old the latest sample of a series may be to count at a step"""
    timeout_s: float = 120.0
    samples_max: int = 50_000_000
    """samples that one query may hold at once"""
    memory_bytes_max: int = 2 << 30
    """bytes of samples and matrices that one query may hold at once"""
    steps_max: int = 11_000
    """steps of a range query, the first not counted, that the API takes; 0 is no limit"""
    limits: QueryLimits = field(default_factory=QueryLimits)
    subquery_step_ms: int = 60_000
    """step of a subquery that names none"""
    features: frozenset[str] = frozenset()
    """feature flags that are on, of `FEATURES`"""
    batch_cells: int = 1 << 20
    """series times steps that an operator takes at a time"""
    batch_series_max: int = 4096
    """series that a selector reads at a time"""
