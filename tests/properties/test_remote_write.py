"""The native decoder of remote write 1.0 against a slow twin that reads with the protobuf runtime."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from rondel.errors import InvalidData
from rondel.model.labels import LabelSets
from rondel.model.write import Decoder, WriteBatch
from tests.properties.write_requests import (
    draw_histogram,
    exemplar_labels,
    floats,
    label_sets,
    times_ms,
    values,
)
from tests.properties.write_twin import LIMITS, NOW_MS, outcome_of, twin_v1
from tests.support.remote_write import WriteRequest, body_of


@st.composite
def requests(draw: st.DrawFn) -> WriteRequest:
    request = WriteRequest()
    for _ in range(draw(st.integers(0, 5))):
        series = request.timeseries.add()
        for name, value in draw(label_sets):
            series.labels.add(name=name, value=value)
        for timestamp, value in draw(st.lists(st.tuples(times_ms, floats | st.just(0.0)), max_size=4)):
            series.samples.add(timestamp=timestamp, value=value)
        for _ in range(draw(st.integers(0, 4)) // 2):
            draw_histogram(draw, series.histograms.add())
        for _ in range(draw(st.integers(0, 3)) // 2):
            exemplar = series.exemplars.add(value=draw(floats), timestamp=draw(times_ms))
            for name, value in draw(exemplar_labels):
                exemplar.labels.add(name=name, value=value)
    for metric, help_text, unit in draw(st.lists(st.tuples(values, values, values), max_size=2)):
        request.metadata.add(
            metric_family_name=metric, help=help_text, unit=unit, type=draw(st.integers(0, 9))
        )
    return request


def check(request: WriteRequest, batch: WriteBatch) -> None:
    outcome = twin_v1(request)
    assert outcome_of(batch) == outcome
    assert [batch.fingerprint(i) for i in range(len(batch))] == fingerprints(
        dict(row.labels) for row in outcome.rows
    )


def fingerprints(sets: Iterable[dict[str, str]]) -> list[int]:
    return [low | high << 64 for low, high in LabelSets.from_dicts(list(sets)).fingerprints().tolist()]


@settings(max_examples=150, deadline=None)
@given(requests())
def test_the_decoder_agrees_with_its_twin(request: WriteRequest) -> None:
    decoder = Decoder(LIMITS, seed=1)
    for _cold_then_cached in range(2):
        check(request, decoder.decode(body_of(request), NOW_MS))


@settings(max_examples=20, deadline=None)
@given(st.lists(requests(), max_size=8))
def test_a_cache_of_two_series_changes_nothing_but_speed(all_requests: list[WriteRequest]) -> None:
    decoder = Decoder(LIMITS, seed=2, cache_series=2)
    for request in all_requests * 2:
        check(request, decoder.decode(body_of(request), NOW_MS))
    assert decoder.cache_stats().series <= 4


def rich_request() -> WriteRequest:
    request = WriteRequest()
    for number in range(3):
        series = request.timeseries.add()
        series.labels.add(name="__name__", value=f"up{number}")
        series.labels.add(name="job", value="x")
        series.samples.add(timestamp=NOW_MS - number, value=[1.5, 0.0, float("nan")][number])
    series.samples.add(timestamp=-1, value=float("inf"))
    series.exemplars.add(value=1.0, timestamp=2).labels.add(name="id", value="x")
    whole = series.histograms.add(count_int=6, sum=1.5, timestamp=7, zero_count_int=1, reset_hint=3)
    whole.positive_spans.add(offset=-1, length=2)
    whole.positive_spans.add(offset=3, length=1)
    whole.positive_deltas.extend([1, 1, -1])
    whole.negative_spans.add(offset=0, length=1)
    whole.negative_deltas.append(1)
    custom = series.histograms.add(count_float=2.5, sum=1.5, timestamp=8, schema=-53)
    custom.positive_spans.add(offset=1, length=1)
    custom.positive_counts.append(2.5)
    custom.custom_values.extend([0.5, 1.0])
    request.metadata.add(metric_family_name="up", help="h", unit="s", type=2)
    return request


def outcome(decoder: Decoder, body: bytes) -> WriteBatch | str:
    """A batch, or the id of InvalidData; anything else fails the test."""
    try:
        return decoder.decode(body, NOW_MS)
    except InvalidData as error:
        return error.id


def check_against_runtime(decoder: Decoder, message: bytes) -> None:
    batch = outcome(decoder, body_of(message))
    assert isinstance(batch, WriteBatch) or batch in {"protobuf-malformed", "remote-write-version"}
    try:
        request = WriteRequest.FromString(message)
    except DecodeError:
        return
    if isinstance(batch, WriteBatch):
        check(request, batch)


def test_a_message_cut_at_any_byte_is_refused_or_means_what_the_runtime_reads() -> None:
    message = rich_request().SerializeToString()
    decoder = Decoder(LIMITS, seed=3)
    for length in range(len(message)):
        check_against_runtime(decoder, message[:length])


def test_a_message_with_any_byte_changed_is_refused_or_means_what_the_runtime_reads() -> None:
    message = rich_request().SerializeToString()
    decoder = Decoder(LIMITS, seed=4)
    for at in range(len(message)):
        for flip in (0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x7F, 0xFF):
            changed = bytearray(message)
            changed[at] ^= flip
            check_against_runtime(decoder, bytes(changed))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_mean_what_the_runtime_reads(message: bytes) -> None:
    check_against_runtime(Decoder(LIMITS, seed=5), message)


def test_a_damaged_snappy_block_is_refused_or_is_another_message() -> None:
    body = body_of(rich_request())
    decoder = Decoder(LIMITS, seed=6)
    damaged = [body[:length] for length in range(len(body))]
    for at in range(len(body)):
        for flip in (0x01, 0x10, 0x80, 0xFF):
            changed = bytearray(body)
            changed[at] ^= flip
            damaged.append(bytes(changed))
    ids = Counter(found for one in damaged if isinstance(found := outcome(decoder, one), str))
    assert set(ids) == {"snappy-corrupt", "protobuf-malformed"}
    assert ids["snappy-corrupt"] >= len(body)


@pytest.mark.parametrize("order", range(5))
def test_fields_in_any_order_and_form_give_the_same_series(order: int) -> None:
    label = bytes.fromhex("0a08") + b"__name__" + bytes.fromhex("1202") + b"up"
    turned = bytes.fromhex("1202") + b"up" + bytes.fromhex("0a08") + b"__name__"
    job = bytes.fromhex("0a03") + b"job" + bytes.fromhex("1201") + b"x"
    sample = bytes.fromhex("09000000000000f03f") + bytes.fromhex("1007")
    swapped = bytes.fromhex("1007") + bytes.fromhex("09000000000000f03f")

    def part(tag: int, content: bytes) -> bytes:
        return bytes([tag, len(content)]) + content

    unknown = bytes.fromhex("f80701")
    series = [
        part(0x0A, label) + part(0x0A, job) + part(0x12, sample),
        part(0x12, sample) + part(0x0A, job) + part(0x0A, label),
        part(0x0A, turned) + part(0x12, swapped) + part(0x0A, job),
        unknown + part(0x0A, label + unknown) + part(0x0A, job) + unknown + part(0x12, sample + unknown),
        bytes.fromhex("8a00") + bytes([len(label)]) + label + part(0x0A, job) + part(0x12, sample),
    ][order]
    batch = Decoder(LIMITS, seed=7).decode(body_of(part(0x0A, series)), NOW_MS)
    assert batch.series(0) == ([("__name__", "up"), ("job", "x")], [7], [1.0])
    assert [batch.fingerprint(0)] == fingerprints([{"__name__": "up", "job": "x"}])
