"""The query log: what was asked, by whom, and what it cost. Every text in it comes from a stranger."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers

from rondel.promql.control import Control
from rondel.promql.result import QueryStats
from rondel.runtime import logs
from services.querier.guard import query_key

__all__ = ["Entry", "QueryLog"]

_HEADER_LENGTH_MAX: Final = 128
_ORIGINS: Final = {
    "user-agent": "agent",
    "x-request-id": "request_id",
    "x-forwarded-for": "forwarded_for",
    "x-dashboard-uid": "dashboard",
    "x-panel-id": "panel",
    "x-datasource-uid": "datasource",
    "x-query-group-id": "query_group",
    "x-grafana-org-id": "grafana_org",
    "x-grafana-user": "grafana_user",
    "fromalert": "from_alert",
    "x-rule-uid": "rule",
    "x-rule-name": "rule_name",
    "x-rule-folder": "rule_folder",
}
"""Headers that say where a query comes from, and their fields in the log."""
_TRACE: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
"""The W3C's header `traceparent`."""


@dataclass(slots=True)
class Entry:
    """One query as it is logged."""

    kind: str
    tenant: str
    text: str
    start_ms: int
    end_ms: int
    step_ms: int = 0
    stats: QueryStats | None = None
    """Of a query that was answered."""
    control: Control | None = None
    """Knows what a query cost that was not."""
    queue_s: float | None = None
    """None where it never got its turn."""
    render_s: float = 0.0
    size_bytes: int = 0
    """Of the answer."""


class QueryLog:
    """Logs slow and failed queries, and all of them where that is wanted."""

    def __init__(self, *, slow_s: float, log_all: bool) -> None:
        self._slow_s = slow_s
        self._all = log_all
        self._log = logs.get("rondel.query")

    def write(
        self, entry: Entry, headers: Headers, duration_s: float, error: BaseException | None = None
    ) -> None:
        """Called once for every query."""
        slow = duration_s >= self._slow_s
        if not (slow or self._all or error):
            return
        fields = {
            "kind": entry.kind,
            "tenant": entry.tenant,
            "query": entry.text,
            "query_key": query_key(entry.tenant, entry.text),
            "start_ms": entry.start_ms,
            "end_ms": entry.end_ms,
            "step_ms": entry.step_ms,
            "status": getattr(error, "status", 500) if error else 200,
            "duration_ms": _ms(duration_s),
            "bytes": entry.size_bytes,
            **_times(entry),
            **_cost(entry),
            **_origin(headers),
        }
        if error is not None:
            reason = getattr(error, "error_type", "internal")
            self._log.info("query failed", failure=str(error), error_type=reason, **fields)
        elif slow:
            self._log.warning("slow query", **fields)
        else:
            self._log.info("query", **fields)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _times(entry: Entry) -> dict[str, float]:
    """Milliseconds of each stage. `eval_ms` is all after planning; `select_ms`, `read_ms` and `sort_ms`
    are parts of it."""
    times: dict[str, float] = {}
    if entry.queue_s is not None:
        times["queue_ms"] = _ms(entry.queue_s)
    stats = entry.stats
    if stats is not None:
        times |= {
            "prepare_ms": _ms(stats.prepare_s),
            "eval_ms": _ms(stats.eval_s),
            "select_ms": _ms(stats.select_s),
            "read_ms": _ms(stats.read_s),
            "sort_ms": _ms(stats.sort_s),
            "render_ms": _ms(entry.render_s),
        }
    return times


def _cost(entry: Entry) -> dict[str, int]:
    """Also of a query that failed: what it had found and read until then."""
    control = entry.control
    if control is None:
        return {}
    return {
        "series": control.series_found,
        "samples_read": control.samples_read,
        "bytes_read": control.bytes_read,
        "samples_peak": control.samples_peak,
        "memory_bytes_peak": control.memory_bytes_peak,
    }


def _origin(headers: Headers) -> dict[str, str]:
    found = {
        field: logs.clean(value, _HEADER_LENGTH_MAX)
        for name, field in _ORIGINS.items()
        if (value := headers.get(name))
    }
    trace = _TRACE.fullmatch(headers.get("traceparent", ""))
    return found | ({"trace_id": trace[1]} if trace else {})
