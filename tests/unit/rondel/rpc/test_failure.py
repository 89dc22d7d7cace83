"""Errors cross the wire: what was raised there is raised here."""

from __future__ import annotations

import pytest

from rondel import errors
from rondel.errors import RondelError
from rondel.rpc.answer import answer_of
from rondel.rpc.failure import FAILURE_KEY, failure_of, raised_from, status_of, told_in
from rondel.rpc.pb import ingester_pb2 as pb

ERRORS: list[RondelError] = [
    errors.InvalidData("d", "x-y"),
    errors.LimitExceeded("l", "x-y"),
    errors.TooLarge("t"),
    errors.UnsupportedMedia("u"),
    errors.RateLimited("r", id="x-y", retry_after_s=1.5),
    errors.Unauthenticated("a", "x-y"),
    errors.NotFound("n"),
    errors.Conflict("c"),
    errors.NotAcceptable("n"),
    errors.ParseError("1:1: p"),
    errors.ExecutionError("e"),
    errors.QueryTooExpensive("x"),
    errors.QueryTimeout("t"),
    errors.QueryCanceled("c"),
    errors.Unavailable("u", retry_after_s=7, id="x-y"),
    errors.Corruption("c", 5, where="file"),
    errors.ConfigError("c"),
    errors.CallerError("c"),
    errors.QueryError("q"),
    RondelError("r"),
]


def subclasses(kind: type[RondelError]) -> set[type[RondelError]]:
    return {kind}.union(
        *(subclasses(one) for one in kind.__subclasses__() if one.__module__ == kind.__module__)
    )


def test_no_class_is_forgotten_here() -> None:
    assert {type(error) for error in ERRORS} == subclasses(RondelError)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_is_the_same_on_the_other_side(error: RondelError) -> None:
    found = told_in([("other", "x"), (FAILURE_KEY, failure_of(error).SerializeToString())])
    assert type(found) is type(error)
    assert str(found) == str(error)
    for name in ("id", "retry_after_s"):
        assert getattr(found, name, None) == getattr(error, name, None)


def test_the_status_code_says_whether_it_may_pass() -> None:
    names = {type(error).__name__: status_of(error).name for error in ERRORS}
    assert [
        names[one] for one in ("InvalidData", "Unavailable", "RateLimited", "Corruption", "RondelError")
    ] == [
        "INVALID_ARGUMENT",
        "UNAVAILABLE",
        "RESOURCE_EXHAUSTED",
        "DATA_LOSS",
        "INTERNAL",
    ]


@pytest.mark.parametrize("kind", ["", "FromTheFuture", "annotations", "text_with_id"])
def test_a_class_that_is_not_known_is_no_error_of_ours(kind: str) -> None:
    assert raised_from(pb.Failure(kind=kind, message="m")) is None
    refused = answer_of(pb.PushReply(id=1, failure=pb.Failure(kind=kind, message="m")))
    assert isinstance(refused, errors.Unavailable)


def test_metadata_without_an_error_tells_of_none() -> None:
    assert told_in(None) is None
    assert told_in([("a", "b")]) is None


def test_a_long_text_fits_the_headers() -> None:
    told = failure_of(errors.InvalidData("ü" * 100_000))
    assert told.ByteSize() < 4_000
