"""Remote read on the wire: requests become values, frames of series become bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rondel import _native
from rondel.model.frame import SeriesFrame

__all__ = ["SAMPLES", "STREAMED_XOR_CHUNKS", "ReadQuery", "ReadRequest", "chunked", "response", "series"]

SAMPLES = 0
STREAMED_XOR_CHUNKS = 1


@dataclass(frozen=True, slots=True)
class ReadQuery:
    """Series that fit all matchers, and their samples within both ends."""

    mint_ms: int
    maxt_ms: int
    matchers: list[tuple[str, str, str]]
    """`(name, operator, value)`"""


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """What a client asks."""

    queries: list[ReadQuery]
    accepted: list[int]
    """The kinds of answers that it takes, the best first; none is the same as only `SAMPLES`."""

    @classmethod
    def decode(cls, body: bytes, bytes_max: int) -> ReadRequest:
        """From a snappy body; raises InvalidData, so where it has more than `bytes_max` decompressed."""
        queries, accepted = _native.read_request(body, bytes_max)
        return cls([ReadQuery(*query) for query in queries], accepted)


def series(frame: SeriesFrame) -> bytes:
    """A part of one query's result in an answer of samples."""
    return _native.read_series(frame.labels, frame.arrays())


def response(results: Sequence[Sequence[bytes]]) -> bytes:
    """The snappy body of an answer of samples, from the parts of each query's result."""
    return _native.read_response(results)


def chunked(frame: SeriesFrame, query: int, frame_bytes_max: int) -> bytes:
    """Frames of a stream of chunks for the query of that index: length, CRC32C and message, one a series.

    A series that needs more than `frame_bytes_max` has several. Within a stream, series come sorted.
    """
    return _native.read_frames(frame.labels, frame.arrays(), query, frame_bytes_max)
