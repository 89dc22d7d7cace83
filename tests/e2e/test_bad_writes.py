"""What a sender can get wrong: each has its own status and a text that says why, and the rest is written."""

from __future__ import annotations

import struct
import time

import pytest

from tests.support.client import Client
from tests.support.remote_write import Series, WriteRequest, body_of, write_request

pytestmark = pytest.mark.e2e

INT64_MAX = 2**63 - 1
GOOD = {"__name__": "good", "case": "accompanies the bad"}
NAME = ("__name__", "bad")


def now_ms() -> int:
    return int(time.time() * 1000)


def raw_series(*labels: tuple[bytes, bytes]) -> bytes:
    """A WriteRequest with one series whose labels are bytes that the protobuf runtime would refuse."""
    pairs = b"".join(field(1, field(1, name) + field(2, value)) for name, value in labels)
    sample = b"\x09" + struct.pack("<d", 1.0) + b"\x10" + varint(now_ms())
    return field(1, pairs + field(2, sample))


def field(number: int, payload: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def varint(value: int) -> bytes:
    septets = []
    while value > 0x7F:
        septets.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*septets, value])


BODIES = {
    "empty body": b"",
    "not snappy": b"\xff" * 40,
    "truncated snappy": body_of(write_request([(GOOD, [(1, 1.0)])]))[:-5],
    "declares more than it holds": varint(30 << 20) + b"\x00a",
    "declares more than the cap": varint(2_500_000_000) + b"\x00a",
    "declares a length beyond 32 bits": varint(2**40) + b"\x00a",
    "framed snappy": b"\xff\x06\x00\x00sNaPpY" + bytes(20),
    "not protobuf": body_of(b"\x00\x01\x02\x03"),
    "field longer than the message": body_of(b"\x0a\xff\xff\xff\xff\x0f"),
    "endless varint": body_of(b"\x0a" + b"\xff" * 12),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_is_no_write_request_is_refused(client: Client, name: str) -> None:
    reply = client.write(BODIES[name])
    assert reply.status == 400
    assert len(reply.text) > 10


def test_a_request_cut_at_any_byte_is_refused_or_whole(client: Client) -> None:
    """A cut between two series leaves a valid shorter request; everywhere else it is malformed."""
    series: list[Series] = [({"__name__": "cut", "n": str(n)}, [(now_ms(), float(n))]) for n in range(3)]
    message = write_request(series).SerializeToString()
    ends = {write_request(series[:count]).ByteSize() for count in range(4)}
    for size in range(len(message)):
        reply = client.write(body_of(message[:size]))
        assert reply.status == (204 if size in ends else 400), (size, reply.text)


REFUSED_LABELS = {
    "no metric name": ([(b"a", b"b")], "missing-metric-name"),
    "no labels": ([], "missing-metric-name"),
    "empty metric name": ([(b"__name__", b"")], "missing-metric-name"),
    "empty label name": ([(b"", b"x"), (b"__name__", b"bad")], "label-invalid"),
    "the same name twice": ([(b"__name__", b"bad"), (b"a", b"1"), (b"a", b"2")], "duplicate-label-names"),
    "name not UTF-8": ([(b"__name__", b"bad"), (b"a\xff", b"1")], "label-invalid"),
    "value not UTF-8": ([(b"__name__", b"bad"), (b"a", b"\xc3\x28")], "label-value-invalid"),
    "metric not UTF-8": ([(b"__name__", b"\xff")], "metric-name-invalid"),
    "name too long": ([(b"__name__", b"bad"), (b"n" * 1025, b"1")], "label-name-too-long"),
    "value too long": ([(b"__name__", b"bad"), (b"a", b"v" * 2049)], "label-value-too-long"),
    "too many labels": (
        [(b"__name__", b"bad"), *((b"l%02d" % n, b"1") for n in range(40))],
        "max-label-names-per-series",
    ),
}


@pytest.mark.parametrize("name", REFUSED_LABELS)
def test_a_bad_series_is_refused_and_the_rest_is_written(client: Client, name: str) -> None:
    labels, error_id = REFUSED_LABELS[name]
    at_ms = now_ms()
    own = {**GOOD, "beside": name}
    message = write_request([(own, [(at_ms, 4.0)])]).SerializeToString() + raw_series(*labels)
    reply = client.write(body_of(message))
    assert reply.status == 400
    assert error_id in reply.text
    assert len(reply.text) < 1000
    (row,) = client.instant(f'good{{beside="{name}"}}', at_ms / 1000)
    assert row["value"][1] == "4"


def test_unsorted_labels_and_empty_values_are_the_same_series(client: Client) -> None:
    at_ms = now_ms()
    spellings: list[list[tuple[str, str]]] = [
        [("__name__", "sorted_here"), ("a", "1"), ("b", "2")],
        [("b", "2"), ("__name__", "sorted_here"), ("a", "1")],
        [("b", "2"), ("a", "1"), ("c", ""), ("__name__", "sorted_here")],
    ]
    for number, labels in enumerate(spellings):
        assert client.store((labels, [(at_ms + number, 1.0)])).status == 204
    (row,) = client.instant("sorted_here[1m]", at_ms / 1000 + 1)
    assert row["metric"] == {"__name__": "sorted_here", "a": "1", "b": "2"}
    assert len(row["values"]) == 3


TIMES = {
    "the end of int64": (INT64_MAX, "too-far-in-future"),
    "an hour ahead": (None, "too-far-in-future"),
    "the beginning of int64": (-INT64_MAX - 1, "sample-"),
    "zero": (0, "sample-"),
    "nanoseconds": (1_700_000_000_000_000_000, "too-far-in-future"),
}


@pytest.mark.parametrize("name", TIMES)
def test_a_time_that_cannot_be_is_refused_and_moves_nothing(client: Client, name: str) -> None:
    at_ms, error_id = TIMES[name]
    present = now_ms()
    bad = present + 3_600_000 if at_ms is None else at_ms
    own = {**GOOD, "beside": name}
    assert client.store((own, [(present, 1.0)])).status == 204
    reply = client.store(({"__name__": "bad_time"}, [(bad, 1.0)]))
    assert (reply.status, error_id in reply.text) == (400, True), reply.text
    assert client.store((own, [(present + 1, 2.0)])).status == 204


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
        (float("nan"), "NaN"),
        (-0.0, "-0"),
        (5e-324, "5e-324"),
    ],
)
def test_every_float_comes_back(client: Client, value: float, text: str) -> None:
    at_ms = now_ms()
    labels = {"__name__": "float", "text": text}
    assert client.store((labels, [(at_ms, value)])).status == 204
    (row,) = client.instant(f'float{{text="{text}"}}', at_ms / 1000)
    assert row["value"][1] == text


def test_a_staleness_marker_ends_a_series(client: Client) -> None:
    at_ms = now_ms() - 10_000
    (stale,) = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))
    labels = {"__name__": "ends"}
    assert client.store((labels, [(at_ms, 1.0), (at_ms + 5000, stale)])).status == 204
    assert len(client.instant("ends", at_ms / 1000 + 4)) == 1
    assert client.instant("ends", at_ms / 1000 + 6) == []


def test_repeating_a_request_changes_nothing_and_contradicting_it_is_refused(client: Client) -> None:
    at_ms = now_ms()
    labels = {"__name__": "repeated"}
    for _ in range(3):
        assert client.store((labels, [(at_ms, 1.0)])).status == 204
    reply = client.store((labels, [(at_ms, 2.0)]))
    assert (reply.status, "sample-duplicate-timestamp" in reply.text) == (400, True), reply.text
    (row,) = client.instant("repeated[1m]", at_ms / 1000)
    assert [value for _, value in row["values"]] == ["1"]


def test_samples_out_of_order_within_the_window_are_merged(client: Client) -> None:
    at_ms = now_ms()
    for offset_ms in (0, -60_000, -30_000, -3_600_000, -45_000):
        body = body_of(write_request([({"__name__": "shuffled"}, [(at_ms + offset_ms, 1.0)])]))
        assert client.write(body).status == 204
    (row,) = client.instant("shuffled[2h]", at_ms / 1000)
    times = [time_s for time_s, _ in row["values"]]
    assert len(times) == 5
    assert times == sorted(times)


def test_metadata_alone_is_accepted_and_kept(client: Client) -> None:
    entry = {"type": 1, "metric_family_name": "told_total", "help": "What it counts.", "unit": "bytes"}
    assert client.write(body_of(write_request([], [entry]))).status == 204
    found = client.data("/api/v1/metadata", {"metric": "told_total"})
    assert found == {"told_total": [{"type": "counter", "help": "What it counts.", "unit": "bytes"}]}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json"}, 415),
        ({"Content-Type": "application/x-protobuf;proto=io.prometheus.write.v3.Request"}, 415),
        ({"Content-Encoding": "gzip"}, 415),
        ({"Content-Encoding": "zstd"}, 415),
        ({"Content-Type": "application/x-protobuf; proto=prometheus.WriteRequest"}, 204),
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/write", "/api/v1/push"])
def test_headers_are_judged_before_the_body(
    client: Client, headers: dict[str, str], status: int, path: str
) -> None:
    body = body_of(write_request([(GOOD, [(now_ms(), 1.0)])])) if status == 204 else b"not looked at"
    assert client.write(body, path, headers).status == status


def test_only_post_writes(client: Client) -> None:
    for method in ("GET", "PUT", "DELETE"):
        assert client.request(method, "/api/v1/write").status == 405


def test_a_body_beyond_the_limit_is_refused(client: Client) -> None:
    """Refused on its declared length; the server may close the connection before all of it is sent."""
    headers = {"Content-Length": str(64 << 20)}
    assert client.request("POST", "/api/v1/write", b"", headers).status == 413


def test_the_server_is_none_the_worse(client: Client) -> None:
    """Last in the file: after everything above it still takes and gives."""
    at_ms = now_ms()
    request: WriteRequest = write_request([({"__name__": "afterwards"}, [(at_ms, 1.0)])])
    assert client.write(body_of(request)).status == 204
    assert len(client.instant("afterwards", at_ms / 1000)) == 1
