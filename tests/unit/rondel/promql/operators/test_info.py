from __future__ import annotations

import pytest

from rondel.promql import explain
from rondel.promql.ast import LabelMatcher
from rondel.promql.operators.info import LISTED_MAX, info_matchers
from tests.support.queries import CountingStorage, engine, instant


def matchers(*written: str) -> list[str]:
    given = [LabelMatcher(*text.split()) for text in written]
    return [f"{m.name} {m.op} {m.value}" for m in info_matchers(given)]


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ([], ["__name__ = target_info"]),
        (["version = 1"], ["__name__ = target_info", "version = 1"]),
        (["__name__ =~ a|b"], ["__name__ =~ a|b"]),
        (["__name__ != a_info"], ["__name__ =~ .+_info", "__name__ != a_info"]),
        (["__name__ !~ a.*", "__name__ = a_info"], ["__name__ !~ a.*", "__name__ = a_info"]),
    ],
)
def test_names_of_info_metrics_have_a_default(given: list[str], asked: list[str]) -> None:
    assert matchers(*given) == asked


def series(targets: int) -> str:
    pair = 'm{{instance="h.{k}"}} {k}\ntarget_info{{instance="h.{k}", v="{k}"}} 1'
    return "\n".join(pair.format(k=k) for k in range(targets))


@pytest.mark.parametrize("targets", [3, LISTED_MAX + 1])
def test_few_targets_are_listed_and_many_asked_for_as_any(targets: int) -> None:
    storage = engine(series(targets) + '\n target_info{instance="h_0", v="other"} 1')
    answer = instant(storage, "info(m)")
    assert answer == {f'm{{instance="h.{k}", v="{k}"}}': k for k in range(targets)}
    counting = storage._storage
    assert isinstance(counting, CountingStorage)
    wanted = counting.selects[-1].matchers
    stranger = {"__name__": "target_info", "instance": "h_0"}
    assert wanted.matches(stranger) == (targets > LISTED_MAX)


def test_no_info_series_are_asked_for_where_no_row_names_a_target() -> None:
    storage = engine("m 1\n target_info 1")
    assert instant(storage, "info(m)") == {"m": 1}
    counting = storage._storage
    assert isinstance(counting, CountingStorage)
    assert len(counting.selects) == 1


def test_an_info_of_a_pinned_selector_is_evaluated_once() -> None:
    plan = explain.text(engine("").explain("info(m @ 60)", 0, 600_000, 60_000))
    assert plan.splitlines()[0] == "once"
    assert plan.splitlines()[1] == '  info {__name__="target_info"} at 60000'
