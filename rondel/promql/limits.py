"""What one query may ask for and cost. Each limit is checked where its cost first shows: the text before
it is parsed, the tree before it is planned, series and samples as they are found and read.

A message says what the query wants, the limit, and the setting that holds it; all are the caller's to
change, so they are a kind of ExecutionError (422), never an error of the server.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Final

from rondel.errors import ExecutionError
from rondel.promql.ast import Call, Expr, String, VectorSelector
from rondel.promql.check import children

__all__ = ["NO_LIMITS", "QueryLimits", "check_expr", "check_text", "exceeded"]

_REGEX_OPS: Final = ("=~", "!~")
_REGEX_ARGUMENT: Final = 4
"""Place of the regex among the arguments of `label_replace`."""


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """Of one query; 0 is no limit, in each of them."""

    query_bytes_max: int = 512 << 10
    """bytes of its text"""
    selectors_max: int = 500
    """selectors in its text"""
    matchers_max: int = 100
    """matchers of one selector"""
    regex_bytes_max: int = 64 << 10
    """bytes of one regular expression"""
    lookup_range_ms_max: int = 0
    """from the oldest to the newest time that one selector looks at"""
    series_max: int = 5_000_000
    """series that all its selectors find"""
    samples_read_max: int = 10_000_000_000
    """samples that it reads, over its whole run"""
    bytes_read_max: int = 1 << 40
    """bytes of samples that it reads, as they are in memory"""


NO_LIMITS: Final = QueryLimits(**dict.fromkeys((field.name for field in fields(QueryLimits)), 0))


def exceeded(what: str, actual: int, limit: int, setting: str) -> str:
    """What is said where a query wants `actual` of something that ends at `limit`."""
    return f"the query {what}: {actual} (limit: {limit}, set by query.{setting})"


def _check(what: str, actual: int, limit: int, setting: str) -> None:
    if 0 < limit < actual:
        raise ExecutionError(exceeded(what, actual, limit, setting))


def check_text(text: str, limits: QueryLimits) -> None:
    """Raises ExecutionError for a text that is not even looked at."""
    _check("has too many bytes", _size_bytes(text), limits.query_bytes_max, "query_bytes_max")


def check_expr(expr: Expr, limits: QueryLimits) -> None:
    """Raises ExecutionError for a tree that has too much of something."""
    selectors = 0
    for node in _nodes(expr):
        for regex in _regexes(node):
            what = "has a regular expression of too many bytes"
            _check(what, _size_bytes(regex), limits.regex_bytes_max, "regex_bytes_max")
        if isinstance(node, VectorSelector):
            selectors += 1
            what = "has a selector of too many matchers"
            _check(what, len(node.matchers), limits.matchers_max, "matchers_max")
    _check("has too many selectors", selectors, limits.selectors_max, "selectors_max")


def _size_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _nodes(expr: Expr) -> Iterator[Expr]:
    pending = [expr]
    while pending:
        node = pending.pop()
        yield node
        pending += children(node)


def _regexes(node: Expr) -> Iterator[str]:
    if isinstance(node, VectorSelector):
        yield from (matcher.value for matcher in node.matchers if matcher.op in _REGEX_OPS)
    elif isinstance(node, Call) and node.function == "label_replace":
        yield from (arg.value for arg in node.args[_REGEX_ARGUMENT:] if isinstance(arg, String))
