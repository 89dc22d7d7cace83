"""AST to plan: a tree of operators with every time resolved.

A plan is for one query text over one grid of steps. Each selector knows the time range it needs; what
`@` pins to one time is evaluated once; subtrees that occur more than once become one.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from rondel.errors import ExecutionError, ParseError
from rondel.promql import ast, calls
from rondel.promql.arithmetic import SETS, TRIMS
from rondel.promql.ast import At, Expr, ValueType
from rondel.promql.extended import ANCHORED, SMOOTHED
from rondel.promql.matrix import Grid
from rondel.promql.operators.aggregate import Aggregate, CountValues, Grouping, Quantile
from rondel.promql.operators.binary import Negate, VectorScalar, VectorVector
from rondel.promql.operators.node import Node, RangeNode, ScalarNode, VectorNode
from rondel.promql.operators.rank import Limit, LimitRatio, Rank
from rondel.promql.operators.scalar import Constant, ScalarBinary, StepScalar
from rondel.promql.operators.select import InstantSelect, RangeSelect, Source, Take
from rondel.promql.operators.sets import SetOperator
from rondel.promql.operators.shape import Once, Shared
from rondel.promql.operators.subquery import Subquery, inner_grid
from rondel.promql.options import START_TIMESTAMPS, EngineOptions
from rondel.promql.quote import quote

__all__ = ["Planner", "share", "unwrap"]

TIME_DEPENDENT = frozenset(
    {
        *("days_in_month", "day_of_month", "day_of_week", "day_of_year", "hour", "minute", "month", "year"),
        *("end", "predict_linear", "range", "start", "start_timestamp", "step", "time", "timestamp"),
    }
)
"""Functions whose answer depends on the step even where their arguments do not."""


def unwrap(expr: Expr) -> Expr:
    """The expression without parentheses around it."""
    while isinstance(expr, ast.Paren):
        expr = expr.expr
    return expr


def pinned(expr: Expr) -> bool:
    """True where every step gives the same answer: all selectors have `@`, nothing reads the clock."""
    match expr:
        case ast.Number() | ast.String():
            return True
        case ast.VectorSelector():
            return expr.at is not None
        case ast.MatrixSelector():
            return expr.vector.at is not None
        case ast.Subquery():
            return expr.at is not None
        case ast.Paren() | ast.Unary():
            return pinned(expr.expr)
        case ast.Binary():
            return pinned(expr.left) and pinned(expr.right)
        case ast.Aggregate():
            return pinned(expr.expr) and (expr.param is None or pinned(expr.param))
        case ast.Call(function="info"):
            # Info series are looked at when the first selector of the first argument is.
            return pinned(expr.args[0])
        case ast.Call():
            return expr.function not in TIME_DEPENDENT and all(pinned(arg) for arg in expr.args)


@dataclass(frozen=True, slots=True)
class Planner:
    """Builds the operators of one query; times of start and end resolve `@ start()` and `@ end()`."""

    query: Grid
    end_ms: int
    options: EngineOptions
    lookback_ms: int
    resets: bool = False
    """Selectors tell of the resets that are stored, see `hints`."""
    whole: bool = False
    """Something above wants all of a histogram, so that `resets` stays as it is."""

    def telling(self, resets: bool) -> Planner:
        """The planner for arguments of which only counts and sums are wanted, or (False) all."""
        return replace(self, resets=resets and not self.whole, whole=self.whole or not resets)

    @property
    def start_timestamps(self) -> bool:
        return START_TIMESTAMPS in self.options.features

    def vector(self, expr: Expr, grid: Grid) -> VectorNode:
        """Raises ParseError for what no plan can be made of."""
        if grid.count > 1 and pinned(expr):
            return Once(self.vector(expr, grid.once()), grid)
        match expr:
            case ast.Paren():
                return self.vector(expr.expr, grid)
            case ast.VectorSelector():
                return self.select(expr, grid)
            case ast.Unary():
                child = self.vector(expr.expr, grid)
                return Negate(child, grid) if expr.op == "-" else child
            case ast.Aggregate():
                return self._aggregate(expr, grid)
            case ast.Binary():
                return self._binary(expr, grid)
            case ast.Call():
                return calls.vector(self, expr, grid)
            case _:
                raise ParseError(f"expected an instant vector, got {expr.type.value}")

    def scalar(self, expr: Expr, grid: Grid) -> ScalarNode:
        """As `vector`, for expressions of scalar type."""
        if grid.count > 1 and pinned(expr) and not isinstance(unwrap(expr), ast.Number):
            return StepScalar(self.scalar(expr, grid.once()), grid)
        match expr:
            case ast.Paren():
                return self.scalar(expr.expr, grid)
            case ast.Number():
                return Constant(expr.value, grid)
            case ast.Unary():
                child = self.scalar(expr.expr, grid)
                return ScalarBinary("*", Constant(-1.0, grid), child, grid) if expr.op == "-" else child
            case ast.Binary():
                left, right = self.scalar(expr.left, grid), self.scalar(expr.right, grid)
                return ScalarBinary(expr.op, left, right, grid)
            case ast.Call():
                return calls.scalar(self, expr, grid)
            case _:
                raise ParseError(f"expected a scalar, got {expr.type.value}")

    def range(self, expr: Expr, grid: Grid) -> RangeNode:
        """As `vector`, for range vectors."""
        match unwrap(expr):
            case ast.MatrixSelector(vector=vector, range_ms=range_ms):
                return self._select_range(vector, range_ms, grid)
            case ast.Subquery() as subquery:
                window = self.window(subquery.at, subquery.offset_ms, grid)
                step_ms = subquery.step_ms or self.options.subquery_step_ms
                inner = inner_grid(window, subquery.range_ms, step_ms)
                return Subquery(
                    self.telling(False).vector(subquery.expr, inner), grid, window, subquery.range_ms
                )
            case _:
                raise ParseError(f"expected a range vector, got {expr.type.value}")

    def select(self, expr: ast.VectorSelector, grid: Grid, *, take: Take = Take.VALUE) -> InstantSelect:
        """The selector at the steps of a grid."""
        window = self.window(expr.at, expr.offset_ms, grid)
        ahead_ms = self.lookback_ms if expr.smoothed else 0
        source = Source(expr.matchers, window.start_ms - self.lookback_ms + 1, _last(window) + ahead_ms)
        return InstantSelect(
            source, grid, window, self.lookback_ms, take, expr.smoothed, self.resets, expr.span
        )

    def _select_range(self, expr: ast.VectorSelector, range_ms: int, grid: Grid) -> RangeSelect:
        window = self.window(expr.at, expr.offset_ms, grid)
        mode = ANCHORED if expr.anchored else SMOOTHED if expr.smoothed else ""
        behind_ms = self.lookback_ms if mode else 0
        ahead_ms = self.lookback_ms if mode == SMOOTHED else 0
        mint_ms, maxt_ms = window.start_ms - range_ms - behind_ms + 1, _last(window) + ahead_ms
        return RangeSelect(
            Source(expr.matchers, mint_ms, maxt_ms), grid, window, range_ms, mode, behind_ms, self.resets
        )

    def window(self, at: At | None, offset_ms: int, grid: Grid) -> Grid:
        """Where windows end: the steps moved by an offset, or all at one fixed time."""
        if at is None:
            return Grid(grid.start_ms - offset_ms, grid.step_ms, grid.count)
        fixed_ms = at.time_ms
        if fixed_ms is None:
            fixed_ms = self.query.start_ms if at.anchor == "start" else self.end_ms
        return Grid(fixed_ms - offset_ms, 0, grid.count)

    def _aggregate(self, expr: ast.Aggregate, grid: Grid) -> VectorNode:
        grouping = Grouping(expr.grouping, expr.without)
        child, span = self.vector(unwrap(expr.expr), grid), expr.expr.span
        if expr.param is None:
            return Aggregate(expr.op, grouping, child, grid, span)
        param = unwrap(expr.param)
        if isinstance(param, ast.String):
            if not calls.valid_name(param.value):
                raise ExecutionError(f"invalid label name {quote(param.value)}")
            return CountValues(param.value, grouping, child, grid)
        scalar = self.scalar(param, grid)
        match expr.op:
            case "topk" | "bottomk":
                return Rank(scalar, grouping, child, grid, expr.op == "topk", span)
            case "limitk":
                return Limit(scalar, grouping, child, grid)
            case "limit_ratio":
                return LimitRatio(scalar, child, grid, param.span)
            case _:
                return Quantile(scalar, grouping, child, grid, param.span, span)

    def _binary(self, expr: ast.Binary, grid: Grid) -> VectorNode:
        if expr.op in TRIMS and not self.whole:
            return self.telling(False)._binary(expr, grid)
        left_scalar = expr.left.type is ValueType.SCALAR
        if left_scalar or expr.right.type is ValueType.SCALAR:
            vector, scalar = (expr.right, expr.left) if left_scalar else (expr.left, expr.right)
            return VectorScalar(
                expr.op,
                self.vector(vector, grid),
                self.scalar(scalar, grid),
                left_scalar,
                expr.return_bool,
                grid,
                expr.span,
            )
        left, right = self.vector(expr.left, grid), self.vector(expr.right, grid)
        matching = expr.matching or ast.Matching()
        if expr.op in SETS:
            return SetOperator(expr.op, left, right, matching, grid)
        return VectorVector(expr.op, left, right, matching, expr.return_bool, grid, expr.span)


def _last(window: Grid) -> int:
    return max(window.start_ms, window.end_ms)


def share(root: Node) -> Node:
    """The plan with vector subtrees that are equal evaluated once."""
    numbers = _Numbers()
    counts: Counter[int] = Counter()
    _count(root, numbers, counts)
    repeated = {one: index for index, one in enumerate(one for one in counts if counts[one] > 1)}
    return _replace(root, numbers, repeated, {}) if repeated else root


class _Numbers:
    """Equal subtrees have equal numbers. A node is looked at once, with the numbers of its children for them:
    to hash and compare trees at each of their levels would take the square of their size."""

    def __init__(self) -> None:
        self._by_node: dict[int, int] = {}
        self._by_content: dict[tuple[object, ...], int] = {}

    def of(self, node: Node) -> int:
        """The number of a subtree, whose root outlives this."""
        known = self._by_node.get(id(node))
        if known is not None:
            return known
        assert dataclasses.is_dataclass(node)
        values = (getattr(node, item.name) for item in dataclasses.fields(node) if item.compare)
        content = (type(node), *map(self._content, values))
        number = self._by_content.setdefault(content, len(self._by_content))
        self._by_node[id(node)] = number
        return number

    def _content(self, value: object) -> object:
        if isinstance(value, Node):
            return self.of(value)
        if isinstance(value, tuple) and value and isinstance(value[0], Node):
            return tuple(map(self._content, value))
        return value


def _count(node: Node, numbers: _Numbers, counts: Counter[int]) -> None:
    if isinstance(node, VectorNode):
        number = numbers.of(node)
        counts[number] += 1
        if counts[number] > 1:
            return
    for child in node.children():
        _count(child, numbers, counts)


def _replace(node: Node, numbers: _Numbers, repeated: dict[int, int], done: dict[int, Node]) -> Node:
    number = numbers.of(node)
    if number in done:
        return done[number]
    changes: dict[str, Any] = {}
    assert dataclasses.is_dataclass(node)
    for item in dataclasses.fields(node):
        value = getattr(node, item.name)
        if isinstance(value, Node):
            changes[item.name] = _replace(value, numbers, repeated, done)
        elif isinstance(value, tuple) and value and isinstance(value[0], Node):
            changes[item.name] = tuple(_replace(child, numbers, repeated, done) for child in value)
    built = replace(node, **changes)
    assert isinstance(built, Node)
    if number in repeated and isinstance(built, VectorNode):
        built = Shared(built, built.grid, repeated[number] + 1)
    done[number] = built
    return built
