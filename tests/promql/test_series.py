"""Series descriptions of scripts: what they say and what is none."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.promql.series import STALE_NAN, Histogram, ScriptError, is_stale, parse_series


def items(sequence: str) -> list[object]:
    return list(parse_series(f"m {sequence}").items)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("m 1", {"__name__": "m"}),
        ("job:m:5m{} 1", {"__name__": "job:m:5m"}),
        ("m{a=\"1\", b='2',} 1", {"__name__": "m", "a": "1", "b": "2"}),
        ('{"m.x", "l.y"="z"} 1', {"__name__": "m.x", "l.y": "z"}),
        ('{__name__="m"} 1', {"__name__": "m"}),
        (r'm{a="q\"\\\n"} 1', {"__name__": "m", "a": 'q"\\\n'}),
        ('m{a="{1}, 2"} 1', {"__name__": "m", "a": "{1}, 2"}),
        ("m{a=`raw\\n`} 1", {"__name__": "m", "a": "raw\\n"}),
        ('m{a=""} 1', {"__name__": "m"}),
        ("{} 1", {}),
    ],
)
def test_labels(text: str, labels: dict[str, str]) -> None:
    assert parse_series(text).labels == labels


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [
        ("", []),
        ("1 -2 +3 .5 1e3 0x", None),
        ("1 -2 +3 .5 1e3", [1, -2, 3, 0.5, 1000]),
        ("5m 1h30m", [300, 5400]),
        ("_ 1 _x2 2", [None, 1, None, None, 2]),
        ("7x2", [7, 7, 7]),
        ("1+2x3", [1, 3, 5, 7]),
        ("1-2x2", [1, -1, -3]),
        ("-1+0.5x1", [-1, -0.5]),
        ("0+1mx2", [0, 60, 120]),
        ("Inf -inf", [math.inf, -math.inf]),
    ],
)
def test_sequences(sequence: str, expected: list[object] | None) -> None:
    if expected is None:
        with pytest.raises(ScriptError):
            items(sequence)
    else:
        assert items(sequence) == expected


def test_a_step_is_added_again_and_again_as_prometheus_does() -> None:
    assert items("0+0.1x3")[3] == 0.1 + 0.1 + 0.1


def test_stale_is_the_one_nan_that_ends_a_series_and_nan_is_another() -> None:
    stale, nan = items("stale NaN")
    assert isinstance(stale, float)
    assert isinstance(nan, float)
    assert is_stale(stale)
    assert is_stale(STALE_NAN)
    assert math.isnan(nan)
    assert not is_stale(nan)


EMPTY: dict[str, Any] = {
    "schema": 0,
    "count": 0.0,
    "sum": 0.0,
    "zero_count": 0.0,
    "zero_threshold": 0.0,
    "positive": {},
    "negative": {},
    "custom_values": [],
    "hint": "unknown",
}


def histograms(text: str) -> list[Histogram]:
    found = items(text)
    assert all(isinstance(item, Histogram) for item in found)
    return [item for item in found if isinstance(item, Histogram)]


def test_histograms_have_the_fields_that_are_written() -> None:
    [one, again] = histograms("{{schema:1 sum:-3 count:22 buckets:[5 10 7] counter_reset_hint:Gauge}}x1")
    written = {
        "schema": 1,
        "sum": -3.0,
        "count": 22.0,
        "positive": {0: 5.0, 1: 10.0, 2: 7.0},
        "hint": "gauge",
    }
    assert one.fields == again.fields == EMPTY | written
    assert one.says_hint
    [other] = histograms("{{z_bucket:3 z_bucket_w:0.5 offset:2 buckets:[1] n_offset:-1 n_buckets:[4 0]}}")
    buckets = {"positive": {2: 1.0}, "negative": {-1: 4.0, 0: 0.0}}
    assert other.fields == EMPTY | {"zero_count": 3.0, "zero_threshold": 0.5} | buckets
    assert not other.says_hint
    [custom] = histograms("{{schema:-53 custom_values:[1 2.5] buckets:[7]}}")
    assert custom.fields == EMPTY | {"schema": -53, "custom_values": [1.0, 2.5], "positive": {0: 7.0}}


def test_a_histogram_step_is_added_or_taken_away_again_and_again() -> None:
    up = histograms("{{sum:4 count:2 buckets:[2]}}+{{schema:1 sum:1 count:1 offset:1 buckets:[1]}}x2")
    assert [one.fields["sum"] for one in up] == [4.0, 5.0, 6.0]
    assert [one.fields["positive"] for one in up] == [{0: 2.0}, {0: 2.0, 1: 1.0}, {0: 2.0, 1: 2.0}]
    down = histograms("{{count:9}}-{{count:2}}x2")
    assert [one.fields["count"] for one in down] == [9.0, 7.0, 5.0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "m1{",
        "m{a}",
        "m{a=1}",
        'm{a="1" b="2"} 1',
        'm{a="1"}1',
        "m 1+2",
        "m 1x",
        "m _x",
        "m one",
        "m {{sum}}",
        "m {{speed:1}}",
        "m {{sum:1 sum:2}}",
        "m {{counter_reset_hint:maybe}}",
        "m {{schema:1}}+{{schema:0}}x1",
        "m {{schema:0}}+{{schema:-53 custom_values:[1]}}x1",
    ],
)
def test_what_is_no_series_is_an_error(text: str) -> None:
    with pytest.raises(ScriptError):
        parse_series(text)
