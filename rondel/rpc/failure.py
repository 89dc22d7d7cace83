"""`Failure`: an error of ours on the wire, so that the caller raises the class that the callee raised.

Besides the status code, which any gRPC tool understands, class, id and time to wait travel as a message of
their own. A class that this version does not know is judged by the status code.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import grpc

from rondel import errors
from rondel.errors import RondelError
from rondel.rpc.pb import ingester_pb2 as pb

__all__ = ["FAILURE_KEY", "failure_of", "raised_from", "status_of", "told_in"]

FAILURE_KEY: Final = "rondel-failure-bin"
"""of the trailing metadata"""

_MESSAGE_CHARS_MAX: Final = 1_500
"""Of a text: headers are refused above 8 KiB in all, and a character may take 4 bytes."""

_STATUS: Final[tuple[tuple[type[RondelError], grpc.StatusCode], ...]] = (
    # The first class that fits counts.
    (errors.Unavailable, grpc.StatusCode.UNAVAILABLE),
    (errors.RateLimited, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.Unauthenticated, grpc.StatusCode.UNAUTHENTICATED),
    (errors.NotFound, grpc.StatusCode.NOT_FOUND),
    (errors.LimitExceeded, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.CallerError, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.QueryTimeout, grpc.StatusCode.DEADLINE_EXCEEDED),
    (errors.QueryCanceled, grpc.StatusCode.ABORTED),
    (errors.QueryError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.Corruption, grpc.StatusCode.DATA_LOSS),
)


def status_of(error: RondelError) -> grpc.StatusCode:
    """The status code for an error."""
    return next((code for kind, code in _STATUS if isinstance(error, kind)), grpc.StatusCode.INTERNAL)


def failure_of(error: RondelError) -> Any:
    """The message `Failure` that tells of an error."""
    return pb.Failure(
        kind=type(error).__name__,
        message=_cut(str(error)),
        id=getattr(error, "id", ""),
        retry_after_s=getattr(error, "retry_after_s", 0.0),
    )


def raised_from(failure: Any) -> RondelError | None:
    """The error that a `Failure` tells of; None where its class is not known here."""
    kind = getattr(errors, failure.kind, None)
    if not (isinstance(kind, type) and issubclass(kind, RondelError)):
        return None
    if issubclass(kind, errors.RateLimited):
        return kind(failure.message, id=failure.id, retry_after_s=failure.retry_after_s)
    if issubclass(kind, errors.Unavailable):
        return kind(failure.message, retry_after_s=failure.retry_after_s, id=failure.id)
    if issubclass(kind, errors.InvalidData | errors.LimitExceeded | errors.Unauthenticated):
        return kind(failure.message, failure.id)
    return kind(failure.message)


def told_in(trailing: Iterable[tuple[str, str | bytes]] | None) -> RondelError | None:
    """The error that the trailing metadata of a call tells of, if any."""
    for key, value in trailing or ():
        if key == FAILURE_KEY and isinstance(value, bytes):
            return raised_from(pb.Failure.FromString(value))
    return None


def _cut(text: str) -> str:
    return text if len(text) <= _MESSAGE_CHARS_MAX else text[:_MESSAGE_CHARS_MAX] + "…"
