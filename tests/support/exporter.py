"""A target of scrapes in protobuf: native histograms of several shapes, exemplars, a reset, an end."""

from __future__ import annotations

import random
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.prompb.metrics_pb2 import MetricFamily

__all__ = ["ENDING", "Exporter"]

COUNTER, GAUGE_HISTOGRAM, HISTOGRAM = 0, 5, 4
ENDING = "ending_seconds"
"""is there for some scrapes and then no more"""
BOUNDS = (0.01, 0.1, 1.0)


class Exporter:
    """Listens on `port` while it is entered. Every scrape of a client (by its name in the path) sees more.

    Each client sees a history of its own, which depends on the number of its scrapes alone.
    """

    def __init__(self, *, ends_after: int, resets_after: int) -> None:
        self.ends_after = ends_after
        self.resets_after = resets_after
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.port = int(self._server.server_address[1])
        self._histories: dict[str, _History] = {}

    def __enter__(self) -> Exporter:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def scraped(self, client: str) -> bytes:
        history = self._histories.setdefault(client, _History())
        history.go_on(reset=history.scrapes == self.resets_after)
        families = history.families(with_ending=history.scrapes <= self.ends_after)
        return b"".join(_delimited(family.SerializeToString()) for family in families)


class _History:
    """What was observed so far, in each bucket of an exponential histogram."""

    def __init__(self) -> None:
        self.scrapes = 0
        self._random = random.Random(3)
        self._clear()

    def _clear(self) -> None:
        self.positive = dict.fromkeys(range(-6, 3), 0)
        self.negative = dict.fromkeys(range(2), 0)
        self.zero, self.sum = 0, 0.0

    def go_on(self, *, reset: bool) -> None:
        self.scrapes += 1
        if reset:
            self._clear()
        for side in (self.positive, self.negative):
            for index in self._random.choices(list(side), k=5):
                side[index] += self._random.randrange(20)
        if self.scrapes % 5 == 0:
            self.positive[self.scrapes] = 1
        self.zero += 1
        self.sum += self._random.randrange(1000) / 8

    def families(self, *, with_ending: bool) -> list[MetricFamily]:
        counter = MetricFamily(name="calls_total", type=COUNTER)
        own = counter.metric.add()
        own.counter.value = self.count
        self._trace(own.counter.exemplar, "counter", 0.5)
        found = [counter, self._integers("latency_seconds"), self._floats("queue_seconds", HISTOGRAM)]
        found.append(self._floats("waiting_seconds", GAUGE_HISTOGRAM))
        return [*found, self._integers(ENDING)] if with_ending else found

    @property
    def count(self) -> int:
        return self.zero + sum(self.positive.values()) + sum(self.negative.values())

    def _integers(self, name: str) -> MetricFamily:
        """Of integers, with classic buckets that carry the exemplars."""
        family, histogram = self._histogram(name, HISTOGRAM)
        histogram.sample_count, histogram.zero_count = self.count, self.zero
        for place, bound in enumerate((*BOUNDS, float("inf"))):
            share = self.count * (place + 1) // 4
            bucket = histogram.bucket.add(cumulative_count=share, upper_bound=bound)
            self._trace(bucket.exemplar, f"{name}-{place}", bound if place < len(BOUNDS) else 7.5)
        self._trace(histogram.exemplars.add(), f"{name}-native", 0.25)
        for side, spans, deltas in (
            (self.positive, histogram.positive_span, histogram.positive_delta),
            (self.negative, histogram.negative_span, histogram.negative_delta),
        ):
            before, following = 0, 0
            for index, count in sorted(side.items()):
                spans.add(offset=index - following, length=1)
                deltas.append(count - before)
                before, following = count, index + 1
        return family

    def _floats(self, name: str, kind: int) -> MetricFamily:
        family, histogram = self._histogram(name, kind)
        histogram.sample_count_float, histogram.zero_count_float = self.count / 2, self.zero / 2
        for index, count in sorted(self.positive.items()):
            following = sum(span.offset + span.length for span in histogram.positive_span)
            histogram.positive_span.add(offset=index - following, length=1)
            histogram.positive_count.append(count / 2)
        for index, count in sorted(self.negative.items()):
            following = sum(span.offset + span.length for span in histogram.negative_span)
            histogram.negative_span.add(offset=index - following, length=1)
            histogram.negative_count.append(count / 2)
        return family

    def _histogram(self, name: str, kind: int) -> tuple[MetricFamily, Any]:
        family = MetricFamily(name=name, type=kind)
        one = family.metric.add()
        one.label.add(name="path", value="/")
        one.histogram.schema, one.histogram.zero_threshold = 2, 2.0**-20
        one.histogram.sample_sum = self.sum
        return family, one.histogram

    def _trace(self, exemplar: Any, name: str, value: float) -> None:
        """A new one every third scrape, with the time of now, as a client library would have it."""
        exemplar.label.add(name="trace_id", value=f"{name}-{self.scrapes // 3}")
        exemplar.value = value
        exemplar.timestamp.GetCurrentTime()


def _delimited(message: bytes) -> bytes:
    length, left = bytearray(), len(message)
    while left >= 0x80:
        length.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*length, left]) + message


def _handler(exporter: Exporter) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = exporter.scraped(self.path)
            self.send_response(200)
            kind = (
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            )
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(ConnectionError):  # a scrape that took too long was given up
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Into the void."""

    return Handler
