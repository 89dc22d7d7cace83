from __future__ import annotations

import pytest

from rondel.errors import ExecutionError
from tests.support.queries import engine, instant, ranged

SIDES = """
    l{a="1", b="1"} 1
    l{a="1", b="2"} 2
    l{a="2", b="1"} 3
    r{a="1", c="x"} 10
    r{a="2", c="y"} 20
"""


def failure(query: str, text: str = SIDES) -> str:
    with pytest.raises(ExecutionError) as caught:
        instant(engine(text), query)
    return str(caught.value)


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("1 + 2 * 3", {"": 7}),
        ("-2 ^ 2", {"": -4}),
        ("1 > bool 2", {"": 0}),
        ('l{a="2"} - 1', {'{a="2", b="1"}': 2}),
        ('1 - l{a="2"}', {'{a="2", b="1"}': -2}),
        ("l > 2", {'l{a="2", b="1"}': 3}),
        ("2 < l", {'l{a="2", b="1"}': 3}),
        ('l{a="1"} >= bool 2', {'{a="1", b="1"}': 0, '{a="1", b="2"}': 1}),
        ('l{b="1"} * on(a) r', {'{a="1"}': 10, '{a="2"}': 60}),
        ('l{b="1"} < on(a) r', {'{a="1"}': 1, '{a="2"}': 3}),
        ('l{b="1"} < ignoring(b, c) r', {'l{a="1"}': 1, 'l{a="2"}': 3}),
        (
            "l * on(a) group_left(c) r",
            {'{a="1", b="1", c="x"}': 10, '{a="1", b="2", c="x"}': 20, '{a="2", b="1", c="y"}': 60},
        ),
        ("r / on(a) group_right l", {'{a="1", b="1"}': 10, '{a="1", b="2"}': 5, '{a="2", b="1"}': 20 / 3}),
        ("l + none", {}),
        ("l == l", {'l{a="1", b="1"}': 1, 'l{a="1", b="2"}': 2, 'l{a="2", b="1"}': 3}),
    ],
)
def test_answers(query: str, answer: dict[str, float]) -> None:
    assert instant(engine(SIDES), query) == answer


def test_a_filter_with_group_right_passes_on_the_value_of_the_left_side() -> None:
    assert instant(engine(SIDES), "r > on(a) group_right l")['l{a="2", b="1"}'] == 20


def test_several_on_the_one_side_are_named() -> None:
    assert failure("r + on(a) l") == (
        'found duplicate series for the match group {a="1"} on the right hand-side of the operation: '
        '[{__name__="l", a="1", b="1"}, {__name__="l", a="1", b="2"}];many-to-many matching not allowed: '
        "matching labels must be unique on one side"
    )
    assert "on the left hand-side" in failure("l + on(a) group_right l")


def test_several_on_the_left_ask_for_group_left() -> None:
    assert failure("l + on(a) r") == (
        "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
    )


def test_included_labels_must_leave_results_apart() -> None:
    text = 'l{a="1", c="p"} 1\nl{a="1", c="q"} 2\nr{a="1", c="x"} 10'
    message = "multiple matches for labels: grouping labels must ensure unique matches"
    assert failure("l * on(a) group_left(c) r", text) == message


def test_matches_are_judged_step_by_step() -> None:
    text = 'r{i="1"} 1 1 stale _ _ _\nr{i="2"} _ _ _ 2 2 2\nl 10 10 10 10 10 10'
    assert ranged(engine(text), "l + on() r", 5) == {"{}": [11, 11, None, 12, 12, 12]}
    left = 'l{i="1"} 1 1 stale _ _ _\nl{i="2"} _ _ _ 2 2 2\nr 10 10 10 10 10 10'
    assert ranged(engine(left), "l + on() r", 5) == {"{}": [11, 11, None, 12, 12, 12]}


def test_duplicates_are_no_error_where_the_other_side_is_empty() -> None:
    text = 'r{i="1"} 1 1\nr{i="2"} 1 1\nl _ _ 1'
    assert ranged(engine(text), "l + on() r", 1) == {}


def test_an_included_label_may_change_over_time() -> None:
    text = 'info{v="1"} 1 1 stale _ _ _\ninfo{v="2"} _ _ _ 1 1 1\nx 0+1x5'
    assert ranged(engine(text), "x * on() group_left(v) info", 5) == {
        '{v="1"}': [0, 1, None, None, None, None],
        '{v="2"}': [None, None, None, 3, 4, 5],
    }


def test_batches_do_not_show_in_joins() -> None:
    text = "\n".join(f'l{{i="{i}", j="{i % 3}"}} {i}+1x3\nr{{j="{i}"}} {i}' for i in range(20))
    whole, parts = engine(text), engine(text, batch_series_max=3)
    for query in ("l * on(j) group_left r", "l or r", "l and on(j) r", "l unless on(j) r", "l + l"):
        assert ranged(parts, query, 3) == ranged(whole, query, 3), query


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("a and b", {"a": [1, None, None, None]}),
        ("a or b", {"a": [1, 1, None, None], "b": [None, None, 2, None]}),
        ("a unless b", {"a": [None, 1, None, None]}),
        ("a or a", {"a": [1, 1, None, None]}),
        ("(a > 5) or b", {"b": [2, None, 2, None]}),
    ],
)
def test_set_operators_look_at_each_step(query: str, answer: dict[str, list[float | None]]) -> None:
    assert ranged(engine("a 1 1 stale _\nb 2 stale 2 stale"), query, 3) == answer


def test_set_operators_match_on_labels() -> None:
    one = engine(SIDES)
    assert set(instant(one, 'l and on(a) r{c="x"}')) == {'l{a="1", b="1"}', 'l{a="1", b="2"}'}
    assert set(instant(one, 'l unless on(a) r{c="x"}')) == {'l{a="2", b="1"}'}
    assert len(instant(one, "l or on(a) r")) == 3


def test_fill_stands_in_for_a_missing_partner() -> None:
    one = engine('l{i="a"} 1 stale\nl{i="b"} 2 2\nr{i="a"} 10 10')
    assert ranged(one, "l + fill(0) r", 1) == {'{i="a"}': [11, 10], '{i="b"}': [2, 2]}
    assert ranged(one, "l + fill_left(5) r", 1) == {'{i="a"}': [11, 15]}
    assert ranged(one, "l + fill_right(5) r", 1) == {'{i="a"}': [11, None], '{i="b"}': [7, 7]}


def test_delayed_name_removal_keeps_names_apart_until_the_end() -> None:
    text = 'x{i="1"} 0+60x5\ny{i="1"} 0+120x5'
    delayed = engine(text, features=frozenset({"promql-delayed-name-removal"}))
    query = 'label_replace(rate({__name__=~"x|y"}[5m]), "was", "$1", "__name__", "(.*)")'
    assert instant(delayed, query, 5) == {'{i="1", was="x"}': 1, '{i="1", was="y"}': 2}
    with pytest.raises(ExecutionError, match="same labelset"):
        instant(delayed, 'rate({__name__=~"x|y"}[5m])', 5)
    with pytest.raises(ExecutionError, match="same labelset"):
        instant(engine(text), query, 5)


def many_sides(rows: int) -> str:
    return "\n".join(f'l{{i="{k}"}} 1 1\nr{{i="{k}"}} 1 1' for k in range(rows))


@pytest.mark.parametrize("operator", ["* on()", "* on() group_left()", "* on() group_right()"])
def test_sides_that_all_match_each_other_are_refused_before_their_pairs_are_made(operator: str) -> None:
    one = engine(many_sides(400), memory_bytes_max=2_000_000)
    with pytest.raises(ExecutionError, match=r"found duplicate series for the match group \{\}"):
        instant(one, f"l {operator} r")


def test_many_that_match_are_joined_where_only_one_of_them_is_there_at_a_step() -> None:
    lone = "\n".join(f'l{{i="{k}"}} 1x3\nr{{i="{k}"}} {"_ " * k}{k} stale' for k in range(60))
    assert ranged(engine(lone), "sum(l * on() group_left() r)", 2) == {"{}": [0, 60, 120]}
    late = "\n".join(f'l{{i="{k}"}} _ 1\nr{{i="{k}"}} 1 stale' for k in range(60)) + "\nr 7 7"
    assert ranged(engine(late), "sum(l * on() group_left() r)", 1) == {"{}": [None, 420]}


def test_a_filled_many_side_is_charged_to_the_query() -> None:
    one = engine(many_sides(400), memory_bytes_max=120_000, batch_series_max=8)
    assert ranged(one, "count(l * on(i) group_left() r)", 20)
    with pytest.raises(ExecutionError, match="too much memory"):
        ranged(one, "count(l * on(i) group_left() fill_right(0) r)", 20)


def test_names_that_go_at_once_may_not_make_two_rows_one() -> None:
    """At whatever steps they have samples; who asks where there are none asks without names."""
    one = engine('x{i="1"} 1 stale\ny{i="1"} _ 2')
    for query in ('-{i="1"}', 'sum_over_time({i="1"}[1m])'):
        with pytest.raises(ExecutionError, match="same labelset"):
            ranged(one, query, 1)
    assert ranged(one, 'abs({i="1"})', 1) == {'{i="1"}': [1, 2]}
    assert ranged(one, 'absent_over_time({__name__=~"x|y"}[1m])', 1) == {}
