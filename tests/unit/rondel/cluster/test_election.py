"""One replica of a pair speaks, another after it was silent for long enough."""

from __future__ import annotations

import pytest

from rondel.cluster.election import Elected, Settings, Verdict, decode, encode, judge
from rondel.errors import ConfigError, InvalidData

A = Elected("a", 0)


@pytest.mark.parametrize(
    ("known", "replica", "now_ms", "verdict"),
    [
        (None, "a", 0, Verdict.ELECT),
        (A, "a", 9_999, Verdict.TAKE),
        (A, "a", 10_000, Verdict.REFRESH),
        (A, "b", 29_999, Verdict.DROP),
        (A, "b", 30_000, Verdict.ELECT),
    ],
)
def test_verdicts(known: Elected | None, replica: str, now_ms: int, verdict: Verdict) -> None:
    assert judge(known, 0, replica, now_ms, Settings()) is verdict


def test_the_clock_of_whoever_wrote_is_not_asked() -> None:
    assert judge(Elected("a", 10**12), 0, "b", 30_000, Settings()) is Verdict.ELECT


def test_values_go_both_ways_and_others_are_refused() -> None:
    assert decode(encode(A)) == A
    with pytest.raises(InvalidData):
        decode(b"[]")


def test_a_fail_over_faster_than_refreshes_is_refused() -> None:
    with pytest.raises(ConfigError, match="failover_s"):
        Settings(failover_s=10, refresh_s=10)
