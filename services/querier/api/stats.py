"""What an answer says of its own cost: the parameter `stats`."""

from __future__ import annotations

from typing import Any

import msgspec

from rondel.promql.result import QueryStats
from rondel.promql.tally import Counts
from services.querier.api.asked import Asked

__all__ = ["rendered"]

_ALL = "all"


def rendered(stats: QueryStats, queue_s: float, asked: Asked, *, per_step: bool) -> bytes:
    """JSON with Prometheus' `timings` and `samples`; with `all` also the stages of the evaluation, and where
    `per_step` the samples of each step."""
    total_s = stats.prepare_s + stats.eval_s
    shown: dict[str, Any] = {
        "timings": {
            "evalTotalTime": total_s,
            "resultSortTime": stats.sort_s,
            "queryPreparationTime": stats.prepare_s,
            "innerEvalTime": stats.eval_s - stats.sort_s,
            "execQueueTime": queue_s,
            "execTotalTime": queue_s + total_s,
        },
        "samples": _samples(stats, asked, per_step=per_step and asked.stats == _ALL),
    }
    if asked.stats == _ALL:
        shown["stages"] = _stages(stats, queue_s)
    return msgspec.json.encode(shown)


def _samples(stats: QueryStats, asked: Asked, *, per_step: bool) -> dict[str, Any]:
    counts = Counts.none(1) if stats.counts is None else stats.counts
    shown: dict[str, Any] = {
        "totalQueryableSamples": int(counts.offered.sum()),
        "samplesRead": int(counts.read.sum()),
        "peakSamples": stats.samples_peak,
    }
    if per_step:
        times_s = [(asked.start_ms + i * asked.step_ms) / 1000 for i in range(len(counts.offered))]
        shown["totalQueryableSamplesPerStep"] = list(zip(times_s, counts.offered.tolist(), strict=True))
        shown["samplesReadPerStep"] = list(zip(times_s, counts.read.tolist(), strict=True))
    return shown


def _stages(stats: QueryStats, queue_s: float) -> list[dict[str, Any]]:
    """In order, no time in two of them. All steps go through a stage together, batch by batch of series."""
    compute_s = stats.eval_s - stats.select_s - stats.read_s - stats.sort_s
    return [
        {"stage": "queue", "time": queue_s},
        {"stage": "prepare", "time": stats.prepare_s},
        {"stage": "select", "time": stats.select_s, "series": stats.series},
        {"stage": "read", "time": stats.read_s, "samples": stats.samples_read, "bytes": stats.bytes_read},
        {"stage": "compute", "time": compute_s, "peakBytes": stats.memory_bytes_peak},
        {"stage": "sort", "time": stats.sort_s},
    ]
