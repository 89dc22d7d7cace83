"""A batch of one of a pair of scrapers is the batch that one without a pair would have sent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rondel.model.write import Decoder, Version, WriteBatch, WriteLimits
from tests.properties.write_twin import outcome_of
from tests.support.prompb.remote_write_v1_pb2 import WriteRequest
from tests.support.remote_write import Request, Symbols, body_of

NOW_MS = 1_700_000_000_000
LIMITS = WriteLimits(max_label_names_per_series=4)
REPLICA = "__replica__"
PAIR = {"cluster": "prod", REPLICA: "a"}

Labels = list[tuple[str, str]]

texts = st.sampled_from(["", "x", "y", "prod", "a", REPLICA, "ü" * 70])
names = st.sampled_from(["__name__", "cluster", REPLICA, "job", "zone", "a", "z", ""])
label_lists = st.lists(st.tuples(names, texts), max_size=5, unique_by=lambda label: label[0])
requests = st.lists(label_lists, max_size=4)


def message_v1(series: list[Labels]) -> WriteRequest:
    request = WriteRequest()
    for labels in series:
        one = request.timeseries.add()
        for name, value in labels:
            one.labels.add(name=name, value=value)
        one.samples.add(timestamp=NOW_MS, value=1.0)
        one.exemplars.add(timestamp=NOW_MS, value=2.0).labels.add(name=REPLICA, value="kept")
        one.histograms.add(timestamp=NOW_MS, count_int=0, schema=1)
    request.metadata.add(type=1, metric_family_name="up", help="Whether.")
    return request


def message_v2(series: list[Labels]) -> Request:
    request = Request()
    symbols = Symbols()
    for labels in series:
        one = request.timeseries.add()
        one.labels_refs.extend(symbols.refs(labels))
        one.samples.add(timestamp=NOW_MS, value=1.0, start_timestamp=7)
        one.exemplars.add(timestamp=NOW_MS, value=2.0, labels_refs=symbols.refs([(REPLICA, "kept")]))
        one.histograms.add(timestamp=NOW_MS, count_int=0, schema=1)
        one.metadata.help_ref = symbols.ref("Whether.")
    request.symbols.extend(symbols.texts)
    return request


MESSAGES: dict[Version, Any] = {Version.V1: message_v1, Version.V2: message_v2}


def decode(decoder: Decoder, version: Version, series: list[Labels], *, pairs: bool) -> WriteBatch:
    return decoder.decode(body_of(MESSAGES[version](series)), NOW_MS, version, pairs)


@pytest.mark.parametrize("version", Version)
@settings(max_examples=60)
@given(series=requests, first=st.permutations([("__name__", "up"), *PAIR.items(), ("job", "x")]))
def test_the_replica_is_in_no_series_and_everything_else_is_as_without(
    version: Version, series: list[Labels], first: Labels
) -> None:
    decoder = Decoder(LIMITS, seed=3)
    series = [first, *series]
    without = [[label for label in labels if label[0] != REPLICA] for labels in series]
    plain = outcome_of(decode(decoder, version, without, pairs=True))
    # New to the cache, known to it, and after the same bytes were seen without pairs.
    for _ in range(3):
        batch = decode(decoder, version, series, pairs=True)
        assert batch.pair == ("prod", "a")
        assert outcome_of(batch) == plain
        kept = decode(decoder, version, series, pairs=False)
        assert kept.pair is None
        assert dict(kept.series(0)[0])[REPLICA] == "a"


@pytest.mark.parametrize("version", Version)
@settings(max_examples=40)
@given(series=requests)
def test_without_both_labels_in_the_first_series_all_labels_stay(
    version: Version, series: list[Labels]
) -> None:
    decoder = Decoder(LIMITS, seed=3)
    first = [("__name__", "up"), (REPLICA, "a")]
    kept = decode(decoder, version, [first, *series], pairs=True)
    assert kept.pair is None
    assert outcome_of(kept) == outcome_of(decode(decoder, version, [first, *series], pairs=False))


@pytest.mark.parametrize("version", Version)
def test_both_replicas_write_the_same_series_and_other_labels_can_name_them(version: Version) -> None:
    decoder = Decoder(LIMITS, seed=3, cluster_label="team", replica_label="prometheus")
    batches = [
        decode(
            decoder,
            version,
            [[("__name__", "up"), ("prometheus", name), ("team", "t"), (REPLICA, "stays")]],
            pairs=True,
        )
        for name in ("one", "two", "one")
    ]
    assert [batch.pair for batch in batches] == [("t", "one"), ("t", "two"), ("t", "one")]
    assert len({batch.fingerprint(0) for batch in batches}) == 1
    assert batches[0].series(0)[0] == [("__name__", "up"), (REPLICA, "stays"), ("team", "t")]
