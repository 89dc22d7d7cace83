"""The same scripts over HTTP alone: remote write 2.0 in, queries out, a fresh tenant for every cleared store.

What a script loads is written to a server as well. Each query goes to the engine in this process and to that
server, and both must say the same: data, warnings, infos, or the error. What the engine answers goes back to
the runner, which holds it against the script.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from rondel.errors import RondelError
from rondel.promql import render
from rondel.promql.control import Control
from rondel.promql.quote import replaced
from rondel.promql.result import Result
from tests.promql.compare import Mismatch, almost_equal
from tests.promql.script import Load
from tests.promql.worlds import Answers, InProcess
from tests.support.client import Client
from tests.support.memory_storage import MemoryStorage, Sample
from tests.support.prompb.remote_write_v2_pb2 import Request
from tests.support.remote_write import HEADERS_V2, Symbols, body_of, fill_histogram
from tests.support.servers import rondel

__all__ = ["OverHttp", "served"]

_SETTINGS: Final = {
    "RONDEL_TENANCY__ENABLED": "true",
    "RONDEL_QUERY__FEATURES": "all",
    # A script loads one series after the other, each from the epoch on.
    "RONDEL_HEAD__OUT_OF_ORDER_TIME_WINDOW_MS": str(3650 * 86_400_000),
    "RONDEL_WAL__SYNC": "never",
    "RONDEL_SELF_SCRAPE__INTERVAL_S": "0",
}
_RANK: Final = re.compile(r"\b(sort|topk|bottomk|limitk)")
"""queries whose answer comes in an order of its own"""


@contextmanager
def served() -> Iterator[OverHttp]:
    """A server of its own for as long as the context lasts."""
    with (
        tempfile.TemporaryDirectory(prefix="rondel-scripts-") as name,
        rondel(Path(name), env=_SETTINGS) as server,
        Client(server.port) as client,
    ):
        yield OverHttp(client)


class OverHttp(InProcess):
    """The engine over a storage in memory, and a server that was sent the same."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._tenants = (f"script-{number}" for number in count())
        super().__init__()

    def clear(self) -> None:
        super().clear()
        self._tenant = next(self._tenants)
        self.storage = self._written = _Written(self.storage)
        self.engine = _Both(self.engine, self._client, self._tenant)

    def load(self, command: Load) -> None:
        super().load(command)
        request = self._written.taken()
        if not request.timeseries:
            return
        headers = {"X-Scope-OrgID": self._tenant, **HEADERS_V2}
        reply = self._client.write(body_of(request), headers=headers)
        if reply.status != 204:
            raise Mismatch(f"line {command.line}: the server answered {reply.status} {reply.text[:300]}")


class _Both:
    """An engine and a server that hold the same series."""

    def __init__(self, engine: Answers, client: Client, tenant: str) -> None:
        self._engine = engine
        self._client = client
        self._headers = {"X-Scope-OrgID": tenant}

    def control(self) -> Control:
        return self._engine.control()

    def instant(self, tenant: str, text: str, time_ms: int, control: Control) -> Result:
        """The engine's answer. Raises Mismatch where the server's is another."""
        params = {"query": text, "time": f"{time_ms / 1000:.3f}"}
        return self._both(
            text, "/api/v1/query", params, lambda: self._engine.instant(tenant, text, time_ms, control)
        )

    def range(
        self, tenant: str, text: str, start_ms: int, end_ms: int, step_ms: int, control: Control
    ) -> Result:
        """The engine's answer. Raises Mismatch where the server's is another."""
        times = {"start": start_ms, "end": end_ms, "step": step_ms}
        params = {"query": text, **{name: f"{ms / 1000:.3f}" for name, ms in times.items()}}
        return self._both(
            text,
            "/api/v1/query_range",
            params,
            lambda: self._engine.range(tenant, text, start_ms, end_ms, step_ms, control),
        )

    def _both(self, text: str, path: str, params: Mapping[str, str], ask: Callable[[], Result]) -> Result:
        reply = self._client.post_form(path, params, self._headers).json()
        try:
            result = ask()
        except RondelError as error:
            if reply["status"] != "error" or replaced(str(error)) not in reply["error"]:
                raise Mismatch(f"the engine raised {error}, the server said {_short(reply)}") from error
            raise
        if reply["status"] != "success":
            raise Mismatch(f"the server refused: {_short(reply)}")
        for kind, notes in (("warnings", result.warnings), ("infos", result.infos)):
            if sorted(notes) != sorted(reply.get(kind, [])):
                raise Mismatch(f"{kind} {notes}, over HTTP {reply.get(kind)}")
        _same(json.loads(render.data(result.data)), reply["data"], ordered=bool(_RANK.search(text)))
        return result


def _short(reply: Any) -> str:
    return json.dumps(reply)[:300]


def _same(mine: Any, theirs: Any, *, ordered: bool) -> None:
    """Raises Mismatch where two `data` documents differ by more than the order of a sum."""
    if mine["resultType"] != theirs["resultType"]:
        raise Mismatch(f"a {mine['resultType']}, over HTTP a {theirs['resultType']}")
    if mine["resultType"] in ("scalar", "string"):
        _equal(mine["result"], theirs["result"], mine["resultType"])
        return
    left, right = mine["result"], theirs["result"]
    if not ordered:
        left, right = _by_labels(left), _by_labels(right)
    if [one["metric"] for one in left] != [one["metric"] for one in right]:
        raise Mismatch(
            f"series {[one['metric'] for one in left]}, over HTTP {[one['metric'] for one in right]}"
        )
    for one, other in zip(left, right, strict=True):
        _equal(one, other, str(one["metric"]))


def _by_labels(series: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(series, key=lambda one: sorted(one["metric"].items()))


def _equal(mine: Any, theirs: Any, where: str) -> None:
    if isinstance(mine, dict) and isinstance(theirs, dict) and mine.keys() == theirs.keys():
        for key, value in mine.items():
            _equal(value, theirs[key], f"{where} {key}")
    elif isinstance(mine, list) and isinstance(theirs, list) and len(mine) == len(theirs):
        for value, other in zip(mine, theirs, strict=True):
            _equal(value, other, where)
    elif mine != theirs and not _almost(mine, theirs):
        raise Mismatch(f"{where}: {mine}, over HTTP {theirs}")


def _almost(mine: Any, theirs: Any) -> bool:
    try:
        return almost_equal(float(mine), float(theirs))
    except (TypeError, ValueError):
        return False


# --- what is written ----------------------------------------------------------------------------------


class _Written(MemoryStorage):
    """Keeps what was appended as a request."""

    def __init__(self, like: MemoryStorage) -> None:
        self._series = like._series
        self._begin()

    def append(
        self,
        labels: Mapping[str, str],
        samples: Iterable[tuple[int, Sample]],
        starts_ms: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        samples = list(samples)
        super().append(labels, samples, starts_ms)
        if not samples:
            return
        series = self._request.timeseries.add()
        series.labels_refs.extend(self._symbols.refs((n, v) for n, v in sorted(labels.items()) if v))
        for time_ms, sample in samples:
            start_ms = starts_ms.get(time_ms, 0)
            if isinstance(sample, Mapping):
                fill_histogram(series.histograms.add(), time_ms, sample, start_ms)
            else:
                series.samples.add(timestamp=time_ms, value=sample, start_timestamp=start_ms)

    def taken(self) -> Request:
        """What was appended since the last call."""
        request, symbols = self._request, self._symbols
        self._begin()
        request.symbols.extend(symbols.texts)
        return request

    def _begin(self) -> None:
        self._request, self._symbols = Request(), Symbols()
