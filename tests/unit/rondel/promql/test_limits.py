"""Limits of a query: each error says what the query wants, the limit, and the setting."""

from __future__ import annotations

import dataclasses

import pytest

from rondel.errors import ExecutionError
from rondel.promql.engine import Engine
from rondel.promql.limits import NO_LIMITS, QueryLimits
from rondel.promql.options import EXPERIMENTAL_FUNCTIONS, EngineOptions
from tests.support.queries import instant, loaded, ranged

SERIES = 'x{i="a"} 1+1x9\nx{i="b"} 2+1x9\ny 3+1x9'


def limited(tenant: str = "", **limits: int) -> Engine:
    """An engine with these limits alone, of one tenant or of all."""
    options = EngineOptions(limits=dataclasses.replace(NO_LIMITS, **limits))
    if tenant:
        return Engine(loaded(SERIES), EngineOptions(), {tenant: options})
    return Engine(loaded(SERIES), options)


@pytest.mark.parametrize(
    ("limits", "query", "message"),
    [
        ({"query_bytes_max": 5}, "x + x ", "has too many bytes: 6 (limit: 5, set by query.query_bytes_max)"),
        ({"query_bytes_max": 3}, '"é"', "has too many bytes: 4 (limit: 3, set by query.query_bytes_max)"),
        ({"selectors_max": 2}, "x + (y - sum_over_time(x[1m]))", "has too many selectors: 3 (limit: 2,"),
        ({"matchers_max": 1}, 'rate(x{i="a"}[5m])', "has a selector of too many matchers: 2 (limit: 1,"),
        ({"regex_bytes_max": 3}, 'sum(x{i=~"abcd"})', "regular expression of too many bytes: 4 (limit: 3,"),
        ({"regex_bytes_max": 3}, 'x{i!~"abcd"}', "regular expression of too many bytes: 4 (limit: 3,"),
        (
            {"regex_bytes_max": 3},
            'label_replace(x, "b", "", "i", "abcd")',
            "regular expression of too many bytes: 4 (limit: 3, set by query.regex_bytes_max)",
        ),
        ({"series_max": 1}, "x", "selects too many series: 2 (limit: 1, set by query.series_max)"),
        ({"series_max": 2}, "x + on() group_left y", "selects too many series: 3 (limit: 2,"),
        ({"samples_read_max": 9}, "sum_over_time(x[5m])", "reads too many samples: 10 (limit: 9,"),
        ({"bytes_read_max": 100}, "sum_over_time(x[5m])", "reads too many bytes: 184 (limit: 100,"),
        (
            {"lookup_range_ms_max": 240_000},
            "sum_over_time(y[5m])",
            "looks at too many milliseconds: 299999 (limit: 240000, set by query.lookup_range_ms_max)",
        ),
    ],
)
def test_what_is_above_a_limit_is_an_error_of_the_query(
    limits: dict[str, int], query: str, message: str
) -> None:
    with pytest.raises(ExecutionError) as caught:
        instant(limited(**limits), query, 9)
    assert message in str(caught.value)
    assert caught.value.status == 422


@pytest.mark.parametrize(
    ("limits", "query"),
    [
        ({"query_bytes_max": 5}, "x + x"),
        ({"selectors_max": 2}, "x + y"),
        ({"matchers_max": 2}, 'x{i="a"}'),
        ({"regex_bytes_max": 4}, 'x{i=~"abcd"}'),
        ({"regex_bytes_max": 1}, 'x{i!="abcd"}'),
        ({"series_max": 3}, "x + on() group_left y"),
        ({"series_max": 2}, "x + x"),
        ({"samples_read_max": 10}, "sum_over_time(x[5m])"),
        ({"bytes_read_max": 184}, "sum_over_time(x[5m])"),
        ({"lookup_range_ms_max": 299_999}, "sum_over_time(y[5m])"),
    ],
)
def test_what_reaches_a_limit_is_answered(limits: dict[str, int], query: str) -> None:
    instant(limited(**limits), query, 9)


def test_series_and_samples_add_up_over_the_batches_of_a_query() -> None:
    options = EngineOptions(batch_series_max=1, limits=dataclasses.replace(NO_LIMITS, samples_read_max=19))
    with pytest.raises(ExecutionError, match="reads too many samples: 20"):
        ranged(Engine(loaded(SERIES), options), "x", 9)


def test_a_subquery_looks_at_all_of_its_time() -> None:
    with pytest.raises(ExecutionError, match="looks at too many milliseconds: 3839999"):
        instant(limited(lookup_range_ms_max=1_000_000), "max_over_time(x[1h:1m])", 60)


def test_a_tenant_has_limits_of_its_own() -> None:
    engine = limited("tenant", series_max=1)
    with pytest.raises(ExecutionError, match="selects too many series"):
        engine.instant("tenant", "x", 0, engine.control("tenant"))
    assert engine.instant("other", "x", 0, engine.control("other")).stats.series == 2


def test_a_tenant_has_features_of_its_own() -> None:
    plain = EngineOptions()
    more = EngineOptions(features=frozenset({EXPERIMENTAL_FUNCTIONS}))
    engine = Engine(loaded(SERIES), plain, {"early": more})
    assert engine.instant("early", "mad_over_time(x[5m])", 0, engine.control("early")).stats.series == 2
    with pytest.raises(Exception, match="is not enabled"):
        engine.instant("other", "mad_over_time(x[5m])", 0, engine.control("other"))


def test_every_limit_has_a_sane_default_and_0_lifts_it() -> None:
    instant(Engine(loaded(SERIES), EngineOptions(limits=QueryLimits())), "sum(rate(x[5m]))", 9)
    for field in dataclasses.fields(QueryLimits):
        instant(limited(**{field.name: 0}), 'sum(rate(x{i=~"a|b"}[5m]))', 9)
