"""The slow twin of the native decoder: judges requests that the protobuf runtime has read, rule by rule."""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from rondel.model.histogram import Histograms
from rondel.model.write import WriteBatch, WriteLimits

__all__ = ["LATEST_MS", "LIMITS", "NOW_MS", "Outcome", "Row", "bits_of", "outcome_of", "twin_v1", "twin_v2"]

NOW_MS: Final = 1_000_000
LIMITS: Final = WriteLimits(
    max_label_name_length=10,
    max_label_value_length=12,
    max_label_names_per_series=4,
    max_metadata_length=8,
    max_native_histogram_buckets=7,
    creation_grace_period_ms=1000,
)
LATEST_MS: Final = NOW_MS + 1000
CUSTOM: Final = -53
HINTS: Final = ["unknown", "reset", "not_reset", "gauge"]
TYPES: Final = ["unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"]
FAMILY_SUFFIXES: Final = {
    3: "_bucket _count _sum _gcount _gsum",
    4: "_bucket _count _sum _gcount _gsum",
    5: "_count _sum",
}

Labels = list[tuple[str, str]]
Metadata = tuple[str, str, str, str]


def bits_of(value: float) -> int:
    return int(struct.unpack("<Q", struct.pack("<d", value))[0])


@dataclass
class Row:
    """One series of a batch; floats as bits."""

    labels: Labels
    samples: list[tuple[int, int, int]]
    """(timestamp, start, bits)"""
    histograms: list[tuple[int, int, tuple[Any, ...]]]
    exemplars: list[tuple[int, int, Labels]]


@dataclass
class Outcome:
    """What became of a request."""

    rows: list[Row] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    """exemplars"""
    metadata: list[Metadata] = field(default_factory=list)


def outcome_of(batch: WriteBatch) -> Outcome:
    """A batch in the terms of the twin."""
    outcome = Outcome(
        rejected=Counter({id: count for id, _, count in batch.rejections}),
        dropped=Counter({id: count for id, _, count in batch.exemplars_dropped}),
        metadata=batch.metadata(),
    )
    for index in range(len(batch)):
        labels, times, values = batch.series(index)
        starts = batch.starts(index) or [0] * len(times)
        samples = list(zip(times, starts, map(bits_of, values), strict=True))
        times, starts, found = batch.histograms(index)
        starts = starts or [0] * len(times)
        cells = [_cells(found, at) for at in range(len(times))]
        histograms = list(zip(times, starts, cells, strict=True))
        exemplars = [(time, bits_of(value), own) for time, value, own in batch.exemplars(index)]
        outcome.rows.append(Row(labels, samples, histograms, exemplars))
    return outcome


def _cells(histograms: Histograms, at: int) -> tuple[Any, ...]:
    found = histograms[at]
    sides = [[(i, bits_of(c)) for i, c in sorted(found[key].items())] for key in ("positive", "negative")]
    floats = [bits_of(found[key]) for key in ("count", "sum", "zero_count", "zero_threshold")]
    return found["schema"], *floats, *sides, [bits_of(b) for b in found["custom_values"]], found["hint"]


class _Broken(Exception):
    """The id of a rule that is broken."""


def twin_v1(request: Any) -> Outcome:
    """What the decoder makes of a `prometheus.WriteRequest`."""
    outcome = Outcome()
    for series in request.timeseries:
        labels = [(label.name, label.value) for label in series.labels]
        exemplars = [(one, [(label.name, label.value) for label in one.labels]) for one in series.exemplars]
        samples = [(sample.timestamp, 0, bits_of(sample.value)) for sample in series.samples]
        verdict = _label_verdict(labels)
        if verdict:
            _leave_out(outcome, verdict, series)
        else:
            _write(outcome, labels, samples, [(one, 0) for one in series.histograms], exemplars)
    for entry in request.metadata:
        _describe(outcome, entry.metric_family_name, entry.type, entry.help, entry.unit)
    return outcome


def twin_v2(request: Any) -> Outcome:
    """What the decoder makes of an `io.prometheus.write.v2.Request`."""
    outcome = Outcome()
    seen = set()
    for series in request.timeseries:
        labels = _resolve(series.labels_refs, request.symbols)
        verdict = "label-refs-invalid" if labels is None else _label_verdict(labels)
        if not verdict and not (series.samples or series.histograms or series.exemplars):
            verdict = "series-without-samples"
        if verdict or labels is None:
            _leave_out(outcome, verdict or "", series)
            continue
        samples = [(one.timestamp, one.start_timestamp, bits_of(one.value)) for one in series.samples]
        exemplars = [(one, _resolve(one.labels_refs, request.symbols)) for one in series.exemplars]
        histograms = [(one, one.start_timestamp) for one in series.histograms]
        _write(outcome, labels, samples, histograms, exemplars)
        own = series.metadata
        key = (_metric_ref(series.labels_refs, request.symbols), own.help_ref, own.unit_ref, own.type)
        if key not in seen and key[1:] != (0, 0, 0):
            seen.add(key)
            _describe_series(outcome, dict(labels)["__name__"], own, request.symbols)
    return outcome


def _describe_series(outcome: Outcome, metric: str, own: Any, symbols: Sequence[str]) -> None:
    if max(own.help_ref, own.unit_ref) >= len(symbols):
        outcome.rejected["metadata-refs-invalid"] += 0
        return
    for suffix in FAMILY_SUFFIXES.get(own.type, "").split():
        if metric.endswith(suffix):
            metric = metric.removesuffix(suffix) or metric
            break
    _describe(outcome, metric, own.type, symbols[own.help_ref], symbols[own.unit_ref])


def _metric_ref(refs: Sequence[int], symbols: Sequence[str]) -> int:
    return next(
        value for name, value in zip(refs[::2], refs[1::2], strict=True) if symbols[name] == "__name__"
    )


def _resolve(refs: Sequence[int], symbols: Sequence[str]) -> Labels | None:
    if len(refs) % 2 or any(ref >= len(symbols) for ref in refs):
        return None
    return [(symbols[name], symbols[value]) for name, value in zip(refs[::2], refs[1::2], strict=True)]


def _leave_out(outcome: Outcome, verdict: str, series: Any) -> None:
    outcome.rejected[verdict] += len(series.samples) + len(series.histograms)
    if series.exemplars:
        outcome.dropped["exemplar-series-invalid"] += len(series.exemplars)


def _label_verdict(labels: Labels) -> str | None:
    """The id of the first rule that the labels break."""
    if len(labels) > LIMITS.max_label_names_per_series:
        return "max-label-names-per-series"
    ordered = sorted((name.encode(), value.encode()) for name, value in labels)
    if any(left[0] == right[0] for left, right in pairwise(ordered)):
        return "duplicate-label-names"
    for name, value in ordered:
        if not name:
            return "label-invalid"
        if len(name) > LIMITS.max_label_name_length:
            return "label-name-too-long"
        if len(value) > LIMITS.max_label_value_length:
            return "label-value-too-long"
    return None if dict(ordered).get(b"__name__") else "missing-metric-name"


def _write(
    outcome: Outcome,
    labels: Labels,
    samples: list[tuple[int, int, int]],
    histograms: Iterable[tuple[Any, int]],
    exemplars: Iterable[tuple[Any, Labels | None]],
) -> None:
    row = Row(_canonical(labels), [one for one in samples if one[0] <= LATEST_MS], [], [])
    if len(row.samples) < len(samples):
        outcome.rejected["too-far-in-future"] += len(samples) - len(row.samples)
    for message, start in histograms:
        if message.timestamp > LATEST_MS:
            outcome.rejected["too-far-in-future"] += 1
            continue
        try:
            row.histograms.append((message.timestamp, start, _histogram(message)))
        except _Broken as broken:
            outcome.rejected[str(broken)] += 1
    for message, own in exemplars:
        verdict = _exemplar_verdict(message, own)
        if verdict == "exemplar-label-refs-invalid":
            outcome.rejected[verdict] += 0
        if verdict or own is None:
            outcome.dropped[verdict or ""] += 1
        else:
            row.exemplars.append((message.timestamp, bits_of(message.value), _canonical(own)))
    row.samples.sort(key=lambda one: one[0])
    row.histograms.sort(key=lambda one: one[0])
    row.exemplars.sort(key=lambda one: one[0])
    if row.samples or row.histograms or row.exemplars:
        outcome.rows.append(row)


def _canonical(labels: Labels) -> Labels:
    ordered = sorted((name.encode(), value.encode()) for name, value in labels if value)
    return [(name.decode(), value.decode()) for name, value in ordered]


def _exemplar_verdict(message: Any, labels: Labels | None) -> str | None:
    if labels is None:
        return "exemplar-label-refs-invalid"
    if len(labels) > 128 or sum(len(name) + len(value) for name, value in labels) > 128:
        return "exemplar-labels-too-long"
    names = [name for name, value in labels if value]
    if "" in names or len(set(names)) < len(names):
        return "exemplar-labels-invalid"
    return "too-far-in-future" if message.timestamp > LATEST_MS else None


def _describe(outcome: Outcome, metric: str, kind: int, help_text: str, unit: str) -> None:
    longest = LIMITS.max_metadata_length
    if not metric:
        outcome.rejected["metadata-missing-metric-name"] += 0
    elif len(metric.encode()) > longest:
        outcome.rejected["metric-name-too-long"] += 0
    elif len(unit.encode()) > longest:
        outcome.rejected["unit-too-long"] += 0
    else:
        cut = help_text.encode()[:longest].decode(errors="ignore")
        known = TYPES[kind] if 0 <= kind < len(TYPES) else "unknown"
        outcome.metadata.append((metric, known, cut, unit))


def _histogram(message: Any) -> tuple[Any, ...]:
    """The cells as `_cells` has them; raises `_Broken`."""
    is_float = message.WhichOneof("count") == "count_float"
    sides = ("positive", "negative")
    spans = {side: getattr(message, f"{side}_spans") for side in sides}
    deltas = {side: getattr(message, f"{side}_counts" if is_float else f"{side}_deltas") for side in sides}
    sizes = [sum(map(len, deltas.values())), sum(map(len, spans.values())), len(message.custom_values)]
    if max(sizes) > LIMITS.max_native_histogram_buckets:
        raise _Broken("max-native-histogram-buckets")
    if message.schema != CUSTOM and not -4 <= message.schema <= 52:
        raise _Broken("invalid-native-histogram-schema")
    indexes = {side: _indexes(spans[side], len(deltas[side])) for side in sides}
    zero = message.zero_count_float if is_float else message.zero_count_int
    if message.schema == CUSTOM:
        _check_custom(message, zero)
    elif message.custom_values:
        raise _Broken("native-histogram-custom-buckets-mismatch")
    elif not message.zero_threshold >= 0:
        raise _Broken("native-histogram-zero-threshold")
    counts = {side: _counts(deltas[side], is_float) for side in sides}
    if not is_float:
        _check_sum(message, zero + sum(counts["positive"]) + sum(counts["negative"]))
    buckets = [_reduced(message.schema, zip(indexes[side], counts[side], strict=True)) for side in sides]
    floats = [
        message.count_float if is_float else message.count_int,
        message.sum,
        zero,
        message.zero_threshold,
    ]
    return (
        min(message.schema, 8),
        *[bits_of(float(number)) for number in floats],
        *buckets,
        [bits_of(bound) for bound in message.custom_values],
        HINTS[message.reset_hint] if 0 <= message.reset_hint < 4 else "unknown",
    )


def _indexes(spans: Iterable[Any], counts: int) -> list[int]:
    if sum(span.length for span in spans) != counts:
        raise _Broken("native-histogram-spans-buckets-mismatch")
    indexes: list[int] = []
    at = 0
    for number, span in enumerate(spans):
        if number and span.offset < 0:
            raise _Broken("native-histogram-span-negative-offset")
        at += span.offset
        if span.length and at + span.length - 1 >= 1 << 31:
            raise _Broken("native-histogram-bucket-index")
        indexes += range(at, at + span.length)
        at += span.length
    return indexes


def _check_custom(message: Any, zero: float) -> None:
    ascending = all(left < right for left, right in pairwise([-math.inf, *message.custom_values]))
    if not ascending or math.inf in message.custom_values:
        raise _Broken("native-histogram-custom-buckets-invalid")
    has_negative = message.negative_spans or message.negative_deltas or message.negative_counts
    if has_negative or zero != 0 or message.zero_threshold != 0:
        raise _Broken("native-histogram-custom-buckets-mismatch")
    if any(span.offset < 0 for span in message.positive_spans):
        raise _Broken("native-histogram-span-negative-offset")
    if sum(span.offset + span.length for span in message.positive_spans) > len(message.custom_values) + 1:
        raise _Broken("native-histogram-custom-buckets-mismatch")


def _counts(deltas: Iterable[Any], is_float: bool) -> list[Any]:
    counts: list[Any] = []
    for delta in deltas:
        count = delta if is_float or not counts else counts[-1] + delta
        if count < 0 or (not is_float and count >= 1 << 63):
            raise _Broken("native-histogram-negative-bucket-count")
        counts.append(count)
    return counts


def _check_sum(message: Any, in_buckets: int) -> None:
    if math.isnan(message.sum) and in_buckets > message.count_int:
        raise _Broken("native-histogram-count-not-big-enough")
    if not math.isnan(message.sum) and in_buckets != message.count_int:
        raise _Broken("native-histogram-count-mismatch")


def _reduced(schema: int, buckets: Iterable[tuple[int, Any]]) -> list[tuple[int, int]]:
    factor = 2 ** max(schema - 8, 0)
    merged: dict[int, float] = {}
    for index, count in buckets:
        coarse = -(-index // factor)
        merged[coarse] = merged[coarse] + float(count) if coarse in merged else float(count)
    return [(index, bits_of(count)) for index, count in sorted(merged.items())]
