"""When an answer is the expected one."""

from __future__ import annotations

import math

import pytest

from tests.promql import compare
from tests.promql.compare import Mismatch, almost_equal
from tests.promql.script import Eval, parse_script
from tests.promql.series import STALE_NAN
from tests.support.queries import engine

SERIES = 'm{i="1"} 1 10\nm{i="2"} 2 20\nh {{count:5 sum:1 buckets:[2 0 3] n_buckets:[0]}}\n'
OTHERS = (
    "schema:1 count:5 sum:1 buckets:[2 0 3]",
    "count:6 sum:1 buckets:[2 0 3]",
    "count:5 sum:2 buckets:[2 0 3]",
    "count:5 sum:1 buckets:[2 3]",
    "count:5 sum:1 buckets:[2 0 3] n_buckets:[1]",
    "count:5 sum:1 buckets:[2 0 3] z_bucket_w:1",
    "count:5 sum:1 buckets:[2 0 3] z_bucket:1",
    "count:5 sum:1 buckets:[2 0 3] counter_reset_hint:gauge",
)
"""histograms that `h` is not"""


def command(text: str) -> Eval:
    [one] = parse_script(text)
    assert isinstance(one, Eval)
    return one


def check(text: str, series: str = SERIES) -> None:
    """Runs the query of an eval and compares; raises Mismatch."""
    one, expected = engine(series), command(text)
    times = expected.times
    if times is None:
        result = one.instant("t", expected.query, expected.time_ms or 0, one.control())
        compare.notes(expected, result)
        compare.instant(expected, result)
    else:
        result = one.range("t", expected.query, times.start_ms, times.end_ms, times.step_ms, one.control())
        compare.notes(expected, result)
        compare.range_result(expected, result)


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        (1.0, 1.0, True),
        (1.0, 1.0 + 1e-6, True),
        (1.0, 1.0 + 3e-6, False),
        (1e300, 1e300 * (1 + 1e-7), True),
        (0.0, -0.0, True),
        (0.0, 1e-300, False),
        (5e-324, 0.0, True),
        (-1.0, 1.0, False),
        (math.inf, math.inf, True),
        (math.inf, -math.inf, False),
        (math.inf, 1e308, False),
        (math.nan, math.nan, True),
        (math.nan, 1.0, False),
        (STALE_NAN, STALE_NAN, True),
        (STALE_NAN, math.nan, False),
    ],
)
def test_values_are_equal_within_a_millionth(left: float, right: float, equal: bool) -> None:
    assert almost_equal(left, right) == equal
    assert almost_equal(right, left) == equal


@pytest.mark.parametrize(
    "text",
    [
        'eval instant at 0 m\n  m{i="2"} 2\n  m{i="1"} 1',
        'eval instant at 0 sort_desc(m)\n  expect ordered\n  m{i="2"} 2\n  m{i="1"} 1',
        "eval instant at 0 none",
        "eval instant at 0 1 + 1\n  2",
        "eval instant at 0 1 + 1\n  {} 2",
        'eval instant at 0 "x"\n  expect string "x"',
        'eval instant at 1m m{i="1"}[2m]\n  expect range vector from 0 to 1m step 1m\n  m{i="1"} 1 10',
        'eval range from 0 to 1m step 1m m\n  m{i="1"} 1 10\n  m{i="2"} 2 20',
        'eval range from 0 to 6m step 3m m\n  m{i="1"} 1 10 _\n  m{i="2"} 2 20 _',
        "eval range from 0 to 1m step 1m 3\n  {} 3 3",
        "eval instant at 0 quantile(2, m)\n  expect warn\n  {} Inf",
        "eval instant at 0 quantile(2, m)\n  expect warn regex:between 0 and 1\n  {} Inf",
        "eval instant at 0 quantile(0, m)\n  expect no_warn\n  expect no_info\n  {} 1",
    ],
)
def test_what_is_as_expected_passes(text: str) -> None:
    check(text)


@pytest.mark.parametrize(
    ("text", "difference"),
    [
        ('eval instant at 0 m\n  m{i="1"} 1', 'unexpected series m{i="2"}'),
        ('eval instant at 0 m{i="1"}\n  m{i="1"} 1\n  x 1', "expected series x{}"),
        ('eval instant at 0 m{i="1"}\n  m{i="1"} 2', "expected 2.0"),
        ('eval instant at 0 m{i="1"}\n  m{i="1"} _', "expected None"),
        ('eval instant at 0 m{i="1"}\n  m{i="1"} {{sum:1}}', "expected Histogram"),
        ("eval instant at 0 h\n  h 5", "expected 5.0"),
        *((f"eval instant at 0 h\n  h {{{{{literal}}}}}", "expected Histogram") for literal in OTHERS),
        ('eval instant at 0 sort(m)\n  expect ordered\n  m{i="2"} 2\n  m{i="1"} 1', "came at position 1"),
        ("eval instant at 0 1\n  2", "expected scalar 2.0, got 1.0"),
        ("eval instant at 0 1", "got scalar 1.0, expected 0 series"),
        ("eval instant at 0 m\n  1", "expected scalar 1.0, got a vector"),
        ('eval instant at 0 "x"\n  expect string "y"', "expected string 'y'"),
        ('eval instant at 0 "x"', "unexpected string 'x'"),
        ('eval instant at 0 m\n  expect string "y"', "expected string 'y'"),
        ('eval instant at 0 m[1m]\n  m{i="1"} 1', "got a range vector"),
        ('eval range from 0 to 1m step 1m m{i="1"}\n  m{i="1"} 1', "expected 1 points"),
        ('eval range from 0 to 1m step 1m m{i="1"}\n  m{i="1"} 1 11', "expected 11.0 at 60000 ms"),
        ('eval range from 0 to 2m step 2m m{i="1"}\n  m{i="1"} 1 _ 10', "expected 10.0 at 240000 ms"),
        ('eval range from 0 to 1m step 1m m{i="1"}\n  m{i="1"} 1 10\n  x 1', "did not come: x{}"),
        ('eval range from 0 to 1m step 1m m{i="1"}', "unexpected series m"),
        ("eval instant at 0 quantile(2, m)\n  expect no_warn\n  {} Inf", "unexpected warning"),
        ("eval instant at 0 quantile(2, m)\n  expect warn msg:other\n  {} Inf", "unexpected warning"),
        ("eval instant at 0 quantile(0, m)\n  expect warn\n  {} 1", "no warning came"),
        ("eval instant at 0 quantile(0, m)\n  expect info\n  {} 1", "no info came"),
        (
            "eval instant at 0 quantile(2, m)\n  expect warn regex:.\n  expect warn regex:other\n  {} Inf",
            "expected warning did not come: 'other'",
        ),
    ],
)
def test_what_differs_is_told(text: str, difference: str) -> None:
    with pytest.raises(Mismatch) as caught:
        check(text)
    assert difference in str(caught.value)
