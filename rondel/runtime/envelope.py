"""The JSON envelope of the API: `{"status":"success","data":...}` and its error form, assembled as bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from rondel.errors import RondelError

__all__ = ["JSON", "error", "error_of", "success"]

JSON: Final = "application/json"
_SHOWN_MAX: Final = 10
"""Annotations of a kind in one answer; what is more is counted in a last line."""

_encode = msgspec.json.Encoder().encode


def success(data: bytes, warnings: Sequence[str] = (), infos: Sequence[str] = ()) -> bytes:
    """The envelope around `data`, which is JSON already and is not looked at again."""
    parts = [b'{"status":"success","data":', data]
    if warnings:
        parts += [b',"warnings":', _encode(_capped(warnings, "warning"))]
    if infos:
        parts += [b',"infos":', _encode(_capped(infos, "info"))]
    parts.append(b"}")
    return b"".join(parts)


def error(error_type: str, message: str) -> bytes:
    """The error form; `error_type` is one of the API's words (bad_data, execution, timeout, ...)."""
    # Bytes that are no UTF-8 travel as lone surrogates, which JSON cannot hold: each becomes U+FFFD.
    text = message.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return _encode({"status": "error", "errorType": error_type, "error": text})


def error_of(cause: BaseException) -> tuple[int, bytes]:
    """Status and body for an exception. What is not in our tree is a bug: 500, and nothing of it is shown."""
    if isinstance(cause, RondelError):
        return cause.status, error(cause.error_type, str(cause))
    return 500, error("internal", "internal error; the server's log has the details")


def _capped(texts: Sequence[str], kind: str) -> Sequence[str]:
    omitted = len(texts) - _SHOWN_MAX
    if omitted <= 0 or texts[-1].endswith(f" more {kind} annotations omitted"):
        return texts
    return [*texts[:_SHOWN_MAX], f"{omitted} more {kind} annotations omitted"]
