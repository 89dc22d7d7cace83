"""What an ingester broke off is run again, and nothing else is."""

from __future__ import annotations

import pytest

from rondel.errors import QueryTimeout, QueryTooExpensive, Unavailable
from rondel.promql.control import Control
from services.querier.again import again

BROKEN = Unavailable("ingester i-1 is gone", id="read-broken")


class Work:
    def __init__(self, *outcomes: Exception) -> None:
        self.outcomes = list(outcomes)
        self.runs = 0

    def __call__(self) -> int:
        self.runs += 1
        if self.outcomes:
            raise self.outcomes.pop(0)
        return self.runs


def test_a_query_that_was_broken_off_is_run_again_twice_at_most() -> None:
    assert again(Work(BROKEN), Control(), 0) == 2
    assert again(Work(BROKEN, BROKEN), Control(), 0) == 3
    work = Work(BROKEN, BROKEN, BROKEN)
    with pytest.raises(Unavailable):
        again(work, Control(), 0)
    assert work.runs == 3


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("no quorum", id="read-incomplete"),
        Unavailable("nobody has a newer ring", id="ring-epoch"),
        Unavailable("S3"),
        QueryTooExpensive("x"),
    ],
)
def test_what_another_run_cannot_help_is_run_once(error: Exception) -> None:
    work = Work(error)
    with pytest.raises(type(error)):
        again(work, Control(), 0)
    assert work.runs == 1


def test_no_run_begins_after_the_time_is_over() -> None:
    work, times = Work(BROKEN), [0.0, 2.0]
    with pytest.raises(QueryTimeout):
        again(work, Control(timeout_s=1, clock=lambda: times.pop(0)), 0)
    assert work.runs == 1


def test_another_run_has_the_whole_budget() -> None:
    control = Control(samples_max=10)

    def work() -> str:
        control.hold(8, 8)
        if control.samples_peak == 8 and not failed:
            failed.append(True)
            raise BROKEN
        return "done"

    failed: list[bool] = []
    assert again(work, control, 0) == "done"
