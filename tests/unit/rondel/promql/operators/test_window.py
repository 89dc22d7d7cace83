from __future__ import annotations

import pytest

from rondel.errors import ExecutionError
from tests.support.queries import engine, instant, ranged


def test_functions_that_pick_a_sample_keep_the_name_and_others_drop_it() -> None:
    one = engine("x 1 2 3")
    assert instant(one, "last_over_time(x[5m])", 2) == {"x": 3}
    assert instant(one, "first_over_time(x[5m])", 2) == {"x": 1}
    assert instant(one, "max_over_time(x[5m])", 2) == {"{}": 3}


def test_series_that_only_differ_in_name_clash_once_the_name_is_gone() -> None:
    one = engine("x 1 2\ny 1 2", batch_series_max=1)
    with pytest.raises(ExecutionError, match="vector cannot contain metrics with the same labelset"):
        instant(one, 'rate({__name__=~"x|y"}[5m])', 1)


def test_predict_linear_starts_at_the_step_also_under_offset_and_at() -> None:
    one = engine("x 0+60x20")
    assert instant(one, "predict_linear(x[5m], 60)", 10)["{}"] == pytest.approx(660)
    assert instant(one, "predict_linear(x[5m] offset 5m, 60)", 10)["{}"] == pytest.approx(660)
    answer = ranged(one, "predict_linear(x[5m] @ 600, 0)", 2)
    assert answer["{}"] == pytest.approx([0, 60, 120], abs=1e-6)


@pytest.mark.parametrize(("smoothing", "trend", "name"), [("0", "0.5", "smoothing"), ("0.5", "1", "trend")])
def test_smoothing_factors_lie_between_0_and_1(smoothing: str, trend: str, name: str) -> None:
    one = engine("x 1 2 3")
    with pytest.raises(ExecutionError, match=f"invalid {name} factor. Expected: 0 < {name[0]}f < 1"):
        instant(one, f"double_exponential_smoothing(x[5m], {smoothing}, {trend})", 2)


def test_the_quantile_may_change_from_step_to_step() -> None:
    one = engine("x 0 10 20\nq 0 0.5 1")
    assert ranged(one, "quantile_over_time(scalar(q), x[5m])", 2) == {"{}": [0, 5, 20]}


def test_subqueries_look_at_multiples_of_their_step_and_not_at_the_left_edge() -> None:
    one = engine("x 0+1x30")
    assert instant(one, "count_over_time(x[10m:2m])", 20) == {"{}": 5}
    assert instant(one, "count_over_time(x[10m:2m])", 21) == {"{}": 5}
    assert instant(one, "min_over_time(x[10m:2m] offset 1m)", 21) == {"{}": 12}
    assert instant(one, "sum_over_time(x[2m:1m] @ 300)", 20) == {"{}": 9}


def test_a_subquery_without_a_step_takes_that_of_the_engine() -> None:
    assert instant(engine("x 0+1x30", subquery_step_ms=120_000), "count_over_time(x[10m:])", 20) == {"{}": 5}


def test_a_subquery_in_whose_window_no_step_falls_is_empty() -> None:
    assert instant(engine("x 0+1x30"), "count_over_time(x[1m:1h])", 20) == {}


def test_subqueries_nest() -> None:
    one = engine("x_total 0+60x30")
    nested = "max_over_time(sum_over_time(rate(x_total[2m])[4m:1m])[10m:5m])"
    assert instant(one, nested, 20) == {"{}": pytest.approx(4)}
