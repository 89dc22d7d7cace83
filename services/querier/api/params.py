"""Parameters of a request: URL query and form body merged; errors in the words of Prometheus."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Final, TypeVar
from urllib.parse import parse_qsl

from starlette.requests import Request

from rondel.errors import InvalidData, TooLarge
from services.querier.api import times

__all__ = ["BODY_BYTES_MAX", "Params", "body", "invalid", "read"]

BODY_BYTES_MAX: Final = 2 << 20
_FIELDS_MAX: Final = 10_000
_THREAD_BYTES_MIN: Final = 64 << 10
"""Forms from here on are parsed in a thread, so that the event loop goes on meanwhile."""
_FORM: Final = "application/x-www-form-urlencoded"
_INTEGER: Final = re.compile(r"[+-]?\d{1,18}", re.ASCII)

_T = TypeVar("_T")


def invalid(name: str, cause: object) -> InvalidData:
    """The error of one parameter, in Prometheus' words."""
    return InvalidData(f'invalid parameter "{name}": {cause}')


class Params:
    """All values by name; those of the body come before those of the URL."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def get(self, name: str) -> str:
        """The first value, "" where there is none."""
        return self._values.get(name, [""])[0]

    def all(self, name: str) -> list[str]:
        return self._values.get(name, [])

    def time_ms(self, name: str, default: int | None = None) -> int:
        """A time; `default` where it is not given, an error where there is none."""
        text = self.get(name)
        if not text and default is not None:
            return default
        return self._parsed(name, times.time_ms)

    def duration_ms(self, name: str) -> float | None:
        """A duration, None where it is not given."""
        return self._parsed(name, times.duration_ms) if self.get(name) else None

    def step_ms(self) -> int:
        """The step of a range query: at least one millisecond."""
        step_ms = self._parsed("step", times.duration_ms)
        if step_ms <= 0:
            message = "zero or negative query resolution step widths are not accepted. Try a positive integer"
            raise invalid("step", message)
        return max(1, int(step_ms))

    def limit(self) -> int:
        """The largest number of results; 0 for all."""
        text = self.get("limit")
        if not text:
            return 0
        value = self.integer("limit")
        if value is None:
            raise invalid("limit", f'strconv.Atoi: parsing "{text}": invalid syntax')
        if value < 0:
            raise invalid("limit", "limit must be non-negative")
        return value

    def integer(self, name: str) -> int | None:
        """A whole number, None where the text is none."""
        text = self.get(name)
        return int(text) if _INTEGER.fullmatch(text) else None

    def selectors(self) -> list[str]:
        """The texts of `match[]`; Grafana 8.0 wrote `match`, which is taken where the other is missing."""
        return self.all("match[]") or self.all("match")

    def _parsed(self, name: str, parse: Callable[[str], _T]) -> _T:
        try:
            return parse(self.get(name))
        except ValueError as error:
            raise invalid(name, error) from error


async def read(request: Request) -> Params:
    """The parameters of a request; consumes its body."""
    pairs: list[tuple[str, str]] = []
    if request.method == "POST":
        form = await body(request, BODY_BYTES_MAX)
        if form and request.headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM:
            if len(form) < _THREAD_BYTES_MIN:
                pairs = _pairs(form)
            else:
                pairs = await asyncio.to_thread(_pairs, form)
    return Params(pairs + _pairs(request.scope["query_string"]))


def _pairs(encoded: bytes) -> list[tuple[str, str]]:
    text = encoded.decode("utf-8", "replace")
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=_FIELDS_MAX)
    except ValueError as error:
        raise InvalidData(f"too many parameters (limit: {_FIELDS_MAX})") from error


async def body(request: Request, bytes_max: int) -> bytes:
    """The whole body; raises TooLarge."""
    parts: list[bytes] = []
    size_bytes = 0
    async for part in request.stream():
        size_bytes += len(part)
        if size_bytes > bytes_max:
            raise TooLarge(f"the body is larger than allowed (limit: {bytes_max} bytes)")
        parts.append(part)
    return b"".join(parts)
