"""A client of the write path: builds remote-write bodies with the protobuf runtime, not with our code."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rondel._native import snappy_compress
from tests.support.prompb.remote_write_v1_pb2 import WriteRequest
from tests.support.prompb.remote_write_v2_pb2 import Request

__all__ = [
    "HEADERS",
    "HEADERS_V2",
    "Request",
    "Series",
    "Symbols",
    "WriteRequest",
    "body_of",
    "fill_histogram",
    "write_request",
    "write_request_v2",
]

HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}

HEADERS_V2 = {
    "Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "2.0.0",
}

Series = tuple[Mapping[str, str] | Sequence[tuple[str, str]], Iterable[tuple[int, float]]]


def write_request(series: Iterable[Series], metadata: Iterable[Mapping[str, Any]] = ()) -> WriteRequest:
    """A request of `(labels, [(timestamp_ms, value), ...])`. A mapping is sorted by name, a list is kept."""
    request = WriteRequest()
    for labels, samples in series:
        one = request.timeseries.add()
        pairs = sorted(labels.items()) if isinstance(labels, Mapping) else labels
        for name, value in pairs:
            one.labels.add(name=name, value=value)
        for timestamp_ms, number in samples:
            one.samples.add(timestamp=timestamp_ms, value=number)
    for entry in metadata:
        request.metadata.add(**entry)
    return request


class Symbols:
    """The table of a 2.0 request; `rng` puts unused symbols between, so that numbers differ."""

    def __init__(self, rng: random.Random | None = None) -> None:
        self.texts = [""]
        self._places = {"": 0}
        self._rng = rng

    def ref(self, text: str) -> int:
        if text not in self._places:
            if self._rng:
                self.texts += [f"unused {len(self.texts)}"] * self._rng.randint(0, 2)
            self._places[text] = len(self.texts)
            self.texts.append(text)
        return self._places[text]

    def refs(self, labels: Iterable[tuple[str, str]]) -> list[int]:
        return [self.ref(text) for label in labels for text in label]


def write_request_v2(series: Iterable[Series]) -> Request:
    """As `write_request`, in version 2.0."""
    request = Request()
    symbols = Symbols()
    for labels, samples in series:
        one = request.timeseries.add()
        pairs = sorted(labels.items()) if isinstance(labels, Mapping) else labels
        one.labels_refs.extend(symbols.refs(pairs))
        for timestamp_ms, number in samples:
            one.samples.add(timestamp=timestamp_ms, value=number)
    request.symbols.extend(symbols.texts)
    return request


def body_of(request: WriteRequest | Request | bytes) -> bytes:
    """The body of a POST: one snappy block."""
    message = request if isinstance(request, bytes) else request.SerializeToString()
    return snappy_compress(message)


def fill_histogram(
    message: Any, time_ms: int, fields: Mapping[str, Any], start_ms: int = 0, *, as_integers: bool = False
) -> None:
    """A histogram, given as `Histograms.from_dicts` takes it, into a message of either version.

    With a span for every bucket: what belongs together is for the server to find out.
    """
    message.timestamp = time_ms
    if start_ms:
        message.start_timestamp = start_ms
    message.schema = fields.get("schema", 0)
    message.sum = fields.get("sum", 0.0)
    message.zero_threshold = fields.get("zero_threshold", 0.0)
    message.custom_values.extend(fields.get("custom_values", ()))
    message.reset_hint = ["unknown", "reset", "not_reset", "gauge"].index(fields.get("hint", "unknown"))
    count, zero_count = fields.get("count", 0.0), fields.get("zero_count", 0.0)
    if as_integers:
        message.count_int, message.zero_count_int = int(count), int(zero_count)
    else:
        message.count_float, message.zero_count_float = count, zero_count
    for side in ("positive", "negative"):
        following, before = 0, 0
        for index, amount in sorted(fields.get(side, {}).items()):
            getattr(message, f"{side}_spans").add(offset=index - following, length=1)
            following = index + 1
            if as_integers:
                getattr(message, f"{side}_deltas").append(int(amount) - before)
                before = int(amount)
            else:
                getattr(message, f"{side}_counts").append(amount)
