from __future__ import annotations

import pytest

from rondel.errors import ExecutionError, QueryCanceled, QueryTimeout
from rondel.promql.control import Control
from rondel.promql.engine import Engine
from tests.support.queries import engine, loaded


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_query_runs_until_its_deadline() -> None:
    clock = Clock()
    control = Control(timeout_s=2, clock=clock)
    clock.now_s += 2
    control.check()
    clock.now_s += 0.1
    with pytest.raises(QueryTimeout, match="query timed out in expression evaluation"):
        control.check()


def test_cancel_stops_at_the_next_check() -> None:
    control = Control()
    control.check()
    control.cancel()
    with pytest.raises(QueryCanceled, match="query was canceled in expression evaluation"):
        control.check()


def test_samples_above_the_limit_are_an_error_that_names_both() -> None:
    control = Control(samples_max=10)
    control.hold(10, 0)
    with pytest.raises(ExecutionError, match=r"too many samples into memory .*limit 10, needed at least 11"):
        control.hold(1, 0)


def test_memory_above_the_limit_is_an_error_that_names_both() -> None:
    control = Control(memory_bytes_max=1000)
    with pytest.raises(ExecutionError, match=r"limit 1000 bytes, needed at least 1001 bytes"):
        control.hold(0, 1001)


def test_what_is_released_can_be_held_again_and_the_peak_stays() -> None:
    control = Control(samples_max=10, memory_bytes_max=100)
    control.hold(8, 80)
    control.release(8, 80)
    control.hold(9, 90)
    assert (control.samples_peak, control.memory_bytes_peak) == (9, 90)


def test_a_shorter_timeout_may_be_asked_for_but_no_longer_one() -> None:
    short = engine("x 1").control(timeout_s=0.0)
    with pytest.raises(QueryTimeout):
        engine("x 1").instant("tenant", "x", 0, short)
    assert engine("x 1").options.timeout_s < 1e9
    engine("x 1").control(timeout_s=1e9).check()


def test_a_cancelled_query_reads_nothing() -> None:
    one = engine("x 1")
    control = one.control()
    control.cancel()
    with pytest.raises(QueryCanceled):
        one.instant("tenant", "sum(x)", 0, control)


@pytest.mark.parametrize("query", ["x", "topk(1, x)", "x + x", "sort(x)", "sum(x)", "x[5m]"])
def test_every_kind_of_query_respects_the_sample_limit(query: str) -> None:
    small = engine("\n".join(f'x{{i="{i}"}} 1 2 3' for i in range(20)), samples_max=5)
    with pytest.raises(ExecutionError, match="too many samples"):
        small.instant("tenant", query, 120_000, small.control())


def test_a_sum_over_many_series_holds_one_batch_of_them() -> None:
    text = "\n".join(f'x{{i="{i}"}} 0+1x9' for i in range(500))
    streaming = engine(text, batch_series_max=10)
    result = streaming.range("tenant", "sum(rate(x[5m]))", 0, 540_000, 60_000, streaming.control())
    assert result.stats.samples_read == 5000
    assert result.stats.samples_peak <= 10 * 10 + 10
    assert result.stats.series == 500


@pytest.mark.parametrize(
    "query",
    [
        "sum_over_time(vector(1)[100y:1ms])",
        "max_over_time(x[10y:1ms])",
        "count_over_time(rate(x[5m])[10y:1ms])",
        "avg_over_time((time() + x)[10y:1ms])",
    ],
)
def test_a_subquery_with_too_many_steps_is_refused_before_anything_is_allocated(query: str) -> None:
    one = engine("x 1 2 3")
    with pytest.raises(ExecutionError, match="too much memory"):
        one.instant("tenant", query, 120_000, one.control())


def test_a_range_query_with_too_many_steps_is_refused_before_anything_is_allocated() -> None:
    one = engine("x 1 2 3")
    with pytest.raises(ExecutionError, match="too much memory"):
        one.range("tenant", "time()", 0, 10**13, 1, one.control())


def test_a_join_that_pairs_too_many_rows_is_refused_before_they_are_paired() -> None:
    # Only one of the right side is there: the matching is not wrong, there is only too much of it.
    text = "\n".join(f'l{{i="{i}"}} 1\nr{{j="{i}"}} {"stale" if i else 1}' for i in range(300))
    one = engine(text, memory_bytes_max=1_000_000)
    with pytest.raises(ExecutionError, match="too much memory"):
        one.instant("tenant", "l * on() group_left r", 0, one.control())


def test_a_selector_tells_the_storage_who_waits() -> None:
    storage = loaded("x 1")
    engine = Engine(storage)
    control = engine.control()
    engine.instant("tenant", "x", 0, control)
    assert [request.watch for request in storage.selects] == [control]
