from __future__ import annotations

from collections.abc import Iterator
from textwrap import dedent

import pytest

from rondel.promql import explain
from rondel.promql.matrix import Grid
from rondel.promql.operators.node import Node
from rondel.promql.options import EngineOptions
from rondel.promql.parser import ParserOptions, parse
from rondel.promql.plan import Planner, _Numbers
from tests.support.queries import engine

MINUTE_MS = 60_000


def plan(query: str, *, start: int = 10, end: int = 20) -> str:
    node = engine("").explain(query, start * MINUTE_MS, end * MINUTE_MS, MINUTE_MS)
    assert node is not None
    return explain.text(node)


def test_a_selector_knows_the_time_range_that_its_lookback_needs() -> None:
    assert plan('x{a!="b"}') == 'select {a!="b", __name__="x"} 300001..1200000 at 600000'


def test_an_offset_moves_the_range_and_the_windows() -> None:
    assert plan("x offset 2m") == 'select {__name__="x"} 180001..1080000 at 480000'


def test_an_aggregated_rate_is_a_chain_of_streams() -> None:
    assert plan("sum by (y) (rate(x[5m]))") == dedent(
        """\
        aggregate sum by (y)
          window rate 300000ms
            select range {__name__="x"} 300001..1200000"""
    )


def test_what_at_pins_is_evaluated_once() -> None:
    assert plan("sum(x @ 60) / y") == dedent(
        """\
        join / one-to-one ignoring ()
          once
            aggregate sum
              select {__name__="x"} -239999..60000 at 60000
          select {__name__="y"} 300001..1200000 at 600000"""
    )


def test_at_start_and_end_are_those_of_the_query_inside_subqueries_too() -> None:
    assert plan("max_over_time((x @ end())[5m:1m])") == dedent(
        """\
        window max_over_time 300000ms
          subquery 300000ms 360000..1200000 step 60000
            once
              select {__name__="x"} 900001..1200000 at 1200000"""
    )


def test_a_subquery_runs_on_multiples_of_its_step() -> None:
    assert plan("sum_over_time(x[3m:2m])", start=10, end=10) == dedent(
        """\
        window sum_over_time 180000ms
          subquery 180000ms 480000..600000 step 120000
            select {__name__="x"} 180001..600000 at 480000"""
    )


def test_a_function_of_time_is_not_pinned_by_at() -> None:
    assert plan("timestamp(x @ 60)").startswith("select times")


def test_equal_subtrees_are_one() -> None:
    assert plan("rate(x[5m]) / (rate(x[5m]) + 1)") == dedent(
        """\
        join / one-to-one ignoring ()
          shared #1
            window rate 300000ms
              select range {__name__="x"} 300001..1200000
          vector + scalar
            shared #1 (above)
            number 1"""
    )


@pytest.mark.parametrize("query", ["x / y", "x offset 1m / x", "min_over_time(x[5m]) / min_over_time(x[6m])"])
def test_different_subtrees_stay_apart(query: str) -> None:
    assert "shared" not in plan(query)


def test_what_is_inside_a_shared_subtree_is_shared_with_it() -> None:
    assert plan("((x + y) * 2) / ((x + y) * 2) + x").count("shared #") == 4
    assert plan("((x + y) * 2) / ((x + y) * 2)").count("shared #") == 2


@pytest.mark.parametrize(
    "query",
    [
        "x" + " + x" * 60,
        "(x + y) * (x + y) - (x + y) / y",
        "sum(rate(x[5m])) / count(rate(x[5m])) > sum(rate(x[5m]))",
        "max_over_time((x + x)[5m:1m]) or max_over_time((x + x)[5m:1m])",
        "histogram_quantile(0.9, x) + histogram_quantile(0.9, x) + histogram_quantile(0.8, x)",
        "x + 0 * y + -0 * y + 0 * y",
    ],
)
def test_what_is_shared_is_what_is_equal(query: str) -> None:
    """Equality of whole subtrees is the slow twin of their numbers."""
    grid = Grid(0, MINUTE_MS, 5)
    expr = parse(query, ParserOptions.of(["all"]))
    root = Planner(grid, grid.end_ms, EngineOptions(), 300_000).vector(expr, grid)
    numbers = _Numbers()
    nodes = list(everything(root))
    for one in nodes:
        for other in nodes:
            assert (one == other) == (numbers.of(one) == numbers.of(other))


def everything(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children():
        yield from everything(child)


def test_shared_subtrees_are_selected_and_read_once() -> None:
    one = engine('x{i="1"} 1 2 3\nx{i="2"} 1 2 3')
    one.instant("tenant", "sum(x) / count(x)", 120_000, one.control())
    storage = one._storage
    assert (len(storage.selects), storage.reads) == (1, [2])  # type: ignore[attr-defined]


def test_a_shared_subtree_too_large_to_keep_streams_again() -> None:
    text = "\n".join(f'x{{i="{i}"}} 1 2 3' for i in range(100))
    small = engine(text, memory_bytes_max=3000, batch_series_max=10)
    control = small.control()
    result = small.instant("tenant", "sum(x) / count(x)", 120_000, control)
    assert result.stats.samples_read == 600
