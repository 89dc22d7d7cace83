"""How evals are run and what is said of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from rondel.promql.parser import ParserOptions, parse
from rondel.promql.printer import print_expr
from tests.promql.conformance import main
from tests.promql.rewrite import depends_on_query_times, pin, pinnable
from tests.promql.runner import Outcome, Verdict, run_script
from tests.promql.series import ScriptError
from tests.promql.worlds import InProcess

LOAD = "load 1m\n  m 1 2 3\n\n"


def outcomes(path: Path, text: str) -> list[Outcome]:
    script = path / "one.test"
    script.write_text(text, encoding="utf-8")
    return list(run_script(script, InProcess()))


def verdicts(path: Path, text: str) -> list[Verdict]:
    return [outcome.verdict for outcome in outcomes(path, text)]


def test_each_eval_has_a_verdict_with_its_line_and_what_differs(tmp_path: Path) -> None:
    right, wrong = outcomes(tmp_path, LOAD + "eval instant at 1m m\n  m 2\n\neval instant at 1m m\n  m 3\n")
    assert right == Outcome(4, "m", Verdict.PASSED)
    assert (wrong.line, wrong.verdict) == (7, Verdict.FAILED)
    assert "expected 3.0 for m{}, got 2.0" in wrong.detail


def test_clear_drops_all_series(tmp_path: Path) -> None:
    assert verdicts(tmp_path, LOAD + "clear\n\neval instant at 1m m\n") == [Verdict.PASSED]


def test_loads_add_up_and_the_last_line_for_a_series_counts(tmp_path: Path) -> None:
    text = "load 1m\n  m 1\n  m 2\n\nload 1m\n  n 3\n\neval instant at 0 m + on() n\n  {} 5\n"
    assert verdicts(tmp_path, text) == [Verdict.PASSED]


@pytest.mark.parametrize(
    ("expectation", "verdict"),
    [
        ("expect fail", Verdict.PASSED),
        ("expect fail regex:same labelset", Verdict.PASSED),
        ("expect fail msg:vector cannot contain metrics with the same labelset", Verdict.PASSED),
        ("expect fail msg:same labelset", Verdict.FAILED),
        ("", Verdict.FAILED),
    ],
)
def test_an_error_is_expected_or_a_failure(tmp_path: Path, expectation: str, verdict: Verdict) -> None:
    text = f"load 1m\n  a 1\n  b 1\n\neval instant at 0 -{{__name__=~'a|b'}}\n  {expectation}\n"
    assert verdicts(tmp_path, text) == [verdict]


def test_an_error_that_does_not_come_is_a_failure(tmp_path: Path) -> None:
    [outcome] = outcomes(tmp_path, LOAD + "eval instant at 0 m\n  expect fail\n")
    assert outcome.verdict is Verdict.FAILED
    assert outcome.detail == "expected an error, got none"


def test_text_that_does_not_parse_fails_its_eval_alone(tmp_path: Path) -> None:
    text = LOAD + "eval instant at 0 sum(\n\neval instant at 0 m\n  m 1\n"
    assert verdicts(tmp_path, text) == [Verdict.FAILED, Verdict.PASSED]


def test_histograms_are_loaded_and_compared(tmp_path: Path) -> None:
    text = (
        "load 1m\n  h {{sum:1}} 1 {{sum:2}}\n\n"
        "eval instant at 0 sum(h)\n  {} {{sum:1}}\n\n"
        "eval instant at 0 sum(h)\n  {} {{sum:2}}\n\n"
        "eval range from 0 to 2m step 1m h\n  h {{sum:1}} 1 {{sum:2}}\n"
    )
    assert verdicts(tmp_path, text) == [Verdict.PASSED, Verdict.FAILED, Verdict.PASSED]


def test_custom_buckets_are_histograms_under_the_base_name(tmp_path: Path) -> None:
    load = (
        'load_with_nhcb 1m\n  h_bucket{le="2",a="b"} 3 4\n  h_bucket{le="1",a="b"} 1 2\n'
        '  h_bucket{le="x"} 9\n  h_sum{a="b"} 7 8\n  h_count{a="b"} _ 9\n\n'
    )
    text = (
        'eval instant at 0 h\n  h{a="b"} {{schema:-53 sum:7 count:3 custom_values:[1 2] buckets:[1 2]}}\n\n'
        'eval instant at 1m h\n  h{a="b"} {{schema:-53 sum:8 count:9 custom_values:[1 2] buckets:[2 2 5]}}\n'
    )
    assert verdicts(tmp_path, load + text) == [Verdict.PASSED, Verdict.PASSED]


def test_start_times_are_loaded_with_their_samples(tmp_path: Path) -> None:
    load = "load 1m\n  m@st _ -30s -30s\n  m 1 2 3\n\n"
    text = load + "eval instant at 2m resets(m[5m])\n  {} 2\n\neval instant at 2m resets(m[5m:1m])\n  {} 0\n"
    assert verdicts(tmp_path, text) == [Verdict.PASSED, Verdict.PASSED]


def test_a_script_that_is_wrong_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match="line 1: unknown command"):
        outcomes(tmp_path, "nonsense\n")


# --- the same query, pinned ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "pinned"),
    [
        ("m", "m @ 60.000"),
        ("m offset 5m", "m @ 60.000 offset 5m"),
        ("m @ 5", "m @ 5.000"),
        ("m @ start()", "m @ 60.000"),
        ("rate(m[5m])", "rate(m[5m] @ 60.000)"),
        ("sum(m) + -n", "sum(m @ 60.000) + -n @ 60.000"),
        ("sum_over_time((m + n)[5m:1m])", "sum_over_time((m + n)[5m:1m] @ 60.000)"),
        ("1", "1"),
    ],
)
def test_pinning_puts_a_time_on_every_selector_that_has_none(text: str, pinned: str) -> None:
    assert print_expr(pin(parse(text, ParserOptions.of(["all"])), 60_000)) == pinned


def test_queries_that_read_the_clock_are_not_pinned() -> None:
    assert pinnable(parse("sum(m)"))
    assert not pinnable(parse("sum(m) + time()"))
    assert not pinnable(parse("timestamp(m)"))
    assert not pinnable(parse("hour()"))


def test_queries_that_name_the_query_times_differ_in_a_range() -> None:
    assert depends_on_query_times("m @ end()")
    assert not depends_on_query_times("rangefinder + m")


# --- the command --------------------------------------------------------------------------------------


def test_the_command_succeeds_only_where_every_eval_passed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "a.test"
    script.write_text(LOAD + "eval instant at 1m m\n  m 2\n", encoding="utf-8")
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 of 1"
    script.write_text(LOAD + "eval instant at 1m m\n  m 3\n", encoding="utf-8")
    assert main([str(tmp_path), "--verbose"]) == 1
    shown = capsys.readouterr().out
    assert "1 failed: lines 4" in shown
    assert "a.test:4  m" in shown


def test_the_command_fails_where_fewer_evals_pass_than_before(tmp_path: Path) -> None:
    (tmp_path / "a.test").write_text(LOAD + "eval instant at 1m m\n  m 2\n", encoding="utf-8")
    assert main([str(tmp_path), "--at-least", "1"]) == 0
    assert main([str(tmp_path), "--at-least", "2"]) == 1


def test_the_command_needs_scripts_and_survives_a_broken_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 2
    (tmp_path / "a.test").write_text("nonsense\n", encoding="utf-8")
    assert main([str(tmp_path)]) == 1
    assert "a.test: line 1: unknown command" in capsys.readouterr().out
