"""The grammar of scripts: commands, expectations, and what is refused with its line."""

from __future__ import annotations

import pytest

from tests.promql.script import Clear, Command, Eval, Expectation, Load, RangeTimes, parse_script
from tests.promql.series import ScriptError, SeriesLine


def commands(text: str) -> list[Command]:
    return list(parse_script(text))


def evaluation(text: str) -> Eval:
    [command] = commands(text)
    assert isinstance(command, Eval)
    return command


def test_comments_and_blank_lines_part_commands() -> None:
    found = commands("# a\n\nclear\n\n  # b\nload 5m\n  m 1 2\n\n\neval instant at 1m m\n  m 1\n")
    assert [type(command) for command in found] == [Clear, Load, Eval]
    assert [command.line for command in found] == [3, 6, 10]


def test_load_has_a_gap_and_series() -> None:
    [load] = commands('load 90s\n  m{a="1"} 1x2\n  n 3')
    assert isinstance(load, Load)
    assert load.gap_ms == 90_000
    assert [line.labels["__name__"] for line in load.series] == ["m", "n"]
    assert not load.custom_buckets


def test_load_tells_custom_buckets() -> None:
    [load] = commands("load_with_nhcb 1m\n  m 1 2")
    assert isinstance(load, Load)
    assert load.custom_buckets
    assert len(load.series) == 1


def test_start_times_stand_before_the_series_that_they_are_of() -> None:
    [load] = commands('load 1m\n  n 1\n  m{a="1"}@st _ -30s-1mx2 +1ms _x2\n  m{a="1"} 1+1x6')
    assert isinstance(load, Load)
    other, series = load.series
    assert other.starts == ()
    assert series.starts == (None, -30_000, -90_000, -150_000, 1, None, None)


@pytest.mark.parametrize(
    "body",
    [
        "m@st 0 0\n  m 1",
        "m@st 0\n  n 1",
        "m@st 0\n  m@st 0\n  m 1",
        "m 1\n  m@st 0",
        "m@st 1\n  m 1",
        "m@st 0-1m\n  m 1",
    ],
)
def test_start_times_that_fit_no_series_are_an_error(body: str) -> None:
    with pytest.raises(ScriptError, match="line 1: "):
        commands(f"load 1m\n  {body}\n")


def test_an_instant_query_is_at_its_time_or_at_zero() -> None:
    assert evaluation("eval instant at 1h30m sum(m)").time_ms == 5_400_000
    assert evaluation("eval instant at 90s m").query == "m"
    assert evaluation("eval instant sum(m)").time_ms == 0


def test_a_range_query_has_three_times_and_the_rest_is_the_query() -> None:
    command = evaluation("eval range from 0 to 10m step 1m30s m offset 5m")
    assert command.times == RangeTimes(0, 600_000, 90_000)
    assert command.query == "m offset 5m"
    assert command.time_ms is None


def test_series_a_number_and_a_string_may_be_expected() -> None:
    command = evaluation('eval instant at 0 m\n  m{a="1"} 1\n  {b="2"} 2')
    assert command.series == [SeriesLine({"__name__": "m", "a": "1"}, (1.0,)), SeriesLine({"b": "2"}, (2.0,))]
    assert evaluation("eval instant at 0 1+1\n  2").scalar == 2
    assert evaluation('eval instant at 0 "a"\n  expect string "a\\n"').string == "a\n"


def test_a_range_vector_may_be_expected_of_an_instant_query() -> None:
    command = evaluation("eval instant at 2m m[2m]\n  expect range vector from 1m to 2m step 1m\n  m 1 2")
    assert command.range_vector == RangeTimes(60_000, 120_000, 60_000)
    assert command.series[0].items == (1, 2)


@pytest.mark.parametrize(
    ("line", "name", "expected"),
    [
        ("expect fail", "fail", Expectation()),
        ("expect fail msg: too bad", "fail", Expectation("too bad")),
        ("expect fail regex:too .*", "fail", Expectation("too .*", is_regex=True)),
        ("expected_fail_message too bad", "fail", Expectation("too bad")),
        ("expected_fail_regexp too .*", "fail", Expectation("too .*", is_regex=True)),
        ("expect warn", "warn", [Expectation()]),
        ("expect warn msg:x", "warn", [Expectation("x")]),
        ("expect info regex:x", "info", [Expectation("x", is_regex=True)]),
        ("expect no_warn", "no_warn", True),
        ("expect no_info", "no_info", True),
        ("expect ordered", "ordered", True),
    ],
)
def test_expect_forms(line: str, name: str, expected: object) -> None:
    assert getattr(evaluation(f"eval instant at 0 m\n  {line}"), name) == expected


@pytest.mark.parametrize(
    ("word", "name", "expected"),
    [
        ("eval_fail", "fail", Expectation()),
        ("eval_warn", "warn", [Expectation()]),
        ("eval_info", "info", [Expectation()]),
        ("eval_ordered", "ordered", True),
    ],
)
def test_old_words_expect_too(word: str, name: str, expected: object) -> None:
    assert getattr(evaluation(f"{word} instant at 0 m"), name) == expected


def test_a_text_is_matched_whole_and_a_regex_anywhere() -> None:
    assert Expectation().matches("anything")
    assert Expectation("a").matches("a")
    assert not Expectation("a").matches("ab")
    assert Expectation("b", is_regex=True).matches("abc")
    assert not Expectation("^b", is_regex=True).matches("abc")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nlaod 5m", "line 2: unknown command 'laod 5m'"),
        ("load", "line 1: load command expected"),
        ("load 5q\n  m 1", "line 1: not a valid duration"),
        ("load 5m\n  m one", "line 1: sample expected at 'one'"),
        ("eval m", "line 1: eval command expected"),
        ("eval range from 5m to 1m step 1m m", "line 1: the end 1m is before the start 5m"),
        ("eval instant at 0 m\n  m 1 2", "line 1: more than one value for an instant query"),
        ("eval instant at 0 m\n  m 1\n  m 2", "line 1: series expected twice"),
        ("eval instant at 0 m\n  expect nothing", "line 1: expectation expected"),
    ],
)
def test_a_script_that_is_wrong_names_its_line(text: str, message: str) -> None:
    with pytest.raises(ScriptError) as caught:
        commands(text)
    assert str(caught.value).startswith(message)
