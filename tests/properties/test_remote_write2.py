"""The native decoder of remote write 2.0 against a slow twin that reads with the protobuf runtime."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from rondel.errors import InvalidData
from rondel.model.labels import LabelSets
from rondel.model.write import Decoder, Version, WriteBatch
from tests.properties.write_requests import (
    draw_histogram,
    exemplar_labels,
    floats,
    label_sets,
    rarely,
    times_ms,
    values,
)
from tests.properties.write_twin import LIMITS, NOW_MS, outcome_of, twin_v2
from tests.support.remote_write import Request, Symbols, body_of

starts_ms = st.sampled_from([0, 0, 1, NOW_MS - 7, -1, 2**62])


def decode(decoder: Decoder, message: Request | bytes) -> WriteBatch:
    return decoder.decode(body_of(message), NOW_MS, Version.V2)


def fingerprints(sets: Iterable[dict[str, str]]) -> list[int]:
    return [low | high << 64 for low, high in LabelSets.from_dicts(list(sets)).fingerprints().tolist()]


@st.composite
def requests(draw: st.DrawFn) -> Request:
    request = Request()
    symbols = Symbols(draw(st.randoms(use_true_random=False)))
    for _ in range(draw(st.integers(0, 5))):
        series = request.timeseries.add()
        series.labels_refs.extend(symbols.refs(draw(label_sets)))
        if draw(rarely):
            series.labels_refs.append(draw(st.integers(0, 2**32 - 1)))
        for at, value in draw(st.lists(st.tuples(times_ms, floats | st.just(0.0)), max_size=3)):
            series.samples.add(timestamp=at, value=value, start_timestamp=draw(starts_ms))
        for _ in range(draw(st.integers(0, 4)) // 2):
            histogram = series.histograms.add(start_timestamp=draw(starts_ms))
            draw_histogram(draw, histogram)
        for _ in range(draw(st.integers(0, 3)) // 2):
            refs = symbols.refs(draw(exemplar_labels)) + [2**20] * draw(rarely)
            series.exemplars.add(value=draw(floats), timestamp=draw(times_ms), labels_refs=refs)
        if draw(st.booleans()):
            series.metadata.type = draw(st.integers(0, 9))
            series.metadata.help_ref = symbols.ref(draw(values))
            series.metadata.unit_ref = draw(st.sampled_from([0, 0, 0, symbols.ref(draw(values)), 2**20]))
    request.symbols.extend(symbols.texts)
    return request


def check(request: Request, batch: WriteBatch) -> None:
    outcome = twin_v2(request)
    assert outcome_of(batch) == outcome
    assert [batch.fingerprint(i) for i in range(len(batch))] == fingerprints(
        dict(row.labels) for row in outcome.rows
    )


@settings(max_examples=200, deadline=None)
@given(requests())
def test_the_decoder_agrees_with_its_twin(request: Request) -> None:
    decoder = Decoder(LIMITS, seed=1)
    for _cold_then_cached in range(2):
        check(request, decode(decoder, request))


@settings(max_examples=20, deadline=None)
@given(st.lists(requests(), max_size=8))
def test_a_cache_of_two_series_changes_nothing_but_speed(all_requests: list[Request]) -> None:
    decoder = Decoder(LIMITS, seed=2, cache_series=2)
    for request in all_requests * 2:
        check(request, decode(decoder, request))


def rich_request() -> Request:
    symbols = Symbols()
    request = Request()
    for number in range(3):
        series = request.timeseries.add()
        series.labels_refs.extend(symbols.refs([("__name__", f"up{number}"), ("job", "x")]))
        series.samples.add(timestamp=NOW_MS - number, value=[1.5, 0.0, float("nan")][number])
        series.samples.add(timestamp=NOW_MS + number, value=2.5, start_timestamp=NOW_MS - 10)
        series.metadata.type = 1
        series.metadata.help_ref = symbols.ref("help")
    series.exemplars.add(value=1.0, timestamp=2, labels_refs=symbols.refs([("id", "x")]))
    whole = series.histograms.add(count_int=3, sum=1.5, timestamp=7, zero_count_int=1, start_timestamp=5)
    whole.positive_spans.add(offset=-1, length=2)
    whole.positive_deltas.extend([1, 0])
    request.symbols.extend(symbols.texts)
    return request


def outcome(decoder: Decoder, message: bytes) -> WriteBatch | str:
    """A batch, or the id of InvalidData; anything else fails the test."""
    try:
        return decode(decoder, message)
    except InvalidData as error:
        return error.id


def check_against_runtime(decoder: Decoder, message: bytes) -> None:
    batch = outcome(decoder, message)
    assert isinstance(batch, WriteBatch) or batch in {"protobuf-malformed", "remote-write-version"}
    try:
        request = Request.FromString(message)
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


def test_series_are_known_again_under_other_numbers_and_in_another_order_of_labels() -> None:
    decoder = Decoder(LIMITS, seed=6)
    sets = [[("__name__", "up"), ("job", str(number)), ("zone", "z")] for number in range(50)]
    seen = set()
    for shuffle in range(5):
        rng = random.Random(shuffle)
        symbols = Symbols(rng)
        request = Request()
        for labels in sets:
            series = request.timeseries.add()
            series.labels_refs.extend(symbols.refs(rng.sample(labels, 3)))
            series.samples.add(timestamp=1, value=1.0)
        request.symbols.extend(symbols.texts)
        batch = decode(decoder, request)
        assert [batch.series(index)[0] for index in range(50)] == sets
        seen.add(tuple(request.symbols))
        assert decoder.cache_stats().misses == 50
    assert len(seen) == 5


@pytest.mark.parametrize("order", range(6))
def test_fields_in_any_order_and_form_give_the_same_series(order: int) -> None:
    def part(tag: int, content: bytes) -> bytes:
        return bytes([tag, len(content)]) + content

    symbols = b"".join(part(0x22, text) for text in (b"", b"__name__", b"up", b"job", b"x"))
    sample = part(0x12, bytes.fromhex("09000000000000f03f") + bytes.fromhex("1007") + bytes.fromhex("1805"))
    swapped = part(0x12, bytes.fromhex("1805") + bytes.fromhex("1007") + bytes.fromhex("09000000000000f03f"))
    created = bytes.fromhex("3005")  # field 6, which old senders set
    series = part(
        0x2A,
        [
            part(0x0A, b"\1\2\3\4") + sample,
            sample + part(0x0A, b"\1\2\3\4"),
            part(0x0A, b"\1\2") + swapped + part(0x0A, b"\3\4"),
            bytes.fromhex("0801080208030804") + sample,
            created + part(0x0A, b"\3\4\1\2") + created + sample + created,
            bytes.fromhex("8a00") + b"\4\1\2\3\4" + sample,
        ][order],
    )
    for message in (symbols + series, series + symbols):
        batch = decode(Decoder(LIMITS, seed=7), message)
        assert batch.series(0) == ([("__name__", "up"), ("job", "x")], [7], [1.0])
        assert batch.starts(0) == [5]
        assert [batch.fingerprint(0)] == fingerprints([{"__name__": "up", "job": "x"}])
