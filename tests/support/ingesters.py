"""Ingesters for tests: batches from plain values, and reads back to plain values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from rondel.model.frame import ExemplarFrame, SeriesFrame
from rondel.model.histogram import Histograms
from rondel.model.labels import LabelSets, Matchers
from rondel.model.write import WriteBatch
from rondel.runtime.clock import Clock, FakeClock
from rondel.storage import Select
from services.ingester.config import Config
from services.ingester.disk import Disk
from services.ingester.push import Ingester
from services.ingester.read import HeadStorage

NOW_MS = 1_700_000_000_000
EVER = (-(1 << 63), (1 << 63) - 1)

Samples = dict[str, list[tuple[int, float]]]


Contents = dict[str, Samples]
"""By kind: floats, starts, histograms, exemplars, each told as the value that it was made of."""


def batch(samples: Samples, *, mixed: bool = False) -> WriteBatch:
    """Metric names with their samples, as one push.

    With `mixed` each sample has a start, and a histogram with a start and an exemplar beside it.
    """
    labels = LabelSets.from_dicts([{"__name__": name, "job": "test"} for name in samples])
    counts = [len(of_series) for of_series in samples.values()]
    flat = [sample for of_series in samples.values() for sample in of_series]
    offsets = np.cumsum([0, *counts], dtype=np.int64)
    times = np.array([time_ms for time_ms, _ in flat], np.int64)
    values = np.array([value for _, value in flat], np.float64)
    if not mixed:
        return WriteBatch.from_arrays(labels, (offsets, times, values, None, None))
    begun = times - values.astype(np.int64) - 1
    histograms = Histograms.from_dicts(
        [{"count": value, "sum": value / 3, "positive": {time_ms % 5: value}} for time_ms, value in flat]
    )
    traces = LabelSets.from_dicts([{"trace_id": str(time_ms)} for time_ms, _ in flat])
    arrays = (offsets, times, values, begun, (offsets, times, begun, histograms))
    return WriteBatch.from_arrays(labels, arrays, (offsets, times, values, traces))


def make(
    disk: Disk | Path, config: Config | None = None, *, clock: Clock | None = None, instance_id: str = "test"
) -> Ingester:
    """An ingester whose clock stands at `NOW_MS`."""
    return Ingester(
        config or Config(),
        disk,
        clock=clock or FakeClock(NOW_MS),
        registry=CollectorRegistry(),
        instance_id=instance_id,
    )


def samples_of(ingester: Ingester, tenant: str) -> Samples:
    """All float samples that the heads hold of a tenant, by metric name."""
    return contents_of(ingester, tenant)["floats"]


def contents_of(ingester: Ingester, tenant: str) -> Contents:
    """Everything that the heads hold of a tenant, by kind and metric name."""
    everything = Select(tenant, Matchers([("job", "=", "test")]), *EVER)
    storage = HeadStorage(ingester.tenants)
    selection = storage.select(everything)
    found = contents(selection.read(0, len(selection.labels)))
    exemplars = storage.exemplars(tenant, [everything.matchers], *EVER)
    return {**found, "exemplars": exemplars_by_name(exemplars)}


def contents(frame: SeriesFrame) -> Contents:
    """The samples of a frame. What is in a histogram or a start must be what `batch` puts there."""
    found: Contents = {
        "floats": by_name(frame.labels, frame.offsets, frame.timestamps_ms, frame.values.tolist()),
        "starts": {},
        "histograms": {},
    }
    if frame.starts_ms is not None:
        begun = (frame.timestamps_ms - frame.starts_ms - 1).astype(np.float64)
        found["starts"] = by_name(frame.labels, frame.offsets, frame.timestamps_ms, begun.tolist())
    own = frame.histograms
    if own is not None:
        assert own.starts_ms is not None
        counts = own.values.counts()
        assert own.starts_ms.tolist() == (own.timestamps_ms - counts.astype(np.int64) - 1).tolist()
        for at, time_ms in enumerate(own.timestamps_ms.tolist()):
            assert own.values[at]["positive"] == {time_ms % 5: counts[at]}
        found["histograms"] = by_name(frame.labels, own.offsets, own.timestamps_ms, counts.tolist())
    return found


def exemplars_by_name(frame: ExemplarFrame) -> Samples:
    """Exemplars; the label of each must be what `batch` puts there."""
    times = frame.timestamps_ms.tolist()
    traces = [frame.exemplar_labels[at]["trace_id"] for at in range(len(times))]
    assert traces == [str(time_ms) for time_ms in times]
    return by_name(frame.labels, frame.offsets, frame.timestamps_ms, frame.values.tolist())


def by_name(
    labels: LabelSets, offsets: NDArray[np.int64], times: NDArray[np.int64], values: list[float]
) -> Samples:
    """(time, value) of each series that has any."""
    found = {}
    for index in range(len(labels)):
        span = slice(int(offsets[index]), int(offsets[index + 1]))
        if span.start < span.stop:
            points = zip(times[span].tolist(), values[span], strict=True)
            found[labels[index]["__name__"]] = list(points)
    return found
