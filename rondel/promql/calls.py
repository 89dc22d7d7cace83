"""Function calls to operators: the part of planning that knows functions by name."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rondel.errors import ExecutionError, ParseError
from rondel.promql import ast
from rondel.promql.ast import Call, Expr
from rondel.promql.check import children
from rondel.promql.extended import ANCHORED, SMOOTHED
from rondel.promql.matrix import Grid
from rondel.promql.operators.absent import Absent, absent_labels
from rondel.promql.operators.functions import (
    CALENDAR,
    PLAIN,
    Clamp,
    Map,
    NoStarts,
    Round,
    StepTimestamp,
)
from rondel.promql.operators.histogram import BucketFraction, BucketQuantile, BucketQuantiles
from rondel.promql.operators.info import Info, info_matchers
from rondel.promql.operators.native import OF_HISTOGRAMS, OfHistogram
from rondel.promql.operators.node import ScalarNode, VectorNode
from rondel.promql.operators.relabel import LabelJoin, LabelReplace
from rondel.promql.operators.scalar import Constant, FromVector, ScalarBinary, StepTime, ToVector
from rondel.promql.operators.select import Take
from rondel.promql.operators.sort import SortByLabel, SortByValue
from rondel.promql.operators.window import Window
from rondel.promql.quote import is_utf8

if TYPE_CHECKING:
    from rondel.promql.plan import Planner

__all__ = ["scalar", "valid_name", "vector"]

WITH_ANCHORED = ("changes", "delta", "increase", "rate", "resets")
WITH_SMOOTHED = ("delta", "increase", "rate")
OF_TOTALS = ("histogram_avg", "histogram_count", "histogram_sum")
SCALAR_FIRST = frozenset({"quantile_over_time"})
"""Functions of a range vector whose scalar comes before it."""


def scalar(planner: Planner, call: Call, grid: Grid) -> ScalarNode:
    """A function of scalar type."""
    query = planner.query
    match call.function:
        case "time":
            return StepTime(grid)
        case "pi":
            return Constant(math.pi, grid)
        case "start":
            return Constant(query.start_ms / 1000, grid)
        case "end":
            return Constant(planner.end_ms / 1000, grid)
        case "range":
            return Constant((planner.end_ms - query.start_ms) / 1000, grid)
        case "step":
            return Constant(query.step_ms / 1000, grid)
        case "scalar":
            return FromVector(planner.vector(call.args[0], grid), grid)
        case "min_of" | "max_of":
            left, right = (planner.scalar(arg, grid) for arg in call.args)
            return ScalarBinary(call.function, left, right, grid)
        case name:
            raise ExecutionError(f"function {name} is not supported")


def vector(planner: Planner, call: Call, grid: Grid) -> VectorNode:
    """A function of vector type."""
    name, args = call.function, [_unwrap(arg) for arg in call.args]
    if name in PLAIN or name in CALENDAR:
        child = planner.vector(args[0], grid) if args else ToVector(StepTime(grid), grid)
        return Map(name, child, grid)
    if name in OF_HISTOGRAMS:
        return OfHistogram(name, planner.telling(name in OF_TOTALS).vector(args[0], grid), grid)
    if name.startswith("absent"):
        return _absent(planner, call, args[0], grid)
    if name.startswith("histogram_"):
        return _histogram(planner.telling(False), name, args, grid)
    if name.startswith("sort"):
        return _sort(planner, call, args, grid)
    if any(isinstance(arg, ast.MatrixSelector | ast.Subquery) for arg in args):
        return _window(planner, name, args, grid)
    return _other(planner, name, args, grid)


def _other(planner: Planner, name: str, args: list[Expr], grid: Grid) -> VectorNode:
    match name, args:
        case "vector", [value]:
            return ToVector(planner.scalar(value, grid), grid)
        case "timestamp", [ast.VectorSelector() as selector]:
            return planner.select(selector, grid, take=Take.TIME)
        case "timestamp", [child]:
            return StepTimestamp(planner.vector(child, grid), grid)
        case "start_timestamp", [ast.VectorSelector() as selector] if planner.start_timestamps:
            return planner.select(selector, grid, take=Take.START)
        case "start_timestamp", [child]:
            return NoStarts(planner.vector(child, grid), grid)
        case "round", [child, *to]:
            return Round(planner.vector(child, grid), planner.scalar(to[0], grid) if to else None, grid)
        case "clamp", [child, least, most]:
            bounds = planner.scalar(least, grid), planner.scalar(most, grid)
            return Clamp(planner.vector(child, grid), *bounds, grid)
        case "clamp_min", [child, least]:
            return Clamp(planner.vector(child, grid), planner.scalar(least, grid), None, grid)
        case "clamp_max", [child, most]:
            return Clamp(planner.vector(child, grid), None, planner.scalar(most, grid), grid)
        case "label_replace", [child, *texts]:
            target, replacement, source, regex = (_text(text) for text in texts)
            _check_name(target, f"invalid destination label name in label_replace(): {target}")
            return LabelReplace(planner.vector(child, grid), target, replacement, source, regex, grid)
        case "label_join", [child, *texts]:
            target, separator, *sources = (_text(text) for text in texts)
            for source in sources:
                _check_name(source, f"invalid source label name in label_join(): {source}")
            _check_name(target, f"invalid destination label name in label_join(): {target}")
            return LabelJoin(planner.vector(child, grid), target, separator, tuple(sources), grid)
        case "info", [child, *described]:
            return _info(planner, child, described, grid)
        case _:
            raise ExecutionError(f"function {name} is not supported")


def _info(planner: Planner, child: Expr, described: list[Expr], grid: Grid) -> VectorNode:
    matchers = described[0].matchers if described and isinstance(described[0], ast.VectorSelector) else ()
    selector = next(selectors(child), None)
    window = planner.window(selector.at, selector.offset_ms, grid) if selector else grid
    return Info(planner.vector(child, grid), info_matchers(matchers), grid, window, planner.lookback_ms)


def selectors(expr: Expr) -> Iterator[ast.VectorSelector]:
    """The selectors of an expression in the order of the text."""
    if isinstance(expr, ast.VectorSelector):
        yield expr
    for inner in children(expr):
        yield from selectors(inner)


def _window(planner: Planner, name: str, args: list[Expr], grid: Grid) -> VectorNode:
    at = 1 if name in SCALAR_FIRST else 0
    _check_modifier(name, args[at])
    scalars = tuple(planner.scalar(arg, grid) for i, arg in enumerate(args) if i != at)
    span = args[0].span
    return Window(name, planner.range(args[at], grid), scalars, grid, span)


def _check_modifier(name: str, arg: Expr) -> None:
    if not isinstance(arg, ast.MatrixSelector):
        return
    for modifier, used, allowed in (
        (ANCHORED, arg.vector.anchored, WITH_ANCHORED),
        (SMOOTHED, arg.vector.smoothed, WITH_SMOOTHED),
    ):
        if used and name not in allowed:
            names = ", ".join(allowed)
            raise ExecutionError(f"{modifier} modifier can only be used with: {names} - not with {name}")


def _absent(planner: Planner, call: Call, arg: Expr, grid: Grid) -> VectorNode:
    selector = arg.vector if isinstance(arg, ast.MatrixSelector) else arg
    known = absent_labels(selector.matchers) if isinstance(selector, ast.VectorSelector) else ()
    if call.function == "absent":
        return Absent(planner.vector(arg, grid), known, grid)
    present = Window("present_over_time", planner.range(arg, grid), (), grid, arg.span, keeps_names=True)
    return Absent(present, known, grid)


def _histogram(planner: Planner, name: str, args: list[Expr], grid: Grid) -> VectorNode:
    match name, args:
        case "histogram_quantile", [quantile, child]:
            return BucketQuantile(
                planner.scalar(quantile, grid), planner.vector(child, grid), grid, quantile.span, child.span
            )
        case "histogram_fraction", [lower, upper, child]:
            bounds = planner.scalar(lower, grid), planner.scalar(upper, grid)
            return BucketFraction(*bounds, planner.vector(child, grid), grid, child.span)
        case "histogram_quantiles", [child, label, *quantiles]:
            nodes = tuple(planner.scalar(quantile, grid) for quantile in quantiles)
            spans = tuple(quantile.span for quantile in quantiles)
            return BucketQuantiles(planner.vector(child, grid), _text(label), nodes, grid, spans, child.span)
        case _:
            raise ExecutionError(f"function {name} is not supported")


def _sort(planner: Planner, call: Call, args: list[Expr], grid: Grid) -> VectorNode:
    child, descending = planner.vector(args[0], grid), call.function.endswith("_desc")
    if call.function.startswith("sort_by_label"):
        labels = tuple(_text(arg) for arg in args[1:])
        return SortByLabel(child, labels, descending, grid, call.span)
    return SortByValue(child, descending, grid, call.span)


def _unwrap(expr: Expr) -> Expr:
    while isinstance(expr, ast.Paren):
        expr = expr.expr
    return expr


def _text(expr: Expr) -> str:
    if not isinstance(expr, ast.String):
        raise ParseError(f"expected a string, got {expr.type.value}")
    return expr.value


def valid_name(name: str) -> bool:
    """Any text is a label name that is not empty and is UTF-8."""
    return bool(name) and is_utf8(name)


def _check_name(name: str, message: str) -> None:
    if not valid_name(name):
        raise ExecutionError(message)
