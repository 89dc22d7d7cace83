"""The one error tree. Who is at fault decides the class; the edge maps classes to status codes.

::

    RondelError
    ├── CallerError              the caller's fault, do not retry: 4xx
    │   ├── InvalidData          400  the data or parameter is wrong; `id` is documented in docs/errors.md
    │   ├── LimitExceeded        4xx  a documented limit; the message names limit and actual
    │   ├── TooLarge             413  the body is larger than allowed
    │   ├── UnsupportedMedia     415  content type or encoding that is not spoken here
    │   ├── RateLimited          429  a tenant's quota, with `retry_after_s`
    │   ├── Unauthenticated      401  nobody said for which tenant
    │   ├── NotFound             404
    │   ├── Conflict             409  what is asked for would do harm as things are
    │   └── NotAcceptable        406  no form of the answer that the client takes
    ├── QueryError               PromQL, with the API's `error_type`
    │   ├── ParseError           400 bad_data
    │   ├── ExecutionError       422 execution
    │   ├── QueryTimeout         503 timeout
    │   └── QueryCanceled        499 canceled
    ├── Unavailable              ours and retryable: 503, with `retry_after_s`
    ├── Corruption               ours: stored bytes are damaged; names file, page, offset: 500
    └── ConfigError              the operator's: one line, exit code 2
"""

from __future__ import annotations

__all__ = [
    "CallerError",
    "ConfigError",
    "Conflict",
    "Corruption",
    "ExecutionError",
    "InvalidData",
    "LimitExceeded",
    "NotAcceptable",
    "NotFound",
    "ParseError",
    "QueryCanceled",
    "QueryError",
    "QueryTimeout",
    "QueryTooExpensive",
    "RateLimited",
    "RondelError",
    "TooLarge",
    "Unavailable",
    "UnsupportedMedia",
    "text_with_id",
]


class RondelError(Exception):
    """Root of every error that Rondel raises on purpose."""

    status = 500
    error_type = "internal"


class CallerError(RondelError):
    """The caller's fault; sending the same again fails again."""

    status = 400
    error_type = "bad_data"


class InvalidData(CallerError):
    """Data or a parameter that breaks a rule. `id` is the stable id in docs/errors.md."""

    def __init__(self, message: str, id: str = "bad-data") -> None:
        super().__init__(message)
        self.id = id


class LimitExceeded(CallerError):
    """A documented limit was hit; the message names the limit and the actual value."""

    status = 422
    error_type = "execution"

    def __init__(self, message: str, id: str = "limit-exceeded") -> None:
        super().__init__(message)
        self.id = id


class TooLarge(CallerError):
    """The body is larger than allowed."""

    status = 413


class UnsupportedMedia(CallerError):
    """A content type or encoding that is not spoken here."""

    status = 415


class RateLimited(CallerError):
    """A tenant sends more than its quota; the same request may succeed later."""

    status = 429
    error_type = "unavailable"

    def __init__(self, message: str, *, id: str, retry_after_s: float = 5.0) -> None:
        super().__init__(message)
        self.id = id
        self.retry_after_s = retry_after_s


class Unauthenticated(CallerError):
    """The request names no tenant where one is needed."""

    status = 401

    def __init__(self, message: str, id: str) -> None:
        super().__init__(message)
        self.id = id


class NotFound(CallerError):
    """What was asked for does not exist."""

    status = 404
    error_type = "not_found"


class Conflict(CallerError):
    """What is asked for would do harm as things are; the message says what has to change before."""

    status = 409
    error_type = "conflict"


class NotAcceptable(CallerError):
    """The client takes none of the forms in which there is an answer."""

    status = 406
    error_type = "not_acceptable"


class QueryError(RondelError):
    """A query that cannot be answered."""


class ParseError(QueryError):
    """PromQL text that does not parse or type-check; the message starts with its position."""

    status = 400
    error_type = "bad_data"


class ExecutionError(QueryError):
    """A well-formed query that fails on its data or hits a per-query limit."""

    status = 422
    error_type = "execution"


class QueryTooExpensive(ExecutionError):
    """A query that was stopped while it ran, at a limit on what it may find, read or hold."""


class QueryTimeout(QueryError):
    """The query's deadline passed."""

    status = 503
    error_type = "timeout"


class QueryCanceled(QueryError):
    """The client went away, or the server is shutting down."""

    status = 499
    error_type = "canceled"


class Unavailable(RondelError):
    """Ours, and it passes: the same request may succeed later."""

    status = 503
    error_type = "unavailable"

    def __init__(self, message: str, *, retry_after_s: float = 5.0, id: str = "") -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.id = id
        """Where somebody decides by it, or should look it up; mostly empty."""


class Corruption(RondelError):
    """Stored bytes are not what was written. `where` names the file or object, once it is known."""

    def __init__(self, message: str, offset: int | None = None, *, where: str = "") -> None:
        place = where if offset is None else f"{where} offset {offset}".strip()
        super().__init__(f"{message} ({place})" if place else message)
        self.message = message
        self.offset = offset
        self.where = where

    def at(self, where: str) -> Corruption:
        """The same damage with the file or object named; kernels do not know what they read."""
        return Corruption(self.message, self.offset, where=where)


class ConfigError(RondelError):
    """Configuration that cannot be used: one clear line and exit code 2."""


def text_with_id(message: str, id: str) -> str:
    """The message as a sender's log shows it, with the id that docs/errors.md explains."""
    return f"{message} (err-rondel-{id})"
