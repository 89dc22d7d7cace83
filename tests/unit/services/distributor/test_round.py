"""What a client is told of a batch: counts by kind, and reasons."""

from __future__ import annotations

import numpy as np
import pytest

from rondel.errors import InvalidData, TooLarge, Unavailable
from rondel.model.write import Decoder, WriteBatch, WriteLimits, Written
from rondel.ring.quorum import Outcome
from services.distributor.destination import Refused, Taken
from services.distributor.round import Round
from tests.support.ingesters import NOW_MS, batch
from tests.support.remote_write import body_of, write_request

MIXED = batch({name: [(NOW_MS, 1.0), (NOW_MS + 1, 2.0)] for name in "abc"}, mixed=True)


def round_of(one: WriteBatch) -> Round:
    """All of it in one set, of the members 0, 1 and 2."""
    items = len(one) + one.metadata_count
    return Round(one, np.zeros(items, np.int64), np.array([[0, 1, 2]], np.int16), 3)


def refused(*items: int, id: str = "x-y") -> Taken:
    return Taken([Refused(id, f"{id}: text", np.array(items, np.int64))])


async def test_what_nobody_refused_is_written_in_all_its_kinds() -> None:
    round = round_of(MIXED)
    round.took(0, "a", Taken(exemplars=6))
    assert not round.decided.done()
    round.took(2, "c", Taken(exemplars=6))
    assert round.decided.result() is Outcome.WRITTEN
    assert round.result().accepted == Written(6, 6, 6)


async def test_samples_that_a_quorum_refused_are_taken_from_their_kind() -> None:
    round = round_of(MIXED)
    round.took(0, "a", refused(1, 1, 1))
    round.took(1, "b", refused(1, 1, 1, 1))
    # Three of the four samples of the series, by two members: both floats, and one histogram.
    assert [(one.id, one.samples) for one in round.result().rejections] == [("x-y", 3)]
    assert round.result().accepted[:2] == (4, 5)


async def test_a_reason_is_the_most_frequent_one_of_each_series() -> None:
    round = round_of(batch({name: [(NOW_MS, 1.0)] for name in "ab"}))
    round.took(0, "a", Taken(refused(0).refused + refused(1, id="c-d").refused))
    round.took(1, "b", Taken(refused(0).refused + refused(1, id="c-d").refused))
    rejections = round.result().rejections
    assert [(one.id, one.message, one.samples) for one in rejections] == [
        ("x-y", "x-y: text", 1),
        ("c-d", "c-d: text", 1),
    ]


@pytest.mark.parametrize(
    ("error", "id"),
    [
        (InvalidData("m", "bad-data"), "bad-data"),
        (TooLarge("m"), "distributor-max-write-message-size"),
    ],
)
async def test_a_refusal_of_all_counts_every_sample_and_no_metadata(error: InvalidData, id: str) -> None:
    series = [({"__name__": name}, [(NOW_MS, 1.0), (NOW_MS + 1, 1.0)]) for name in "ab"]
    request = write_request(series, [{"metric_family_name": "a", "type": 1, "help": "h"}])
    one = Decoder(WriteLimits(), seed=1).decode(body_of(request), NOW_MS)
    assert (len(one), one.metadata_count) == (2, 1)
    round = round_of(one)
    for member in (0, 1):
        round.refused(member, f"i-{member}", error, np.arange(3))
    assert [(one.id, one.samples) for one in round.result().rejections] == [(id, 4)]
    assert round.result().accepted.samples == 0


async def test_what_comes_after_the_decision_changes_nothing() -> None:
    round = round_of(MIXED)
    for member, id in enumerate("abc"):
        round.took(member, id, Taken())
    round.lost(1, "b", Unavailable("late"))
    assert round.decided.result() is Outcome.WRITTEN
    assert not round.is_late


async def test_many_that_did_not_answer_are_not_all_named() -> None:
    sets = np.arange(9, dtype=np.int16).reshape(3, 3)
    round = Round(MIXED, np.arange(3), sets, 3)
    for member in range(9):
        if not round.decided.done():
            round.lost(member, f"i-{member}", Unavailable("x" * 500, retry_after_s=member))
    error = round.failure()
    assert str(error).startswith("fewer than 2 of 3 replicas have it: i-0: xxx")
    assert len(str(error)) < 1_000
    assert error.retry_after_s == 1
