"""A client of remote read that shares no code with the server: requests built, answers taken apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rondel._native import crc32c, snappy_compress
from tests.support.prompb.remote_read_pb2 import ChunkedReadResponse, ReadRequest, ReadResponse
from tests.support.prompb.remote_write_v1_pb2 import TimeSeries

__all__ = ["CHUNKS", "SAMPLES", "Frame", "Labels", "frames_of", "request_of", "series_of", "unsnapped"]

SAMPLES, CHUNKS = 0, 1
OPERATORS = {"=": 0, "!=": 1, "=~": 2, "!~": 3}
Labels = tuple[tuple[str, str], ...]
Matcher = tuple[str, str, str]


@dataclass(frozen=True)
class Frame:
    """One frame of a stream: a series, or a part of one."""

    query: int
    labels: Labels
    chunks: list[tuple[int, int, int, bytes]]
    """`(min_ms, max_ms, kind, data)`"""
    size_bytes: int
    """of the message"""


@dataclass
class Series:
    """A series of an answer of samples."""

    labels: Labels
    samples: list[tuple[int, float]] = field(default_factory=list)
    histograms: list[Any] = field(default_factory=list)


def request_of(*queries: tuple[int, int, list[Matcher]], accepted: tuple[int, ...] = ()) -> bytes:
    """The body of queries `(start_ms, end_ms, matchers)`."""
    request = ReadRequest(accepted_response_types=accepted)
    for start_ms, end_ms, matchers in queries:
        query = request.queries.add(start_timestamp_ms=start_ms, end_timestamp_ms=end_ms)
        for name, operator, value in matchers:
            query.matchers.add(type=OPERATORS[operator], name=name, value=value)
    return snappy_compress(request.SerializeToString())


def series_of(body: bytes) -> list[list[Series]]:
    """The series of each query's result in an answer of samples."""
    return [
        [_series(TimeSeries.FromString(one)) for one in result.timeseries]
        for result in ReadResponse.FromString(unsnapped(body)).results
    ]


def _series(one: Any) -> Series:
    samples = [(sample.timestamp, sample.value) for sample in one.samples]
    return Series(_labels(one.labels), samples, list(one.histograms))


def frames_of(body: bytes) -> Iterator[Frame]:
    """The frames of a stream; what is cut off or damaged is an assertion."""
    at = 0
    while at < len(body):
        length, at = _varint(body, at)
        checksum, message = body[at : at + 4], body[at + 4 : at + 4 + length]
        assert len(message) == length, "the stream is cut off"
        assert int.from_bytes(checksum, "big") == crc32c(message)
        at += 4 + length
        answer = ChunkedReadResponse.FromString(message)
        for series in answer.chunked_series:
            chunks = [(c.min_time_ms, c.max_time_ms, c.type, c.data) for c in series.chunks]
            yield Frame(answer.query_index, _labels(series.labels), chunks, length)


def _labels(labels: Any) -> Labels:
    return tuple((label.name, label.value) for label in labels)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def unsnapped(block: bytes) -> bytes:
    """A snappy block, decompressed slowly."""
    size, at = _varint(block, 0)
    out = bytearray()
    while at < len(block):
        tag, kind = block[at], block[at] & 3
        at += 1
        if kind == 0:
            length = (tag >> 2) + 1
            if length > 60:
                more = length - 60
                length = int.from_bytes(block[at : at + more], "little") + 1
                at += more
            out += block[at : at + length]
            at += length
            continue
        if kind == 1:
            length, distance = (tag >> 2 & 7) + 4, (tag >> 5 << 8) | block[at]
            at += 1
        else:
            width = 2 if kind == 2 else 4
            length, distance = (tag >> 2) + 1, int.from_bytes(block[at : at + width], "little")
            at += width
        for _ in range(length):
            out.append(out[-distance])
    assert len(out) == size
    return bytes(out)
