"""Ingesters for tests: batches from plain values, and reads back to plain values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry

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


def batch(samples: Samples) -> WriteBatch:
    """Metric names with their samples, as one push."""
    labels = LabelSets.from_dicts([{"__name__": name, "job": "test"} for name in samples])
    counts = [len(of_series) for of_series in samples.values()]
    flat = [sample for of_series in samples.values() for sample in of_series]
    arrays = (
        np.cumsum([0, *counts], dtype=np.int64),
        np.array([time_ms for time_ms, _ in flat], np.int64),
        np.array([value for _, value in flat], np.float64),
        None,
        None,
    )
    return WriteBatch.from_arrays(labels, arrays)


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
    """Everything that the heads hold of a tenant, by metric name."""
    everything = Select(tenant, Matchers([("job", "=", "test")]), *EVER)
    selection = HeadStorage(ingester.tenants).select(everything)
    frame = selection.read(0, len(selection.labels))
    times, values = frame.timestamps_ms.tolist(), frame.values.tolist()
    found = {}
    for index in range(len(frame)):
        span = slice(int(frame.offsets[index]), int(frame.offsets[index + 1]))
        found[frame.labels[index]["__name__"]] = list(zip(times[span], values[span], strict=True))
    return found
