"""What senders are told, whichever protocol they speak."""

from __future__ import annotations

import math
import random
from typing import TypeAlias

from rondel.errors import RateLimited, RondelError, Unavailable, text_with_id
from rondel.model.write import PushResult

__all__ = ["Headers", "rejections_text", "retry_headers", "text_of"]

Headers: TypeAlias = list[tuple[bytes, bytes]]


def text_of(error: RondelError) -> str:
    """Its message, with its id where it has one."""
    id = getattr(error, "id", None)
    return text_with_id(str(error), id) if id else str(error)


def rejections_text(result: PushResult) -> str:
    """One line: the first reason in full, then how many samples each reason took, then what was written."""
    first = result.rejections[0]
    counts = ", ".join(f"{one.samples} {one.id}" for one in result.rejections)
    text = text_with_id(first.message, first.id)
    samples = result.accepted.samples + result.accepted.histograms
    return f"{text}; samples left out: {counts}; samples written: {samples}"


def retry_headers(error: RondelError, rng: random.Random) -> Headers:
    """When to come again, spread by chance so that senders do not come back as one."""
    if not isinstance(error, Unavailable | RateLimited):
        return []
    seconds = max(1, math.ceil(error.retry_after_s * rng.uniform(0.5, 1.5)))
    return [(b"retry-after", str(seconds).encode())]
