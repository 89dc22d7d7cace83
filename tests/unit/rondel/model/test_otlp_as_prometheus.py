"""The same exports as Prometheus 3.6 translates them: the same series, samples, histograms and exemplars.

What its translator made of them is recorded: `tests/support/otlp_reference/generate` makes it anew.
"""

from __future__ import annotations

import base64
import json
import lzma
from functools import cache
from itertools import accumulate
from typing import Any

import pytest

from rondel.model.write import Decoder, WriteBatch, WriteLimits
from tests.support.otlp_reference.record import FILE, NOW_MS

CASES = 10


@cache
def recorded() -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads(lzma.decompress(FILE.read_bytes()))
    return cases


def text_of(pairs: list[tuple[str, str]]) -> str:
    """A label without a value is none."""
    return json.dumps(sorted(pair for pair in pairs if pair[1]))


def theirs(series: list[dict[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for one in series:
        key = text_of([(label["name"], label.get("value", "")) for label in one["labels"]])
        assert key not in out
        out[key] = {
            "samples": sorted(
                (row.get("timestamp", 0), row.get("value", 0.0)) for row in one["samples"] or []
            ),
            "histograms": [(row["timestamp"], histogram(row)) for row in one["histograms"] or []],
            "exemplars": sorted(exemplar(row) for row in one["exemplars"] or []),
        }
    return out


def exemplar(row: dict[str, Any]) -> tuple[int, float, str]:
    labels = [(label["name"], label.get("value", "")) for label in row["labels"]]
    return row["timestamp"], row["value"], text_of(labels)


def histogram(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "schema": row.get("schema", 0),
        "count": float(row["Count"].get("count_int", 0)),
        "sum": row.get("sum", 0.0),
        "zero_count": float(row["ZeroCount"].get("zero_count_int", 0)),
        "zero_threshold": row["zero_threshold"],
        "positive": buckets(row.get("positive_spans"), row.get("positive_deltas")),
        "negative": buckets(row.get("negative_spans"), row.get("negative_deltas")),
    }


def buckets(spans: list[dict[str, int]] | None, deltas: list[int] | None) -> dict[int, float]:
    """Those that are not empty."""
    indexes: list[int] = []
    following = 0
    for span in spans or []:
        first = following + span.get("offset", 0)
        following = first + span.get("length", 0)
        indexes.extend(range(first, following))
    counts = accumulate(deltas or [])
    return {index: float(count) for index, count in zip(indexes, counts, strict=True) if count}


def ours(batch: WriteBatch) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for at in range(len(batch)):
        labels, times, values = batch.series(at)
        entry = out.setdefault(text_of(labels), {"samples": [], "histograms": [], "exemplars": []})
        entry["samples"] = sorted([*entry["samples"], *zip(times, values, strict=True)])
        histogram_times, _, rows = batch.histograms(at)
        for place, time_ms in enumerate(histogram_times):
            entry["histograms"].append((time_ms, shown(rows[place])))
        exemplars = [(time_ms, value, text_of(pairs)) for time_ms, value, pairs in batch.exemplars(at)]
        entry["exemplars"] = sorted([*entry["exemplars"], *exemplars])
    return out


def shown(row: dict[str, Any]) -> dict[str, Any]:
    assert (row.pop("hint"), row.pop("custom_values")) == ("unknown", [])
    for side in ("positive", "negative"):
        row[side] = {index: count for index, count in row[side].items() if count}
    return row


@pytest.mark.parametrize("number", range(CASES))
def test_series_are_those_of_prometheus(number: int) -> None:
    case = recorded()[number]
    batch = Decoder(WriteLimits(), seed=1).decode_otlp(base64.b64decode(case["export"]), NOW_MS)
    assert batch.rejections == []
    wanted, found = theirs(case["series"]), ours(batch)
    assert sorted(found) == sorted(wanted)
    assert found == wanted


def test_every_recorded_case_is_looked_at() -> None:
    assert len(recorded()) == CASES
    assert sum(len(case["series"]) for case in recorded()) > 1_500
