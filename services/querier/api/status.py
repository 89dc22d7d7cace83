"""`/status/...`, `/features` and `/version`: what this process is, how it is set, what it holds."""

from __future__ import annotations

import os
import platform
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import rondel
from rondel.errors import InvalidData
from rondel.promql.control import Control
from rondel.runtime import config, machine
from rondel.runtime.router import Route, route
from services.querier.api import params as form
from services.querier.api.context import Context, answer_of
from services.querier.api.features import features
from services.querier.api.times import TIME_MAX_MS, TIME_MIN_MS

__all__ = ["API_VERSION", "Facts", "HeadFacts", "build_info", "routes", "version_route"]

API_VERSION: Final = "3.14.0"
"""The Prometheus release whose API this is: Grafana picks what it asks for by it."""
_LIMIT_DEFAULT: Final = 10
_LIMIT_MAX: Final = 10_000


class HeadFacts(Protocol):
    """What can be said of the samples in memory of one tenant."""

    @property
    def series_count(self) -> int: ...

    def chunk_count(self) -> int: ...

    def bounds_ms(self) -> tuple[int, int] | None:
        """First and last time, None where there are no samples."""

    def cardinality(self, limit: int) -> dict[str, Any]:
        """`label_pairs`, and lists of the largest: `series_by_metric` and so on, each `(name, count)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the composition root knows and the querier does not."""

    registry: CollectorRegistry
    """The metrics of this process."""
    config: Any
    """The whole configuration tree."""
    started_ms: int
    retention: str
    head: Callable[[str], HeadFacts | None]
    """Of a tenant, None where it has no samples in memory."""
    blocks: Callable[[str], list[dict[str, Any]]]
    """Of a tenant, in the API's form."""
    replay: Callable[[], tuple[int, int, int]]
    """First, last and current WAL segment of the replay."""


_HEAD_LISTS: Final = {
    "seriesCountByMetricName": "series_by_metric",
    "labelValueCountByLabelName": "values_by_name",
    "memoryInBytesByLabelName": "bytes_by_name",
    "seriesCountByLabelValuePair": "series_by_pair",
}


def routes(context: Context, facts: Facts) -> list[Route]:
    status = _Status(context, facts)
    return [
        route("/status/buildinfo", status.build),
        route("/status/config", status.config),
        route("/status/flags", status.flags),
        route("/status/runtimeinfo", status.runtime),
        route("/status/tsdb", status.tsdb),
        route("/status/tsdb/blocks", status.blocks),
        route("/status/walreplay", status.replay),
        route("/features", status.features),
    ]


def version_route() -> Route:
    async def version(request: Request) -> Response:
        return JSONResponse(build_info())

    return route("/version", version, ["GET"])


def build_info() -> dict[str, str]:
    """As Prometheus words it. No `features`: Grafana would take their presence for Mimir's ruler."""
    return {
        "version": API_VERSION,
        "revision": rondel.__version__,
        "branch": "rondel",
        "buildUser": "",
        "buildDate": "",
        "goVersion": f"python{platform.python_version()}",
    }


class _Status:
    def __init__(self, context: Context, facts: Facts) -> None:
        self._context = context
        self._facts = facts

    async def build(self, request: Request) -> Response:
        return answer_of(build_info())

    async def config(self, request: Request) -> Response:
        return answer_of({"yaml": config.as_yaml(self._facts.config)})

    async def flags(self, request: Request) -> Response:
        return answer_of(dict(_flat(config.masked(self._facts.config), "")))

    async def runtime(self, request: Request) -> Response:
        started = _rfc3339(self._facts.started_ms)
        return answer_of(
            {
                "startTime": started,
                "CWD": os.getcwd(),
                "hostname": socket.gethostname(),
                "serverTime": _rfc3339(self._context.clock.now_ms()),
                "reloadConfigSuccess": True,
                "lastConfigTime": started,
                "corruptionCount": 0,
                "goroutineCount": threading.active_count(),
                "GOMAXPROCS": machine.cores(),
                "GOMEMLIMIT": machine.memory_bytes(),
                "GOGC": "",
                "GODEBUG": "",
                "storageRetention": self._facts.retention,
            }
        )

    async def tsdb(self, request: Request) -> Response:
        tenant, limit = self._context.tenant(request), _limit(await form.read(request))

        def work(control: Control) -> dict[str, Any]:
            head = self._facts.head(tenant)
            return _head_stats(head, limit) if head is not None else _NO_HEAD

        return answer_of(await self._context.look_up("tsdb", request, work))

    async def blocks(self, request: Request) -> Response:
        tenant = self._context.tenant(request)
        blocks = await self._context.look_up("blocks", request, lambda control: self._facts.blocks(tenant))
        return answer_of({"blocks": blocks})

    async def replay(self, request: Request) -> Response:
        first, last, current = self._facts.replay()
        return answer_of({"min": first, "max": last, "current": current})

    async def features(self, request: Request) -> Response:
        tenant = self._context.tenant(request)
        return answer_of(features(self._context.engine.options_of(tenant).features))


def _head_stats(head: HeadFacts, limit: int) -> dict[str, Any]:
    mint_ms, maxt_ms = head.bounds_ms() or (TIME_MAX_MS, TIME_MIN_MS)
    counts = head.cardinality(limit)
    stats = {
        "numSeries": head.series_count,
        "numLabelPairs": counts["label_pairs"],
        "chunkCount": head.chunk_count(),
        "minTime": mint_ms,
        "maxTime": maxt_ms,
    }
    lists = {
        shown: [{"name": name, "value": count} for name, count in counts[key]]
        for shown, key in _HEAD_LISTS.items()
    }
    return {"headStats": stats, **lists}


_NO_HEAD: Final = {
    "headStats": {
        "numSeries": 0,
        "numLabelPairs": 0,
        "chunkCount": 0,
        "minTime": TIME_MAX_MS,
        "maxTime": TIME_MIN_MS,
    },
    **{shown: [] for shown in _HEAD_LISTS},
}


def _limit(asked: form.Params) -> int:
    if not asked.get("limit"):
        return _LIMIT_DEFAULT
    limit = asked.integer("limit")
    if limit is None or limit < 1:
        raise InvalidData("limit must be a positive number")
    if limit > _LIMIT_MAX:
        raise InvalidData(f"limit must not exceed {_LIMIT_MAX}")
    return limit


def _flat(tree: dict[str, Any], prefix: str) -> list[tuple[str, str]]:
    flat: list[tuple[str, str]] = []
    for name, value in tree.items():
        if isinstance(value, dict):
            flat += _flat(value, f"{prefix}{name}.")
        else:
            flat.append((prefix + name, _text(value)))
    return flat


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _rfc3339(ms: int) -> str:
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
