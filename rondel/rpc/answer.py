"""`PushAnswer`: what an ingester says to one push, as a value and as a message."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rondel.errors import RondelError, Unavailable
from rondel.model.write import PushResult, Rejection, Written
from rondel.rpc.failure import failure_of, raised_from
from rondel.rpc.pb import ingester_pb2 as pb

__all__ = ["PushAnswer", "answer_of", "failed", "reply_of"]


@dataclass(frozen=True, slots=True)
class PushAnswer:
    """What became of a push: what it says was accepted is in a synced WAL."""

    result: PushResult
    unknown: bytes = b""
    """Fingerprints of series that came without labels and were not known: 16 bytes each, low half first,
    little-endian. Nothing of them was written."""
    rows: list[NDArray[np.int64]] = field(default_factory=list)
    """For each rejection, the item of the batch that each refused sample is of; empty where no rejection
    says so."""


def reply_of(id: int, answer: PushAnswer) -> Any:
    """The answer as a `PushReply`."""
    accepted, rejections = answer.result.accepted, answer.result.rejections
    rows = [of_one.tolist() for of_one in answer.rows] or [[] for _ in rejections]
    return pb.PushReply(
        id=id,
        samples=accepted.samples,
        histograms=accepted.histograms,
        exemplars=accepted.exemplars,
        rejections=[
            pb.Rejection(id=one.id, message=one.message, samples=one.samples, rows=refused)
            for one, refused in zip(rejections, rows, strict=True)
        ],
        unknown=answer.unknown,
    )


def failed(id: int, error: RondelError) -> Any:
    """The `PushReply` that says that a push was refused."""
    return pb.PushReply(id=id, failure=failure_of(error))


def answer_of(reply: Any) -> PushAnswer | RondelError:
    """What a `PushReply` says."""
    if reply.HasField("failure"):
        return raised_from(reply.failure) or Unavailable(reply.failure.message)
    rejections = [Rejection(one.id, one.message, one.samples) for one in reply.rejections]
    result = PushResult(Written(reply.samples, reply.histograms, reply.exemplars), rejections)
    rows = [np.array(one.rows, np.int64) for one in reply.rejections]
    return PushAnswer(result, reply.unknown, rows if any(map(len, rows)) else [])
