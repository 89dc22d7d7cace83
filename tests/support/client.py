"""A small client of the HTTP API: one connection, JSON in and out, status codes kept."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from tests.support import remote_write

__all__ = ["Client", "Reply"]

Params = Mapping[str, str | int | float] | Sequence[tuple[str, str | int | float]]


@dataclass(frozen=True)
class Reply:
    """Status, headers with lower-case names, body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", errors="replace")

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Requests to one server, over one connection that is opened again when it breaks."""

    def __init__(self, port: int, *, host: str = "127.0.0.1", timeout_s: float = 60.0) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=timeout_s)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        try:
            self._connection.request(method, path, body, dict(headers or {}))
            response = self._connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, names, response.read())
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise

    def store(self, *series: remote_write.Series) -> Reply:
        """Write series given as `(labels, [(timestamp_ms, value), ...])`."""
        return self.write(remote_write.body_of(remote_write.write_request(series)))

    def get(self, path: str, params: Params = ()) -> Reply:
        return self.request("GET", f"{path}?{urlencode(params)}" if params else path)

    def post_form(self, path: str, params: Params, headers: Mapping[str, str] | None = None) -> Reply:
        form = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        return self.request("POST", path, urlencode(params).encode(), form)

    def write(
        self, body: bytes, path: str = "/api/v1/write", headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Post a compressed WriteRequest."""
        return self.request("POST", path, body, {**remote_write.HEADERS, **(headers or {})})

    def data(self, path: str, params: Params = ()) -> Any:
        """`data` of a successful answer."""
        reply = self.get(path, params)
        answer = reply.json()
        if reply.status != 200 or answer["status"] != "success":
            raise AssertionError(f"{path} {params}: {reply.status} {reply.text[:500]}")
        return answer["data"]

    def instant(self, query: str, time_s: float) -> Any:
        """`result` of an instant query."""
        return self.data("/api/v1/query", {"query": query, "time": f"{time_s:.3f}"})["result"]

    def range(self, query: str, start_s: float, end_s: float, step_s: float) -> Any:
        """`result` of a range query."""
        window = {"start": f"{start_s:.3f}", "end": f"{end_s:.3f}", "step": f"{step_s}"}
        return self.data("/api/v1/query_range", {"query": query, **window})["result"]

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
