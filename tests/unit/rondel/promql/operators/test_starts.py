"""Start timestamps through whole queries: who looks at them, and when."""

from __future__ import annotations

import pytest

from rondel.errors import ParseError
from rondel.promql.engine import Engine
from rondel.promql.options import FEATURES, START_TIMESTAMPS, EngineOptions
from tests.support.queries import engine, instant, loaded, ranged

RESET_EACH_MINUTE = "x_total@st _ -30sx9\nx_total 60x10"
OVERLAP = "sample has start time that overlaps with previous sample timestamp for metric"


def test_a_counter_that_never_falls_grows_by_its_value_where_starts_say_it_began_anew() -> None:
    one = engine(RESET_EACH_MINUTE)
    assert instant(one, "increase(x_total[5m])", 9) == {"{}": pytest.approx(300)}
    assert instant(one, "irate(x_total[5m])", 9) == {"{}": 1}
    assert instant(one, "resets(x_total[5m])", 9) == {"{}": 4}


def test_the_sum_of_rates_sees_starts_as_the_rates_do() -> None:
    one = engine('x_total{i="a"}@st _ -30sx9\nx_total{i="a"} 60x10\nx_total{i="b"} 0+60x10')
    assert ranged(one, "sum(increase(x_total[3m]))", 9)["{}"][3:] == pytest.approx([360] * 7)


def test_starts_are_ignored_without_the_feature() -> None:
    storage = loaded(RESET_EACH_MINUTE)
    plain = Engine(storage, EngineOptions(features=FEATURES - {START_TIMESTAMPS}))
    assert instant(plain, "increase(x_total[5m])", 9) == {"{}": 0}
    assert instant(plain, "resets(x_total[5m])", 9) == {"{}": 0}
    assert instant(plain, "start_timestamp(x_total)", 9) == {}


def test_a_subquery_loses_starts() -> None:
    assert instant(engine(RESET_EACH_MINUTE), "increase(x_total[5m:1m])", 9) == {"{}": 0}


def test_gauges_and_changes_have_no_start() -> None:
    one = engine(RESET_EACH_MINUTE)
    assert instant(one, "delta(x_total[5m])", 9) == {"{}": 0}
    assert instant(one, "changes(x_total[5m])", 9) == {"{}": 0}


def test_one_sample_makes_a_rate_where_its_start_is_in_the_window() -> None:
    one = engine("x_total@st -30s _\nx_total 60 _\ny_total 60 _")
    assert instant(one, "increase(x_total[5m])", 0) == {"{}": 60}
    assert instant(one, "increase(x_total[30s])", 0) == {}
    assert instant(one, "increase(y_total[5m])", 0) == {}


def test_start_timestamp_is_that_of_the_sample_seen_at_the_step() -> None:
    one = engine("x@st _ -30s _ -90s\nx 1 2 3 4")
    assert ranged(one, "start_timestamp(x)", 3) == {"{}": [0, 30, 0, 90]}
    assert ranged(one, "start_timestamp((x offset 1m))", 3) == {"{}": [None, 0, 30, 0]}
    assert ranged(one, "start_timestamp(x @ 60)", 1) == {"{}": [30, 30]}


def test_start_timestamp_of_a_stale_series_is_nothing() -> None:
    assert ranged(engine("x@st -30s _ -30s\nx 1 stale 3"), "start_timestamp(x)", 2) == {"{}": [-30, None, 90]}


@pytest.mark.parametrize("query", ["start_timestamp(x * 1)", "start_timestamp(sum(x))"])
def test_start_timestamp_of_anything_computed_is_nothing(query: str) -> None:
    assert instant(engine("x@st -30s\nx 1"), query) == {}


def test_start_timestamp_is_experimental() -> None:
    plain = Engine(loaded("x 1"), EngineOptions(features=frozenset({START_TIMESTAMPS})))
    with pytest.raises(ParseError, match='function "start_timestamp" is not enabled'):
        instant(plain, "start_timestamp(x)")


def test_overlapping_starts_are_warned_of_once_a_metric_with_how_many_windows_saw_them() -> None:
    one = engine(
        'x_total{i="a"}@st -2mx9\nx_total{i="a"} 60+60x9\nx_total{i="b"}@st -2mx9\nx_total{i="b"} 0+1x9'
    )
    text = "rate(x_total[3m])"
    alone = one.instant("tenant", 'rate(x_total{i="a"}[3m])', 240_000, one.control())
    both = one.instant("tenant", text, 240_000, one.control())
    many = one.range("tenant", text, 240_000, 480_000, 60_000, one.control())
    assert alone.warnings == [f'PromQL warning: {OVERLAP} "x_total" (1:6)']
    assert both.warnings == [f'PromQL warning: {OVERLAP} "x_total" (2 occurrences) (1:6)']
    assert many.warnings == [f'PromQL warning: {OVERLAP} "x_total" (10 occurrences) (1:6)']


@pytest.mark.parametrize("query", ["delta(x[3m])", "resets(x[3m])", "irate(x[3m])", "rate(x[3m:1m])"])
def test_only_rate_and_increase_warn_of_overlaps(query: str) -> None:
    one = engine("x@st -2mx9\nx 60+60x9")
    result = one.instant("tenant", query, 240_000, one.control())
    assert result.warnings == []


def test_resets_between_the_samples_of_an_anchored_window_are_those_that_starts_tell() -> None:
    one = engine("x@st _ -30s -90s -30s\nx 1 1 1 1\ny 1 1 1 1")
    assert instant(one, "resets(x[2m] anchored)", 3) == {"{}": 1}
    assert instant(one, "resets(x[3m] anchored)", 3) == {"{}": 2}
    assert instant(one, "changes(x[3m] anchored)", 3) == {"{}": 0}
    assert instant(one, "resets(y[3m] anchored)", 3) == {"{}": 0}


def test_overlapping_starts_of_histograms_are_warned_of_too() -> None:
    one = engine("x@st -2mx9\nx {{sum:1 count:1}}+{{sum:1 count:1}}x9")
    result = one.instant("tenant", "rate(x[3m])", 240_000, one.control())
    assert result.warnings == [f'PromQL warning: {OVERLAP} "x" (1:6)']


def test_starts_of_histograms_are_ignored_without_the_feature() -> None:
    storage = loaded("x@st _ -30sx9\nx {{sum:1 count:1}}x10")
    query = "histogram_count(increase(x[5m]))"
    plain = Engine(storage, EngineOptions(features=FEATURES - {START_TIMESTAMPS}))
    assert instant(plain, query, 9) == {"{}": 0}
    assert instant(Engine(storage, EngineOptions(features=FEATURES)), query, 9) == {"{}": pytest.approx(5)}
