"""What a request asks of PromQL: text, times and limits, read from its parameters in Prometheus' words."""

from __future__ import annotations

from dataclasses import dataclass

from rondel.errors import InvalidData
from rondel.promql.options import EngineOptions
from services.querier.api.context import Context
from services.querier.api.params import Params, invalid

__all__ = ["Asked", "instant", "ranged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One query."""

    text: str
    start_ms: int
    end_ms: int
    """the same as `start_ms` for an instant query"""
    step_ms: int
    """0 for an instant query"""
    limit: int
    """series of the answer; 0 for all"""
    timeout_s: float
    lookback_ms: int | None
    """None for the engine's own"""
    stats: str


def instant(params: Params, context: Context, tenant: str) -> Asked:
    """At one time, which is now where none is given."""
    limit, time_ms = params.limit(), params.time_ms("time", context.clock.now_ms())
    return _asked(params, context.engine.options_of(tenant), limit, (time_ms, time_ms, 0))


def ranged(params: Params, context: Context, tenant: str) -> Asked:
    """At every step from start to end."""
    limit, start_ms, end_ms = params.limit(), params.time_ms("start"), params.time_ms("end")
    if end_ms < start_ms:
        raise invalid("end", "end timestamp must not be before start time")
    step_ms, options = params.step_ms(), context.engine.options_of(tenant)
    if 0 < options.steps_max < (end_ms - start_ms) // step_ms:
        raise InvalidData(
            f"exceeded maximum resolution of {options.steps_max:,} points per timeseries. "
            "Try decreasing the query resolution (?step=XX)"
        )
    return _asked(params, options, limit, (start_ms, end_ms, step_ms))


def _asked(params: Params, options: EngineOptions, limit: int, times_ms: tuple[int, int, int]) -> Asked:
    start_ms, end_ms, step_ms = times_ms
    return Asked(
        text=params.get("query"),
        start_ms=start_ms,
        end_ms=end_ms,
        step_ms=step_ms,
        limit=limit,
        timeout_s=_timeout_s(params, options.timeout_s),
        lookback_ms=_lookback_ms(params),
        stats=params.get("stats"),
    )


def _timeout_s(params: Params, longest_s: float) -> float:
    timeout_ms = params.duration_ms("timeout")
    return longest_s if timeout_ms is None else min(timeout_ms / 1000, longest_s)


def _lookback_ms(params: Params) -> int | None:
    """None also for 0 and less, as Prometheus takes them."""
    try:
        lookback_ms = params.duration_ms("lookback_delta")
    except InvalidData as error:
        cause = str(error).partition(": ")[2]
        raise InvalidData(f"error parsing lookback delta duration: {cause}") from error
    return None if lookback_ms is None or lookback_ms <= 0 else max(1, int(lookback_ms))
