"""How far and when: numbers, duration arithmetic, ranges, subqueries, `offset` and `@`."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Final

from rondel.promql.ast import (
    At,
    Duration,
    DurationExpr,
    Expr,
    MatrixSelector,
    Number,
    Span,
    StepRef,
    Subquery,
    VectorSelector,
)
from rondel.promql.cursor import Cursor
from rondel.promql.duration import SECONDS_MAX, parse_ms, to_ms
from rondel.promql.lexer import DURATION, IDENTIFIER, NUMBER, Token
from rondel.promql.quote import quote

__all__ = ["number", "parse_at", "parse_bracket", "parse_extension", "parse_offset"]

_DURATION_START: Final = "number, duration, step(), or range()"
_SELECTORS: Final = "an instant vector selector or range vector selector or a subquery"
_RANGE_CONTEXT: Final = "subquery or range selector"
_DURATION_PRECEDENCE: Final = {"+": 1, "-": 1, "*": 2, "/": 2, "%": 2, "^": 3}
_DURATION_DEPTH_MAX: Final = 64
_AT_SECONDS_MAX: Final = float(1 << 63) / 1000

# --- numbers and durations ----------------------------------------------------------------------------


def number(cursor: Cursor) -> Number:
    """Takes a number or a duration, which is a number of seconds."""
    token = cursor.take()
    span = Span(token.start, token.end)
    try:
        if token.kind == DURATION:
            return Number(parse_ms(token.text) / 1000, span, is_duration=True)
        return Number(_number_value(token.text), span)
    except ValueError as cause:
        cursor.fail(token.start, str(cause))


def _number_value(text: str) -> float:
    lowered = text.lower()
    if lowered.startswith("0x"):
        value = int(text, 16)
        if value >= 1 << 63:
            raise ValueError(
                f"error parsing number: strconv.ParseFloat: parsing {quote(text)}: invalid syntax"
            )
        return float(value)
    if len(text) > 1 and text[0] == "0" and re.fullmatch(r"[0-7_]+", text):
        value = int(text, 8)
        if value < 1 << 63:
            return float(value)
    # As in Prometheus, what is too large for an octal integer is read as a decimal number.
    value_float = float(text)
    if math.isinf(value_float) and lowered != "inf":
        raise ValueError(
            f"error parsing number: strconv.ParseFloat: parsing {quote(text)}: value out of range"
        )
    return value_float


def _literal_in_range(cursor: Cursor, literal: Number) -> Number:
    if not abs(literal.value) < SECONDS_MAX:
        cursor.fail(literal.span.start, "duration out of range")
    return literal


def _duration(cursor: Cursor, floor: int = 1, depth: int = 0) -> Duration:
    """Arithmetic inside brackets or parentheses; a sign binds like `*`."""
    if depth > _DURATION_DEPTH_MAX:
        cursor.fail(
            cursor.current.start, f"duration expression is nested deeper than {_DURATION_DEPTH_MAX} levels"
        )
    left = _duration_operand(cursor, depth)
    operators = 0
    while (precedence := _DURATION_PRECEDENCE.get(cursor.current.kind, 0)) >= floor:
        op = cursor.take()
        operators += 1
        if operators > _DURATION_DEPTH_MAX:
            cursor.fail(
                op.start, f"duration expression has more than {_DURATION_DEPTH_MAX} operators in a row"
            )
        right = _duration(cursor, precedence if op.kind == "^" else precedence + 1, depth + 1)
        if op.kind in "/%" and isinstance(right, Number) and right.value == 0:
            cursor.fail(op.start, "division by zero" if op.kind == "/" else "modulo by zero")
        left = DurationExpr(op.kind, (left, right), Span(left.span.start, right.span.end))
    return left


def _duration_operand(cursor: Cursor, depth: int) -> Duration:
    sign = cursor.current
    if sign.kind not in ("+", "-"):
        return _duration_primary(cursor, depth)
    cursor.take()
    return _signed(sign, _duration(cursor, _DURATION_PRECEDENCE["^"], depth + 1))


def _signed(sign: Token, operand: Duration) -> Duration:
    span = Span(sign.start, operand.span.end)
    if isinstance(operand, Number):
        return replace(operand, value=-operand.value if sign.kind == "-" else operand.value, span=span)
    return DurationExpr("neg" if sign.kind == "-" else "pos", (operand,), span)


def _duration_primary(cursor: Cursor, depth: int) -> Duration:
    token = cursor.current
    word = token.text.lower()
    if token.kind in (NUMBER, DURATION):
        return _literal_in_range(cursor, number(cursor))
    if token.kind in ("step", "range"):
        cursor.take()
        cursor.expect("(")
        return StepRef(token.kind, Span(token.start, cursor.expect(")").end))
    if token.kind == "(":
        cursor.take()
        inner = _duration(cursor, depth=depth + 1)
        return DurationExpr("paren", (inner,), Span(token.start, cursor.expect(")").end))
    if token.kind in (word, IDENTIFIER) and word in ("min_of", "max_of"):
        cursor.take()
        cursor.expect("(")
        left = _duration(cursor, depth=depth + 1)
        cursor.expect(",")
        right = _duration(cursor, depth=depth + 1)
        return DurationExpr(word, (left, right), Span(token.start, cursor.expect(")").end))
    return cursor.unexpected(expected=_DURATION_START)


def _positive(cursor: Cursor, duration: Duration) -> Duration:
    if isinstance(duration, Number) and not duration.value > 0:
        cursor.fail(duration.span.start, "duration must be greater than 0")
    return duration


def _split(duration: Duration) -> tuple[int, Duration | None]:
    """Milliseconds of a literal, or 0 and the expression."""
    return (to_ms(duration.value), None) if isinstance(duration, Number) else (0, duration)


# --- ranges and modifiers -----------------------------------------------------------------------------


def parse_bracket(cursor: Cursor, expr: Expr) -> Expr:
    """`[range]` or `[range:step]` after an expression."""
    opening = cursor.expect("[")
    outer, cursor.context = cursor.context, _RANGE_CONTEXT
    span_range = _positive(cursor, _duration(cursor))
    if cursor.current.kind not in ("]", ":"):
        cursor.unexpected(_RANGE_CONTEXT, '":" or "]"')
    range_ms, range_expr = _split(span_range)
    if cursor.accept("]"):
        cursor.context = outer
        vector = _checked_vector(cursor, opening, expr)
        return MatrixSelector(vector, range_ms, Span(vector.span.start, cursor.previous.end), range_expr)
    cursor.take()
    step_ms, step_expr = None, None
    if cursor.current.kind != "]":
        cursor.context = "subquery selector"
        step_ms, step_expr = _subquery_step(cursor)
    closing = cursor.expect("]", "subquery selector", '"]"')
    cursor.context = outer
    return Subquery(
        expr,
        range_ms,
        step_ms,
        Span(expr.span.start, closing.end),
        range_expr=range_expr,
        step_expr=step_expr,
    )


def _subquery_step(cursor: Cursor) -> tuple[int | None, Duration | None]:
    if cursor.current.kind not in (NUMBER, DURATION, "step", "range", "(", "+", "-", "min_of", "max_of"):
        cursor.unexpected("subquery selector", f'{_DURATION_START.replace(", or", ",")}, or "]"')
    return _split(_positive(cursor, _duration(cursor)))


def _checked_vector(cursor: Cursor, opening: Token, expr: Expr) -> VectorSelector:
    if not isinstance(expr, VectorSelector):
        cursor.fail(opening.start, "ranges only allowed for vector selectors")
    if expr.offset_ms or expr.offset_expr is not None:
        cursor.fail(opening.start, "no offset modifiers allowed before range")
    if expr.at is not None:
        cursor.fail(opening.start, "no @ modifiers allowed before range")
    return expr


def parse_offset(cursor: Cursor, expr: Expr) -> Expr:
    """`offset 5m`; arithmetic only inside parentheses, so that `a offset 5m + b` stays a sum."""
    cursor.expect("offset")
    sign = cursor.accept("-") or cursor.accept("+")
    if cursor.current.kind not in (
        NUMBER,
        DURATION,
        "step",
        "range",
        "(",
    ) and cursor.current.text.lower() not in (
        "min_of",
        "max_of",
    ):
        cursor.unexpected("offset", _DURATION_START)
    outer, cursor.context = cursor.context, "offset"
    duration = _duration_primary(cursor, 0)
    cursor.context = outer
    offset_ms, offset_expr = _split(_signed(sign, duration) if sign else duration)
    target = expr.vector if isinstance(expr, MatrixSelector) else expr
    if not isinstance(target, VectorSelector | Subquery):
        cursor.fail(
            expr.span.start,
            f"offset modifier must be preceded by {_SELECTORS}",
        )
    if target.offset_ms or target.offset_expr is not None:
        cursor.fail(expr.span.start, "offset may not be set multiple times")
    target = replace(target, offset_ms=offset_ms, offset_expr=offset_expr)
    return _with_modified(expr, target, cursor.previous.end)


def parse_at(cursor: Cursor, expr: Expr) -> Expr:
    """`@ 1700000000`, `@ start()` or `@ end()`."""
    cursor.expect("@")
    at = _at(cursor, expr)
    target = expr.vector if isinstance(expr, MatrixSelector) else expr
    if not isinstance(target, VectorSelector | Subquery):
        cursor.fail(
            expr.span.start,
            f"@ modifier must be preceded by {_SELECTORS}",
        )
    if target.at is not None:
        cursor.fail(expr.span.start, "@ <timestamp> may not be set multiple times")
    return _with_modified(expr, replace(target, at=at), cursor.previous.end)


def _at(cursor: Cursor, expr: Expr) -> At:
    if cursor.current.kind in ("start", "end"):
        anchor = cursor.take().kind
        cursor.expect("(", "@", "timestamp")
        cursor.expect(")", "@", "timestamp")
        return At(None, anchor)
    sign = cursor.accept("-") or cursor.accept("+")
    if cursor.current.kind not in (NUMBER, DURATION):
        cursor.unexpected("@", "timestamp")
    seconds = number(cursor).value
    if sign and sign.kind == "-":
        seconds = -seconds
    if not abs(seconds) < _AT_SECONDS_MAX:
        shown = (
            f"{seconds:f}"
            if math.isfinite(seconds)
            else {math.inf: "+Inf", -math.inf: "-Inf"}.get(seconds, "NaN")
        )
        cursor.fail(expr.span.start, f"timestamp out of bounds for @ modifier: {shown}")
    return At(to_ms(seconds))


def parse_extension(cursor: Cursor, expr: Expr) -> Expr:
    """`anchored` or `smoothed`; that the feature is on is the caller's business."""
    word = cursor.take().kind
    target = expr.vector if isinstance(expr, MatrixSelector) else expr
    if isinstance(target, Subquery):
        cursor.fail(expr.span.start, f"{word} modifier is not supported for subqueries")
    if not isinstance(target, VectorSelector):
        cursor.fail(expr.span.start, f"{word} modifier not implemented")
    anchored, smoothed = target.anchored or word == "anchored", target.smoothed or word == "smoothed"
    if anchored and smoothed:
        cursor.fail(expr.span.start, "anchored and smoothed modifiers cannot be used together")
    target = replace(target, anchored=anchored, smoothed=smoothed)
    return _with_modified(expr, target, cursor.previous.end)


def _with_modified(expr: Expr, target: VectorSelector | Subquery, end: int) -> Expr:
    span = Span(expr.span.start, end)
    if isinstance(expr, MatrixSelector):
        assert isinstance(target, VectorSelector)
        return replace(expr, vector=target, span=span)
    return replace(target, span=span)
