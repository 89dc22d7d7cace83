"""Native histograms in both versions of remote write against the slow twin: every rule, and every bit."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rondel.model.write import Decoder, Version
from tests.properties.write_requests import STALE, draw_histogram
from tests.properties.write_twin import LIMITS, NOW_MS, Outcome, bits_of, outcome_of, twin_v1, twin_v2
from tests.support.remote_write import Request, WriteRequest, body_of, write_request, write_request_v2


@st.composite
def histograms(draw: st.DrawFn) -> tuple[WriteRequest, Request]:
    """The same histograms in one series of each version."""
    old, new = write_request([({"__name__": "h"}, [])]), write_request_v2([({"__name__": "h"}, [])])
    for _ in range(draw(st.integers(1, 6))):
        message = old.timeseries[0].histograms.add()
        draw_histogram(draw, message)
        new.timeseries[0].histograms.add().ParseFromString(message.SerializeToString())
    return old, new


@settings(max_examples=250, deadline=None)
@given(histograms())
def test_histograms_agree_with_the_twin_in_both_versions(both: tuple[WriteRequest, Request]) -> None:
    old, new = both
    decoder = Decoder(LIMITS, seed=1)
    outcome = outcome_of(decoder.decode(body_of(old), NOW_MS))
    assert outcome == twin_v1(old)
    assert outcome_of(decoder.decode(body_of(new), NOW_MS, Version.V2)) == twin_v2(new) == outcome


def one(version: type[Any] = WriteRequest, **fields: Any) -> Any:
    """A request with one histogram; spans are lists of `(offset, length)`."""
    make = write_request if version is WriteRequest else write_request_v2
    request = make([({"__name__": "h"}, [])])
    spans = {key: fields.pop(key, ()) for key in ("positive_spans", "negative_spans")}
    message = request.timeseries[0].histograms.add(timestamp=NOW_MS, **fields)
    for key, parts in spans.items():
        for offset, length in parts:
            getattr(message, key).add(offset=offset, length=length)
    return request


def judged(request: Any) -> Outcome:
    version = Version.V1 if isinstance(request, WriteRequest) else Version.V2
    return outcome_of(Decoder(LIMITS, seed=1).decode(body_of(request), NOW_MS, version))


BROKEN: dict[str, dict[str, Any]] = {
    "invalid-native-histogram-schema": {"schema": 53},
    "native-histogram-spans-buckets-mismatch": {"positive_spans": [(0, 2)], "positive_deltas": [1]},
    "native-histogram-span-negative-offset": {
        "positive_spans": [(0, 1), (-1, 1)],
        "positive_deltas": [1, 0],
        "count_int": 2,
    },
    "native-histogram-bucket-index": {
        "positive_spans": [(2**31 - 1, 1), (0, 1)],
        "positive_deltas": [1, 0],
        "count_int": 2,
    },
    "native-histogram-negative-bucket-count": {"negative_spans": [(0, 1)], "negative_deltas": [-1]},
    "native-histogram-count-mismatch": {"count_int": 1},
    "native-histogram-count-not-big-enough": {"zero_count_int": 1, "sum": float("nan")},
    "native-histogram-custom-buckets-invalid": {"schema": -53, "custom_values": [1.0, 1.0]},
    "native-histogram-custom-buckets-mismatch": {
        "schema": -53,
        "custom_values": [1.0],
        "positive_spans": [(0, 3)],
        "positive_deltas": [0, 0, 0],
    },
    "native-histogram-zero-threshold": {"zero_threshold": float("nan")},
    "max-native-histogram-buckets": {"positive_spans": [(0, 8)], "positive_deltas": [0] * 8},
}


@pytest.mark.parametrize("version", [WriteRequest, Request])
@pytest.mark.parametrize("id", BROKEN)
def test_every_rule_has_its_id(id: str, version: type[Any]) -> None:
    outcome = judged(one(version, **BROKEN[id]))
    assert (outcome.rejected, outcome.rows) == (Counter({id: 1}), [])


@pytest.mark.parametrize("version", [WriteRequest, Request])
def test_a_few_bytes_never_become_many_buckets(version: type[Any]) -> None:
    outcome = judged(one(version, positive_spans=[(0, 2**32 - 1)] * 5, positive_deltas=[0]))
    assert outcome.rejected == {"native-histogram-spans-buckets-mismatch": 1}


@pytest.mark.parametrize("fields", [{"sum": STALE}, {"count_float": 0.0, "sum": STALE, "schema": -53}])
def test_a_staleness_marker_is_kept_bit_for_bit(fields: dict[str, Any]) -> None:
    (row,) = judged(one(**fields)).rows
    assert row.histograms[0][2][2] == bits_of(STALE) == 0x7FF0000000000002


def test_observations_of_nan_are_counted_and_in_no_bucket() -> None:
    (row,) = judged(one(count_int=5, zero_count_int=2, sum=float("nan"))).rows
    assert row.histograms[0][2][1] == bits_of(5.0)


def test_a_finer_schema_comes_down_to_8() -> None:
    fields = {"positive_spans": [(-3, 6)], "positive_deltas": [1, 0, 0, 0, 0, 0], "count_int": 6}
    (row,) = judged(one(schema=9, **fields)).rows
    schema, *_, positive, negative, bounds, hint = row.histograms[0][2]
    # Buckets -3 to 2 of schema 9; each of schema 8 holds two, an odd one and the even one above it.
    assert (schema, positive) == (8, [(-1, bits_of(2.0)), (0, bits_of(2.0)), (1, bits_of(2.0))])
    assert (negative, bounds, hint) == ([], [], "unknown")
