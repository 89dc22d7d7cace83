"""`/status/self_metrics`: the process's own metrics, as the JSON of protobuf's MetricFamily."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.samples import Sample
from starlette.requests import Request
from starlette.responses import Response

from rondel.errors import InvalidData
from rondel.model.labels import METRIC_NAME, Matchers
from rondel.promql.annotations import format_g
from rondel.runtime.router import Route, route
from services.querier.api import params as form
from services.querier.api.context import answer_of
from services.querier.api.params import invalid

__all__ = ["routes"]

_SIMPLE: Final = {"counter": "_total", "gauge": ""}
"""Types whose metrics are one value, and the end of its sample's name."""


def routes(registry: CollectorRegistry) -> list[Route]:
    async def self_metrics(request: Request) -> Response:
        pattern = (await form.read(request)).get("metric_name_pattern")
        return await asyncio.to_thread(lambda: answer_of(_families(registry, _compiled(pattern))))

    return [route("/status/self_metrics", self_metrics)]


def _compiled(pattern: str) -> Matchers:
    """Of the whole name; everything where there is no pattern."""
    try:
        return Matchers([(METRIC_NAME, "=~", pattern or ".*")])
    except InvalidData as error:
        raise invalid("metric_name_pattern", error) from error


def _families(registry: CollectorRegistry, wanted: Matchers) -> list[dict[str, Any]]:
    found = []
    for family in registry.collect():
        name = family.name + ("_total" if family.type == "counter" else "")
        if wanted.matches({METRIC_NAME: name}):
            found.append({"name": name, "help": family.documentation, **_metrics(family)})
    return sorted(found, key=lambda one: str(one["name"]))


def _metrics(family: Metric) -> dict[str, Any]:
    if family.type == "histogram":
        return {"type": "HISTOGRAM", "metric": _histograms(family.samples)}
    kind = family.type if family.type in _SIMPLE else "untyped"
    end = _SIMPLE.get(kind)
    metrics = [
        {"label": _labels(sample.labels), kind: {"value": _number(sample.value)}}
        for sample in family.samples
        if end is None or sample.name == family.name + end
    ]
    return {"type": kind.upper(), "metric": metrics}


def _histograms(samples: list[Sample]) -> list[dict[str, Any]]:
    """Samples of one histogram come together, its buckets first."""
    by_labels: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
    for sample in samples:
        labels = {name: value for name, value in sample.labels.items() if name != "le"}
        shown = by_labels.setdefault(
            tuple(sorted(labels.items())), {"label": _labels(labels), "histogram": {"bucket": []}}
        )["histogram"]
        if sample.name.endswith("_bucket"):
            bound = _number(float(sample.labels["le"]))
            shown["bucket"].append({"cumulativeCount": str(int(sample.value)), "upperBound": bound})
        elif sample.name.endswith("_count"):
            shown["sampleCount"] = str(int(sample.value))
        elif sample.name.endswith("_sum"):
            shown["sampleSum"] = _number(sample.value)
    return list(by_labels.values())


def _labels(labels: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in sorted(labels.items())]


def _number(value: float) -> float | str:
    """JSON has no infinities; protobuf's JSON spells them."""
    if value - value == 0:
        return value
    return {"+Inf": "Infinity", "-Inf": "-Infinity"}.get(format_g(value), "NaN")
