"""`Engine`: PromQL text in, `Result` out. Synchronous; runs in a worker thread."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from rondel.errors import ParseError
from rondel.model.frame import SeriesFrame
from rondel.model.labels import LabelSets
from rondel.promql import duration
from rondel.promql.annotations import Annotations
from rondel.promql.ast import Expr, String, ValueType
from rondel.promql.control import Control
from rondel.promql.limits import check_expr, check_text
from rondel.promql.matrix import Grid, HistogramCells
from rondel.promql.operators.node import (
    CELL_BYTES,
    RESERVED,
    Node,
    RangeNode,
    Run,
    ScalarNode,
    Stream,
    VectorNode,
    merge_rows,
)
from rondel.promql.options import EngineOptions
from rondel.promql.parser import ParserOptions, parse
from rondel.promql.plan import Planner, share, unwrap
from rondel.promql.raw import RawSamples
from rondel.promql.result import Data, InstantVector, RangeMatrix, Result, ResultKind, Scalar, Text
from rondel.promql.tally import Tally
from rondel.promql.trace import Trace, traced
from rondel.storage import Storage

__all__ = ["Engine"]


@dataclass(frozen=True, slots=True)
class _Query:
    tenant: str
    text: str
    grid: Grid
    end_ms: int
    instant: bool
    lookback_ms: int


class Engine:
    """Evaluates queries over one storage. Holds no state of a query; any number may run at once."""

    def __init__(
        self,
        storage: Storage,
        options: EngineOptions | None = None,
        tenants: Mapping[str, EngineOptions] = MappingProxyType({}),
    ) -> None:
        """`tenants` names those that have options of their own."""
        self._storage = storage
        self._tenants = tenants
        self.options = options or EngineOptions()

    def options_of(self, tenant: str) -> EngineOptions:
        return self._tenants.get(tenant, self.options)

    def control(self, tenant: str = "", *, timeout_s: float | None = None) -> Control:
        """A `Control` with the limits of a tenant; a shorter timeout may be asked for, a longer one not."""
        options = self.options_of(tenant)
        wanted_s = options.timeout_s if timeout_s is None else timeout_s
        return Control(
            timeout_s=min(wanted_s, options.timeout_s),
            samples_max=options.samples_max,
            memory_bytes_max=options.memory_bytes_max,
            limits=options.limits,
        )

    def instant(
        self,
        tenant: str,
        text: str,
        time_ms: int,
        control: Control,
        *,
        lookback_ms: int | None = None,
        tally: Tally | None = None,
    ) -> Result:
        """Evaluates at one time; raises QueryError, and what the storage raises.

        With a tally, which is new, the answer's statistics have counts of samples by step.
        """
        query = self._query(tenant, text, time_ms, time_ms, 0, lookback_ms)
        return self._execute(query, control, tally=tally)

    def range(
        self,
        tenant: str,
        text: str,
        start_ms: int,
        end_ms: int,
        step_ms: int,
        control: Control,
        *,
        lookback_ms: int | None = None,
        tally: Tally | None = None,
    ) -> Result:
        """Evaluates at every step from start to end, both inclusive; raises and counts as `instant`."""
        query = self._query(tenant, text, start_ms, end_ms, step_ms, lookback_ms)
        return self._execute(query, control, tally=tally)

    def explain(
        self,
        text: str,
        start_ms: int,
        end_ms: int,
        step_ms: int,
        *,
        tenant: str = "",
        lookback_ms: int | None = None,
    ) -> Node | None:
        """The plan of a range query, or with step 0 of an instant query at `start_ms`; None of a string.

        `rondel.promql.explain` shows it.
        """
        query = self._query(tenant, text, start_ms, end_ms, step_ms, lookback_ms)
        expr = self._parse(query)
        return None if isinstance(unwrap(expr), String) else self._plan(expr, query)

    def analyze(
        self,
        tenant: str,
        text: str,
        start_ms: int,
        end_ms: int,
        step_ms: int,
        control: Control,
        trace: Trace,
        *,
        lookback_ms: int | None = None,
    ) -> Result:
        """As `range`, or with step 0 as `instant`; the trace then has the plan and what each node did."""
        query = self._query(tenant, text, start_ms, end_ms, step_ms, lookback_ms)
        return self._execute(query, control, trace)

    def _query(
        self, tenant: str, text: str, start_ms: int, end_ms: int, step_ms: int, lookback_ms: int | None
    ) -> _Query:
        lookback_ms = lookback_ms or self.options_of(tenant).lookback_ms
        if step_ms == 0:
            return _Query(tenant, text, Grid(start_ms, 0, 1), start_ms, True, lookback_ms)
        grid = Grid(start_ms, step_ms, (end_ms - start_ms) // step_ms + 1)
        return _Query(tenant, text, grid, end_ms, False, lookback_ms)

    def _parse(self, query: _Query) -> Expr:
        options = self.options_of(query.tenant)
        check_text(query.text, options.limits)
        expr = parse(query.text, ParserOptions.of(options.features))
        check_expr(expr, options.limits)
        if not query.instant and expr.type not in (ValueType.SCALAR, ValueType.VECTOR):
            raise ParseError(
                f'invalid expression type "{expr.type.value}" for range query, '
                "must be Scalar or instant Vector"
            )
        return duration.resolve(expr, query.text, query.grid.start_ms, query.end_ms, query.grid.step_ms)

    def _plan(self, expr: Expr, query: _Query) -> Node:
        options = self.options_of(query.tenant)
        planner = Planner(query.grid, query.end_ms, options, query.lookback_ms)
        node: Node
        match expr.type:
            case ValueType.SCALAR:
                node = planner.scalar(expr, query.grid)
            case ValueType.MATRIX:
                node = planner.range(expr, query.grid)
            case _:
                node = planner.vector(expr, query.grid)
        return share(node)

    def _execute(
        self, query: _Query, control: Control, trace: Trace | None = None, tally: Tally | None = None
    ) -> Result:
        began = time.perf_counter()
        expr = self._parse(query)
        annotations = Annotations(query.text)
        options = self.options_of(query.tenant)
        run = Run(self._storage, query.tenant, options, control, annotations, tally=tally)
        control.check()
        literal = unwrap(expr)
        if isinstance(literal, String):
            return Result(ResultKind.STRING, Text(query.grid.start_ms, literal.value))
        node = self._plan(expr, query)
        if trace is not None:
            node = trace.root = traced(node, trace)
            run.costs_of = trace.costs
        planned = time.perf_counter()
        control.hold(0, query.grid.count * CELL_BYTES)
        with np.errstate(all="ignore"):
            kind, data = _answer(run, node, query)
        if tally is not None:
            run.stats.counts = tally.of(node)
        run.stats.prepare_s = planned - began
        run.stats.eval_s = time.perf_counter() - planned
        run.stats.samples_peak, run.stats.memory_bytes_peak = control.samples_peak, control.memory_bytes_peak
        return Result(kind, data, annotations.warnings(), annotations.infos(), run.stats)


def _answer(run: Run, node: Node, query: _Query) -> tuple[ResultKind, Data]:
    grid = query.grid
    match node:
        case ScalarNode():
            values = node.values(run)
            if query.instant:
                return ResultKind.SCALAR, Scalar(grid.start_ms, float(values[0]))
            nameless = LabelSets.from_dicts([{}])
            present = np.ones((1, grid.count), dtype=np.bool_)
            matrix = RangeMatrix(nameless, grid.start_ms, grid.step_ms, values[np.newaxis, :], present)
            return ResultKind.MATRIX, matrix
        case VectorNode() if query.instant:
            return ResultKind.VECTOR, _vector(run, node, grid)
        case VectorNode():
            return ResultKind.MATRIX, _matrix(run, node, grid)
        case RangeNode():
            return ResultKind.MATRIX, _frame(run, node)
        case _:
            raise TypeError(f"no answer from {node.title()}")


def _named(run: Run, stream: Stream, steps: int) -> Stream:
    """The stream with names dropped where that was put off to the end."""
    if not stream.drop_name.any():
        if run.delayed_names and stream.labels.duplicate() is not None:
            return merge_rows(run, stream, steps)
        return stream
    labels = _without_names(stream.labels, stream.drop_name)
    named = Stream(labels, np.zeros_like(stream.drop_name), stream.blocks)
    return named if labels.duplicate() is None else merge_rows(run, named, steps)


def _without_names(labels: LabelSets, flags: NDArray[np.bool_]) -> LabelSets:
    if flags.all():
        return labels.drop(RESERVED)
    for name in RESERVED:
        codes, values = labels.column(name)
        labels = labels.with_column(name, np.where(flags, len(values), codes).astype(np.int32), [*values, ""])
    return labels


def _vector(run: Run, node: VectorNode, grid: Grid) -> InstantVector:
    matrix = run.matrix(_named(run, node.open(run), 1), 1)
    matrix = matrix.take(np.flatnonzero(matrix.block.filled[:, 0]))
    if not node.ordered:
        matrix = matrix.take(_sort_order(run, matrix.labels))
    values, own = np.ascontiguousarray(matrix.block.values[:, 0]), matrix.block.histograms
    histograms = None if own is None else HistogramCells(np.ascontiguousarray(own.index[:, 0]), own.pool)
    return InstantVector(matrix.labels, grid.start_ms, values, histograms)


def _matrix(run: Run, node: VectorNode, grid: Grid) -> RangeMatrix:
    stream = _named(run, node.open(run), grid.count)
    matrix = run.matrix(stream, grid.count)
    filled = np.any(matrix.block.filled, axis=1)
    order = _sort_order(run, matrix.labels)
    matrix = matrix.take(order[filled[order]])
    block = matrix.block
    return RangeMatrix(
        matrix.labels, grid.start_ms, grid.step_ms, block.values, block.present, block.histograms
    )


def _sort_order(run: Run, labels: LabelSets) -> NDArray[np.int64]:
    began = time.perf_counter()
    order = labels.natural_order([], False)
    run.stats.sort_s += time.perf_counter() - began
    return order


def _frame(run: Run, node: RangeNode) -> SeriesFrame:
    """Samples of the one window of an instant query."""
    stream = node.open(run)
    labels = stream.labels
    if stream.drop_name.any():
        labels = _without_names(labels, stream.drop_name)
    samples = RawSamples.of(run, node, stream)
    order = _sort_order(run, labels)
    return samples.frame(labels, order[samples.sizes[order] > 0])
